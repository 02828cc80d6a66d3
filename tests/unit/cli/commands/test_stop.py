"""`fleetscore stop`, and starts under the name of a running execution."""

import json
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from cli.main import main
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from cli.stage.executions.executions import Executions
from cli.stage.executions.stopping import StopRequest
from cli.views.executions.stopping import stopped_lines
from contract.status import ExecutionKind, ExecutionStatus, JobStatus
from contract.table import records
from tests.unit.cli.builders import NOW, any_execution, any_job, end_in_step_functions, succeeded_job

Causes = list[str]
Captured = pytest.CaptureFixture[str]


def stopped(*jobs: Any, status: str = "ABORTED", **changes: Any) -> Snapshot:
    record = any_execution(status=ExecutionStatus.FAILED, **changes)
    return Snapshot("nightly-1", NOW, WorkflowState(status, NOW, stopped_at=NOW), record, jobs, {"ads": 1})


@pytest.fixture
def executions(account: Connection, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Executions:
    """Return executions whose records nobody closes, because there is no EventBridge."""
    monkeypatch.setattr("cli.views.executions.progress._SECONDS_TO_CLOSE", -1)
    monkeypatch.setattr("cli.views.executions.progress.SECONDS_BETWEEN_READS", 0)
    return Executions(account, deployment)


@pytest.fixture
def causes(account: Connection) -> Causes:
    """Record the causes of calls, which moto does not keep."""
    found: Causes = []
    account.session().events.register(
        "provide-client-params.stepfunctions.StopExecution", lambda params, **_: found.append(params["cause"])
    )
    return found


def test_stop_ends_an_execution_once(causes: Causes, executions: Executions, capsys: Captured) -> None:
    executions.start("{}", "nightly-1")
    assert main(["stop", "nightly-1", "--cause", "wrong dataset", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["status"], first["stop_requested"]) == ("ABORTED", True)
    assert causes == ["wrong dataset"]
    assert main(["stop", "nightly-1"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Execution nightly-1 has already ended: ABORTED. Nothing was stopped.\n"
    assert shown.err.startswith("Stage dev in account ")
    assert len(causes) == 1


def test_stop_names_the_caller_and_does_not_need_to_wait(
    causes: Causes, executions: Executions, capsys: Captured
) -> None:
    executions.start_training("{}", "t-1")
    assert main(["stop", executions.training_arn("t-1"), "--no-wait"]) == 0
    assert "Training execution t-1 is stopped" in capsys.readouterr().out
    assert causes[0].startswith("stopped with `fleetscore stop` by arn:aws:")


def test_stop_refuses_what_does_not_exist(executions: Executions, capsys: Captured) -> None:
    assert main(["stop", "nothing"]) == 2
    assert "There is no execution 'nothing'" in capsys.readouterr().err
    assert main(["stop", "nothing", "--cause", ""]) == 2
    assert "--cause: got '', expected 1 to 1,000 characters" in capsys.readouterr().err


def test_stop_explains_an_execution_that_only_its_record_calls_running(
    executions: Executions, account: Connection, capsys: Captured
) -> None:
    account.resource("dynamodb").Table("some-table").put_item(Item=records.execution_item(any_execution()))
    assert main(["stop", "nightly-1"]) == 2
    assert "cannot be stopped. Step Functions does not know this execution" in capsys.readouterr().err


def test_what_was_stopped_says_what_stays_and_how_to_continue() -> None:
    jobs = (succeeded_job("churn"), any_job("ads", status=JobStatus.FAILED))
    running = Snapshot("nightly-1", NOW, WorkflowState("RUNNING", NOW), any_execution(), jobs)
    sent = StopRequest(running, sent=True)
    assert stopped_lines(sent, stopped(*jobs)) == [
        "Execution nightly-1 is stopped. 1 of 2 jobs had succeeded, 1 had not.",
        "Committed outputs stay in S3: 5 of 8 objects, counted per job.",
        "To score the rest: `fleetscore resume nightly-1`.",
    ]
    assert stopped_lines(sent, stopped())[0] == "Execution nightly-1 is stopped. No job had been planned."
    assert stopped_lines(sent, stopped(*jobs, plan=None))[1:] == ["Start another one with `fleetscore run`."]
    [line] = stopped_lines(sent, stopped(*jobs, status="SUCCEEDED"))
    assert line == "Execution nightly-1 ended before it could be stopped: SUCCEEDED."
    [line] = stopped_lines(sent, running)
    assert line.startswith("Execution nightly-1 is being stopped.")
    training = stopped(any_job(), kind=ExecutionKind.TRAINING)
    assert "fleetscore train" in stopped_lines(sent, training)[1]


def test_an_execution_that_cannot_be_read_for_a_while_goes_on(
    executions: Executions, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    error = ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "GetItem")
    monkeypatch.setattr("cli.commands.executions.executions.watch", Mock(side_effect=error))
    assert main(["run", "--name", "nightly-1", "--wait"]) == 4
    said = capsys.readouterr().err
    assert "Follow it with `fleetscore watch nightly-1`." in said
    assert "AWS throttles GetItem" in said


def test_a_start_under_the_name_of_a_running_execution_says_so(executions: Executions, capsys: Captured) -> None:
    for command in ("run", "train"):
        assert main([command, "--name", "again"]) == 0
        assert "already running" not in capsys.readouterr().err
        assert main([command, "--name", "again"]) == 0
        shown = capsys.readouterr()
        assert shown.out == "again\n"
        assert "Execution again is already running since 20" in shown.err
        assert "Nothing was started." in shown.err
        assert main([command, "--name", "again", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["already_running_since"] is not None
    assert main(["run", "--name", "another", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["already_running_since"] is None
    end_in_step_functions("another", "SUCCEEDED")
    assert executions.running_since(ExecutionKind.SCORING, "another") is None
