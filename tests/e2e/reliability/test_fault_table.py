"""Every row of the table of faults: the outcome is as expected, the audit finds nothing, and a resume completes."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from tests.e2e.reliability.evidence import Evidence
from tests.e2e.reliability.fault_table import OUTCOMES, TABLE, Case, as_markdown
from tests.e2e.reliability.world import SECONDS_TO_CLOSE, World
from tests.e2e.stage import Stage, wait_for

RUN = [case for case in TABLE if case.quick or os.environ.get("FLEETSCORE_SOAK")]


@pytest.fixture(scope="module")
def world(stage: Stage) -> Iterator[World]:
    made = World.create(stage, "table", "joined", Counter())
    yield made
    made.close()


@pytest.mark.parametrize("case", RUN, ids=str)
def test_a_fault_has_the_outcome_of_the_table(world: World, case: Case) -> None:
    world.begin()
    if case.resumes:
        world.change("corrupt 3.parquet", lambda fleet: fleet.corrupt("3.parquet"))
        world.start()
        world.settle()
        world.change("put 3.parquet", lambda fleet: fleet.put("3.parquet"))
        world.resume(*case.faults)
    else:
        world.start(*case.faults)
    if case.action:
        _act(world, case)
    # On a busy machine, the records close late without a fault, too.
    evidence = world.settle(SECONDS_TO_CLOSE if case.outcome == "closed late" else 120.0)
    assert evidence is not None
    assert world.happened(), "the fault did not happen"
    _check(case, evidence, reconciled=world.reconciled)
    if case.outcome not in ("succeeds", "second attempt"):
        world.finish()


def _act(world: World, case: Case) -> None:
    trigger = [fault for fault in case.faults if fault.KIND.startswith("slow")][-1]
    wait_for(lambda: any(each.kind == trigger.KIND for each in world.happened()), f"{trigger} happens", 120.0)
    if case.action == "stop":
        world.stop("at once")
    elif case.action == "replace an object":
        world.change("put 0.parquet", lambda fleet: fleet.put("0.parquet"))
    else:
        world.change("delete 1.parquet", lambda fleet: fleet.delete("1.parquet"))


def _check(case: Case, evidence: Evidence, *, reconciled: bool) -> None:
    record = evidence.record
    assert record is not None
    jobs = [job.record for job in evidence.jobs]
    attempts = [attempt for job in evidence.jobs for attempt in job.attempts]
    told = (record.status, record.reason, [(job.status, job.failure_kind, job.reason) for job in jobs])
    if case.outcome == "refused":
        assert (record.status, jobs) == (ExecutionStatus.FAILED, []), told
        return
    if case.outcome in ("succeeds", "second attempt"):
        assert record.status is ExecutionStatus.SUCCEEDED, told
        failed = [attempt for attempt in attempts if attempt.status is AttemptStatus.FAILED]
        assert len(failed) == (case.outcome == "second attempt"), (told, failed)
        assert {attempt.failure_kind for attempt in failed} <= {case.kind}, failed
        return
    if case.outcome == "stopped":
        assert evidence.workflow == "ABORTED", told
        assert {job.failure_kind for job in jobs if job.status is JobStatus.FAILED} <= {FailureKind.STOPPED}, told
        return
    assert reconciled == (case.outcome == "closed late"), told
    assert record.status is not ExecutionStatus.SUCCEEDED, told
    kinds = {job.failure_kind for job in jobs if job.status is JobStatus.FAILED}
    assert kinds == {case.kind}, told


def test_the_documentation_has_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/why/reliability.md").read_text()
    assert as_markdown() in page, as_markdown()
    assert all(
        f"| {outcome} | {meaning}" in page.replace("[reconciler](../operate/closing.md)", "reconciler")
        for outcome, meaning in OUTCOMES.items()
    )


def test_no_two_rows_are_the_same() -> None:
    names = [str(case) for case in TABLE]
    assert len(names) == len(set(names))
