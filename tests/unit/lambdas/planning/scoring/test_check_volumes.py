"""Volumes that cannot hold a job's input, artifacts and outputs, and those that may not."""

from dataclasses import replace
from typing import Any

import pytest

from contract.catalog.models import Compute
from contract.dataset.input_options import InputOptions
from contract.job.scoring_spec import PinnedObject
from contract.job.snapshot import Snapshot
from lambdas.errors import InvalidRequestError
from lambdas.planning.scoring.check_volumes import check_volumes, volume_notes
from lambdas.planning.scoring.form_jobs import PlannedJob
from lambdas.stage.buckets.stored_object import StoredObject
from tests.unit.lambdas.builders import Stage, any_model_spec, plan_event
from tests.unit.lambdas.conftest import Step

GB = 10**9
GIB = 1 << 30
KEYS: dict[str, Any] = {"columns": "keys", "key_columns": ("id",)}
"""Of a model whose outputs have few columns."""


def job(
    *sizes: int, volume: int = 30, instances: int = 1, models: int = 1, ending: str = ".parquet", **changes: Any
) -> PlannedJob:
    instance_type = changes.pop("instance_type", "ml.m5.large")
    spec = any_model_spec(**{"artifact_bytes": 0, **changes})
    objects = tuple(PinnedObject(f"{number}{ending}", size, "e") for number, size in enumerate(sizes))
    return PlannedJob(
        "delays-ua",
        Snapshot("flights", "datasets-test", objects),
        tuple(replace(spec, model_id=f"m-{number}") for number in range(models)),
        Compute(instance_type, instances, volume, 3_600),
        3,
    )


def problem(*sizes: int, **changes: Any) -> str:
    found = check_volumes([job(*sizes, **changes)])
    return str(found[0]) if found else ""


def test_an_object_larger_than_the_volume_is_refused() -> None:
    assert problem(200 * GB, volume=1, **KEYS) == (
        "job 'delays-ua': volume_size_gb: got 1, expected at least 200.0 GB, because an instance holds the object "
        "'0.parquet'. Set volume_size_gb of the model or the stage to 200 or more, or split large objects."
    )


def test_outputs_that_contain_their_input_count() -> None:
    text = problem(20 * GB, volume=30)
    assert "at least 40.0 GB, because an instance holds the object '0.parquet' and the outputs that contain it" in text
    assert "to 40 or more" in text
    assert problem(20 * GB, volume=30, models=2).count("at least 60.0 GB") == 1
    joined = replace(job(20 * GB, volume=30, models=2), output_layout="joined")
    assert "at least 40.0 GB" in str(check_volumes([joined])[0]), "the models of a joined output share one copy"
    assert problem(15 * GB, volume=30) == ""
    assert problem(20 * GB, volume=30, ending="", input=InputOptions(format="parquet")).count("at least 40.0 GB") == 1
    declared = {"input": InputOptions(format="jsonl")}
    for changes in (KEYS, {"output_format": "csv"}, {"ending": ".csv.gz"}, declared):
        assert problem(20 * GB, volume=30, **changes) == "", changes


def test_instances_share_objects_by_count() -> None:
    sizes = [GB] * 300
    assert problem(*sizes, volume=30, instances=9, **KEYS) == (
        "job 'delays-ua': volume_size_gb: got 30, expected at least 33.3 GB, because 9 instances share 300.0 GB of "
        "input. Set volume_size_gb of the model or the stage to 34 or more, or instance_count to 10 or more."
    )
    assert problem(*sizes, volume=30, instances=10, **KEYS) == ""
    # One instance may get all large objects, but that is not certain.
    assert problem(25 * GB, 25 * GB, 1, 1, volume=30, instances=2, **KEYS) == ""


def test_artifacts_are_on_every_instance() -> None:
    sizes = [GB] * 40
    assert problem(*sizes, volume=30, instances=2, **KEYS, artifact_bytes=9 * GB) == ""
    assert "at least 34.0 GB" in problem(*sizes, volume=30, instances=2, **KEYS, artifact_bytes=14 * GB)


def test_a_volume_is_taken_for_the_larger_unit() -> None:
    assert problem(30 * GIB, volume=30, **KEYS) == ""
    assert "to 33 or more" in problem(30 * GIB + 1, volume=30, **KEYS)


@pytest.mark.parametrize("instance_type", ["ml.g4dn.xlarge", "ml.m5d.4xlarge", "ml.g5.2xlarge"])
def test_local_storage_replaces_the_volume(instance_type: str) -> None:
    assert problem(200 * GB, volume=1, instance_type=instance_type) == ""


def test_what_no_volume_can_hold_is_to_be_split() -> None:
    text = problem(20_000 * GB, volume=30, **KEYS)
    assert text.endswith("Split the object '0.parquet'.")
    assert "instance_count" not in problem(*[GB] * 300, volume=1, instances=1, **KEYS, artifact_bytes=2 * GB)


def test_outputs_of_a_whole_shard_are_noted() -> None:
    jobs = [job(*[GB] * 20, volume=30), job(*[GB] * 4, volume=30)]
    assert check_volumes(jobs) == []
    (note,) = volume_notes(
        [replace(item, snapshot=replace(item.snapshot, dataset=f"d{number}")) for number, item in enumerate(jobs)]
    )
    assert note == (
        "1 job may need larger volumes: an instance of job 'delays-ua' holds about 40.0 GB with its outputs, and "
        "volume_size_gb is 30. Set volume_size_gb of the model or the stage to 40 or more, or instance_count to 2 or "
        "more."
    )
    assert volume_notes([job(*[GB] * 20, volume=30, **KEYS)]) == []


def test_the_plan_refuses_a_job_that_its_volumes_cannot_hold(
    stage: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.register(compute=Compute(volume_size_gb=1))
    listed = [StoredObject("a.parquet", 200 * GB, "e", 0.0)]
    monkeypatch.setattr(stage.deployment.store, "dataset_objects", lambda _dataset: listed)
    with pytest.raises(InvalidRequestError, match="job 'delays-ua': volume_size_gb: got 1, expected at least 400"):
        plan(plan_event({}))
