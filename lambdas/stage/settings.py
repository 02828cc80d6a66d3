"""The environment variables of the functions, read and validated once per process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast, get_args

from contract import environment
from contract.catalog.image_variants import CORE, IMAGE_VARIANTS, ImageVariant
from contract.catalog.models import OPTIONAL_FIELDS, Compute
from contract.checks import check_range
from contract.codec import SCHEMA_VERSION_FIELD, decode_fields
from contract.job.checksum_comparison import ComparedChecksums
from contract.job.limits import MAX_CONCURRENCY_LIMIT, MAX_MODELS_PER_JOB
from contract.json_text import JsonError, parse_json
from contract.pool.quota_settings import (
    CAPACITY_WAIT_LIMITS,
    DEFAULT_CAPACITY_WAIT_SECONDS,
    DEFAULT_JOB_STARTS_PER_SECOND,
    JOB_STARTS_LIMITS,
    check_instance_quotas,
)
from contract.problems import InvalidInputError, Problem
from contract.triggers.uploads import UploadRule, rules_from_text
from contract.workflow.planning_options import AUTO

N = TypeVar("N", int, float)
_Limits = tuple[float, float, str]
"""Lowest value, highest value, unit."""
_PERCENT: _Limits = (0, 100, "percent")

_REMEDY = "The stack of the workflow sets it: deploy that stack again."
_TRIGGERS_REMEDY = "The stack of the triggers sets it: deploy that stack again."


@dataclass(frozen=True)
class StageSettings:
    """Settings of every function in the two workflows."""

    stage: str
    table_name: str
    datasets_bucket: str
    models_bucket: str
    results_bucket: str
    key_arn: str
    record_days: int
    """Days after which table records expire."""
    predictions_expiry_days: int | None = None
    """Days after which S3 deletes outputs; None if it never does. Only SummarizeExecution reads it."""
    instance_quotas: Mapping[str, int] = field(default_factory=dict)
    """Quotas that the stage sets itself. Like the next ones, only the functions that plan and admit jobs have it."""
    capacity_wait_seconds: int = DEFAULT_CAPACITY_WAIT_SECONDS
    """Longest time that a job waits for capacity."""
    job_starts_per_second: float = DEFAULT_JOB_STARTS_PER_SECOND
    """Most SageMaker jobs of a kind that are created per second."""


@dataclass(frozen=True)
class PlanDefaults:
    """Values for jobs and executions whose request and model set none."""

    compute: Compute
    max_concurrency: int
    tolerated_failure_percentage: float
    tolerated_failed_objects_percentage: float
    tolerated_quarantined_rows_percentage: float
    instance_types: tuple[str, ...]
    """Patterns of the instance types that the stage allows."""
    image_uris: Mapping[ImageVariant, str] = field(default_factory=dict)
    """URI of each deployed image."""
    models_per_job: int | Literal["auto"] = 1
    planned_instance_types: tuple[str, ...] = ()
    """Instance types that the planner may choose from. Empty: the one of `compute`."""


@dataclass(frozen=True)
class UploadSettings:
    """Settings of StartOnUpload."""

    rules: tuple[UploadRule, ...]
    queue_url: str
    state_machine_arn: str


@dataclass(frozen=True)
class EventBusSettings:
    """Settings of AnnounceStatus."""

    stage: str
    bus_name: str


def read_settings(variables: Mapping[str, str]) -> StageSettings:
    """Return the settings of every function in the two workflows.

    Raises:
        InvalidInputError: with every variable that is missing or invalid.
    """
    problems: list[Problem] = []
    settings = StageSettings(
        stage=_text(variables, environment.STAGE, problems),
        table_name=_text(variables, environment.TABLE_NAME, problems),
        datasets_bucket=_text(variables, environment.DATASETS_BUCKET, problems),
        models_bucket=_text(variables, environment.MODELS_BUCKET, problems),
        results_bucket=_text(variables, environment.RESULTS_BUCKET, problems),
        key_arn=_text(variables, environment.KEY_ARN, problems),
        record_days=_number(int, variables, environment.RECORD_DAYS, problems, (1, 3_650, "days")),
        predictions_expiry_days=_days_or_never(variables, environment.PREDICTIONS_EXPIRY_DAYS, problems),
        instance_quotas=_instance_quotas(variables, environment.INSTANCE_QUOTAS, problems),
        capacity_wait_seconds=_number(
            int,
            {environment.CAPACITY_WAIT_SECONDS: str(DEFAULT_CAPACITY_WAIT_SECONDS), **variables},
            environment.CAPACITY_WAIT_SECONDS,
            problems,
            (*CAPACITY_WAIT_LIMITS, "seconds"),
        ),
        job_starts_per_second=_number(
            float,
            {environment.JOB_STARTS_PER_SECOND: str(DEFAULT_JOB_STARTS_PER_SECOND), **variables},
            environment.JOB_STARTS_PER_SECOND,
            problems,
            (*JOB_STARTS_LIMITS, "jobs per second"),
        ),
    )
    if problems:
        raise InvalidInputError("environment", problems)
    return settings


def read_plan_defaults(variables: Mapping[str, str]) -> PlanDefaults:
    """Return the defaults that PlanExecution and PlanTraining use.

    Raises:
        InvalidInputError: with every variable that is missing or invalid.
    """
    problems: list[Problem] = []
    defaults = PlanDefaults(
        compute=_compute(variables, environment.DEFAULT_COMPUTE, problems),
        max_concurrency=_number(
            int,
            variables,
            environment.DEFAULT_MAX_CONCURRENCY,
            problems,
            (1, MAX_CONCURRENCY_LIMIT, "jobs at once"),
        ),
        tolerated_failure_percentage=_number(
            float, variables, environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE, problems, _PERCENT
        ),
        tolerated_failed_objects_percentage=_number(
            float, variables, environment.DEFAULT_TOLERATED_FAILED_OBJECTS_PERCENTAGE, problems, _PERCENT
        ),
        tolerated_quarantined_rows_percentage=_number(
            float, variables, environment.DEFAULT_TOLERATED_QUARANTINED_ROWS_PERCENTAGE, problems, _PERCENT
        ),
        image_uris=_image_uris(variables, environment.IMAGE_URIS, problems),
        instance_types=_patterns(variables, environment.INSTANCE_TYPES, problems),
        models_per_job=_models_per_job(variables, environment.DEFAULT_MODELS_PER_JOB, problems),
        planned_instance_types=_types(variables, environment.PLANNED_INSTANCE_TYPES, problems),
    )
    if problems:
        raise InvalidInputError("environment", problems)
    return defaults


def read_compared_checksums(variables: Mapping[str, str]) -> ComparedChecksums:
    """Return the setting that selects the outputs whose checksums are compared.

    Raises:
        InvalidInputError: when the variable is missing or invalid.
    """
    value = variables.get(environment.COMPARED_CHECKSUMS, "")
    for known in get_args(ComparedChecksums):
        if value == known:
            return cast("ComparedChecksums", known)
    expected = " or ".join(map(repr, get_args(ComparedChecksums)))
    raise InvalidInputError("environment", [Problem(environment.COMPARED_CHECKSUMS, value, expected, _REMEDY)])


def read_upload_settings(variables: Mapping[str, str]) -> UploadSettings:
    """Return the settings of StartOnUpload.

    Raises:
        InvalidInputError: with every variable that is missing or invalid.
    """
    problems: list[Problem] = []
    rules: tuple[UploadRule, ...] = ()
    try:
        rules = rules_from_text(_text(variables, environment.UPLOADS, problems) or "[]")
    except InvalidInputError as error:
        problems.extend(error.problems)
    settings = UploadSettings(
        rules=rules,
        queue_url=_text(variables, environment.UPLOADS_QUEUE_URL, problems),
        state_machine_arn=_text(variables, environment.STATE_MACHINE_ARN, problems),
    )
    if problems:
        raise InvalidInputError("environment", problems)
    return settings


def read_event_bus_settings(variables: Mapping[str, str]) -> EventBusSettings:
    """Return the settings of AnnounceStatus.

    Raises:
        InvalidInputError: with every variable that is missing.
    """
    problems: list[Problem] = []
    settings = EventBusSettings(
        stage=_text(variables, environment.STAGE, problems),
        bus_name=_text(variables, environment.EVENT_BUS_NAME, problems),
    )
    if problems:
        raise InvalidInputError("environment", problems)
    return settings


def read_state_machine_arn(variables: Mapping[str, str]) -> str:
    """Return the ARN of the state machine that schedules start.

    Raises:
        InvalidInputError: when the variable is missing.
    """
    arn = variables.get(environment.STATE_MACHINE_ARN, "")
    if not arn:
        problem = Problem(environment.STATE_MACHINE_ARN, arn, "an ARN", _TRIGGERS_REMEDY)
        raise InvalidInputError("environment", [problem])
    return arn


def _text(variables: Mapping[str, str], name: str, problems: list[Problem]) -> str:
    value = variables.get(name, "")
    if not value:
        problems.append(Problem(name, value, "a value", _REMEDY))
    return value


def _days_or_never(variables: Mapping[str, str], name: str, problems: list[Problem]) -> int | None:
    return _number(int, variables, name, problems, (1, 36_500, "days")) if variables.get(name) else None


def _number(
    parse: Callable[[str], N], variables: Mapping[str, str], name: str, problems: list[Problem], limits: _Limits
) -> N:
    text = variables.get(name, "")
    low, high, unit = limits
    try:
        number = parse(text)
    except ValueError:
        problems.append(Problem(name, text, f"{low:,} to {high:,} {unit}", _REMEDY))
        return parse("0")
    problems.extend(check_range(name, number, low, high, unit))
    return number


def _json(variables: Mapping[str, str], name: str) -> Any:
    """Return the variable's value; None when it is not JSON."""
    try:
        return parse_json(variables.get(name, ""))
    except JsonError:
        return None


