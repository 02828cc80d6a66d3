"""Commands that change something say where, on standard error."""

import json
from pathlib import Path

import pytest

from cli import main as entry
from tests.unit.cli.test_main import register_arguments

PLACE = "Stage dev in account 123456789012, Region eu-central-1, https://cloudformation.eu-central-1.amazonaws.com"


@pytest.mark.usefixtures("account")
def test_changes_name_account_region_and_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [
        register_arguments(tmp_path),
        register_arguments(tmp_path),
        ["models", "promote", "churn", "1"],
        ["models", "rollback", "churn"],
        ["models", "disable", "churn"],
        ["models", "enable", "churn"],
        ["run"],
        ["train"],
    ]
    for words in changes:
        assert entry.main([*words, "--json"]) == 0, words
        captured = capsys.readouterr()
        assert captured.err.splitlines()[0] == PLACE, words
        assert "Region" not in json.dumps(json.loads(captured.out)), words
    for words in (
        ["models", "approve", "churn", "1"],
        ["models", "reject", "churn", "1"],
        ["models", "recipe", "remove", "churn"],
    ):
        assert entry.main(words) == 2
        assert capsys.readouterr().err.splitlines()[0] == PLACE, words


@pytest.mark.usefixtures("account")
def test_reading_commands_say_nothing_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["models", "list"], ["resources"], ["run", "--check=form"]):
        assert entry.main(words) == 0
        assert capsys.readouterr().err == ""


def test_missing_fields_of_a_model_are_named_with_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["models", "register", "x", "--method", "predict"]) == 2
    shown = capsys.readouterr().err
    for ending in ("Add --artifact.", "Add --dataset.", "Add --format.", "Add --model-file.", "--infer-schema."):
        assert ending in shown
    assert "Add --method" not in shown


@pytest.mark.parametrize("command", ["promote x 1", "rollback x", "approve x 1", "reject x 1"])
def test_a_long_reason_is_refused_before_any_call(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["models", *command.split(), "--reason", "x" * 501, "--endpoint-url", "http://127.0.0.1:9"]
    assert entry.main(words) == 2
    assert "--reason: got 'xxx" in capsys.readouterr().err
