"""Help screens, suggestions, usage errors and shell completion."""

import io
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from cli.command_line.click_classes import Command, CommandGroup
from cli.command_line.invocation import Invocation
from cli.command_line.program import fleetscore
from cli.failures import ExitStatus
from cli.main import main

Captured = pytest.CaptureFixture[str]


def all_commands(group: click.Group = fleetscore, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group, the program itself first."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = [" ".join(path) for path in all_commands()]


def command_of(words: list[str]) -> tuple[Command | CommandGroup, list[str]]:
    """Return the command that these words name, and the words after it."""
    command: click.Command | None = fleetscore
    rest = list(words)
    while isinstance(command, CommandGroup) and rest:
        command = command.get_command(click.Context(command), rest.pop(0))
    assert isinstance(command, (Command, CommandGroup)), words
    return command, rest


def help_of(command: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command.split(), "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 120])
def test_every_help_screen_fits_the_terminal_and_ends_with_examples(
    columns: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in COMMANDS:
        lines = help_of(name, capsys, monkeypatch, columns).splitlines()
        assert max(map(len, lines)) <= columns, name
        assert not any("\x1b" in line for line in lines), name
        examples = command_of(name.split())[0].examples.splitlines()
        first = lines.index("Example:" if "Example:" in lines else "Examples:") + 1
        assert lines[first : first + len(examples)] == [f"  {example}" for example in examples], name


def test_every_example_is_a_valid_command_line() -> None:
    for name in COMMANDS:
        examples = command_of(name.split())[0].examples
        assert examples, name
        for line in examples.replace("\\\n", " ").splitlines():
            inner = re.search(r"\$\(fleetscore ([^)]*)\)", line)
            text = inner[1] if inner else line.removeprefix("fleetscore ").split(" | ")[0]
            command, rest = command_of(shlex.split(text))
            command.make_context("fleetscore", rest, obj=Invocation())


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["run", "--name", "a", "--name", "b"], "--name"),
        (["run", "--name=a", "--name", "a"], "--name"),
        (["--stage", "a", "--stage", "b", "run"], "--stage"),
        (["models", "register", "churn", "--dataset", "a", "--method", "x", "--dataset", "a"], "--dataset"),
    ],
)
def test_an_option_with_one_value_is_refused_twice(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert f"Option '{option}' has one value and is given more than once." in capsys.readouterr().err


def test_the_top_help_screen_lists_commands_in_sections_and_exit_statuses(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = help_of("", capsys, monkeypatch)
    titles = re.findall(r"^[A-Z][a-z ]+:$", shown, re.MULTILINE)
    sections = ["Models:", "Data:", "Executions:", "Planning:", "Training:", "Automation:", "Account:", "This machine:"]
    assert titles == [*sections, "Global options:", "Examples:", "Exit status:"]
    text = " ".join(shown.split())
    assert all(f"{status.value} {status.meaning}" in text for status in ExitStatus)


def test_global_options_are_listed_in_the_top_help_screen_only(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = r"^ +--(stage|profile|region|endpoint-url|json|debug)\b"
    assert len(re.findall(listed, help_of("", capsys, monkeypatch), re.MULTILINE)) == 6
    for command in COMMANDS[1:]:
        shown = help_of(command, capsys, monkeypatch)
        assert re.findall(listed, shown, re.MULTILINE) == [], command
        assert "fleetscore --help" in shown


def test_required_fields_of_register_come_first(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = help_of("models register", capsys, monkeypatch)
    first = ["--artifact", "--dataset", "--format", "--model-file", "--method", "--features", "--infer-schema"]
    assert re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)[:7] == first


def test_short_help_flag_and_version(capsys: Captured) -> None:
    assert main(["run", "-h"]) == 0
    assert "Usage: fleetscore run" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert re.fullmatch(r"fleetscore \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("words", [[], ["models"], ["models", "recipe"]])
def test_a_group_without_a_command_prints_its_help(words: list[str], capsys: Captured) -> None:
    assert main(words) == ExitStatus.REFUSED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"Usage: {' '.join(['fleetscore', *words])} ")


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("model list", "fleetscore models"),
        ("models prmote churn 2", "fleetscore models promote"),
        ("models recipe shw churn", "fleetscore models recipe show"),
        ("schedules ad", "fleetscore schedules add"),
        ("register", "fleetscore models register"),
        ("models run", "fleetscore run"),
        ("--stag dev models list", "--stage"),
        ("run --nmae x", "--name"),
        ("models promote churn 2 --reson x", "--reason"),
        ("models register churn --key-column id", "--key-columns"),
        ("models list --jsn", "--json"),
    ],
)
def test_a_mistyped_command_or_flag_gets_a_suggestion(words: str, suggestion: str, capsys: Captured) -> None:
    assert main(words.split()) == ExitStatus.REFUSED
    assert f"Did you mean `{suggestion}`?\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem", "usage"),
    [
        ("models promote churn", "Missing argument 'VERSION'.", "fleetscore models promote [OPTIONS] MODEL_ID VERSION"),
        ("backfill --dataset d", "Missing option '--from'.", "fleetscore backfill [OPTIONS]"),
        ("run --wait=yes", "Option '--wait' does not take a value.", "fleetscore run [OPTIONS]"),
        ("run --zz", "No such option '--zz'.", "fleetscore run [OPTIONS]"),
        (
            "resources x",
            "'x' is not one of 'datasets_bucket', 'models_bucket'",
            "fleetscore resources [OPTIONS] [NAME]",
        ),
        ("models test a b --rows -1", "'-1' is not a whole number of at least 0.", "fleetscore models test [OPTIONS]"),
        ("models import churn", "Exactly one of --mlflow and --model-package", "fleetscore models import [OPTIONS]"),
    ],
)
def test_a_usage_error_shows_the_usage_of_its_command(words: str, problem: str, usage: str, capsys: Captured) -> None:
    assert main(words.split()) == ExitStatus.REFUSED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fleetscore: ")
    assert problem in captured.err
    assert f"\nUsage: {usage}" in captured.err


