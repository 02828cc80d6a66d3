"""The deployment settings, typed and checked all at once. No other module reads the CDK context.

cdk.json has them under the context key `fleetscore`; `-c fleetscore.<name>=<value>` overrides one.
docs/reference/settings.md describes every setting.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from constructs import Node

from contract.catalog.image_variants import CORE, IMAGE_VARIANTS, ImageVariant
from contract.catalog.instance_types import check_allowed
from contract.catalog.models import OPTIONAL_FIELDS, Compute
from contract.checks import check_range
from contract.codec import decode_fields
from contract.job.checksum_comparison import ComparedChecksums
from contract.job.limits import MAX_CONCURRENCY_LIMIT
from contract.json_text import JsonError, parse_json
from contract.pool.quota_settings import (
    CAPACITY_WAIT_LIMITS,
    DEFAULT_CAPACITY_WAIT_SECONDS,
    DEFAULT_JOB_STARTS_PER_SECOND,
    JOB_STARTS_LIMITS,
    check_instance_quotas,
)
from contract.problems import InvalidInputError, Problem
from contract.triggers.schedules import Schedule, check_schedules, target_input
from contract.triggers.uploads import UploadRule, check_rules, rules_from_json, rules_to_text
from infra.planning_settings import check_models_per_job, check_planned_types

CONTEXT_KEY = "fleetscore"
COMMENT_KEY = "//"

LONGEST_EXECUTION_DAYS = 365
"""Days after which Step Functions itself ends an execution."""
REDRIVE_DAYS = 14
"""Days after its end in which Step Functions redrives an execution, which then runs again."""

_STAGE = re.compile(r"[a-z][a-z0-9]{0,15}")
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
_SECURITY_GROUP = re.compile(r"sg-[0-9a-f]{8,17}")
_RUNTIME = re.compile(r"python3\.\d+")
_LAYER_ARN = re.compile(
    r"arn:(\{partition\}|aws[a-z-]*):lambda:(\{region\}|[a-z0-9-]+):\d{12}:layer:[A-Za-z0-9{}_-]+:\d+"
)
_IMAGE_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/(?P<repository>[a-z0-9._/-]+)(:[A-Za-z0-9._-]{1,128}|@sha256:[0-9a-f]{64})"
)
_BASE_IMAGE = re.compile(r"[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}")
_A_BASE_IMAGE = "an image with its digest, such as 'python@sha256:<64 hexadecimal digits>', or null"
_AN_IMAGE = (
    "an image in Amazon ECR with its tag or digest, such as "
    "'123456789012.dkr.ecr.eu-central-1.amazonaws.com/fleetscore:1.0.0'"
)
_INSTANCE_TYPES = re.compile(r"ml\.[a-z0-9.*?-]{1,64}")
_LOG_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip


_LONGEST_UPLOADS = 3_000
"""Largest `uploads` setting as JSON, in bytes; Lambda allows 4 KB for all variables."""
_LONGEST_INSTANCE_TYPES = 2_000
"""Largest `instance_types` setting as JSON, in bytes, for the same reason."""
_LONGEST_SCHEDULES = 600_000
"""Largest inputs of all schedules in the template, in bytes. CloudFormation takes a template of 1,000,000."""


def _check_text(pattern: re.Pattern[str], expected: str, name: str, value: str | None) -> list[Problem]:
    if value is None or pattern.fullmatch(value):
        return []
    return [Problem(name, value, expected)]


def _check_ids(name: str, ids: tuple[str, ...], pattern: re.Pattern[str], maximum: int, example: str) -> list[Problem]:
    if not 1 <= len(ids) <= maximum:
        return [Problem(name, list(ids), f"1 to {maximum} ids such as {example}")]
    return [
        Problem(f"{name}[{index}]", item, f"an id such as {example}")
        for index, item in enumerate(ids)
        if not pattern.fullmatch(item)
    ]


def _check_number(low: float, high: float, unit: str, name: str, value: float | None) -> list[Problem]:
    return check_range(name, value, low, high, unit)


def _check_retention(name: str, value: int) -> list[Problem]:
    if value in _LOG_RETENTION_DAYS:
        return []
    return [Problem(name, value, "one of CloudWatch's " + ", ".join(map(str, _LOG_RETENTION_DAYS)))]


def _check_variants(name: str, value: tuple[ImageVariant, ...]) -> list[Problem]:
    if CORE in value and len(set(value)) == len(value):
        return []
    expected = f"each variant once ({', '.join(IMAGE_VARIANTS)}), including {CORE!r}, which serves most frameworks"
    return [Problem(name, list(value), expected)]


def _check_image_uris(name: str, value: Mapping[str, str]) -> list[Problem]:
    others = [variant for variant in IMAGE_VARIANTS if variant != CORE]
    expected = f"a variant other than {CORE!r}, whose image is named by image_uri: {', '.join(others)}"
    problems = [Problem(name, variant, expected) for variant in value if variant not in others]
    for variant, uri in value.items():
        problems += _check_text(_IMAGE_URI, _AN_IMAGE, f"{name}.{variant}", uri)
    return problems


def _check_instance_types(name: str, value: tuple[str, ...]) -> list[Problem]:
    expected = "patterns of instance types such as 'ml.m5.*', in which * is any text and ? is any character"
    if not value:
        return [Problem(name, [], expected, "Name at least the type of compute.instance_type.")]
    size = len(json.dumps(value))
    if size > _LONGEST_INSTANCE_TYPES:
        limit = f"at most {_LONGEST_INSTANCE_TYPES:,} bytes as JSON, so that the functions' variables fit into 4 KB"
        return [Problem(name, f"{size:,} bytes", limit, "Name several types with one pattern, such as 'ml.m5.*'.")]
    return [
        Problem(f"{name}[{index}]", pattern, expected)
        for index, pattern in enumerate(value)
        if not _INSTANCE_TYPES.fullmatch(pattern)
    ]


def _check_schedules(name: str, value: Sequence[Any]) -> list[Problem]:
    problems = check_schedules(name, value, datetime.now(UTC))
    # The template has each input as a text within JSON.
    inputs = [json.dumps(target_input(item), ensure_ascii=False) for item in value if isinstance(item, Schedule)]
    size = sum(len(text.encode()) for text in inputs)
    if size > _LONGEST_SCHEDULES:
        expected = f"requests of at most {_LONGEST_SCHEDULES:,} bytes together, because a template has at most 1 MB"
        remedy = "Select models by tags or fleets, or add schedules with `fleetscore schedules add`."
        problems.append(Problem(name, f"{size:,} bytes", expected, remedy))
    return problems


def _check_compute(name: str, value: Compute) -> list[Problem]:
    names = [field.name for field in fields(Compute) if field.name not in OPTIONAL_FIELDS]
    unset = [field for field in names if getattr(value, field) is None]
    return [
        Problem(f"{name}.{field}", None, "a value, because jobs without their own use the stage's") for field in unset
    ]


def _check_uploads(name: str, value: tuple[UploadRule, ...]) -> list[Problem]:
    problems = check_rules(name, value)
    size = len(rules_to_text(value).encode())
    if size > _LONGEST_UPLOADS:
        expected = f"at most {_LONGEST_UPLOADS:,} bytes as JSON, because a function gets it as an environment variable"
        problems.append(Problem(name, f"{size:,} bytes", expected))
    return problems


def _check_retention_periods(values: Mapping[str, Any]) -> list[Problem]:
    """Check that nothing expires that a running execution needs.

    Records expire `record_days` after the last change of their execution.
    """
    days = values.get("execution_days", LONGEST_EXECUTION_DAYS)
    if not isinstance(days, int):
        return []
    needed = {
        "record_days": (days + REDRIVE_DAYS, f"execution_days and the {REDRIVE_DAYS} days in which it can be redriven"),
        "predictions_expiry_days": (days, "execution_days, or null"),
        "executions_expiry_days": (days, "execution_days, or null"),
    }
    remedy = f"Raise it, or end executions earlier with a smaller execution_days (now {days})."
    problems = []
    for name, (least, why) in needed.items():
        value = values.get(name)
        if isinstance(value, int) and 1 <= value < least:
            expected = f"at least {least} days, because a running execution needs it: {why}"
            problems.append(Problem(name, value, expected, remedy))
    return problems


@dataclass(frozen=True)
class VpcSettings:
    """Subnets and security groups of the jobs' network interfaces."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        problems = _check_ids("subnet_ids", self.subnet_ids, _SUBNET, 16, "'subnet-0123456789abcdef0'")
        problems += _check_ids(
            "security_group_ids", self.security_group_ids, _SECURITY_GROUP, 5, "'sg-0123456789abcdef0'"
        )
        if problems:
            raise InvalidInputError("vpc", problems)


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """The settings of one stage. Periods in days are whole days.

    A field that may be None must default to None: jsii drops every null of a context on its way to
    Python.
    """

    stage: str
    account: str | None = None
    region: str | None = None
    removal: Literal["retain", "destroy"]
    log_retention_days: int
    execution_days: int = LONGEST_EXECUTION_DAYS
    record_days: int
    predictions_expiry_days: int | None = None
    executions_expiry_days: int | None = None
    noncurrent_version_days: int
    access_log_days: int
    compute: Compute
    instance_types: tuple[str, ...]
    instance_quotas: Mapping[str, int] = field(default_factory=dict)
    capacity_wait_seconds: int = DEFAULT_CAPACITY_WAIT_SECONDS
    job_starts_per_second: float = DEFAULT_JOB_STARTS_PER_SECOND
    planned_instance_types: tuple[str, ...] = ()
    default_models_per_job: int | Literal["auto"] = 1
    default_max_concurrency: int
    default_tolerated_failure_percentage: float
    default_tolerated_failed_objects_percentage: float
    default_tolerated_quarantined_rows_percentage: float
    provisioning_margin_seconds: int
    compared_checksums: ComparedChecksums
    image_uri: str | None = None
    image_variants: tuple[ImageVariant, ...] = (CORE,)
    image_accelerator: Literal["cpu", "gpu"] = "cpu"
    image_uris: Mapping[str, str] = field(default_factory=dict)
    base_image: str | None = None
    vpc: VpcSettings | None = None
    lambda_runtime: str
    powertools_layer_arn: str
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    schedules: tuple[Schedule, ...] = ()
    uploads: tuple[UploadRule, ...] = ()

    def __post_init__(self) -> None:
        problems = _check_values(vars(self))
        if problems:
            raise InvalidInputError("settings", problems)

    def named_image(self, variant: ImageVariant) -> str | None:
        """Return the image in ECR that the settings name for a variant.

        None means that the image is built at deployment.
        """
        return self.image_uri if variant == CORE else self.image_uris.get(variant)

    def image_repository_arn(self, variant: ImageVariant = CORE) -> str | None:
        """Return the ARN of the repository of a variant's image; None if no image is named."""
        found = _IMAGE_URI.fullmatch(self.named_image(variant) or "")
        if found is None:
            return None
        partition = (
            "aws-cn" if found["region"].startswith("cn-") else "aws-us-gov" if "-gov-" in found["region"] else "aws"
        )
        return f"arn:{partition}:ecr:{found['region']}:{found['account']}:repository/{found['repository']}"


