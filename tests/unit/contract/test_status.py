from contract.status import ALLOWED_BEFORE, FINAL_JOB_STATUSES, JobStatus


def test_final_job_status_never_changes() -> None:
    assert not any(FINAL_JOB_STATUSES & before for before in ALLOWED_BEFORE.values())


def test_job_can_fail_in_every_open_status() -> None:
    open_statuses = frozenset(JobStatus) - FINAL_JOB_STATUSES
    assert ALLOWED_BEFORE[JobStatus.FAILED] == open_statuses


def test_every_job_status_can_be_reached_from_pending() -> None:
    reached = {JobStatus.PENDING}
    while more := {status for status, before in ALLOWED_BEFORE.items() if before & reached} - reached:
        reached |= more
    assert reached == set(JobStatus)
    assert JobStatus.PENDING not in ALLOWED_BEFORE


def test_only_a_running_job_can_succeed() -> None:
    assert ALLOWED_BEFORE[JobStatus.SUCCEEDED] == {JobStatus.RUNNING}
