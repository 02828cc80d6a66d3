import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambdas.classify_failure.handler import handler as classify_failure_handler
from lambdas.plan_execution.handler import handler as plan_execution_handler
from lambdas.plan_training.handler import handler as plan_training_handler
from lambdas.prepare_training.handler import handler as prepare_training_handler
from lambdas.reconcile.handler import handler as reconcile_handler
from lambdas.record_attempt.handler import handler as record_attempt_handler
from lambdas.register_model_version.handler import handler as register_model_version_handler
from lambdas.stage.resources import resources
from lambdas.summarize_execution.handler import handler as summarize_execution_handler
from lambdas.verify_output.handler import handler as verify_output_handler
from tests.unit.atomic_requests import one_request_at_a_time
from tests.unit.lambdas.builders import REGION, VARIABLES, Context, Stage, plan_event, pointer_event
from tests.unit.moto_state import made_once_in_moto
from tests.unit.quick_moto import mock_aws

Step = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    resources.cache_clear()
    one_request_at_a_time(monkeypatch)
    with mock_aws():
        yield Stage()
    resources.cache_clear()


def _step(handler: Callable[[Any, Any], dict[str, Any]]) -> Any:
    """Return a fixture that calls a handler in a stage."""

    @pytest.fixture
    def step(stage: Stage) -> Step:
        return lambda event: handler(event, Context())

    return step


plan = _step(plan_execution_handler)
record = _step(record_attempt_handler)
verify = _step(verify_output_handler)
classify = _step(classify_failure_handler)
summarize = _step(summarize_execution_handler)
reconcile = _step(reconcile_handler)
prepare_training = _step(prepare_training_handler)
plan_training = _step(plan_training_handler)
register = _step(register_model_version_handler)


def _settings() -> list[str | None]:
    """Return the functions' variables, which a test may have changed."""
    return [os.environ.get(name) for name in VARIABLES]


@pytest.fixture
def planned(stage: Stage, plan: Step) -> Stage:
    """Return a stage with one planned job of two objects."""

    def make() -> None:
        stage.register()
        stage.upload()
        plan(plan_event({}))

    made_once_in_moto("planned", REGION, make, _settings())
    return stage


@pytest.fixture
def opened(planned: Stage, record: Step) -> Stage:
    """Return a stage with one job whose first attempt is open."""
    made_once_in_moto("opened", REGION, lambda: record(pointer_event()), _settings())
    return planned
