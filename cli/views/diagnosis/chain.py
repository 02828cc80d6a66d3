"""A chain from a symptom to its cause, as indented lines and as JSON."""

import textwrap
from datetime import datetime
from typing import Any

from cli.stage.diagnosis.chain import Chain
from cli.views.tables import exact_time, one_line

_INDENT = "  "
_NARROWEST = 30
"""Fewest characters of a wrapped line. Deeper lines of a narrow terminal are not indented further."""


def chain_lines(chain: Chain, width: int | None) -> list[str]:
    """Return a line per step, indented by its depth; longer ones are wrapped to `width`, if given."""
    lines: list[str] = []
    for depth, step in enumerate(chain.steps, 1):
        lines += _wrapped(_with_time(step.moment, f"{step.what}: {step.text}"), _INDENT * depth, width)
        for problem in step.problems:
            lines += _wrapped(one_line(problem), _INDENT * (depth + 1), width)
    if chain.remedy:
        lines += _wrapped(f"To do: {one_line(chain.remedy)}", "", width)
    # Never wrapped, so that it can be copied.
    return [*lines, f"Next: {one_line(chain.next_command)}"]


def verdict_line(chain: Chain) -> str:
    """Return how the execution or job is, with the time of its end."""
    return _with_time(chain.moment, chain.verdict)


def chain_json(chain: Chain) -> dict[str, Any]:
    return {
        "time": exact_time(chain.moment) if chain.moment else None,
        "verdict": chain.verdict,
        "steps": [
            {
                "time": exact_time(step.moment) if step.moment else None,
                "what": step.what,
                "text": step.text,
                "problems": list(step.problems),
            }
            for step in chain.steps
        ],
        "remedy": chain.remedy,
        "next_command": chain.next_command,
    }


def _with_time(moment: datetime | None, text: str) -> str:
    return one_line(f"{exact_time(moment)} {text}" if moment else text)


def _wrapped(text: str, indent: str, width: int | None) -> list[str]:
    if width is None:
        return [indent + text]
    indent = indent[: max(0, width - _NARROWEST)]
    return textwrap.wrap(
        text, max(width, _NARROWEST), initial_indent=indent, subsequent_indent=indent + _INDENT, break_on_hyphens=False
    )
