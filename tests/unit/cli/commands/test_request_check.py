"""`run --check` and `train --check` ask the stage, and say so when it cannot answer."""

import json

import pytest
from botocore.exceptions import EndpointConnectionError

from cli import main as entry
from contract import codec
from contract.status import ExecutionKind
from contract.workflow.request_check import CheckedJob, CheckInput, RequestCheck
from tests.unit.cli.commands.conftest import Answer

JOB = CheckedJob(ExecutionKind.SCORING, "churn", "customers", 1, 2, 3_072, "ml.m5.large", 2)
Captured = pytest.CaptureFixture[str]


def test_what_would_run_is_shown(answer: Answer, capsys: Captured) -> None:
    jobs = (JOB, *[JOB] * 11)
    check = RequestCheck(
        job_count=1_200, model_count=1_200, dataset_count=1, object_count=2, input_bytes=3_072, jobs=jobs
    )
    calls = answer(codec.to_json(check))
    assert entry.main(["run", "--check", "--input", '{"models": ["churn"]}']) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == (
        "The request is valid. Its execution would score with 1,200 jobs: 1,200 models, 1 dataset, 2 objects, 3.0 KiB. "
        "Nothing was started."
    )
    assert lines[2].split() == ["churn", "customers", "1", "2", "3.0", "KiB", "2", "x", "ml.m5.large"]
    assert lines[-1] == "and 1,190 jobs more"
    assert captured.err == ""
    assert calls == [codec.to_json(CheckInput(ExecutionKind.SCORING, {"models": ["churn"]}))]


def test_a_check_as_json_has_every_figure(answer: Answer, capsys: Captured) -> None:
    calls = answer(codec.to_json(RequestCheck(training_job_count=1, model_count=1, notes=("a note",))))
    assert entry.main(["train", "--models", "churn", "--check", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["valid"], shown["checked"], shown["training_job_count"]) == (True, "plan", 1)
    assert shown["notes"] == ["a note"]
    assert calls[0]["kind"] == "training"


def test_problems_of_the_plan_are_listed(answer: Answer, capsys: Captured) -> None:
    answer(codec.to_json(RequestCheck(("a.parquet lacks a column", "b is archived"), 2)))
    assert entry.main(["run", "--check"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "fleetscore: The plan would refuse the request with 2 problems:",
        "  - a.parquet lacks a column",
        "  - b is archived",
    ]
    assert entry.main(["run", "--check", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["valid"] is False


def test_a_request_with_a_wrong_form_is_not_sent(answer: Answer, capsys: Captured) -> None:
    calls = answer(codec.to_json(RequestCheck()))
    assert entry.main(["run", "--check", "--input", '{"modles": []}']) == 2
    assert "modles" in capsys.readouterr().err
    assert calls == []


def test_a_failing_function_is_named(answer: Answer, capsys: Captured) -> None:
    error = {"errorType": "ClientError", "errorMessage": "AccessDenied when calling ListObjectsV2."}
    answer(error, FunctionError="Unhandled")
    assert entry.main(["run", "--check"]) == 4
    captured = capsys.readouterr()
    assert "failed: ClientError: AccessDenied when calling ListObjectsV2. Its log" in captured.err
    assert "Only the request's form was checked" in captured.err
    assert "valid" not in captured.out


def test_an_unreachable_stage_is_not_read_as_success(answer: Answer, capsys: Captured) -> None:
    answer(error=EndpointConnectionError(endpoint_url="https://lambda"))
    assert entry.main(["run", "--check", "--json"]) == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out)["valid"] is None
    assert "AWS cannot be reached" in captured.err
    assert "use --check=form" in captured.err


@pytest.mark.usefixtures("account")
def test_a_stage_without_the_function_is_named(capsys: Captured) -> None:
    assert entry.main(["train", "--check"]) == 4
    assert "has no output CheckFunctionArn" in capsys.readouterr().err
