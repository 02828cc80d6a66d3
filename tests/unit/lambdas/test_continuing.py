"""What people do after an execution has ended."""

from dataclasses import replace

from contract.status import ExecutionKind
from lambdas.continuing import next_step
from lambdas.errors import ExecutionClosedError
from tests.unit.cli.builders import any_execution


def test_a_planned_execution_is_resumed() -> None:
    record = any_execution()
    assert record.plan is not None
    assert next_step(record) == "resume the execution: `fleetscore resume nightly-1`"


def test_one_without_a_plan_has_nothing_to_resume() -> None:
    assert next_step(replace(any_execution(), plan=None)) == "start a new execution"


def test_one_that_was_to_resume_another_is_tried_again() -> None:
    record = replace(any_execution(), plan=None, resumes="monday")
    assert next_step(record) == "resume the execution: `fleetscore resume monday`"
    assert str(ExecutionClosedError(record)).endswith("Resume the execution: `fleetscore resume monday`.")


def test_a_training_is_started_again() -> None:
    assert next_step(replace(any_execution(), plan=None, kind=ExecutionKind.TRAINING)) == "train again"
