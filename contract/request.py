"""The request: what the input of an execution may say. `{}` scores every enabled model on its own dataset."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.catalog import check_instance_type, check_range
from contract.codec import decode_fields
from contract.names import LABEL, UPLOAD_MANIFEST, check_dataset_name, check_model_id
from contract.problems import InvalidInputError, Problem
from contract.spec import check_fraction

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

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if isinstance(self.models, tuple):
            problems += _check_model_ids(self.models)
        if self.dataset is not None:
            problems += check_dataset_name("dataset", self.dataset)
        problems += check_range("max_concurrency", self.max_concurrency, 1, MAX_CONCURRENCY_LIMIT, "jobs at once")
        problems += check_range("tolerated_failure_percentage", self.tolerated_failure_percentage, 0, 100, "percent")
        problems += check_instance_type("instance_type", self.instance_type)
        problems += check_range("instance_count", self.instance_count, 1, 100, "instances a job")
        problems += check_range("models_per_job", self.models_per_job, 1, 1_000, "models")
        if self.execution_label is not None and not LABEL.fullmatch(self.execution_label):
            expected = "1 to 64 letters, digits, spaces or any of . _ : / = + @ -, beginning with a letter or digit"
            problems.append(Problem("execution_label", self.execution_label, expected))
        if self.task_token is not None and not 1 <= len(self.task_token) <= TASK_TOKEN_CHARACTERS:
            expected = f"the token of a waiting task, 1 to {TASK_TOKEN_CHARACTERS:,} characters"
            problems.append(Problem(TASK_TOKEN_FIELD, self.task_token, expected))
        problems += check_fraction("tolerated_quarantine_fraction", self.tolerated_quarantine_fraction)
        problems += self._check_manifest()
        if problems:
            raise InvalidInputError("request", problems)

    def _check_manifest(self) -> list[Problem]:
        if self.objects_manifest is None or UPLOAD_MANIFEST.fullmatch(self.objects_manifest):
            return []
        expected = "the key of an upload manifest in the results bucket, uploads/<dataset>/<name>.json"
        return [Problem("objects_manifest", self.objects_manifest, expected)]


def _check_model_ids(models: tuple[str, ...]) -> list[Problem]:
    if not models:
        remedy = "Leave the field out to score every enabled model."
        return [Problem("models", [], "at least one model id", remedy)]
    problems = [problem for index, model in enumerate(models) for problem in check_model_id(f"models[{index}]", model)]
    repeated = sorted(model for model, count in Counter(models).items() if count > 1)
    if repeated:
        problems.append(Problem("models", repeated, "each model id once"))
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
