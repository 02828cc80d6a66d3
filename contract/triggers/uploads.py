"""Uploads that start executions: the stage's rules, and the manifest of the objects that an
execution scores."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contract.checks import check_range
from contract.codec import decode_fields
from contract.dataset.object_keys import is_data
from contract.json_text import JsonError, parse_json
from contract.names import check_dataset_name
from contract.problems import InvalidInputError, Problem
from contract.triggers.triggered_request import check_triggered_request

MARKER_NAME = "_READY"
"""Name of an object that marks everything in its folder and below as complete."""
NO_MODES = "-"
"""Text of `modes_to_text` without rules."""
_DATASET_CHARACTERS = 38
"""Characters of the dataset's name in an execution's name, which has at most 80."""
_LONGEST_WINDOW_SECONDS = 86_400
"""Longest upload window, in seconds."""
_DECIDED_BY_UPLOADS = {
    "dataset": "the upload decides it",
    "objects_manifest": "the upload decides it",
    "resume": "each upload starts a new execution",
}


def execution_name(dataset: str, batch_id: str) -> str:
    """Return the name of the execution that scores a batch of uploads. It has at most 78 characters."""
    return f"upload-{dataset[:_DATASET_CHARACTERS]}-{batch_id}"


def marks_data(key: str) -> bool:
    """Return whether an object is a marker, and its folder can have data. Writers hide uncommitted
    files in folders whose names begin with "_" or ".".

    >>> [marks_data(key) for key in ("_READY", "day=1/_READY", "_tmp/_READY", ".a/b/_READY", "a.csv")]
    [True, True, False, False, False]
    """
    folder, slash, name = key.rpartition("/")
    return name == MARKER_NAME and is_data(f"{folder}{slash}any")


@dataclass(frozen=True)
class UploadRule:
    """Rule by which uploads to one dataset start executions."""

    dataset: str
    mode: Literal["marker", "window"]
    """`marker`: a `_READY` object starts an execution over the objects that it marks. `window`:
    uploads are gathered for a time."""
    window_seconds: int | None = None
    """Seconds from the first upload of a window to its end. Only for mode `window`."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the execution's input besides the dataset and the manifest."""

    def __post_init__(self) -> None:
        problems = check_dataset_name("dataset", self.dataset)
        limits = f"1 to {_LONGEST_WINDOW_SECONDS:,} seconds"
        if self.mode == "window" and self.window_seconds is None:
            problems.append(Problem("window_seconds", None, f"{limits}, because mode is 'window'"))
        if self.mode == "marker" and self.window_seconds is not None:
            problems.append(Problem("window_seconds", self.window_seconds, "no value, because mode is 'marker'"))
        problems += check_range("window_seconds", self.window_seconds, 1, _LONGEST_WINDOW_SECONDS, "seconds")
        problems += check_triggered_request(self.request, refused=_DECIDED_BY_UPLOADS)
        if problems:
            raise InvalidInputError("UploadRule", problems)


def check_rules(name: str, rules: tuple[UploadRule, ...]) -> list[Problem]:
    """Check that each dataset has at most one rule."""
    datasets = [rule.dataset for rule in rules]
    repeated = sorted({dataset for dataset in datasets if datasets.count(dataset) > 1})
    return [Problem(name, repeated, "one entry per dataset")] if repeated else []


def rules_to_text(rules: tuple[UploadRule, ...]) -> str:
    """Return the rules as text for an environment variable.

    >>> rules_to_text((UploadRule("flights", "window", 300),))
    '[{"dataset":"flights","mode":"window","window_seconds":300}]'
    """
    return json.dumps(
        [
            {
                "dataset": rule.dataset,
                "mode": rule.mode,
                **({} if rule.window_seconds is None else {"window_seconds": rule.window_seconds}),
                **({"request": dict(rule.request)} if rule.request else {}),
            }
            for rule in rules
        ],
        separators=(",", ":"),
    )


def modes_to_text(rules: Iterable[UploadRule]) -> str:
    """Return the dataset and mode of each rule, as text for an output of the stack.

    >>> modes_to_text((UploadRule("flights", "window", 300), UploadRule("orders", "marker")))
    'flights=window:300,orders=marker'
    """
    windows = {rule.dataset: "" if rule.window_seconds is None else f":{rule.window_seconds}" for rule in rules}
    # CloudFormation refuses empty values of outputs.
    return ",".join(f"{rule.dataset}={rule.mode}{windows[rule.dataset]}" for rule in rules) or NO_MODES


def rule_of(dataset: str, modes: str) -> UploadRule | None:
    """Return the rule of a dataset in the text that `modes_to_text` returned, without its request.

    >>> rule_of("flights", "flights=window:300,orders=marker").window_seconds
    300
    """
    for entry in modes.split(","):
        name, _, rest = entry.partition("=")
        if name == dataset:
            mode, _, seconds = rest.partition(":")
            return UploadRule(name, "window", int(seconds)) if mode == "window" else UploadRule(name, "marker")
    return None


def rules_from_text(text: str) -> tuple[UploadRule, ...]:
    """Parse the text that `rules_to_text` returned.

    Raises:
        InvalidInputError: with every problem.
    """
    try:
        data = parse_json(text)
    except JsonError as error:
        raise InvalidInputError("uploads", [Problem("uploads", text, f"a JSON list, but {error}")]) from error
    return rules_from_json(data)


def rules_from_json(data: Any) -> tuple[UploadRule, ...]:
    """Decode a list of rules.

    Raises:
        InvalidInputError: with every problem.
    """
    rules, problems = decode_fields(_Rules, {"uploads": data})
    if rules is None or problems:
        raise InvalidInputError("uploads", problems)
    return rules.uploads


@dataclass(frozen=True)
class _Rules:
    uploads: tuple[UploadRule, ...]


@dataclass(frozen=True)
class ObjectVersion:
    """One upload of one object."""

    key: str
    """Key relative to the dataset's prefix."""
    version_id: str
    """Empty if the bucket has no versions, or if a marker named only the key."""
    etag: str
    size: int
    """Size in bytes."""
    sequencer: str = ""
    """S3's sequencer, which orders the uploads of one key."""

    @property
    def identity(self) -> str:
        """Text that distinguishes this upload from others of the same key."""
        return self.version_id or f"sequencer:{self.sequencer}"


@dataclass(frozen=True)
class UploadManifest:
    """The objects that one execution scores.

    It is written before the execution starts and never changes.
    """

    dataset: str
    origin: Literal["marker", "window", "table"]
    """Origin of the manifest; `table` is a snapshot that the command has read."""
    objects: tuple[ObjectVersion, ...]
    """Each key once."""
    superseded: tuple[ObjectVersion, ...] = ()
    """Uploads of the window that a later upload of the same key replaced."""
    marker: str = ""
    """Key of the marker, relative to the dataset's prefix."""
    problems: tuple[str, ...] = ()
    """Reasons why the marker names nothing to score. The plan refuses the execution with them."""
    names_objects: bool = False
    """Whether a marker or a snapshot lists exactly these objects.

    Otherwise they are all that a folder or a window has, and may not be a part of a table.
    """
    table: str = ""
    """Text that names the table and its snapshot, for messages."""
