import dataclasses

import pytest

from contract.workflow.messages import FailureDecision, JobPointer, path_of


def test_a_path_names_a_field_of_the_message() -> None:
    assert path_of(JobPointer, "job_id") == "$.job_id"
    assert path_of(JobPointer, "job_id", at="$.plan") == "$.plan.job_id"


def test_a_path_to_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="JobPointer has no field 'jobid'"):
        path_of(JobPointer, "jobid")


def test_a_decision_holds_the_pointer_of_the_next_attempt() -> None:
    pointer = [(field.name, field.type) for field in dataclasses.fields(JobPointer)]
    assert [(field.name, field.type) for field in dataclasses.fields(FailureDecision)][:3] == pointer
