"""A joined output is one file per object, which the commits of all models name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, layout
from contract.job.scoring_spec import JobSpec
from contract.status import JobStatus
from contract.workflow.summary import ExecutionSummary
from lambdas.errors import OutputIncompleteError, UnexpectedOutputError
from tests.unit.lambdas.builders import Stage, outputs_prefix, plan_event, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
JOB = "a.and-1-more"
PREFIX = f"joined/dataset=flights/execution_id=e-1/job_id={JOB}/"


@pytest.fixture
def joined(stage: Stage, plan: Step, record: Step) -> Stage:
    """Return a stage with one open job of two models and two objects."""
    for model_id in ("a", "b"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({"output_layout": "joined"}))
    return stage


def _spec(stage: Stage) -> JobSpec:
    return stage.spec(job_id=JOB)


def _put(stage: Stage, key: str, body: bytes) -> None:
    stage.s3.put_object(Bucket=stage.results, Key=outputs_prefix("predictions", _spec(stage)) + key, Body=body)


def test_models_share_a_job_whose_destination_is_the_joined_prefix(joined: Stage, record: Step) -> None:
    attempt = record(pointer_event(JOB))
    assert attempt["predictions_uri"] == f"s3://results-test/{PREFIX}".rstrip("/")
    assert attempt["quarantine_uri"].startswith("s3://results-test/quarantine/")
    assert [model.model_id for model in _spec(joined).models] == ["a", "b"]


def test_commits_of_all_models_may_name_one_file(joined: Stage, record: Step, verify: Step, summarize: Step) -> None:
    record(pointer_event(JOB))
    joined.commit(job_id=JOB)
    verify(pointer_event(JOB))
    job = joined.job(JOB)
    assert (job.status, job.rows_in, job.rows_scored, job.rows_quarantined) == (JobStatus.SUCCEEDED, 40, 38, 2)
    summarize(summary_event({"execution_id": "e-1"}))
    (found,) = codec.from_json(ExecutionSummary, joined.read_json(layout.summary_key("e-1"))).jobs
    assert found.predictions_uris == (f"s3://results-test/{PREFIX}",)
    assert [uri.rpartition("model_id=")[2] for uri in found.quarantine_uris] == ["a/", "b/"]


def test_an_object_stays_open_until_every_model_has_committed_it(joined: Stage, record: Step, verify: Step) -> None:
    record(pointer_event(JOB))
    spec, objects = _spec(joined), joined.objects(job_id=JOB)
    commits = [joined.write_outputs(spec, spec.models[0], item) for item in objects]
    joined.write_segment(spec, *commits, joined.write_outputs(spec, spec.models[1], objects[0]))
    with pytest.raises(OutputIncompleteError, match=r"1 of 4 commits .*b/b\.parquet: no commit"):
        verify(pointer_event(JOB))


def test_a_file_that_differs_from_its_commits_opens_the_object_for_all_models(
    joined: Stage, record: Step, verify: Step
) -> None:
    record(pointer_event(JOB))
    joined.commit(job_id=JOB)
    _put(joined, "a.parquet", b"short")
    with pytest.raises(OutputIncompleteError, match=r"2 of 4 commits .*joined/a\.parquet has 5 bytes"):
        verify(pointer_event(JOB))


@pytest.mark.parametrize("key", ["other.parquet", "model_id=a/a.parquet"])
def test_another_file_is_unexpected(joined: Stage, record: Step, verify: Step, key: str) -> None:
    record(pointer_event(JOB))
    joined.commit(job_id=JOB)
    _put(joined, ".a.parquet.unfinished", b"copy")
    _put(joined, key, b"x")
    with pytest.raises(UnexpectedOutputError, match=f"no commit names 1 file.*{key}"):
        verify(pointer_event(JOB))


def test_a_file_that_no_model_names_counts_once(joined: Stage, record: Step, verify: Step) -> None:
    record(pointer_event(JOB))
    joined.commit(job_id=JOB, objects=1)
    spec, item = _spec(joined), joined.objects(job_id=JOB)[1]
    empty = [
        replace(joined.write_outputs(spec, model, item), rows_in=0, rows_scored=0, outputs=()) for model in spec.models
    ]
    joined.write_segment(spec, *empty)
    with pytest.raises(UnexpectedOutputError, match="no commit names 1 file"):
        verify(pointer_event(JOB))
