from contract.status import ALLOWED_BEFORE, FINAL_JOB_STATUSES, JobStatus


def test_a_final_status_is_never_left() -> None:
    assert not any(FINAL_JOB_STATUSES & before for before in ALLOWED_BEFORE.values())


def test_every_job_can_end_wherever_it_is() -> None:
    open_statuses = frozenset(JobStatus) - FINAL_JOB_STATUSES
    assert ALLOWED_BEFORE[JobStatus.FAILED] == open_statuses


def test_every_status_but_the_first_is_reached_from_the_first() -> None:
    reached = {JobStatus.PENDING}
    while more := {status for status, before in ALLOWED_BEFORE.items() if before & reached} - reached:
        reached |= more
    assert reached == set(JobStatus)
    assert JobStatus.PENDING not in ALLOWED_BEFORE


def test_only_an_attempt_that_runs_succeeds() -> None:
    assert ALLOWED_BEFORE[JobStatus.SUCCEEDED] == {JobStatus.RUNNING}
