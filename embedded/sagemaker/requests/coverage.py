"""Checks of requests beyond the service's model: supported members, URIs, duplicates and tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Coverage:
    """The supported and the refused members of an operation's request.

    Every member of the service's model is in one of the two tables, so none is silently ignored.
    Tests compare the tables with botocore's model and fail when a new version adds a member.

    Keys are paths of leaf members: `[]` is an item of a list, `{}` a map. Values of `supported` are
    the supported values, separated by `|`; empty means every value. Values of `refused` are the
    reasons. A path of `refused` can also name a structure, which then counts as one leaf.
    """

    supported: Mapping[str, str]
    refused: Mapping[str, str]

    def members(self, shape: Any, path: str = "") -> Iterator[str]:
        """Yield the paths of all leaves of a shape."""
        if path in self.refused:
            yield path
        elif shape.type_name == "structure":
            for name, member in shape.members.items():
                yield from self.members(member, f"{path}.{name}" if path else name)
        elif shape.type_name == "list":
            yield from self.members(shape.member, f"{path}[]")
        elif shape.type_name == "map":
            yield f"{path}{{}}"
        else:
            yield path

    def problems(self, request: dict[str, Any]) -> list[str]:
        """Return one message per unsupported member of an otherwise valid request."""
        return list(self._unsupported(request, "", ""))

    def _unsupported(self, value: Any, member: str, shown: str) -> Iterator[str]:
        if value is None:
            return
        if member in self.refused:
            yield f"{shown} is not supported by the embedded AWS ({self.refused[member]}): remove it or run on AWS"
        elif isinstance(value, dict) and f"{member}{{}}" not in self.supported:
            for name, item in value.items():
                step = f".{name}" if member else name
                yield from self._unsupported(item, member + step, shown + step)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._unsupported(item, f"{member}[]", f"{shown}[{index}]")
        elif (only := self.supported.get(member)) and str(value) not in only.split("|"):
            allowed = " or ".join(repr(one) for one in only.split("|"))
            yield f"{shown} {value!r} is not supported by the embedded AWS: use {allowed} or run on AWS"


def s3_uri_problems(at: str, uri: str) -> list[str]:
    """Check an S3 URI. The service's model would also accept https:// addresses."""
    if re.fullmatch(r"s3://[^/]+(/.*)?", uri):
        return []
    return [f"{at} {uri!r} must be of the form s3://<bucket>/<prefix>"]


def duplicate_problems(at: str, member: str, values: list[str]) -> list[str]:
    """Return one message per value that occurs more than once."""
    twice = sorted({value for value in values if values.count(value) > 1})
    return [f"{at}: {member} {value!r} is given more than once" for value in twice]


def tag_problems(at: str, tags: list[dict[str, str]]) -> list[str]:
    """Return one message per duplicate or reserved tag key."""
    problems = duplicate_problems(at, "Key", [tag["Key"] for tag in tags])
    reserved = [tag["Key"] for tag in tags if tag["Key"].lower().startswith("aws:")]
    return problems + [f"{at}: Key {key!r} begins with aws:, which only AWS itself may use" for key in reserved]
