"""The permissions in a recording of the end-to-end tests, and those that calls used."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.e2e.recording import SESSION_FILE


@dataclass(frozen=True, order=True)
class Permission:
    """An action on a resource that a statement of a role allows.

    `role` is the role's logical id and `place` counts statement and resource, as names and ARNs
    differ between two stages of the same templates.
    """

    role: str
    action: str
    place: tuple[int, int]
    resource: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.role}: {self.action} on {self.resource}"


@dataclass(frozen=True)
class Recording:
    """One run of the end-to-end tests: its tests, the granted and the used permissions."""

    session: dict[str, Any]
    granted: frozenset[Permission]
    used: frozenset[Permission]


def read_recording(folder: Path) -> Recording:
    """Read the files of a run, in which each worker deployed its own stage."""
    session = json.loads((folder / SESSION_FILE).read_text(encoding="utf-8"))
    granted: dict[str, list[Permission]] = {}
    for file in folder.glob("policies-*.json"):
        for name, role in json.loads(file.read_text(encoding="utf-8")).items():
            granted[name] = list(_permissions(role["logical_id"], role["statements"]))
    used = {item for call in calls(folder) for item in granted.get(call["role"], ()) if _allows(item, call)}
    return Recording(session, frozenset(item for items in granted.values() for item in items), frozenset(used))


def _permissions(role: str, statements: list[dict[str, Any]]) -> Iterator[Permission]:
    for number, statement in enumerate(statements):
        if statement["Effect"] == "Allow":
            for action in as_list(statement["Action"]):
                for place, resource in enumerate(as_list(statement["Resource"])):
                    yield Permission(role, action, (number, place), resource)


def calls(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the recorded calls of all embedded AWSs."""
    for file in folder.glob("calls-*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def _allows(permission: Permission, call: dict[str, Any]) -> bool:
    return (
        call["decision"] == "Allow"
        and fnmatchcase(call["action"].lower(), permission.action.lower())
        and fnmatchcase(call["resource"], permission.resource)
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
