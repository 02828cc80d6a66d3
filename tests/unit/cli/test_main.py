import json
from pathlib import Path
from typing import Any

import pytest

from cli import main as entry
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from contract.table import records
from tests.unit.cli.builders import (
    any_attempt,
    any_execution,
    end_in_step_functions,
    make_archive,
    running_job,
    succeeded_job,
)

Captured = pytest.CaptureFixture[str]


def register_arguments(folder: Path, *more: str) -> list[str]:
    """Return a command line that registers a model; options of `more` replace those of the same name."""
    archive = make_archive(folder / "model.tar.gz", {"model.joblib": b"some model"})
    words = "--model-file model.joblib --framework sklearn --format sklearn-joblib --method predict --dataset customers"
    features = ["--features", "age:double,plan:string", "--key-columns", "id", "--tag", "team=ads"]
    pairs = ["--artifact", str(archive), *words.split(), *features]
    kept = [pair for pair in zip(pairs[::2], pairs[1::2], strict=True) if pair[0] == "--tag" or pair[0] not in more]
    return ["models", "register", "churn", *(word for pair in kept for word in pair), *more]


@pytest.mark.usefixtures("account")
def test_model_is_registered_listed_shown_and_disabled(tmp_path: Path, capsys: Captured) -> None:
    assert entry.main(register_arguments(tmp_path)) == 0
    assert "Registered churn, version 1: s3://some-models/churn/1/model.tar.gz" in capsys.readouterr().out
    assert entry.main(["--json", "models", "list"]) == 0
    [model] = json.loads(capsys.readouterr().out)
    assert (model["model_id"], model["enabled"], model["tags"]) == ("churn", True, {"team": "ads"})
    assert model["version"]["spec"]["features"][1] == {"name": "plan", "type": "string", "nullable": True}
    assert entry.main(["models", "disable", "churn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["enabled"] is False
    assert entry.main(["models", "show", "churn", "--version", "1"]) == 0
    shown = capsys.readouterr().out
    assert "churn: disabled, current version 1, team=ads" in shown
    assert "age:double, plan:string" in shown
    assert entry.main(["models", "enable", "churn"]) == 0
    assert "churn: enabled" in capsys.readouterr().out
    assert entry.main(["models", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["churn", "yes", "1", "customers", "sklearn-joblib"]


@pytest.mark.usefixtures("account")
def test_quarantine_and_output_options_are_part_of_the_record(tmp_path: Path, capsys: Captured) -> None:
    words = ["--tolerated-quarantine-fraction", "0.01", "--output-format", "jsonl", "--row-number-column", "row"]
    assert entry.main(register_arguments(tmp_path, *words)) == 0
    capsys.readouterr()
    assert entry.main(["--json", "models", "list"]) == 0
    [model] = json.loads(capsys.readouterr().out)
    spec = model["version"]["spec"]
    assert (spec["tolerated_quarantine_fraction"], spec["output_format"], spec["row_number_column"]) == (
        0.01,
        "jsonl",
        "row",
    )
    assert entry.main(register_arguments(tmp_path, "--tolerated-quarantine-fraction", "2", "--output-format", "x")) == 2
    shown = capsys.readouterr().err
    assert "tolerated_quarantine_fraction: got 2.0, expected a fraction from 0 (no row may be bad) to 1" in shown
    assert "output_format: got 'x', expected one of 'parquet', 'csv', 'jsonl'" in shown


@pytest.mark.usefixtures("account")
def test_all_problems_of_a_model_are_reported_at_once(tmp_path: Path, capsys: Captured) -> None:
    words = register_arguments(tmp_path, "--method", "margin", "--tag", "novalue", "--dataset", "No!")
    assert entry.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for field in ("- method: got 'margin'", "- tag: got 'novalue'", "- dataset: got 'No!'"):
        assert field in captured.err


@pytest.mark.parametrize(
    "words",
    [
        ["--stage", "prod", "models", "list"],
        ["models", "--stage", "prod", "list"],
        ["models", "list", "--stage", "prod"],
    ],
)
@pytest.mark.usefixtures("account")
def test_global_option_works_at_every_position(words: list[str], capsys: Captured) -> None:
    assert entry.main(words) == 4
    captured = capsys.readouterr()
    assert captured.err.startswith("fleetscore: Stack fleetscore-prod-storage does not exist")
    assert "Traceback" not in captured.err


@pytest.mark.usefixtures("account")
def test_debug_prints_the_traceback(capsys: Captured) -> None:
    assert entry.main(["--debug", "--stage", "prod", "models", "list"]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_unknown_command_is_a_usage_error() -> None:
    assert entry.main(["score"]) == 2


@pytest.mark.usefixtures("account")
def test_run_prints_the_execution_id_alone(capsys: Captured) -> None:
    assert entry.main(["run", "--name", "nightly-1"]) == 0
    assert capsys.readouterr().out == "nightly-1\n"


@pytest.mark.usefixtures("account")
def test_run_takes_its_request_from_a_file(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "request.json").write_text('{"max_concurrency": "many"}')
    assert entry.main(["run", "--input", f"@{tmp_path}/request.json"]) == 2
    assert "max_concurrency: got 'many', expected a whole number" in capsys.readouterr().err
    assert entry.main(["run", "--input", f"@{tmp_path}/nothing.json"]) == 2
    assert "nothing.json cannot be read" in capsys.readouterr().err


@pytest.fixture
def partly_failed(account: Connection, deployment: Deployment) -> str:
    Executions(account, deployment).start("{}", "nightly-1")
    table: Any = account.resource("dynamodb").Table(deployment.table_name)
    failure: dict[str, Any] = {"failure_kind": FailureKind.DATA, "reason": "b.parquet lacks the column 'age'"}
    failed = running_job(
        "ads", status=JobStatus.FAILED, attempt=2, ended_at="2026-03-01T12:00:20Z", sagemaker_job_name="p", **failure
    )
    ended = {"status": AttemptStatus.FAILED, "ended_at": "2026-03-01T12:00:20Z"}
    transient = {"failure_kind": FailureKind.TRANSIENT, "reason": "a host was lost"}
    outcome = any_execution(
        status=ExecutionStatus.PARTLY_FAILED, reason="1 of 2 jobs failed", summary_uri="s3://some-results/summary.json"
    )
    for item in (
        records.execution_item(outcome),
        records.job_item(failed),
        records.job_item(succeeded_job("churn")),
        records.attempt_item(any_attempt("ads", 1, **ended, **transient)),
        records.attempt_item(any_attempt("ads", 2, **ended, **failure)),
    ):
        table.put_item(Item=item)
    end_in_step_functions("nightly-1", "FAILED", "1 of 2 jobs failed")
    return "nightly-1"


def test_status_shows_jobs_attempts_and_reasons(partly_failed: str, capsys: Captured) -> None:
    assert entry.main(["status", partly_failed]) == 0
    shown = capsys.readouterr().out
    assert "Execution nightly-1: PARTLY_FAILED" in shown
    assert "ads: DATA: b.parquet lacks the column 'age'" in shown.splitlines()
    assert "ads, attempt 1: TRANSIENT: a host was lost" in shown.splitlines()
    assert "attempt 2:" not in shown
    assert "2 of 2 jobs ended, 1 failed, 1,000 rows, 10 of them in quarantine" in shown
    assert "Summary: s3://some-results/summary.json" in shown
    assert "\x1b" not in shown


def test_status_as_json_has_jobs_attempts_and_totals(partly_failed: str, capsys: Captured) -> None:
    assert entry.main(["status", "--json", partly_failed]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["ended"]) == ("PARTLY_FAILED", True)
    assert shown["totals"]["jobs_failed"] == 1
    ads, churn = shown["jobs"]
    assert [attempt["attempt"] for attempt in ads["attempts"]] == [1, 2]
    assert (churn["rows_per_second"], churn["seconds"], churn["objects_committed"]) == (50, 20, 4)
    assert shown["record"]["summary_uri"] == "s3://some-results/summary.json"


def test_watch_returns_the_outcome_as_exit_status(partly_failed: str, capsys: Captured) -> None:
    assert entry.main(["watch", partly_failed]) == 3
    shown = capsys.readouterr().out
    assert "churn: SUCCEEDED, attempt 1 of 3, 1,000 rows, 50 rows/s" in shown
    assert entry.main(["--json", "watch", partly_failed]) == 3
    assert json.loads(capsys.readouterr().out)["status"] == "PARTLY_FAILED"


@pytest.mark.usefixtures("account")
def test_unknown_execution_is_refused(capsys: Captured) -> None:
    assert entry.main(["status", "nothing"]) == 2
    assert "There is no execution 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["models", "list"], ["doctor"]])
def test_unreachable_endpoint_is_named(command: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.stage.connection._ATTEMPTS", 1)
    assert entry.main([*command, "--endpoint-url", "http://127.0.0.1:9"]) == 4
    assert "AWS cannot be reached" in capsys.readouterr().err


@pytest.mark.usefixtures("account")
def test_resources_prints_all_names_or_one_bare_value(deployment: Deployment, capsys: Captured) -> None:
    assert entry.main(["resources", "datasets_bucket"]) == 0
    assert capsys.readouterr().out == "some-datasets\n"
    assert entry.main(["resources"]) == 0
    assert deployment.state_machine_arn in capsys.readouterr().out
    assert entry.main(["resources", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == vars(deployment)


@pytest.mark.usefixtures("account")
def test_model_is_promoted_rolled_back_and_compared(tmp_path: Path, capsys: Captured) -> None:
    assert entry.main(register_arguments(tmp_path)) == 0
    assert entry.main(register_arguments(tmp_path, "--features", "age:float", "--tag", "team=risk")) == 0
    capsys.readouterr()
    assert entry.main(["models", "promote", "churn", "1", "--reason", "2 drifts"]) == 0
    assert "churn: enabled, current version 1, previous version 2" in capsys.readouterr().out
    assert entry.main(["models", "show", "churn"]) == 0
    assert "2 drifts" in capsys.readouterr().out
    assert entry.main(["models", "rollback", "churn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["current_version"] == "2"
    assert entry.main(["models", "compare", "churn", "1", "2"]) == 0
    shown = capsys.readouterr().out
    assert "feature removed: plan:string" in shown
    assert "feature retyped: age:double -> age:float" in shown
    assert ["tag", "team", "ads", "risk"] in [line.split() for line in shown.splitlines()]
    assert entry.main(["models", "compare", "churn", "1", "7"]) == 2
    assert entry.main(["models", "promote", "churn", "1", "--reason", "x" * 501]) == 2
    assert "--reason: got 'xxx" in capsys.readouterr().err


def test_run_check_form_validates_a_request_without_aws(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["run", "--check=form", "--input", '{"models": ["a"]}']) == 0
    assert "valid" in capsys.readouterr().out
    assert entry.main(["run", "--check", "--input", '{"modles": ["a"], "max_concurrency": "3"}']) == 2
    text = capsys.readouterr().err
    assert "modles" in text
    assert "max_concurrency" in text
    assert entry.main(["run", "--check=form", "--input", '{"joined_nulls": true}']) == 2
    assert "joined_nulls: got true, expected false, because output_layout is not 'joined'" in capsys.readouterr().err


def test_a_field_that_a_request_has_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "train"):
        assert entry.main([command, "--check=form", "--input", '{"models": ["a"], "models": ["b"]}']) == 2
        assert "an object has the name 'models' twice" in capsys.readouterr().err