_CHECKS: dict[str, Callable[[str, Any], list[Problem]]] = {
    "stage": partial(_check_text, _STAGE, "1 to 16 of a-z and 0-9, beginning with a letter"),
    "account": partial(_check_text, _ACCOUNT, "12 digits"),
    "region": partial(_check_text, _REGION, "a Region such as 'eu-central-1'"),
    "log_retention_days": _check_retention,
    "execution_days": partial(_check_number, 1, LONGEST_EXECUTION_DAYS, "days"),
    "record_days": partial(_check_number, 1, 3_650, "days"),
    "predictions_expiry_days": partial(_check_number, 1, 36_500, "days, or null"),
    "executions_expiry_days": partial(_check_number, 1, 36_500, "days, or null"),
    "noncurrent_version_days": partial(_check_number, 1, 36_500, "days"),
    "access_log_days": partial(_check_number, 1, 36_500, "days"),
    "compute": _check_compute,
    "instance_types": _check_instance_types,
    "instance_quotas": check_instance_quotas,
    "capacity_wait_seconds": partial(_check_number, *CAPACITY_WAIT_LIMITS, "seconds"),
    "job_starts_per_second": partial(_check_number, *JOB_STARTS_LIMITS, "jobs per second"),
    "planned_instance_types": check_planned_types,
    "default_models_per_job": check_models_per_job,
    "default_max_concurrency": partial(_check_number, 1, MAX_CONCURRENCY_LIMIT, "jobs at once"),
    "default_tolerated_failure_percentage": partial(_check_number, 0, 100, "percent"),
    "default_tolerated_failed_objects_percentage": partial(_check_number, 0, 100, "percent"),
    "default_tolerated_quarantined_rows_percentage": partial(_check_number, 0, 100, "percent"),
    "provisioning_margin_seconds": partial(_check_number, 60, 86_400, "seconds"),
    "image_uri": partial(_check_text, _IMAGE_URI, _AN_IMAGE),
    "image_variants": _check_variants,
    "image_uris": _check_image_uris,
    "base_image": partial(_check_text, _BASE_IMAGE, _A_BASE_IMAGE),
    "schedules": _check_schedules,
    "lambda_runtime": partial(_check_text, _RUNTIME, "a Lambda runtime such as 'python3.13'"),
    "powertools_layer_arn": partial(_check_text, _LAYER_ARN, "the ARN of a layer version"),
    "uploads": _check_uploads,
}


