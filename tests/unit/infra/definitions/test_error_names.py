"""The error names that the workflow relies on are in one table, with their sources."""

import inspect
import re
from typing import Any

import pytest

from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.task_integration import error_name
from embedded.step_functions import authorization
from infra.definitions.error_names import ERROR_NAMES, Retry, Seen, Service, names_of
from infra.sagemaker_tasks import SageMakerProcessingJob
from lambdas import errors
from lambdas.failures.decision_table import DECISION_TABLE
from tests.unit.infra.assembly import Assembly, states_of

KNOWN = {error.name for error in ERROR_NAMES}
OURS = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
CALLED = {
    ":lambda:": Service.LAMBDA,
    ".Arn>": Service.LAMBDA,
    ":sagemaker:": Service.SAGEMAKER,
    ":states:startExecution": Service.STEP_FUNCTIONS,
}


def tasks(assembly: Assembly) -> list[tuple[str, dict[str, Any], Service]]:
    """Return every Task of both definitions with the service that it calls.

    NoteFailure is left out: it retries every error of DynamoDB, because nothing else keeps the cause.
    """
    states = {**states_of(assembly.definition), **states_of(assembly.training_definition)}
    return [
        (name, state, next(service for part, service in CALLED.items() if part in state["Resource"]))
        for name, state in states.items()
        if state["Type"] == "Task" and name != "NoteFailure"
    ]


def test_every_name_has_a_source_and_none_is_listed_twice() -> None:
    assert len(KNOWN) == len(ERROR_NAMES)
    assert all(error.where for error in ERROR_NAMES)
    assert "StepFunctions.SfnException" not in KNOWN


def test_every_retried_error_is_in_the_table(assembly: Assembly) -> None:
    retried = {error for _, state, _ in tasks(assembly) for entry in state["Retry"] for error in entry["ErrorEquals"]}
    assert retried - KNOWN - OURS == {"States.ALL"}


@pytest.mark.parametrize("retry", [Retry.UNAVAILABLE, Retry.CRASHED, Retry.QUOTA])
def test_every_task_retries_the_temporary_errors_of_its_service(assembly: Assembly, retry: Retry) -> None:
    found = tasks(assembly)
    assert {service for _, _, service in found} == {Service.LAMBDA, Service.SAGEMAKER, Service.STEP_FUNCTIONS}
    for name, state, service in found:
        retried = {error for entry in state["Retry"] for error in entry["ErrorEquals"]}
        assert set(names_of(service, retry)) <= retried, name


def test_no_task_retries_what_another_call_cannot_help(assembly: Assembly) -> None:
    never = {error.name for error in ERROR_NAMES if error.retry is Retry.NEVER}
    for name, state, _ in tasks(assembly):
        assert not never & {error for entry in state["Retry"] for error in entry["ErrorEquals"]}, name


def test_every_group_of_names_has_one_that_is_more_than_code() -> None:
    for service in (Service.LAMBDA, Service.SAGEMAKER, Service.STEP_FUNCTIONS):
        for retry in Retry:
            seen = {error.seen for error in ERROR_NAMES if (error.service, error.retry) == (service, retry)}
            assert seen != {Seen.CODED}, (service, retry)


def test_the_construct_for_jobs_lists_only_known_names() -> None:
    assert set(SageMakerProcessingJob.RETRYABLE_ERRORS) == set(
        names_of(Service.SAGEMAKER, Retry.UNAVAILABLE, Retry.WAITS)
    )


def test_the_decision_table_classifies_known_names_only() -> None:
    prefixes = tuple(f"{service.value}." for service in Service)
    classified = {error for rule in DECISION_TABLE for error in rule.errors if error.startswith(prefixes)}
    assert classified
    assert classified <= KNOWN


@pytest.mark.parametrize(
    "code", ["ResourceLimitExceeded", "ResourceInUse", "ThrottlingException", "ValidationException"]
)
def test_the_embedded_aws_raises_known_names_for_sagemaker(code: str) -> None:
    (raised,) = [error for error in ERROR_NAMES if error.name == error_name(ApiError(code, ""))]
    assert raised.seen is not Seen.CODED


def test_the_embedded_aws_raises_known_names_for_denied_calls() -> None:
    source = inspect.getsource(authorization)
    called = {Service.LAMBDA.value, Service.SAGEMAKER.value, Service.STEP_FUNCTIONS.value}
    names = {name for name in re.findall(r'"(\w+\.\w+Exception)"', source) if name.partition(".")[0] in called}
    assert len(names) == len(called)
    assert names <= KNOWN
