"""The request: what the input of an execution may say. `{}` scores every enabled model on its own dataset."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.checks import check_fraction, check_range
from contract.codec import decode_fields
from contract.names import LABEL, UPLOAD_MANIFEST, check_dataset_name, check_instance_type, check_model_id
from contract.problems import InvalidInputError, Problem

MAX_CONCURRENCY_LIMIT = 10_000
"""Child executions of a distributed Map that can be open at once."""


TASK_TOKEN_FIELD = "task_token"  # noqa: S105 - a field's name
TASK_TOKEN_CHARACTERS = 2_048


@dataclass(frozen=True)
class ModelFilter:
    """Chooses models by tags: a model is chosen when it carries every one of them."""

    tags: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.tags:
            raise InvalidInputError("ModelFilter", [Problem("tags", {}, "at least one tag")])


@dataclass(frozen=True)
class TrainFirst:
    """Train models before they are scored, and score with what was promoted."""

    models: tuple[str, ...] | None = None
    """None: those of the request's models that have a recipe."""
    continue_on_failure: bool = False
    """Score with what is current when the training did not succeed. Such an execution never succeeds."""

    def __post_init__(self) -> None:
        remedy = "Leave the field out to train every model of the request that has a recipe."
        if self.models is not None and (problems := check_model_ids("models", self.models, remedy)):
            raise InvalidInputError("train", problems)


@dataclass(frozen=True)
class ExecutionRequest:
    """Every field is optional; None means: as the model's record or the stage's settings say."""

    models: tuple[str, ...] | ModelFilter | None = None
    dataset: str | None = None
    max_concurrency: int | None = None
    tolerated_failure_percentage: float | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    models_per_job: int | None = None
    execution_label: str | None = None
    task_token: str | None = None
    """Of a Step Functions task that waits for this execution (`.waitForTaskToken`); it is answered at the end."""
    tolerated_quarantine_fraction: float | None = None
    objects_manifest: str | None = None
    """Key of an upload manifest in the results bucket: score exactly the objects that it names."""
    train: TrainFirst | None = None
    """Train first, in an execution of the training workflow."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if isinstance(self.models, tuple):
            remedy = "Leave the field out to score every enabled model."
            problems += check_model_ids("models", self.models, remedy)
        if self.dataset is not None:
            problems += check_dataset_name("dataset", self.dataset)
        problems += check_range("max_concurrency", self.max_concurrency, 1, MAX_CONCURRENCY_LIMIT, "jobs at once")
        problems += check_range("tolerated_failure_percentage", self.tolerated_failure_percentage, 0, 100, "percent")
        problems += check_instance_type("instance_type", self.instance_type)
        problems += check_range("instance_count", self.instance_count, 1, 100, "instances a job")
        problems += check_range("models_per_job", self.models_per_job, 1, 1_000, "models")
        problems += check_label(self.execution_label)
        problems += check_task_token(self.task_token)
        problems += check_fraction("tolerated_quarantine_fraction", self.tolerated_quarantine_fraction)
        problems += self._check_manifest()
        if problems:
            raise InvalidInputError("request", problems)

    def _check_manifest(self) -> list[Problem]:
        if self.objects_manifest is None or UPLOAD_MANIFEST.fullmatch(self.objects_manifest):
            return []
        expected = "the key of an upload manifest in the results bucket, uploads/<dataset>/<name>.json"
        return [Problem("objects_manifest", self.objects_manifest, expected)]


def check_label(label: str | None) -> list[Problem]:
    if label is None or LABEL.fullmatch(label):
        return []
    expected = "1 to 64 letters, digits, spaces or any of . _ : / = + @ -, beginning with a letter or digit"
    return [Problem("execution_label", label, expected)]


def check_task_token(token: str | None) -> list[Problem]:
    if token is None or 1 <= len(token) <= TASK_TOKEN_CHARACTERS:
        return []
    return [Problem(TASK_TOKEN_FIELD, token, f"the token of a waiting task, 1 to {TASK_TOKEN_CHARACTERS:,} characters")]


def check_model_ids(name: str, models: tuple[str, ...], remedy: str) -> list[Problem]:
    """What is wrong with a list of model ids; `remedy` says what an empty one was meant to be."""
    if not models:
        return [Problem(name, [], "at least one model id", remedy)]
    problems = [problem for index, model in enumerate(models) for problem in check_model_id(f"{name}[{index}]", model)]
    repeated = sorted(model for model, count in Counter(models).items() if count > 1)
    if repeated:
        problems.append(Problem(name, repeated, "each model id once"))
    return problems


def parse_request(data: Any) -> ExecutionRequest:
    """Read the input of an execution.

    Raises:
        InvalidInputError: with every problem found, none of them only on a later try.
    """
    if not isinstance(data, Mapping):
        raise InvalidInputError("request", [Problem("request", data, "a JSON object such as {}")])
    request, problems = decode_fields(ExecutionRequest, data)
    if request is None:
        raise InvalidInputError("request", problems)
    return request
