"""The scoring request: the input of an execution.

`{}` scores every enabled model, or its fleet, on its own dataset.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from contract.catalog.instance_types import MAX_INSTANCES
from contract.checks import Fraction, Length, NotEmpty, Range, raise_if_any
from contract.codec import decode_fields
from contract.job.limits import MAX_CONCURRENCY_LIMIT, MAX_MODELS_PER_JOB
from contract.layout import RequestedLayout
from contract.names import (
    DATASET_NAME,
    EXECUTION_NAME,
    INSTANCE_TYPE,
    LABEL,
    MODEL_ID,
    UPLOAD_MANIFEST,
    check_model_id,
)
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import check_fields, describe
from contract.workflow.planning_options import PlanningOptions
from contract.workflow.request_size import check_request_size

JOINED_MODELS_PER_JOB = 100
"""Maximum number of models that share a job with a joined output, if the request does not say."""


TASK_TOKEN_FIELD = "task_token"  # noqa: S105 - a field's name
TASK_TOKEN_CHARACTERS = 2_048
"""Longest task token, in characters."""
_HIDDEN = "(hidden)"
_TASK_TOKEN_IN_JSON = re.compile(rf'("{TASK_TOKEN_FIELD}"\s*:\s*)"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class ModelIds:
    """Check of a list of ids of models or fleets: at least one, and each once."""

    remedy: str
    """Remedy for an empty list."""
    kind: str = "model"
    json_type: Literal["array"] = "array"

    def problems(self, field: str, value: tuple[str, ...]) -> list[Problem]:
        if not value:
            return [Problem(field, [], f"at least one {self.kind} id", self.remedy)]
        problems = [
            problem for index, model in enumerate(value) for problem in check_model_id(f"{field}[{index}]", model)
        ]
        # Counter takes linear time: an input of 256 KB can hold 40,000 ids.
        repeated = sorted(model for model, count in Counter(value).items() if count > 1)
        if repeated:
            problems.append(Problem(field, repeated, f"each {self.kind} id once"))
        return problems

    def keywords(self) -> dict[str, Any]:
        return {"items": MODEL_ID.keywords(), "minItems": 1, "uniqueItems": True}


@dataclass(frozen=True)
class ModelFilter:
    """A selection of models by their tags."""

    tags: Mapping[str, str] = field(
        metadata=describe("Tags that a model must carry, all of them.", check=NotEmpty("at least one tag", "object"))
    )

    def __post_init__(self) -> None:
        raise_if_any(check_fields(self), "ModelFilter")


@dataclass(frozen=True)
class TrainFirst:
    """The request to train models first, and to score with the versions that are promoted."""

    models: tuple[str, ...] | None = field(
        default=None,
        metadata=describe(
            "Model ids. Left out: the selected models that have a recipe.",
            check=ModelIds("Leave the field out to train every model of the request that has a recipe."),
        ),
    )
    continue_on_failure: bool = field(
        default=False,
        metadata=describe(
            "Score with the current versions if the training does not succeed. Such an execution never succeeds."
        ),
    )
    train_unchanged: bool = field(
        default=False,
        metadata=describe(
            "Train also models whose objects, recipe and image are the same as those of their last trained version."
        ),
    )

    def __post_init__(self) -> None:
        raise_if_any(check_fields(self), "train")


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Fields that every request has."""

    max_concurrency: int | None = field(
        default=None,
        metadata=describe(
            "Maximum number of jobs that run at once.", check=Range(1, MAX_CONCURRENCY_LIMIT, "jobs at once")
        ),
    )
    tolerated_failure_percentage: float | None = field(
        default=None,
        metadata=describe(
            "Percentage of failed jobs above which the execution starts no new jobs.", check=Range(0, 100, "percent")
        ),
    )
    priority: int | None = field(
        default=None,
        metadata=describe(
            "Priority with which the execution's jobs get instances when a quota is used up. Default: 5.",
            check=Range(0, 9, "(9 comes first)"),
        ),
    )
    execution_label: str | None = field(
        default=None,
        metadata=describe("Text for people: letters of any script, digits, spaces and . _ : / = + @ -", check=LABEL),
    )
    task_token: str | None = field(
        default=None,
        metadata=describe(
            "Token of a Step Functions task that waits for this execution (.waitForTaskToken). It is answered when "
            "the execution ends.",
            check=Length(
                1, TASK_TOKEN_CHARACTERS, f"the token of a waiting task, 1 to {TASK_TOKEN_CHARACTERS:,} characters"
            ),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ExecutionRequest(PlanningOptions, ExecutionOptions):
    """A scoring request.

    Every field is optional. None means the value of the model's record or the stage's settings.
    """

    models: tuple[str, ...] | ModelFilter | None = field(
        default=None,
        metadata=describe(
            "Model ids, or tags that every selected model carries. Left out: every enabled model, unless the request "
            "has fleets. A fleet is scored with all its models: name it in fleets, not its models here.",
            check=ModelIds("Leave the field out to score every enabled model."),
        ),
    )
    fleets: tuple[str, ...] | None = field(
        default=None,
        metadata=describe(
            "Ids of fleets. Left out: every fleet with enabled models, unless the request has models.",
            check=ModelIds("Leave the field out to score every fleet.", kind="fleet"),
        ),
    )
    dataset: str | None = field(
        default=None, metadata=describe("One dataset for all selected models and fleets.", check=DATASET_NAME)
    )
    instance_type: str | None = field(
        default=None, metadata=describe("SageMaker instance type, such as ml.m5.xlarge.", check=INSTANCE_TYPE)
    )
    instance_count: int | None = field(
        default=None, metadata=describe("Instances per job.", check=Range(1, MAX_INSTANCES, "instances per job"))
    )
    spot: bool | None = field(
        default=None,
        metadata=describe(
            "Score by SageMaker training jobs on spot capacity, or not. Left out: as the models' records or the stage "
            "say."
        ),
    )
    models_per_job: int | Literal["auto"] | None = field(
        default=None,
        metadata=describe(
            "Maximum number of models that share a job over one dataset. auto: the planner decides.",
            check=Range(1, MAX_MODELS_PER_JOB, "models"),
        ),
    )
    output_layout: RequestedLayout = field(
        default="per_model",
        metadata=describe(
            "per_model: an output per object and model. joined: one per object, with the prediction columns of all "
            "models of the job. Fleets have their own layout in both cases."
        ),
    )
    joined_nulls: bool = field(
        default=False,
        metadata=describe(
            "Write a joined output with nulls for the models that cannot score its object. Otherwise such an object "
            "has no output."
        ),
    )
    tolerated_quarantine_fraction: float | None = field(
        default=None,
        metadata=describe(
            "Share of an object's rows, from 0 to 1, that may go to quarantine. Overrides the models' records.",
            check=Fraction(),
        ),
    )
    tolerated_failed_objects_percentage: float | None = field(
        default=None,
        metadata=describe(
            "Percentage of the execution's objects that may fail, above which it starts no new jobs. An object counts "
            "once per model.",
            check=Range(0, 100, "percent"),
        ),
    )
    tolerated_quarantined_rows_percentage: float | None = field(
        default=None,
        metadata=describe(
            "Percentage of the execution's rows that may go to quarantine, above which it starts no new jobs and does "
            "not succeed.",
            check=Range(0, 100, "percent"),
        ),
    )
    objects_manifest: str | None = field(
        default=None,
        metadata=describe(
            "Key of an upload manifest in the results bucket. The execution scores exactly the objects that it names.",
            check=UPLOAD_MANIFEST,
        ),
    )
    train: TrainFirst | None = field(
        default=None,
        metadata=describe(
            "Train first, in an execution of the training workflow, and score with the versions that were promoted. "
            "{}: every selected model that has a recipe."
        ),
    )

    keep_scored: bool = field(
        default=False,
        metadata=describe(
            "Keep what earlier executions have scored of the same objects with the same models, in the same way, and "
            "score the rest."
        ),
    )
    resume: str | None = field(
        default=None,
        metadata=describe(
            "Id of an execution that has ended. This one continues it: it keeps what is scored already, and scores "
            "the rest.",
            check=EXECUTION_NAME,
        ),
    )

    def __post_init__(self) -> None:
        problems = [*check_fields(self), *self.check_deadline(), *self._check_resume()]
        if self.joined_nulls and self.output_layout != "joined":
            remedy = "Set output_layout to 'joined', or leave joined_nulls out."
            problems.append(Problem("joined_nulls", True, "false, because output_layout is not 'joined'", remedy))
        raise_if_any(problems, "request")

    def _check_resume(self) -> list[Problem]:
        """Return a problem per field that a resumed execution takes from the one that it continues."""
        if self.resume is None:
            return []
        set_fields = {
            "dataset": self.dataset,
            "objects_manifest": self.objects_manifest,
            "keep_scored": self.keep_scored or None,
            "train": None if self.train is None else "{…}",
            "output_layout": None if self.output_layout == "per_model" else self.output_layout,
            "joined_nulls": self.joined_nulls or None,
        }
        expected = "nothing, because the request has resume: it is that of the resumed execution"
        remedies = {"train": "Train first with `fleetscore train`, then resume."}
        return [
            Problem(name, value, expected, remedies.get(name, "Leave the field out."))
            for name, value in set_fields.items()
            if value is not None
        ]


def hide_task_token(request: Any) -> Any:
    """Return a request, which may be an invalid one or its JSON text, without its task token.

    >>> hide_task_token({"models": ["churn"], "task_token": "AQC..."})
    {'models': ['churn'], 'task_token': '(hidden)'}
    >>> hide_task_token('{"models": ["churn"], "task_token": "AQC..."}')
    '{"models": ["churn"], "task_token": "(hidden)"}'
    """
    if isinstance(request, str):
        # Not parsed, because parsers refuse some texts that were accepted as input of an execution.
        return _TASK_TOKEN_IN_JSON.sub(rf'\1"{_HIDDEN}"', request)
    if isinstance(request, Mapping) and TASK_TOKEN_FIELD in request:
        return {**request, TASK_TOKEN_FIELD: _HIDDEN}
    return request


def hide_task_token_in_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems without the task token, because messages show their values."""
    return [
        replace(problem, value=_HIDDEN) if problem.field.startswith(TASK_TOKEN_FIELD) else problem
        for problem in problems
    ]


def parse_request(data: Any) -> ExecutionRequest:
    """Parse the input of an execution and return the request.

    >>> parse_request({"dataset": "flights"}).dataset
    'flights'

    Raises:
        InvalidInputError: with every problem that was found.
    """
    if not isinstance(data, Mapping):
        raise InvalidInputError("request", [Problem("request", data, "a JSON object such as {}")])
    request, problems = decode_fields(ExecutionRequest, data)
    problems = [*check_request_size(data), *problems]
    if request is None or problems:
        raise InvalidInputError("request", hide_task_token_in_problems(problems))
    return request
