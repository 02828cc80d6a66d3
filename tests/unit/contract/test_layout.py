import re
from itertools import combinations
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contract import container_paths, layout
from contract.environment import ML_ROOT, SCORES_IN_TRAINING_JOB
from contract.names import EXECUTION_NAME, check_execution_name, check_job_id, check_object_key
from tests.unit.contract.strategies import names, object_keys, parts, texts

PROCESSING_JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
job_ids = names | names.map(lambda name: f"{name}.and-12-more")
kinds = st.sampled_from(get_args(layout.OutputKind))
execution_ids = st.from_regex(EXECUTION_NAME.pattern, fullmatch=True)
stages = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)


@given(stages, texts, texts, job_ids, st.integers(1, 10))
def test_sagemaker_job_name_is_valid_in_sagemaker(
    stage: str, arn: str, started_at: str, job_id: str, attempt: int
) -> None:
    name = layout.sagemaker_job_name(stage, arn, started_at, job_id, attempt)
    assert PROCESSING_JOB_NAME.fullmatch(name)
    assert len(name) <= 63


@given(st.lists(st.tuples(texts, texts, job_ids, st.integers(1, 10)), min_size=2, max_size=4, unique=True))
def test_each_attempt_has_its_own_sagemaker_job_name(attempts: list[tuple[str, str, str, int]]) -> None:
    assume(not any("\n" in arn + started for arn, started, _, _ in attempts))
    found = [layout.sagemaker_job_name("dev", *attempt) for attempt in attempts]
    assert len(set(found)) == len(found)


def test_reused_execution_name_gives_new_job_names() -> None:
    first = layout.sagemaker_job_name("dev", "arn", "2026-01-01T00:00:00Z", "delays-ua", 1)
    again = layout.sagemaker_job_name("dev", "arn", "2026-06-01T00:00:00Z", "delays-ua", 1)
    assert first != again


@given(kinds, st.tuples(names, execution_ids, job_ids), names, object_keys)
def test_an_output_is_below_its_jobs_prefix_and_ends_with_the_object_key(
    kind: layout.OutputKind, job: tuple[str, str, str], model_id: str, key: str
) -> None:
    dataset, execution_id, job_id = job
    prefix = layout.job_outputs_prefix(kind, dataset, execution_id, job_id)
    output = prefix + layout.output_key(model_id, key)
    assert check_object_key("key", output) == []
    assert output == layout.model_outputs_prefix(kind, dataset, execution_id, job_id, model_id) + key
    assert output.startswith(layout.executions_with_outputs_prefix(kind, dataset) + execution_id + "/")
    assert prefix.startswith((layout.PREDICTIONS_PREFIX, layout.QUARANTINE_PREFIX))


@given(st.lists(st.tuples(kinds, names, execution_ids, job_ids), min_size=2, max_size=4, unique=True))
def test_no_job_has_its_prefix_below_that_of_another_job(
    jobs: list[tuple[layout.OutputKind, str, str, str]],
) -> None:
    prefixes = [layout.job_outputs_prefix(*job) for job in jobs]
    assert not any(one.startswith(other) or other.startswith(one) for one, other in combinations(prefixes, 2))


@given(execution_ids, job_ids)
def test_folders_of_a_prefix_have_one_value_for_readers_of_hive_partitions(execution_id: str, job_id: str) -> None:
    """Readers split a folder at its first "=", and decode "%"."""
    prefix = layout.job_outputs_prefix("predictions", "d", execution_id, job_id)
    found = dict(part.split("=", 1) for part in prefix.rstrip("/").split("/")[1:])
    assert {name: unquote(value) for name, value in found.items()} == {
        "dataset": "d",
        "execution_id": execution_id,
        "job_id": job_id,
    }


@given(st.lists(st.tuples(names, object_keys), min_size=2, max_size=4, unique=True))
def test_different_outputs_have_different_keys(outputs: list[tuple[str, str]]) -> None:
    assert len({layout.output_key(*output) for output in outputs}) == len(outputs)


@given(object_keys)
def test_an_incomplete_copy_is_recognized_and_no_other_key_is(key: str) -> None:
    folder, slash, name = key.rpartition("/")
    assert layout.finished_key(folder + slash + layout.unfinished_name(name)) == key
    is_copy = name.startswith(".") and name.endswith(".unfinished") and len(name) > len("..unfinished")
    assert (layout.finished_key(key) is not None) == is_copy


@pytest.mark.parametrize("job_id", ["delays-ua", "a", "a.and-1-more", f"{'m' * 63}.and-999-more"])
def test_ids_that_the_plan_gives_to_jobs_are_valid(job_id: str) -> None:
    assert check_job_id("job_id", job_id) == []


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "a/b", "a=b", "a%2Fb", "a\n", "a ", "A", "a.and-0-more", "a.and-1-more.and-1-more"]
)
def test_ids_that_could_leave_a_jobs_folder_are_refused(job_id: str) -> None:
    assert check_job_id("job_id", job_id)


