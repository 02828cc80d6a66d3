"""Records of a job's parts, reported as one job."""

from dataclasses import replace

from contract.catalog.models import Compute
from contract.job.parts import JobPart
from contract.status import FailureKind, JobStatus
from contract.table.job_parts import whole_job
from contract.table.records import JobRecord

PART = JobRecord("e-1", "j.part-1-of-2", JobStatus.SUCCEEDED, "d", ("j",), ("1",), 1, 10, Compute(), 3)


def test_the_values_of_a_note_are_summed_over_the_parts() -> None:
    notes = [("j: read as text: 1,200 values", "j: loaded as it is"), ("j: read as text: 34 values",)]
    parts = [replace(PART, notes=own, part=JobPart("j", number, 2)) for number, own in enumerate(notes, 1)]
    assert whole_job(parts).notes == ("j: read as text: 1,234 values", "j: loaded as it is")


def test_a_job_without_the_record_of_a_part_has_failed() -> None:
    lost = whole_job([replace(PART, part=JobPart("j", 2, 3)), replace(PART, part=JobPart("j", 3, 3))])
    assert (lost.status, lost.failure_kind) == (JobStatus.FAILED, FailureKind.UNKNOWN)
    assert lost.reason == "1 of 3 parts have no record: start a new execution"
    running = whole_job([replace(PART, part=JobPart("j", 2, 3), status=JobStatus.RUNNING)])
    assert (running.status, running.reason) == (JobStatus.RUNNING, "")
