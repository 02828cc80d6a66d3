"""Commands that follow an execution outlast throttling, and end with the execution."""

from collections.abc import Iterator

import pytest

from cli.main import main
from embedded.faults import AccessDenied, Throttle
from tests.e2e.stage import Stage, people, train_xgboost

Captured = pytest.CaptureFixture[str]
MODEL = "followed"
SDK_TRIES = 4
"""Tries of one call by the SDK, as the command configures it."""


@pytest.fixture(scope="module")
def _model(stage: Stage) -> Iterator[None]:
    stage.put_dataset("followed", {"a.parquet": people(20, 1)})
    stage.register(MODEL, train_xgboost(3), dataset="followed")
    yield
    stage.catalog.set_enabled(MODEL, enabled=False)


@pytest.fixture
def throttled(stage: Stage, _model: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("cli.stage.patient_reads.FIRST_PAUSE_SECONDS", 0.2)
    yield stage
    stage.aws.faults.clear()


def test_run_wait_outlasts_throttled_reads(throttled: Stage, capsys: Captured) -> None:
    fault = throttled.aws.faults.add(Throttle(service="states", operation="DescribeExecution", count=2 * SDK_TRIES))
    assert main(["run", "--models", MODEL, "--wait"]) == 0
    assert throttled.aws.faults.happened(fault)
    shown = capsys.readouterr()
    assert "AWS throttles DescribeExecution (ThrottlingException). The next try is in" in shown.err
    assert "SUCCEEDED" in shown.out


def test_logs_follow_outlasts_throttled_reads(throttled: Stage, capsys: Captured) -> None:
    execution_id = throttled.executions.start(f'{{"models": ["{MODEL}"]}}')
    fault = throttled.aws.faults.add(Throttle(service="logs", operation="FilterLogEvents", count=2 * SDK_TRIES))
    assert main(["logs", execution_id, "--follow"]) == 0
    assert throttled.aws.faults.happened(fault)
    shown = capsys.readouterr()
    assert "AWS throttles FilterLogEvents (ThrottlingException)." in shown.err
    lines = shown.out.splitlines()
    assert lines
    assert len(lines) == len(set(lines)), "no line is printed twice"


def test_a_denied_read_ends_the_command(throttled: Stage, capsys: Captured) -> None:
    execution_id = throttled.run({"models": [MODEL]}).execution_id
    throttled.aws.faults.add(AccessDenied(service="states", operation="DescribeExecution"))
    assert main(["watch", execution_id]) == 4
    assert "may not call DescribeExecution" in capsys.readouterr().err
