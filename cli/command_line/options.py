"""Options and arguments that several commands share, and converters for their values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from cli.command_line.click_classes import argument
from contract.json_text import MAX_DIGITS
from contract.problems import InvalidInputError, Problem

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def words(text: str) -> list[str]:
    """Split `A,B` at its commas; drop empty words, and blanks around words."""
    return [word.strip() for word in text.split(",") if word.strip()]


def cells(text: str) -> list[str]:
    """Split `A,B` at its commas; keep empty cells and blanks."""
    return text.split(",")


def count(text: str) -> int:
    """Return the text as a whole number, 0 or greater.

    Raises:
        click.BadParameter: when the text is anything else.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise click.BadParameter(f"{text[:MAX_DIGITS]!r} is not a whole number of at least 0.")
    return int(text)


def model_argument(handler: F) -> F:
    return argument("model_id", metavar="MODEL_ID", help="The model's id in the catalog.")(handler)


def version_argument(handler: F) -> F:
    return argument("version", metavar="VERSION", help="The version's name.")(handler)


def reason_option(handler: F) -> F:
    option = click.option(
        "--reason", default="", metavar="TEXT", callback=_check_reason, help="Reason, kept in the model's history."
    )
    return option(handler)


def _check_reason(_context: click.Context, _parameter: click.Parameter, reason: str) -> str:
    """Check the length of a reason before any call, and return the reason.

    Raises:
        InvalidInputError: when the reason is too long for the model's history.
    """
    # Imported here, because commands that take no reason need no model classes.
    from contract.catalog.models import REASON_CHARACTERS  # noqa: PLC0415

    if len(reason) > REASON_CHARACTERS:
        raise InvalidInputError("reason", [Problem("--reason", reason, f"at most {REASON_CHARACTERS} characters")])
    return reason


def request_option(handler: F) -> F:
    option = click.option(
        "--input", "request", default="{}", metavar="JSON|@file",
        help="The request. Default: {}, for every enabled model.",
    )  # fmt: skip
    return option(handler)


def plan_options(handler: F) -> F:
    """Add --plan and --confirm, which show what a scoring execution would need."""
    confirm = click.option("--confirm", is_flag=True, help="Show the plan, and ask before the execution starts.")
    plan = click.option("--plan", is_flag=True, help="Start nothing; show the jobs, their time and their cost.")
    return plan(confirm(handler))


def start_options(handler: F) -> F:
    """Add --name, --wait and --check, the options of commands that start an execution."""
    for option in (
        click.option(
            "--check",
            is_flag=False,
            flag_value="plan",
            type=click.Choice(["plan", "form"]),
            help="Start nothing; check the request, catalog and data as the plan would. With =form: "
            "check the form only, without calling AWS.",
        ),
        click.option(
            "--wait", is_flag=True, help="Follow the execution until it ends. The exit status is its outcome."
        ),
        click.option("--name", metavar="NAME", help="The execution's id. Default: the time and a random suffix."),
    ):
        handler = option(handler)
    return handler