@pytest.mark.parametrize("name", [".", "..", "", "a/b", "a%2Fb"])
def test_execution_names_that_could_leave_a_folder_are_refused(name: str) -> None:
    assert check_execution_name("execution name", name)


@pytest.mark.parametrize("name", ["...", ".a", "k=v", "a+b@c.d_e-f"])
def test_other_execution_names_are_accepted(name: str) -> None:
    assert check_execution_name("execution name", name) == []


@given(names, object_keys)
def test_model_and_name_of_an_output_follow_from_its_key(model_id: str, name: str) -> None:
    assert layout.split_output_key(layout.output_key(model_id, name)) == (model_id, name)


@pytest.mark.parametrize(
    "key", ["", "a.parquet", "model_id=a", "MODEL_ID=a/b", "a/model_id=b/c", "predictions/model_id=b/c"]
)
def test_other_keys_are_of_no_model(key: str) -> None:
    assert layout.split_output_key(key) == ("", "")


@given(st.integers(1, 999_999_999), st.binary())
def test_name_of_a_segment_has_the_number_of_its_commits(commits: int, content: bytes) -> None:
    name = layout.segment_name(commits, content)
    assert layout.commits_in_segment(name) == commits
    assert layout.commits_in_segment(layout.unfinished_name(name)) is None
    assert layout.commits_in_segment(layout.finished_key(layout.unfinished_name(name)) or "") == commits


@pytest.mark.parametrize(
    "name",
    [
        f"0-{'0' * 32}.jsonl",
        f"01-{'0' * 32}.jsonl",
        f"1-{'0' * 31}.jsonl",
        f"1-{'0' * 32}.jsonl\n",
        f"a/1-{'0' * 32}.jsonl",
        f"1-{'A' * 32}.jsonl",
    ],
)
def test_other_names_are_not_of_a_segment(name: str) -> None:
    assert layout.commits_in_segment(name) is None


@given(names, job_ids, st.integers(1, 10))
def test_files_of_a_job_are_below_its_prefix_and_distinct(execution_id: str, job_id: str, attempt: int) -> None:
    prefix = layout.job_prefix(execution_id, job_id)
    keys = [
        layout.job_spec_key(execution_id, job_id),
        layout.models_manifest_key(execution_id, job_id),
        layout.data_manifest_key(execution_id, job_id, attempt),
        layout.data_manifest_key(execution_id, job_id, attempt + 1),
        layout.ledger_prefix(execution_id, job_id),
    ]
    assert all(key.startswith(prefix) for key in keys)
    assert not any(one.startswith(other) for one, other in combinations(keys, 2))
    assert prefix.startswith(layout.execution_prefix(execution_id))


@given(names, job_ids, names, names)
def test_a_snapshot_is_the_only_key_that_begins_with_it(e: str, job_id: str, dataset: str, other: str) -> None:
    """The channel copies every key that begins with the snapshot's."""
    assume(dataset != other)
    snapshot = layout.snapshot_key(e, dataset)
    others = [layout.snapshot_manifest_key(e, dataset), layout.snapshot_key(e, other), layout.job_prefix(e, job_id)]
    assert not any(key.startswith(snapshot) for key in others)
    assert snapshot.startswith(layout.execution_prefix(e))


@given(names, names)
def test_ledger_prefix_of_a_job_matches_no_other_job(one: str, other: str) -> None:
    assume(one != other)
    assert not layout.ledger_prefix("e", one).startswith(layout.ledger_prefix("e", other))
    assert not layout.dataset_prefix(one).startswith(layout.dataset_prefix(other))


@given(names, names)
def test_artifact_has_the_same_path_in_bucket_and_container(model_id: str, version: str) -> None:
    assert layout.artifact_key(model_id, version) == f"{model_id}/{version}/model.tar.gz"


@given(parts, parts)
def test_container_paths_are_below_opt_ml_processing(first: str, second: str) -> None:
    assume(not first.startswith("/"))
    assert container_paths.container_path(first, second).startswith("/opt/ml/processing/")


def test_ml_root_variable_moves_every_container_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ML_ROOT, str(tmp_path))
    moved = container_paths.ContainerPaths.from_environment()
    monkeypatch.setenv(SCORES_IN_TRAINING_JOB, "1")
    of_training_job = container_paths.ContainerPaths.from_environment()
    assert (moved.in_training_job, of_training_job.in_training_job) == (False, True)
    for path in (*vars(moved).values(), *vars(of_training_job).values()):
        assert isinstance(path, bool) or path.is_relative_to(tmp_path)
    monkeypatch.delenv(SCORES_IN_TRAINING_JOB)
    monkeypatch.delenv(ML_ROOT)
    assert container_paths.ContainerPaths.from_environment().spec == Path(
        container_paths.container_path("input", "spec", "job.json")
    )


@given(object_keys)
def test_safe_keys_are_accepted(key: str) -> None:
    assert check_object_key("key", key) == []


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\x00b", "a\nb", "\x1b[2J", "a\x7f"]
)
def test_unsafe_keys_are_refused(key: str) -> None:
    assert check_object_key("key", key)
