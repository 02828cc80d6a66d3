"""The audit finds what tampered evidence says, so it can fail when the product does."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from contract.job.ledger import Commit
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from tests.e2e.reliability.audit import audit, audit_resumed
from tests.e2e.reliability.evidence import Evidence, JobEvidence, collect
from tests.e2e.reliability.small_fleet import LAYOUTS, Layout, SmallFleet
from tests.e2e.stage import Stage

Scored = dict[Layout, tuple[SmallFleet, Evidence]]


@pytest.fixture(scope="module")
def scored(stage: Stage) -> Iterator[Scored]:
    """Return an undisturbed execution of each layout, with rows in quarantine and rows that are skipped."""
    found: Scored = {}
    # One after the other: concurrent executions start further processes of each function.
    for layout in LAYOUTS:
        name = f"audited-{layout.replace('_', '-')}"
        fleet = SmallFleet.create(stage, name, layout)
        fleet.put("1.parquet", rows=22, refused=2)
        assert stage.run(fleet.request(), name).status == ExecutionStatus.SUCCEEDED
        found[layout] = fleet, collect(stage, name)
    yield found
    for fleet, _ in found.values():
        fleet.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_undisturbed_execution_keeps_every_promise(scored: Scored, layout: Layout) -> None:
    fleet, evidence = scored[layout]
    # Jobs of earlier tests may still stop.
    assert audit(replace(evidence, open_sagemaker_jobs=()), fleet) == []
    assert sum(job.record.rows_quarantined for job in evidence.jobs) > 0
    assert (sum(job.record.rows_skipped for job in evidence.jobs) > 0) == (layout == "fleet")


def _change_job(change: Callable[[JobEvidence], JobEvidence]) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, jobs=(change(evidence.jobs[0]), *evidence.jobs[1:]))


def _change_record(**fields: Any) -> Callable[[Evidence], Evidence]:
    return _change_job(lambda job: replace(job, record=replace(job.record, **fields)))


def _change_execution(**fields: Any) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        assert evidence.record is not None
        return replace(evidence, record=replace(evidence.record, **fields))

    return change


def _change_first_file(**fields: Any) -> Callable[[Evidence], Evidence]:
    def change(job: JobEvidence) -> JobEvidence:
        name = min(name for name in job.files if name.startswith("predictions/"))
        return replace(job, files={**job.files, name: replace(job.files[name], **fields)})

    return _change_job(change)


def _without_file(job: JobEvidence) -> JobEvidence:
    return replace(job, files={name: job.files[name] for name in sorted(job.files)[1:]})


def _change_commits(change: Callable[[tuple[Commit, ...]], tuple[Commit, ...]]) -> Callable[[Evidence], Evidence]:
    def changed(job: JobEvidence) -> JobEvidence:
        (segment, commits), *others = job.segments
        return replace(job, segments=((segment, change(commits)), *others))

    return _change_job(changed)


def _with_a_stray_file(job: JobEvidence) -> JobEvidence:
    name, file = next(iter(job.files.items()))
    return replace(job, files={**job.files, name + ".copy": file})


def _with_a_double_row(job: JobEvidence) -> JobEvidence:
    name = next(name for name in job.files if name.startswith("predictions/"))
    file = job.files[name]
    return replace(job, files={**job.files, name: replace(file, rows=(*file.rows, file.rows[0]))})


def _with_a_running_attempt(job: JobEvidence) -> JobEvidence:
    return replace(job, attempts=(replace(job.attempts[0], status=AttemptStatus.RUNNING, ended_at=""),))


TAMPERED: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "execution still runs": (lambda found: replace(found, workflow="RUNNING"), "Step Functions says"),
    "record still RUNNING": (_change_execution(status=ExecutionStatus.RUNNING), "the execution's record is RUNNING"),
    "job still RUNNING": (_change_record(status=JobStatus.RUNNING), "is RUNNING"),
    "attempt still RUNNING": (_change_job(_with_a_running_attempt), "is RUNNING"),
    "SageMaker job left": (lambda found: replace(found, open_sagemaker_jobs=("dev-x-1",)), "dev-x-1 still runs"),
    "statuses differ": (lambda found: replace(found, workflow="FAILED"), "Step Functions says FAILED"),
    "SUCCEEDED with a failed job": (
        _change_record(status=JobStatus.FAILED, failure_kind=FailureKind.DATA, reason="x. Start a new execution."),
        "the execution is SUCCEEDED with",
    ),
    "failure of unknown kind": (
        _change_record(status=JobStatus.FAILED, failure_kind=FailureKind.UNKNOWN, reason="x. Read the logs"),
        "with the kind UNKNOWN",
    ),
    "failure without a next step": (
        _change_record(status=JobStatus.FAILED, failure_kind=FailureKind.DATA, reason="it broke"),
        "without a reason that says what to do",
    ),
    "execution without a reason": (_change_execution(status=ExecutionStatus.FAILED), "without a reason"),
    "rows that nobody counted": (_change_record(rows_in=1), "the record's rows"),
    "a commit is missing": (_change_commits(lambda commits: commits[1:]), "without a valid commit"),
    "an object is committed twice": (_change_commits(lambda commits: (*commits, commits[0])), "2 times"),
    "an output is missing": (_change_job(_without_file), "without a valid commit"),
    "an output was changed": (_change_first_file(crc64nvme="AAAAAAAAAAA="), "without a valid commit"),
    "an output without a commit": (_change_job(_with_a_stray_file), "no commit names"),
    "rows without scores": (_change_first_file(rows=()), "have other scores than expected"),
    "a row twice in an output": (_change_job(_with_a_double_row), "more than once"),
    "a commit of another object": (
        _change_commits(lambda commits: (*commits, replace(commits[0], object="other"))),
        "not of the job",
    ),
    "a commit with other counts": (
        _change_commits(
            lambda commits: (
                replace(commits[0], rows_in=7, rows_scored=7, rows_quarantined=0, rows_skipped=0),
                *commits[1:],
            )
        ),
        "rows, expected",
    ),
    "no summary": (lambda found: replace(found, summary=None), "no summary.json"),
    "summary with other rows": (
        lambda found: replace(found, summary={**(found.summary or {}), "rows_scored": 0}),
        "summary.json says 0 rows",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_evidence_is_found(scored: Scored, name: str) -> None:
    tamper, expected = TAMPERED[name]
    for layout in LAYOUTS:
        fleet, evidence = scored[layout]
        found = audit(tamper(replace(evidence, open_sagemaker_jobs=())), fleet)
        assert any(expected in text for text in found), (layout, found)


def test_rows_that_two_jobs_scored_are_found(scored: Scored) -> None:
    fleet, evidence = scored["per_model"]
    (job,) = [job for job in evidence.jobs if len(job.committing_models) == 1]
    again = replace(job, record=replace(job.record, job_id="again"))
    found = audit(replace(evidence, jobs=(*evidence.jobs, again)), fleet)
    assert any("rows were scored twice" in text for text in found), found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_objects_that_a_resumed_execution_scored_again_are_found(scored: Scored, layout: Layout) -> None:
    _, evidence = scored[layout]
    nothing = replace(evidence, jobs=tuple(replace(job, scored={}) for job in evidence.jobs))
    assert audit_resumed([evidence], nothing) == []
    found = audit_resumed([evidence], evidence)
    assert any("scored 0.parquet" in text for text in found), found
    # Nothing of a job without commits could have been kept.
    empty = replace(evidence, jobs=tuple(replace(job, segments=()) for job in evidence.jobs))
    assert audit_resumed([empty], evidence) == []