def _compute(variables: Mapping[str, str], name: str, problems: list[Problem]) -> Compute:
    expected = "JSON of a Compute with every field set"
    data = _json(variables, name)
    if not isinstance(data, dict):
        problems.append(Problem(name, variables.get(name, ""), expected, _REMEDY))
        return Compute()
    data.pop(SCHEMA_VERSION_FIELD, None)
    compute, found = decode_fields(Compute, data)
    if compute is None or found:
        problems.extend(found)
        return Compute()
    unset = [field for field, value in vars(compute).items() if value is None and field not in OPTIONAL_FIELDS]
    problems.extend(Problem(f"{name}.{field}", None, expected, _REMEDY) for field in unset)
    return compute


def _patterns(variables: Mapping[str, str], name: str, problems: list[Problem]) -> tuple[str, ...]:
    data = _json(variables, name)
    if not isinstance(data, list) or not data or not all(isinstance(item, str) for item in data):
        problems.append(Problem(name, variables.get(name, ""), "a JSON list of patterns such as 'ml.m5.*'", _REMEDY))
        return ()
    return tuple(data)


def _instance_quotas(variables: Mapping[str, str], name: str, problems: list[Problem]) -> dict[str, int]:
    """Return the variable's quotas; none if the function does not have the variable."""
    data = _json(variables, name) if variables.get(name) else {}
    found = check_instance_quotas(name, data) if isinstance(data, dict) else [Problem(name, data, "JSON of quotas")]
    problems.extend(Problem(problem.field, problem.value, problem.expected, _REMEDY) for problem in found)
    return {} if found else data


def _types(variables: Mapping[str, str], name: str, problems: list[Problem]) -> tuple[str, ...]:
    data = _json(variables, name)
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        problems.append(Problem(name, variables.get(name, ""), "a JSON list of instance types", _REMEDY))
        return ()
    return tuple(data)


def _models_per_job(variables: Mapping[str, str], name: str, problems: list[Problem]) -> int | Literal["auto"]:
    if variables.get(name) == AUTO:
        return AUTO
    return _number(int, variables, name, problems, (1, MAX_MODELS_PER_JOB, "models, or 'auto'"))


def _image_uris(variables: Mapping[str, str], name: str, problems: list[Problem]) -> dict[ImageVariant, str]:
    data = _json(variables, name)
    known = data if isinstance(data, dict) else {}
    if CORE not in known or set(known) - set(IMAGE_VARIANTS) or not all(isinstance(uri, str) for uri in known.values()):
        expected = f"JSON with one image URI per variant ({', '.join(IMAGE_VARIANTS)}), {CORE!r} included"
        problems.append(Problem(name, variables.get(name, ""), expected, _REMEDY))
        return {}
    return {variant: known[variant] for variant in IMAGE_VARIANTS if variant in known}