@pytest.mark.parametrize("words", ["run --name --wait", "--stage --json run", "models promote churn 1 --reason --jsn"])
def test_an_option_is_not_taken_as_the_value_of_another(words: str, capsys: Captured) -> None:
    assert main(words.split()) == ExitStatus.REFUSED
    assert "requires an argument" in capsys.readouterr().err


def test_a_value_that_looks_like_an_option_follows_an_equals_sign(capsys: Captured) -> None:
    assert main(["run", "--check=form", "--name=--wait"]) == ExitStatus.SUCCEEDED
    assert main(["run", "--check", "form", "--name", "-- night --"]) == ExitStatus.SUCCEEDED
    assert main(["--stage=--json", "run", "--check=form"]) == ExitStatus.SUCCEEDED
    assert "valid" in capsys.readouterr().out


def test_the_last_of_two_equal_global_options_wins() -> None:
    invocation = Invocation()
    fleetscore.make_context("fleetscore", ["--stage", "a", "--json", "run"], obj=invocation)
    run = fleetscore.get_command(click.Context(fleetscore), "run")
    assert run is not None
    run.make_context("run", ["--stage", "b"], obj=invocation)
    assert (invocation.stage, invocation.json, invocation.debug) == ("b", True, False)


def test_a_closed_pipe_is_not_an_error(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    class ClosedPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr("sys.stdout", ClosedPipe())
    assert main(["run", "--check=form", "--json"]) == ExitStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("fleetscore mod", ["models"]),
        ("fleetscore models pro", ["promote"]),
        ("fleetscore models recipe s", ["set", "show"]),
        ("fleetscore run --w", ["--wait"]),
        ("fleetscore resources datasets", ["datasets_bucket"]),
        ("fleetscore models register --format sk", ["sklearn-joblib", "sklearn-skops"]),
        ("fleetscore models register --artifact mod", ["mod"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(
    line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("_FLEETSCORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    assert main([]) == 0
    assert [answer.partition(",")[2] for answer in capsys.readouterr().out.splitlines()] == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_completes_fleetscore(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("_FLEETSCORE_COMPLETE", f"{shell}_source")
    assert main([]) == 0
    assert f"_FLEETSCORE_COMPLETE={shell}_complete" in capsys.readouterr().out
