"""The request of a training execution. `{}` trains every enabled model that has a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.checks import raise_if_any
from contract.codec import decode_fields
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import check_fields, describe
from contract.workflow.request_size import check_request_size
from contract.workflow.scoring_request import ExecutionOptions, ModelIds, hide_task_token_in_problems


@dataclass(frozen=True, kw_only=True)
class TrainingRequest(ExecutionOptions):
    """A training request.

    Every field is optional. None means the value of the recipe or the stage's settings.
    """

    models: tuple[str, ...] | None = field(
        default=None,
        metadata=describe(
            "Model ids. Left out: every enabled model that has a recipe.",
            check=ModelIds("Leave the field out to train every model with a recipe."),
        ),
    )
    train_unchanged: bool = field(
        default=False,
        metadata=describe(
            "Train also models whose objects, recipe and image are the same as those of their last trained version."
        ),
    )

    def __post_init__(self) -> None:
        raise_if_any(check_fields(self), "request")


def parse_training_request(data: Any) -> TrainingRequest:
    """Parse the input of a training execution and return the request.

    >>> parse_training_request({"models": ["delays-ua"]}).models
    ('delays-ua',)

    Raises:
        InvalidInputError: with every problem that was found.
    """
    if not isinstance(data, Mapping):
        raise InvalidInputError("request", [Problem("request", data, "a JSON object such as {}")])
    request, problems = decode_fields(TrainingRequest, data)
    problems = [*check_request_size(data), *problems]
    if request is None or problems:
        raise InvalidInputError("request", hide_task_token_in_problems(problems))
    return request