def _check_values(values: Mapping[str, Any]) -> list[Problem]:
    """Check values that have the right types. Missing names are skipped."""
    problems = [problem for name, check in _CHECKS.items() if name in values for problem in check(name, values[name])]
    account, region = values.get("account"), values.get("region")
    if (account is None) != (region is None):
        value = {"account": account, "region": region}
        problems.append(Problem("account", value, "both account and region, or neither"))
    problems += _check_retention_periods(values)
    compute, allowed = values.get("compute"), values.get("instance_types")
    if isinstance(compute, Compute) and compute.instance_type and allowed:
        problems += check_allowed("compute.instance_type", compute.instance_type, allowed)
        named = {"compute.larger_instance_types": compute.larger_instance_types or ()}
        named["planned_instance_types"] = values.get("planned_instance_types", ())
        for name, types in named.items():
            for index, other in enumerate(types):
                problems += check_allowed(f"{name}[{index}]", other, allowed)
    unused = sorted(
        set(values.get("image_uris", ())) & set(IMAGE_VARIANTS) - set(values.get("image_variants", (CORE,)))
    )
    if unused and CORE not in unused:
        remedy = "Add them to image_variants, or leave them out of image_uris."
        problems.append(Problem("image_uris", unused, "variants that image_variants names", remedy))
    return problems


