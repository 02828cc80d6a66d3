"""The faults of one embedded AWS, which processes share through files.

`rules.json` has the faults that were added, `version` a number that changes with them, `counts.json`
their numbers of occasions and of times that they happened, and `happened.jsonl` a line per time. A
lock on a file makes each change atomic, so a count is used up exactly once, however many threads and
processes ask.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from embedded.faults.fault import Fault
from embedded.faults.kinds import KINDS, given_fields, text
from embedded.faults.shared_version import SharedVersion

F = TypeVar("F", bound=Fault)


@dataclass(frozen=True)
class ScheduledFault:
    """A fault that was added.

    Args:
        added_at: Seconds since 1970.
        occasions: Number of occasions so far.
        times: Number of times that it happened.
    """

    fault_id: str
    fault: Fault
    added_at: float
    occasions: int = 0
    times: int = 0

    @property
    def is_used_up(self) -> bool:
        """Whether it cannot happen again."""
        limit = self.fault.limit
        over = self.fault.until_seconds is not None and time.time() - self.added_at >= self.fault.until_seconds
        return over or (limit is not None and self.times >= limit)

    def __str__(self) -> str:
        return f"{self.fault_id}: {text(self.fault)}"


@dataclass(frozen=True)
class Happening:
    """One time that a fault happened. `place` says where, in words."""

    fault_id: str
    kind: str
    at: datetime
    place: str

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M:%S.%f}Z {self.fault_id}: {self.place}"


class Faults:
    """The faults of one embedded AWS: those that wait, and those that happened.

    All methods are safe to call from several threads and processes.

    Example:
        Throttle two of the writes of a table, and check that this really happened::

            with EmbeddedAws() as aws:
                aws.faults.add(Throttle(service="dynamodb", operation="UpdateItem", count=2))
                ...  # run something
                assert len(aws.faults.happened(Throttle)) == 2
                assert aws.faults.pending() == []
    """

    def __init__(self, folder: Path) -> None:
        """`folder` has the files. It need not exist."""
        self._folder = folder
        self._rules_file, self._counts_file = folder / "rules.json", folder / "counts.json"
        self._happened_file = folder / "happened.jsonl"
        self._version = SharedVersion(folder / "version")
        self._cached: tuple[bytes, list[ScheduledFault]] = (b"", [])
        # Ids of faults that cannot happen again. Ids are never used again.
        self._used_up: set[str] = set()

    def add(self, fault: Fault) -> str:
        """Add a fault and return its id, such as `throttle-1`."""
        with self._locked():
            rules = self._read(self._rules_file, {"last": 0, "faults": []})
            rules["last"] += 1
            fault_id = f"{fault.KIND}-{rules['last']}"
            entry = {"id": fault_id, "kind": fault.KIND, "added_at": time.time(), "fields": given_fields(fault)}
            self._write_rules({**rules, "faults": [*rules["faults"], entry]})
            return fault_id

    def all(self) -> list[ScheduledFault]:
        """Return all faults that were added and not cleared, oldest first."""
        with self._locked():
            counts = self._read(self._counts_file, {})
            return [
                ScheduledFault(each.fault_id, each.fault, each.added_at, *counts.get(each.fault_id, (0, 0)))
                for each in self._rules()
            ]

    def pending(self) -> list[Fault]:
        """Return the faults that can still happen. At the end of a test there should be none."""
        return [each.fault for each in self.all() if not each.is_used_up]

    def happened(self, kind: type[Fault] | str | None = None) -> list[Happening]:
        """Return what has happened, oldest first.

        Args:
            kind: A class of faults, or the id of a fault; None means all.
        """
        try:
            lines = self._happened_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = [json.loads(line) for line in lines]
        found = [
            Happening(each["id"], each["kind"], datetime.fromtimestamp(each["at"], UTC), each["place"])
            for each in entries
        ]
        if isinstance(kind, str):
            return [each for each in found if each.fault_id == kind]
        return [each for each in found if kind is None or issubclass(KINDS[each.kind], kind)]

    def clear(self, fault_id: str | None = None) -> int:
        """Remove one fault, or all, and return the number. What has happened stays recorded.

        Raises:
            ValueError: No fault has this id.
        """
        with self._locked():
            rules = self._read(self._rules_file, {"last": 0, "faults": []})
            kept = [each for each in rules["faults"] if fault_id is not None and each["id"] != fault_id]
            removed = len(rules["faults"]) - len(kept)
            if fault_id is not None and not removed:
                known = ", ".join(each["id"] for each in kept) or "there is none"
                raise ValueError(f"fault: {fault_id!r} is not the id of a fault, expected one of these: {known}")
            if removed:
                self._write_rules({**rules, "faults": kept})
            return removed

    # ---- for the embedded AWS ----

    def scheduled(self, kind: type[F]) -> list[tuple[str, F]]:
        """Return id and fault of a kind, without those that this process knows to be used up.

        This is fast, because each request asks: files are read only if they have changed.
        """
        version = self._version.read()
        cached = self._cached
        if cached[0] != version:
            cached = self._cached = (version, self._rules())
        return [
            (each.fault_id, each.fault)
            for each in cached[1]
            if isinstance(each.fault, kind) and each.fault_id not in self._used_up
        ]

    def strike(self, kind: type[F], place: str, concerns: Callable[[F], bool] = lambda _: True) -> F | None:
        """Count an occasion, and return the fault that happens at it, if any.

        Args:
            kind: Class of the faults that can happen.
            place: Where, for the list of what has happened.
            concerns: Returns whether a fault concerns this occasion.
        """
        for fault_id, fault in self.scheduled(kind):
            if concerns(fault) and self.take(fault_id, place):
                return fault
        return None

    def take(self, fault_id: str, place: str) -> bool:
        """Count an occasion of one fault, and return whether it happens. If so, record it."""
        with self._locked():
            scheduled = next((each for each in self._rules() if each.fault_id == fault_id), None)
            if scheduled is None or not scheduled.fault.is_due(time.time() - scheduled.added_at):
                return False
            counts = self._read(self._counts_file, {})
            occasions, times = counts.get(fault_id, (0, 0))
            limit = scheduled.fault.limit
            if limit is not None and times >= limit:
                self._used_up.add(fault_id)
                return False
            happens = scheduled.fault.happens_at(occasions)
            if limit is not None and times + happens >= limit:
                self._used_up.add(fault_id)
            self._write(self._counts_file, {**counts, fault_id: (occasions + 1, times + happens)})
            if happens:
                entry = {"id": fault_id, "kind": scheduled.fault.KIND, "at": time.time(), "place": place}
                with self._happened_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
            return happens

    def _rules(self) -> list[ScheduledFault]:
        entries = self._read(self._rules_file, {"faults": []})["faults"]
        return [ScheduledFault(each["id"], KINDS[each["kind"]](**each["fields"]), each["added_at"]) for each in entries]

    def _write_rules(self, rules: dict[str, Any]) -> None:
        self._write(self._rules_file, rules)
        # Last: who sees the new number reads the new rules.
        self._version.change()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _read(file: Path, default: Any) -> Any:
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return default

    @staticmethod
    def _write(file: Path, content: Any) -> None:
        written = file.with_suffix(".new")
        written.write_text(json.dumps(content), encoding="utf-8")
        written.replace(file)
