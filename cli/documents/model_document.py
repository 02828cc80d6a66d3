"""A model to register, described by a JSON file, flags, or both.

Every problem is reported at once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contract.catalog.compute_fields import ComputeFields
from contract.catalog.model_fields import Feature, RegistrationFields, ScoringFields
from contract.catalog.model_formats import (
    FRAMEWORK_OF_FORMAT,
    Framework,
)
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, CurrentChange, Model, ModelVersion
from contract.codec import decode_fields
from contract.dataset.feature_types import parse_feature, split_features
from contract.json_text import MAX_BYTES, JsonError, parse_json
from contract.names import MODEL_ID, VERSION, check_model_id, check_version
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import describe, values_of
from contract.table.catalog_items import version_item

_ANY_SHA256 = "0" * 64
"""Placeholder for the artifact's digest while everything else is checked."""


@dataclass(frozen=True)
class ModelDocument(ScoringFields, RegistrationFields, ComputeFields):
    """A model version to register, with the fields of `model.json`."""

    model_id: str = field(kw_only=True, metadata=describe("Identity of the model.", check=MODEL_ID))
    artifact: str = field(
        kw_only=True,
        metadata=describe(
            "Where model.tar.gz is: an s3:// address, or a path relative to the JSON file or the working directory.",
            metavar="PATH|s3://…",
        ),
    )
    framework: Framework | None = field(
        default=None,
        metadata=describe(
            "Framework that loads the model.",
            default="the framework of the format",
            group="Loading and custom code",
            metavar="NAME",
        ),
    )
    version: str | None = field(
        default=None,
        metadata=describe(
            "Name of the version.", check=VERSION, default="the next whole number", group="Version", metavar="V"
        ),
    )
    enabled: bool | None = field(
        default=None,
        metadata=describe(
            "Whether executions score the model.",
            default="as the model is now; a new model is enabled",
            group="Version",
            flag="--disabled",
            flag_help="Keep the model out of executions.",
        ),
    )
    tags: Mapping[str, str] | None = field(
        default=None,
        metadata=describe(
            "Tags of the model, replacing the ones it has.",
            default="the model keeps its tags",
            group="Version",
            flag="--tag",
            flag_help="Tag of the model; repeatable. The tags replace those that the model has.",
            metavar="KEY=VALUE",
        ),
    )

    def __post_init__(self) -> None:
        problems = check_model_id("model_id", self.model_id)
        if self.version is not None:
            problems += check_version("version", self.version)
        try:
            self.model_version("1" if problems else self.version or "1", _ANY_SHA256, 0)
        except InvalidInputError as error:
            problems += [problem for problem in error.problems if problem.field not in ("model_id", "version")]
        if problems:
            raise InvalidInputError("model", problems)

    def model_version(
        self,
        version: str,
        sha256: str,
        size: int,
        *,
        registered_at: str = "",
        registered_by: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Return the catalog's record of this document, with an artifact of `size` bytes.

        Without `tags`, it has the tags of the document. It may be too large for the table.

        Raises:
            InvalidInputError: with every problem of the record.
        """
        problems: list[Problem] = []
        spec = compute = None
        try:
            spec = self.spec(version, sha256, size)
            problems += spec.check_output_columns()
        except InvalidInputError as error:
            problems += error.problems
        try:
            compute = Compute(**values_of(ComputeFields, self))
        except InvalidInputError as error:
            problems += error.problems
        try:
            # Placeholders replace refused parts, so that all problems are reported together.
            record = ModelVersion(
                spec=spec or _ANY_SPEC,
                compute=compute or Compute(),
                registered_at=registered_at,
                registered_by=registered_by,
                tags=(self.tags or {}) if tags is None else tags,
                **values_of(RegistrationFields, self),
            )
        except InvalidInputError as error:
            problems += error.problems
        if problems:
            raise InvalidInputError("model", problems)
        return record

    def spec(self, version: str, sha256: str, size: int) -> ModelSpec:
        """Return the spec of this document, with an artifact of `size` bytes.

        Raises:
            InvalidInputError: with every problem of the spec.
        """
        return ModelSpec(
            model_id=self.model_id,
            version=version,
            artifact_sha256=sha256,
            artifact_bytes=size,
            framework=self.framework or FRAMEWORK_OF_FORMAT[self.format],
            **values_of(ScoringFields, self),
        )

    def tags_for(self, before: Model | None) -> Mapping[str, str]:
        """Return this document's tags or, if it has none, the tags of the model."""
        if self.tags is not None:
            return self.tags
        return {} if before is None else before.tags

    def model(self, before: Model | None, change: CurrentChange) -> Model:
        """Return the model after this document became its current version."""
        if before is None:
            history = (change,)
            enabled = self.enabled is not False
            return Model(
                self.model_id, change.version, enabled, self.tags_for(None), change.changed_at, history=history
            )
        enabled = before.enabled if self.enabled is None else self.enabled
        after = replace(before.with_current(change), enabled=enabled, tags=self.tags_for(before))
        return after if after == before else replace(after, updated_at=change.changed_at)


_ANY_SPEC = ModelSpec(
    model_id="any",
    version="1",
    artifact_sha256=_ANY_SHA256,
    artifact_bytes=0,
    framework="sklearn",
    format="sklearn-joblib",
    model_file="model.joblib",
    method="predict",
    features=(Feature("any", "double"),),
)


@dataclass(frozen=True)
class ReadDocument:
    """A document, or else its problems. A relative artifact path is relative to `folder`."""

    document: ModelDocument | None
    problems: tuple[Problem, ...]
    folder: Path = field(default_factory=Path)


@dataclass(frozen=True)
class Draft:
    """The fields of a document as people wrote them, before they are checked."""

    fields: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    folder: Path = field(default_factory=Path)

    def with_defaults(self, fields: Mapping[str, Any]) -> "Draft":
        """Return this draft, with these fields where it has none."""
        return replace(self, fields={**fields, **self.fields})

    def with_changes(self, *problems: Problem, **fields: Any) -> "Draft":
        """Return this draft with some fields replaced and problems added."""
        return replace(self, fields={**self.fields, **fields}, problems=(*self.problems, *problems))

    def without(self, name: str) -> "Draft":
        """Return this draft without a field."""
        return replace(self, fields={known: value for known, value in self.fields.items() if known != name})

    def read(self) -> ReadDocument:
        """Return the document, or every problem of the draft."""
        fields = dict(self.fields)
        if any(problem.field.startswith("features") for problem in self.problems):
            # Valid features, so that decode_fields does not report the features a second time.
            fields["features"] = [{"name": "any", "type": "double"}]
        document, found = decode_fields(ModelDocument, fields)
        problems = (*self.problems, *found)
        return ReadDocument(None if problems else document, problems, self.folder)

    def document(self) -> ModelDocument:
        """Return the document.

        Raises:
            InvalidInputError: with every problem of the draft, or when its record is too large for the table.
        """
        read = self.read()
        if read.document is None:
            raise InvalidInputError("model", read.problems)
        version_item(read.document.model_version(read.document.version or "1", _ANY_SHA256, 0))
        return read.document


def read_draft(source: str, flags: Mapping[str, Any]) -> Draft:
    """Read `@model.json` or a model id. Flags override the file.

    Raises:
        InvalidInputError: if the file cannot be read as a JSON object.
    """
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    folder = Path()
    if source.startswith("@"):
        path = Path(source[1:]).expanduser()
        from_file = read_json_fields(read_json_file("model", path, dict), path.parent)
        fields = dict(from_file.fields)
        problems += () if "features" in flags else from_file.problems
        if "artifact" not in flags:
            folder = path.parent
    else:
        fields["model_id"] = source
    for name, value in flags.items():
        if name == "features":
            fields[name], found = read_features(value)
            problems += found
        else:
            fields[name] = value
    return Draft(fields, tuple(problems), folder)


def read_json_fields(fields: Mapping[str, Any], folder: Path) -> Draft:
    """Return a draft of a JSON object. Its `features` may be text, as the option takes it.

    >>> read_json_fields({"features": "age:double:required"}, Path()).fields
    {'features': [{'name': 'age', 'type': 'double', 'nullable': False}]}
    """
    if not isinstance(fields.get("features"), str):
        return Draft(fields)
    try:
        features, problems = read_features(fields["features"], folder)
    except InvalidInputError as error:
        return Draft(fields, error.problems)
    return Draft({**fields, "features": features}, tuple(problems))


def read_features(text: str, folder: Path | None = None) -> tuple[Any, list[Problem]]:
    """Read `@features.json` (relative to `folder`) or `name:type,...`.

    `name:type:required` is a column without nulls. A type may have commas and colons in brackets.

    >>> read_features("age:double:required")
    ([{'name': 'age', 'type': 'double', 'nullable': False}], [])
    """
    if text.startswith("@"):
        return read_json_file("features", (folder or Path()) / Path(text[1:]).expanduser(), list), []
    features: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, item in enumerate(split_features(text)):
        name, declared, mark = parse_feature(item) or (item, "", "")
        if not declared or mark not in ("", "required"):
            expected = "name:type or name:type:required, for example dep_delay:double"
            problems.append(Problem(f"features[{index}]", item, expected))
        features.append({"name": name, "type": declared, "nullable": mark != "required"})
    return features, problems


def read_json_file(field_name: str, path: Path, kind: type) -> Any:
    """Return the JSON value of a file; `kind` is the type that it must have, dict or list."""
    word = "object" if kind is dict else "list"
    try:
        with path.open("rb") as file:
            value = parse_json(file.read(MAX_BYTES + 1), keep_surrogates=True)
    except OSError as error:
        problem = Problem(field_name, f"@{path}", f"a file that can be read ({error.strerror})")
        raise InvalidInputError(field_name, [problem]) from error
    except JsonError as error:
        raise InvalidInputError(field_name, [Problem(field_name, f"@{path}", f"JSON text, but {error}")]) from error
    except ValueError as error:
        # A path with a NUL or half of a surrogate pair.
        raise InvalidInputError(field_name, [Problem(field_name, f"@{path}", f"a path of a file ({error})")]) from error
    if not isinstance(value, kind):
        raise InvalidInputError(field_name, [Problem(field_name, f"@{path}", f"a JSON {word}")])
    return value


def read_tags(pairs: Sequence[str]) -> tuple[dict[str, str], list[Problem]]:
    """Read `key=value` words.

    >>> read_tags(["team=ads", "url=a=b"])[0]
    {'team': 'ads', 'url': 'a=b'}
    """
    tags: dict[str, str] = {}
    problems: list[Problem] = []
    for pair in pairs:
        match = re.fullmatch(r"([^=]+)=(.*)", pair, re.DOTALL)
        if match is None:
            problems.append(Problem("tag", pair, "key=value"))
        else:
            tags[match[1]] = match[2]
    return tags, problems
