"""A chain from a symptom to its cause, as indented lines and as JSON."""

from datetime import datetime
from typing import Any

from cli.stage.diagnosis.chain import Chain
from cli.views.tables import exact_time, one_line
from cli.views.wrapping import INDENT, wrapped


def chain_lines(chain: Chain, width: int | None) -> list[str]:
    """Return a line per step, indented by its depth; longer ones are wrapped to `width`, if given."""
    lines: list[str] = []
    for depth, step in enumerate(chain.steps, 1):
        lines += wrapped(_with_time(step.moment, f"{step.what}: {step.text}"), INDENT * depth, width)
        for problem in step.problems:
            lines += wrapped(one_line(problem), INDENT * (depth + 1), width)
    if chain.remedy:
        lines += wrapped(f"To do: {one_line(chain.remedy)}", "", width)
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
