"""Texts of models, data and colleagues reach the operator's terminal as visible characters only."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import main as entry
from cli.command_line.output import Output
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions
from cli.views.executions.progress import LiveProgress, watch
from contract.status import ExecutionStatus, JobStatus
from contract.table import records
from tests.unit.cli.builders import any_attempt, any_execution, end_in_step_functions, running_job
from tests.unit.cli.test_main import register_arguments
from tests.unit.hostile_text import CLIPBOARD_WRITE, HOSTILE, is_printable

Captured = pytest.CaptureFixture[str]
TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAQ"


@pytest.fixture
def hostile(account: Connection, deployment: Deployment, tmp_path: Path, capsys: Captured) -> Connection:
    """Return a stage in which every text that others choose is hostile."""
    tag = ["--tag", f"{HOSTILE}={HOSTILE}"]
    assert entry.main(register_arguments(tmp_path, *tag)) == 0
    assert entry.main(register_arguments(tmp_path, *tag, "--features", f"{HOSTILE}:double")) == 0
    assert entry.main(["models", "promote", "churn", "1", "--reason", HOSTILE]) == 0
    Executions(account, deployment).start("{}", "nightly-1")
    table: Any = account.resource("dynamodb").Table(deployment.table_name)
    job = running_job("ads", status=JobStatus.FAILED, attempt=2, ended_at="2026-03-01T12:00:20Z")
    job_item = records.job_item(job)
    attempt_item = records.attempt_item(any_attempt("ads", 1))
    request = json.dumps({"models": ["ads"], "task_token": TOKEN})
    execution = any_execution(status=ExecutionStatus.FAILED, request_json=request, summary_uri=f"s3://{HOSTILE}")
    # As an earlier release wrote them.
    table.put_item(Item={**job_item, "reason": HOSTILE, "outcome": HOSTILE, "notes": [HOSTILE], "dataset": HOSTILE})
    table.put_item(Item={**attempt_item, "reason": f"another {HOSTILE}"})
    table.put_item(Item={**records.execution_item(execution), "reason": HOSTILE, "label": HOSTILE})
    end_in_step_functions("nightly-1", "FAILED", HOSTILE)
    capsys.readouterr()
    return account


COMMANDS = [
    ["models", "list"],
    ["models", "show", "churn"],
    ["models", "show", "churn", "--version", "2"],
    ["models", "compare", "churn", "1", "2"],
    ["models", "disable", "churn"],
    ["status", "nightly-1"],
    ["watch", "nightly-1"],
    ["models", "show", HOSTILE],
    ["models", "promote", "churn", HOSTILE],
    ["models", "register", HOSTILE],
    ["models", HOSTILE],
    [f"--{HOSTILE}"],
    ["run", "--input", json.dumps({HOSTILE: HOSTILE}, ensure_ascii=False)],
    ["run", "--name", HOSTILE],
    ["status", HOSTILE],
    ["schedules", "add", HOSTILE, HOSTILE],
    ["backfill", "--dataset", f"{HOSTILE}-{{date}}", "--from", HOSTILE, "--to", HOSTILE],
]


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: ascii(words[:2]))
def test_no_command_prints_control_characters(words: list[str], capsys: Captured) -> None:
    for options in ([], ["--debug"], ["--json"]):
        status = entry.main([*options, *words])
        captured = capsys.readouterr()
        assert is_printable(captured.out + captured.err)
        assert captured.out or captured.err
        if options == ["--json"] and status != 2:
            json.loads(captured.out)


@pytest.mark.usefixtures("hostile")
def test_json_has_the_exact_text(capsys: Captured) -> None:
    assert entry.main(["models", "show", "churn", "--json"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["history"][-1]["reason"] == HOSTILE
    assert "\\u001b]52" in shown


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("words", [["status", "nightly-1"], ["watch", "nightly-1"]])
def test_task_tokens_are_not_shown(words: list[str], capsys: Captured) -> None:
    for options in ([], ["--json"]):
        entry.main([*options, *words])
        shown = capsys.readouterr().out
        assert TOKEN not in shown
        if options:
            request = json.loads(json.loads(shown)["record"]["request_json"])
            assert request == {"models": ["ads"], "task_token": "(hidden)"}


def test_the_live_table_has_no_control_characters_of_others(hostile: Connection, deployment: Deployment) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=200, height=40, color_system=None)
    watch(Executions(hostile, deployment), "nightly-1", LiveProgress(console))
    assert CLIPBOARD_WRITE not in written.getvalue()
    assert "\x9b" not in written.getvalue()


def test_lines_show_control_characters_as_escapes(capsys: Captured) -> None:
    Output().line(f"reason: {HOSTILE}")
    assert capsys.readouterr().out == (
        r"reason: a\x1b]52;c;ZXZpbA==\x07\x9b2J\x7f\x0d\u202egnp\u2066\u2028\u200b\U000e0041z" + "\n"
    )


FORGED = "\nforged  yes  9  people"


@pytest.mark.parametrize(
    "words",
    [
        ["models", "list"],
        ["models", "show", "churn"],
        ["models", "compare", "churn", "1", "2"],
        ["status", "nightly-1"],
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_text_of_others_cannot_add_lines(
    words: list[str], account: Connection, deployment: Deployment, tmp_path: Path, capsys: Captured
) -> None:
    forged = ["--tag", f"team=a{FORGED}"]
    assert entry.main(register_arguments(tmp_path, *forged)) == 0
    assert entry.main(register_arguments(tmp_path, *forged, "--features", f"a{FORGED}:double")) == 0
    assert entry.main(["models", "promote", "churn", "1", "--reason", f"good{FORGED}"]) == 0
    Executions(account, deployment).start("{}", "nightly-1")
    table: Any = account.resource("dynamodb").Table(deployment.table_name)
    job = running_job("ads", status=JobStatus.FAILED, ended_at="2026-03-01T12:00:20Z", reason=f"a{FORGED}")
    table.put_item(Item={**records.job_item(job), "outcome": f"a{FORGED}", "notes": [f"a{FORGED}"]})
    table.put_item(Item=records.attempt_item(replace(any_attempt("ads", 1), reason=f"b{FORGED}")))
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.FAILED)))
    end_in_step_functions("nightly-1", "FAILED", "failed")
    capsys.readouterr()

    entry.main(words)
    shown = capsys.readouterr().out
    assert r"\nforged" in shown
    assert not [line for line in shown.splitlines() if line.strip().startswith("forged")]


def test_a_bug_prints_a_safe_sentence_and_a_traceback_with_debug(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("cli.command_line.invocation.Invocation.deployment", fail)
    assert entry.main(["models", "list"]) == 1
    shown = capsys.readouterr().err
    assert is_printable(shown)
    assert "Traceback" not in shown
    assert "An error that the command does not expect: RuntimeError at test_hostile_text.py:" in shown
    assert "Run the command again with --debug" in shown
    assert entry.main(["models", "list", "--debug"]) == 1
    shown = capsys.readouterr().err
    assert is_printable(shown)
    assert "Traceback" in shown


SURROGATE = "\udcff"


@pytest.mark.parametrize(
    "words",
    [
        ["models", "show", SURROGATE],
        ["models", "promote", "churn", SURROGATE],
        ["models", "promote", "churn", "1", "--reason", SURROGATE],
        ["models", "register", "churn", "--tag", f"a={SURROGATE}"],
        ["models", "register", f"@{SURROGATE}.json"],
        ["models", "test", "churn", f"{SURROGATE}.csv"],
        ["run", "--input", SURROGATE],
        ["run", "--name", SURROGATE],
        ["status", SURROGATE],
        ["schedules", "pause", SURROGATE],
        ["resources", SURROGATE],
        ["--stage", SURROGATE, "models", "list"],
        ["--profile", SURROGATE, "models", "list"],
        [SURROGATE],
    ],
    ids=ascii,
)
def test_arguments_that_are_not_text_are_refused(words: list[str], capsys: Captured) -> None:
    assert entry.main(words) == 2
    shown = capsys.readouterr().err
    assert "is not valid UTF-8 text. Write it in UTF-8, or rename the file." in shown
    assert "Traceback" not in shown
    assert is_printable(shown)


@pytest.mark.usefixtures("account")
def test_documents_with_lone_surrogates_are_refused_by_field(tmp_path: Path, capsys: Captured) -> None:
    document = {
        "model_id": "churn",
        "artifact": "model.tar.gz",
        "dataset": "customers",
        "format": "sklearn-joblib",
        "model_file": "model.joblib",
        "method": "predict",
        "features": [{"name": "\ud800", "type": "double"}],
        "key_columns": ["a\udfff"],
        "tags": {"\ud800": "x", "team": "\udc00"},
    }
    file = tmp_path / "document.json"
    file.write_text(json.dumps(document))
    assert entry.main(["models", "register", f"@{file}"]) == 2
    shown = capsys.readouterr().err
    for name in ("features[0].name: got '\\ud800'", "key_columns[0]: got", "tags: got '\\ud800'", "tags.team: got"):
        assert name in shown
    for request in ({"models": ["\ud800"]}, {"\ud800": 1}, {"dataset": "\ud800"}, {"task_token": "\ud800"}):
        file.write_text(json.dumps(request))
        for words in (["run"], ["run", "--check"], ["train", "--check"], ["schedules", "add", "s", "rate(1 hour)"]):
            assert entry.main([*words, "--input", f"@{file}"]) == 2
            shown = capsys.readouterr().err
            assert "without halves of surrogate pairs" in shown
            assert is_printable(shown)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("name", ["\ud800", "a\x00b"])
def test_paths_in_documents_that_no_file_can_have_are_refused(name: str, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "document.json"
    file.write_text(json.dumps({"trainer": "script", "code": {"source": name, "program": name}}))
    assert entry.main(["models", "recipe", "set", "churn", f"@{file}"]) == 2
    assert "code.source: got" in capsys.readouterr().err
    bulk = tmp_path / "models.jsonl"
    bulk.write_text(json.dumps({"model_id": "churn", "artifact": name}) + "\n" + "[" * 5_000)
    assert entry.main(["models", "register", "--bulk", str(bulk)]) == 2
    shown = capsys.readouterr().err
    assert "line 2: model: got '[[[" in shown
    file.write_text(json.dumps({"model_id": "churn", "artifact": name, "features": f"@{name}"}))
    assert entry.main(["models", "register", f"@{file}"]) == 2
    assert is_printable(shown + capsys.readouterr().err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_in_any_encoding(encoding: str) -> None:
    """The help of this command has an ellipsis."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "schedules", "add", "--help"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("…" if encoding == "utf-8" else "\\u2026") in done.stdout.decode(encoding)


@pytest.mark.parametrize("request_json", ["[" * 5_000, '{"max_concurrency": ' + "9" * 5_000 + "}"])
def test_requests_that_python_cannot_read_are_refused(request_json: str, capsys: Captured) -> None:
    assert entry.main(["run", "--check", "--input", request_json]) == 2
    assert "expected JSON text such as {}" in capsys.readouterr().err


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("name", [".", ".."])
def test_names_of_folders_are_no_names_of_executions(name: str, capsys: Captured) -> None:
    assert entry.main(["run", "--name", name]) == 2
    assert f"name: got {name!r}, expected 1 to 80 letters" in capsys.readouterr().err
