"""`fleetscore faults` finds the embedded AWS that the shell uses."""

from pathlib import Path

import pytest

from cli.commands.local.faults import choose_folder
from cli.failures import CommandError

MINE, OTHER = Path("/home/me/.fleetscore"), Path("/home/me/other")
TWO = {MINE: "https://localhost:1", OTHER: "https://localhost:2"}


def test_the_one_that_the_shell_uses_is_chosen() -> None:
    assert choose_folder(TWO, "https://localhost:2") == OTHER


def test_the_only_one_is_chosen_in_a_shell_that_uses_none() -> None:
    assert choose_folder({MINE: "https://localhost:1"}, "") == MINE


@pytest.mark.parametrize(
    ("running", "used", "expected"),
    [
        ({}, "", 'Start one with `eval "$(fleetscore up)"`'),
        (TWO, "", "expected the folder of one of the 2 embedded AWSs that run"),
        ({MINE: "https://localhost:1"}, "https://localhost:9", "give --state-dir /home/me/.fleetscore"),
    ],
    ids=["none", "several", "another"],
)
def test_an_unclear_choice_is_refused(running: dict[Path, str], used: str, expected: str) -> None:
    with pytest.raises(CommandError) as refused:
        choose_folder(running, used)
    assert expected in str(refused.value)
