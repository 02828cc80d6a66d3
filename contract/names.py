"""Patterns for names that people and AWS choose, and checks of such names."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from contract.checks import Matches, check_unique
from contract.problems import Problem

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_IN_PATH = re.compile(rf"(?:^|/)\.{{0,2}}(?:/|\Z)|{_CONTROL_CHARACTER.pattern}")
"""Matches paths that `RelativePath` refuses.

For a million keys, it is faster than checking each part.
"""
_LETTERS = "1 to 63 of a-z, 0-9, '-' and '_', with a letter or digit at both ends"


@dataclass(frozen=True)
class RelativePath:
    """A relative path that is safe to place below a folder: no empty, '.' or '..' part, no leading
    '/', no control character but the tab.

    S3 allows control characters in keys, but its XML, other tools and SageMaker may change them.

    >>> RelativePath().problems("model_file", "1/saved_model.pb")
    []
    >>> [problem.expected for problem in RelativePath().problems("model_file", "../model.joblib")]
    ["a relative path without empty, '.' or '..' parts"]
    """

    json_type: Literal["string"] = "string"

    def problems(self, field: str, value: str) -> list[Problem]:
        if not _UNSAFE_IN_PATH.search(value):
            return []
        parts = value.split("/")
        if any(part in ("", ".", "..") for part in parts):
            return [Problem(field, value, "a relative path without empty, '.' or '..' parts")]
        return [Problem(field, value, "a path without control characters", "Copy the object to another key.")]

    def keywords(self) -> dict[str, Any]:
        return {"minLength": 1}


MODEL_ID = Matches(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", _LETTERS)
FLEET_ID_OR_NONE = Matches(rf"(?:{MODEL_ID.pattern})?", f"the id of a fleet: {_LETTERS}")
DATASET_NAME = Matches(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", _LETTERS)
VERSION = Matches(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?",
    "1 to 64 of letters, digits, '.', '-' and '_', with a letter or digit at both ends",
)
SHA256 = Matches(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
INSTANCE_TYPE = Matches(r"ml\.[a-z0-9-]+\.[a-z0-9]+", "a SageMaker instance type such as 'ml.m5.xlarge'")


@dataclass(frozen=True)
class InstanceTypes:
    """Check of a list of instance types: each a type, and each once."""

    json_type: Literal["array"] = "array"

    def problems(self, field: str, value: tuple[str, ...]) -> list[Problem]:
        if len(value) > MAX_LARGER_TYPES:
            return [Problem(field, f"{len(value):,} types", f"at most {MAX_LARGER_TYPES} instance types")]
        found = [
            problem for index, item in enumerate(value) for problem in INSTANCE_TYPE.problems(f"{field}[{index}]", item)
        ]
        return [*found, *check_unique(field, list(value))]

    def keywords(self) -> dict[str, Any]:
        return {"items": INSTANCE_TYPE.keywords(), "maxItems": MAX_LARGER_TYPES, "uniqueItems": True}


MAX_LARGER_TYPES = 10
"""Most instance types that a job may change to."""
JOB_ID = Matches(
    rf"{MODEL_ID.pattern}(?:\.and-[1-9][0-9]{{0,2}}-more|\.fleet)?"
    r"(?:\.part-[1-9][0-9]{0,2}-of-[1-9][0-9]{0,2})?",
    "the id of the job's first model, followed by '.and-<n>-more' when it has more models, or the id of a fleet, "
    "followed by '.fleet'; then '.part-<n>-of-<n>' when it is a part",
)
"""Ids of jobs. They are folder names in S3, and values of the Hive partition `job_id`."""
EXECUTION_NAME = Matches(
    r"(?!\.{1,2}$)[A-Za-z0-9._=+@-]{1,80}",
    "1 to 80 of letters, digits and any of . _ = + @ -, but not '.' or '..'",
    "Start the execution again with a valid name.",
)
"""Names of executions that the workflow accepts: valid in both Step Functions and SageMaker tags.

All characters are ASCII, so each takes one byte in an S3 key. `.` and `..` are names of folders.
"""
NEW_EXECUTION_NAME = Matches(r"[0-9A-Za-z_-]{1,80}", "1 to 80 letters, digits, '-' and '_'")
"""Names that the command gives to executions: they need no quoting in a shell, a URL or a log
filter."""
UPLOAD_MANIFEST = Matches(
    rf"uploads/{DATASET_NAME.pattern}/[A-Za-z0-9][A-Za-z0-9._-]*\.json",
    "the key of an upload manifest in the results bucket, uploads/<dataset>/<name>.json",
)
OBJECT_KEY = RelativePath()
_LETTER = r"A-Za-z0-9\u00c0-\u061b\u061d-\u180d\u180f-\u1fff\u3040-\ud7ff"
"""Letters and digits of all common scripts, without characters that nobody sees."""
LABEL = Matches(
    rf"[{_LETTER}][{_LETTER} ._:/=+@-]{{0,63}}",
    "1 to 64 letters, digits, spaces or any of . _ : / = + @ -, beginning with a letter or digit",
)


def check_model_id(field: str, value: str) -> list[Problem]:
    """Check the id of a model.

    >>> check_model_id("model_id", "delays-ua")
    []
    >>> [problem.expected for problem in check_model_id("model_id", "Delays UA")]
    ["1 to 63 of a-z, 0-9, '-' and '_', with a letter or digit at both ends"]
    """
    return MODEL_ID.problems(field, value)


def check_execution_name(field: str, value: str) -> list[Problem]:
    return EXECUTION_NAME.problems(field, value)


def check_job_id(field: str, value: str) -> list[Problem]:
    """Check the id of a job.

    >>> check_job_id("job_id", "delays-aa.and-12-more")
    []
    >>> [problem.field for problem in check_job_id("job_id", "../delays-aa")]
    ['job_id']
    """
    return JOB_ID.problems(field, value)


def check_dataset_name(field: str, value: str) -> list[Problem]:
    return DATASET_NAME.problems(field, value)


def check_version(field: str, value: str) -> list[Problem]:
    return VERSION.problems(field, value)


def check_sha256(field: str, value: str) -> list[Problem]:
    return SHA256.problems(field, value)


def check_instance_type(field: str, value: str | None) -> list[Problem]:
    return INSTANCE_TYPE.problems(field, value)


def check_object_key(field: str, value: str) -> list[Problem]:
    return OBJECT_KEY.problems(field, value)
