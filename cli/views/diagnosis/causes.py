"""The distinct causes of an execution's failures, each with the chain of an example job."""

from collections.abc import Sequence
from typing import Any

from cli.stage.diagnosis.chain import Chain
from cli.stage.diagnosis.failure_groups import FailureGroup
from cli.views.diagnosis.chain import chain_json, chain_lines
from cli.views.diagnosis.failure_lines import group_jobs, groups_json
from cli.views.tables import counted
from cli.views.wrapping import wrapped


def causes_lines(causes: Sequence[tuple[FailureGroup, Chain]], total: int, width: int | None) -> list[str]:
    """Return the lines of each cause, the largest first, with the next command if it is its own.

    `total` is the number of all causes. The last line is the next command of the first cause, which
    is that of most.
    """
    common = causes[0][1].next_command
    lines: list[str] = []
    for number, (group, chain) in enumerate(causes, 1):
        lines += wrapped(f"Cause {number} of {total:,}: {group_jobs(group)}", "", width)
        *steps, next_line = chain_lines(chain, width)
        lines += steps
        if chain.next_command != common:
            lines.append(next_line)
    if total > len(causes):
        lines.append(f"… and {counted(total - len(causes), 'more cause')}; `--json` lists them in `failures`")
    return [*lines, chain_lines(causes[0][1], width)[-1]]


def cause_json(group: FailureGroup, chain: Chain) -> dict[str, Any]:
    """Return a cause as JSON: its jobs, and the chain of `example_job`."""
    return {**groups_json([group])[0], "example_job": group.first.job, **chain_json(chain)}
