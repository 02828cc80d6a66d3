"""Checks of a request that a schedule or an upload rule starts again and again."""

from collections.abc import Mapping
from typing import Any

from contract.problems import InvalidInputError, Problem
from contract.workflow.deadline import is_time
from contract.workflow.scoring_request import TASK_TOKEN_FIELD, hide_task_token, parse_request

_NOT_HERE = "Leave it out: the workflow that waits starts its execution itself, with a token of its own each time."


def check_triggered_request(request: Mapping[str, Any], *, refused: Mapping[str, str]) -> list[Problem]:
    """Check a request of a trigger, whose executions nobody waits for.

    `refused` are the fields that it may not have besides a task token, each with the reason as a clause.
    """
    refused = {**refused, TASK_TOKEN_FIELD: "a token belongs to one waiting task, and is answered once"}
    found = [name for name in refused if name in request]
    shown = hide_task_token(request)
    problems = [
        Problem(
            f"request.{name}",
            shown[name],
            f"no value, because {refused[name]}",
            _NOT_HERE if name == TASK_TOKEN_FIELD else "",
        )
        for name in found
    ]
    try:
        parse_request({name: value for name, value in request.items() if name not in found})
    except InvalidInputError as error:
        problems += [Problem(f"request.{p.field}", p.value, p.expected, p.remedy) for p in error.problems]
        return problems
    deadline = request.get("deadline")
    if isinstance(deadline, str) and is_time(deadline):
        expected = "a duration from the start of each execution, such as 'PT6H', because a time passes only once"
        problems.append(Problem("request.deadline", deadline, expected))
    return problems
