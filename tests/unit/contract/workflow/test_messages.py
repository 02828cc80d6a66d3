import dataclasses

import pytest

from contract.workflow.messages import FailureDecision, JobPointer, path_of


def test_path_names_a_field_of_a_message() -> None:
    assert path_of(JobPointer, "job_id") == "$.job_id"
    assert path_of(JobPointer, "job_id", at="$.plan") == "$.plan.job_id"


def test_path_to_an_unknown_field_is_refused() -> None:
    with pytest.raises(AttributeError, match="JobPointer has no field 'jobid'"):
        path_of(JobPointer, "jobid")


def test_failure_decision_starts_with_the_fields_of_a_job_pointer() -> None:
    pointer = [(field.name, field.type) for field in dataclasses.fields(JobPointer)]
    assert [(field.name, field.type) for field in dataclasses.fields(FailureDecision)][:3] == pointer
