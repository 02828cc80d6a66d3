"""The first attempt of a resumed job keeps what earlier executions have scored."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import layout
from contract.job.ledger import read_segment
from contract.status import JobStatus
from tests.unit.lambdas.builders import Stage, outputs_prefix, plan_event, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def resumed(opened: Stage, summarize: Step, plan: Step) -> Stage:
    """Return a stage whose execution e-1 has committed one of two objects, and is resumed by e-2."""
    opened.commit(objects=1)
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1"}, "e-2"))
    return opened


def body(stage: Stage, key: str) -> bytes:
    content: bytes = stage.s3.get_object(Bucket=stage.results, Key=key)["Body"].read()
    return content


def committed(stage: Stage, execution_id: str = "e-2", job_id: str = "delays-ua") -> list[str]:
    """Return the objects in a job's ledger."""
    prefix = layout.ledger_prefix(execution_id, job_id)
    names = [key.removeprefix(prefix) for key in stage.result_keys() if key.startswith(prefix)]
    return sorted(
        commit.object for name in names for commit in read_segment(name, body(stage, prefix + name)).commits()
    )


def left(stage: Stage, result: dict[str, Any]) -> list[str]:
    """Return the objects of the attempt's manifest."""
    key = result["data_manifest_uri"].removeprefix("s3://results-test/")
    return [name.removeprefix("flights/") for name in stage.read_json(key)[1:]]


def test_kept_objects_are_copied_and_committed_and_the_rest_is_scored(resumed: Stage, record: Step) -> None:
    result = record(pointer_event(execution_id="e-2"))
    assert result["nothing_left"] is False
    assert left(resumed, result) == ["b.parquet"]
    assert committed(resumed) == ["a.parquet"]
    spec = resumed.spec("e-2")
    name = layout.output_key("delays-ua", "a.parquet")
    for kind in ("predictions", "quarantine"):
        assert body(resumed, outputs_prefix(kind, spec) + name) == body(
            resumed, outputs_prefix(kind, resumed.spec()) + name
        )
    job = resumed.job(execution_id="e-2")
    assert (job.commits, job.commits_kept, job.status) == (1, 1, JobStatus.RUNNING)
    assert resumed.attempt(execution_id="e-2").object_count == 1


def test_a_job_of_which_everything_is_kept_starts_no_sagemaker_job(
    opened: Stage, summarize: Step, plan: Step, record: Step, verify: Step
) -> None:
    opened.commit()
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1"}, "e-2"))
    result = record(pointer_event(execution_id="e-2"))
    assert (result["nothing_left"], result["sagemaker_job_name"]) == (True, "")
    verify(pointer_event(execution_id="e-2"))
    job = opened.job(execution_id="e-2")
    assert (job.status, job.rows_in, job.rows_quarantined, job.commits_kept) == (JobStatus.SUCCEEDED, 20, 1, 2)
    # The old execution keeps what it has.
    assert committed(opened, "e-1") == committed(opened) == ["a.parquet", "b.parquet"]