def read_settings(node: Node) -> AppSettings:
    """Read the settings from the context of a construct tree.

    Raises:
        InvalidInputError: with every problem found.
    """
    return settings_from_context(node.get_all_context())


def settings_from_context(context: Mapping[str, Any]) -> AppSettings:
    """Read the settings from a context without a construct tree. Raises like `read_settings`."""
    base = context.get(CONTEXT_KEY)
    if not isinstance(base, Mapping):
        remedy = "Run from the repository's root, where cdk.json has the settings."
        raise InvalidInputError("settings", [Problem(CONTEXT_KEY, base, "an object with the settings", remedy)])
    values = _without_comments(base)
    problems: list[Problem] = []
    for key in sorted(context):
        if key.startswith(f"{CONTEXT_KEY}."):
            problems += _override(values, key.split(".")[1:], context[key])
    settings, found = decode_fields(AppSettings, values)
    problems += found
    if settings is None:
        # A value of the wrong type stops the decoding, so check the other values separately.
        refused = {re.split(r"[.\[]", problem.field)[0] for problem in problems} | {"compute"}
        accepted = {name: value for name, value in values.items() if name not in refused}
        if "uploads" in accepted:
            accepted["uploads"] = rules_from_json(accepted["uploads"])
        others = _check_values(accepted)
        # Check every schedule, so that a malformed one does not hide one that never fires.
        if "schedules" in refused and isinstance(values["schedules"], list):
            others += _check_schedules("schedules", values["schedules"])
        problems += [problem for problem in others if problem not in problems]
    if settings is None or problems:
        raise InvalidInputError("settings", problems)
    return settings


def _without_comments(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_comments(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if name != COMMENT_KEY
    }


def _override(values: dict[str, Any], path: list[str], value: Any) -> list[Problem]:
    """Apply one `-c fleetscore.<path>=<value>`; on the command line the value is always text."""
    *folders, last = path
    for folder in folders:
        if values.get(folder) is None:
            values[folder] = {}
        values = values[folder]
        if not isinstance(values, dict):
            return [Problem(".".join(path), value, "no such setting", f"{folder} has no settings below it")]
    values[last] = _read_text(value) if isinstance(value, str) else value
    return []


_TEXT_SETTINGS_AS_NUMBERS = re.compile(r"\d{12}")


def _read_text(text: str) -> Any:
    """Parse numbers, null, lists and objects as JSON; the rest, even an account number, is text."""
    if _TEXT_SETTINGS_AS_NUMBERS.fullmatch(text):
        return text
    try:
        return parse_json(text)
    except JsonError:
        # Text that begins like a list or an object is meant as one: the setting's check shows it.
        return text
