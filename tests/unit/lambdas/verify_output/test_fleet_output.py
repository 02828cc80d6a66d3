"""A fleet commits each object once, and counts the rows that it skips."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import codec, layout
from contract.job.scoring_spec import JobSpec
from contract.status import JobStatus
from contract.table.events import job_event
from contract.workflow.summary import ExecutionSummary
from lambdas.errors import OutputIncompleteError, UnexpectedOutputError
from tests.unit.lambdas.builders import Stage, any_model_spec, plan_event, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
JOB = "delays.fleet"


@pytest.fixture
def fleet(stage: Stage, plan: Step, record: Step) -> Stage:
    """Return a stage with an open job of a fleet of two models over two objects."""
    stage.set_fleet(unmatched="skip")
    for model_id in ("ua", "aa"):
        stage.register(
            model_id,
            spec=any_model_spec(model_id, tolerated_quarantine_fraction=0.15),
            fleet="delays",
            route=[model_id.upper()],
        )
    stage.upload()
    plan(plan_event({}))
    record(pointer_event(JOB))
    return stage


def _spec(stage: Stage) -> JobSpec:
    return stage.spec(job_id=JOB)


def _commit(stage: Stage, **rows: int) -> None:
    spec = _spec(stage)
    [one] = spec.committing_models
    stage.write_segment(spec, *[stage.write_outputs(spec, one, item, **rows) for item in stage.objects(job_id=JOB)])


def test_scored_quarantined_and_skipped_rows_are_recorded(fleet: Stage, verify: Step, summarize: Step) -> None:
    _commit(fleet, rows_quarantined=1, rows_skipped=3)
    verify(pointer_event(JOB))
    job = fleet.job(JOB)
    assert job.status is JobStatus.SUCCEEDED
    assert (job.rows_in, job.rows_scored, job.rows_quarantined, job.rows_skipped) == (20, 12, 2, 6)
    event = job_event("test", job, None)
    assert event is not None
    assert (event.fleet, event.rows_skipped) == ("delays", 6)
    summarize(summary_event(codec.to_json(fleet.execution().plan)))
    summary = codec.from_json(ExecutionSummary, fleet.read_json(layout.summary_key("e-1")))
    [listed] = summary.jobs
    assert (listed.fleet, listed.fleet_models, listed.rows_skipped, summary.rows_skipped) == ("delays", 2, 6, 6)
    folder = f"dataset=flights/execution_id=e-1/job_id={JOB}/"
    assert listed.predictions_uris == (f"s3://results-test/fleets/{folder}",)
    assert listed.quarantine_uris == (f"s3://results-test/quarantine/{folder}model_id=delays/",)


@pytest.mark.parametrize("unmatched", ["quarantine", "model:ua"])
def test_skipped_rows_of_a_fleet_that_does_not_skip_are_refused(
    stage: Stage, plan: Step, record: Step, verify: Step, unmatched: str
) -> None:
    stage.set_fleet(unmatched=unmatched)
    stage.register("ua", spec=any_model_spec("ua"), fleet="delays", route=["UA"])
    stage.upload()
    plan(plan_event({}))
    record(pointer_event(JOB))
    _commit(stage, rows_skipped=10)
    with pytest.raises(OutputIncompleteError, match="10 rows were skipped, but only a fleet with unmatched 'skip' may"):
        verify(pointer_event(JOB))


def test_commits_of_single_models_are_refused(fleet: Stage, verify: Step) -> None:
    """They would count each row once per model, or only those of one model."""
    spec = _spec(fleet)
    commits = [fleet.write_outputs(spec, model, fleet.objects(job_id=JOB)[0]) for model in spec.models]
    fleet.write_segment(spec, *commits, models={model.model_id: model.version for model in spec.models})
    with pytest.raises(UnexpectedOutputError, match=r"models\.aa: got '1', expected a model of the job"):
        verify(pointer_event(JOB))


def test_commits_of_the_fleet_with_other_members_are_refused(fleet: Stage, verify: Step) -> None:
    spec = _spec(fleet)
    [one] = spec.committing_models
    commit = fleet.write_outputs(spec, one, fleet.objects(job_id=JOB)[0])
    fleet.write_segment(spec, commit, models={"delays": "fleet-of-last-week"})
    with pytest.raises(UnexpectedOutputError, match=r"models\.delays: got 'fleet-of-last-week'"):
        verify(pointer_event(JOB))


def test_objects_without_a_commit_of_the_fleet_are_missing(fleet: Stage, verify: Step) -> None:
    spec = _spec(fleet)
    [one] = spec.committing_models
    fleet.commit_one(spec, one, fleet.objects(job_id=JOB)[0])
    with pytest.raises(OutputIncompleteError, match=r"delays/b\.parquet: no commit in the ledger"):
        verify(pointer_event(JOB))


@pytest.mark.parametrize(("quarantined", "skipped"), [(2, 0), (1, 4)])
def test_more_quarantined_rows_than_the_models_tolerate_are_found(
    fleet: Stage, verify: Step, quarantined: int, skipped: int
) -> None:
    """Skipped rows do not count: else a fleet that skips most rows would tolerate that all others are bad."""
    _commit(fleet, rows_quarantined=quarantined, rows_skipped=skipped)
    with pytest.raises(OutputIncompleteError, match=f"{quarantined} of {10 - skipped} rows are in quarantine"):
        verify(pointer_event(JOB))
