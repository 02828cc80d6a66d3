"""What the names that people and AWS choose may look like."""

import re

from contract.problems import Problem

MODEL_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
DATASET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
EXECUTION_NAME = re.compile(r"[A-Za-z0-9._=+@-]{1,80}")
"""What both Step Functions takes as a name and SageMaker as a tag; ASCII, so that a character is a byte of a key."""
UPLOAD_MANIFEST = re.compile(rf"uploads/{DATASET_NAME.pattern}/[A-Za-z0-9][A-Za-z0-9._-]*\.json")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/=+@-]{0,63}")

_LETTERS = "1 to 63 of a-z, 0-9, '-' and '_', with a letter or digit at both ends"


def check_model_id(field: str, value: str) -> list[Problem]:
    return [] if MODEL_ID.fullmatch(value) else [Problem(field, value, _LETTERS)]


def check_execution_name(field: str, value: str) -> list[Problem]:
    if EXECUTION_NAME.fullmatch(value):
        return []
    expected = "1 to 80 of letters, digits and any of . _ = + @ -"
    return [Problem(field, value, expected, "Start the execution again under such a name.")]


def check_dataset_name(field: str, value: str) -> list[Problem]:
    return [] if DATASET_NAME.fullmatch(value) else [Problem(field, value, _LETTERS)]


def check_version(field: str, value: str) -> list[Problem]:
    if VERSION.fullmatch(value):
        return []
    return [Problem(field, value, "1 to 64 of letters, digits, '.', '-' and '_', with a letter or digit at both ends")]


def check_sha256(field: str, value: str) -> list[Problem]:
    return [] if SHA256.fullmatch(value) else [Problem(field, value, "64 lower-case hexadecimal digits")]


def check_object_key(field: str, value: str) -> list[Problem]:
    """A relative path that is safe to place below a folder: no empty, '.' or '..' part, no leading '/'."""
    parts = value.split("/")
    safe = bool(value) and "\x00" not in value and all(part not in ("", ".", "..") for part in parts)
    return [] if safe else [Problem(field, value, "a relative path without empty, '.' or '..' parts")]


def check_instance_type(name: str, value: str | None) -> list[Problem]:
    if value is None or INSTANCE_TYPE.fullmatch(value):
        return []
    return [Problem(name, value, "a SageMaker instance type such as 'ml.m5.xlarge'")]
