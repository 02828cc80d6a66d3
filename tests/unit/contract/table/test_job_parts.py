"""Records of a job's parts, reported as one job."""

from dataclasses import replace

from contract.catalog.models import Compute
from contract.job.parts import JobPart
from contract.status import JobStatus
from contract.table.job_parts import whole_job
from contract.table.records import JobRecord

PART = JobRecord("e-1", "j.part-1-of-2", JobStatus.SUCCEEDED, "d", ("j",), ("1",), 1, 10, Compute(), 3)


def test_the_values_of_a_note_are_summed_over_the_parts() -> None:
    notes = [("j: read as text: 1,200 values", "j: loaded as it is"), ("j: read as text: 34 values",)]
    parts = [replace(PART, notes=own, part=JobPart("j", number, 2)) for number, own in enumerate(notes, 1)]
    assert whole_job(parts).notes == ("j: read as text: 1,234 values", "j: loaded as it is")
