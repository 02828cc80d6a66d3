"""The request of a training execution. `{}` trains every enabled model that has a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.checks import check_range
from contract.codec import decode_fields
from contract.problems import InvalidInputError, Problem
from contract.workflow.scoring_request import MAX_CONCURRENCY_LIMIT, check_label, check_model_ids, check_task_token


@dataclass(frozen=True)
class TrainingRequest:
    """Every field is optional; None means: as the recipes or the stage's settings say."""

    models: tuple[str, ...] | None = None
    max_concurrency: int | None = None
    tolerated_failure_percentage: float | None = None
    execution_label: str | None = None
    task_token: str | None = None
    """Of a Step Functions task that waits for this execution (`.waitForTaskToken`); it is answered at the end."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if self.models is not None:
            problems += check_model_ids(
                "models", self.models, "Leave the field out to train every model with a recipe."
            )
        problems += check_range("max_concurrency", self.max_concurrency, 1, MAX_CONCURRENCY_LIMIT, "jobs at once")
        problems += check_range("tolerated_failure_percentage", self.tolerated_failure_percentage, 0, 100, "percent")
        problems += check_label(self.execution_label)
        problems += check_task_token(self.task_token)
        if problems:
            raise InvalidInputError("request", problems)


def parse_training_request(data: Any) -> TrainingRequest:
    """Read the input of a training execution.

    Raises:
        InvalidInputError: with every problem found, none of them only on a later try.
    """
    if not isinstance(data, Mapping):
        raise InvalidInputError("request", [Problem("request", data, "a JSON object such as {}")])
    request, problems = decode_fields(TrainingRequest, data)
    if request is None:
        raise InvalidInputError("request", problems)
    return request
