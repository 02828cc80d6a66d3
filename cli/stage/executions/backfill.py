"""Backfill: for each dataset of a time span, ask what is scored already, and score the rest.

The stage's own plan answers the question, in the function that checks requests: with the request of
a backfill, which has `keep_scored`, it finds every execution over the dataset and counts commits by
the rule of `contract.job.scored_before`. Nothing is decided here by times.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from cli.documents.dataset_template import MAX_EXECUTIONS_PER_DATASET, Slot
from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions
from cli.stage.executions.request_check import RequestChecks
from cli.stage.executions.running_work import RunningWork
from contract.problems import InvalidInputError, Problem
from contract.status import ExecutionKind
from contract.workflow.request_check import RequestCheck, ScoredBefore

SECONDS_BETWEEN_READS = 5.0
"""Default pause between two reads of the executions' statuses, in seconds."""
MAX_ROUNDS = 3
"""Largest number of executions that one command starts for a dataset, whose objects may change meanwhile."""
LOOKS_AT_ONCE = 8
"""Datasets that are looked at in parallel; each takes a call of a function."""
_MAX_NAMES_BYTES = 200_000
"""Longest names of models and fleets in a request, in bytes. With more, it names none, and keeps what is scored."""


class State(StrEnum):
    """What is scored of a dataset."""

    SCORED = "SCORED"
    PARTLY = "PARTLY"
    UNSCORED = "UNSCORED"
    REFUSED = "REFUSED"
    """The plan would refuse an execution, for example because the dataset has no objects."""


@dataclass(frozen=True)
class Look:
    """What is scored of a dataset, and what is missing, at one moment."""

    slot: Slot
    check: RequestCheck

    @cached_property
    def expected(self) -> int:
        """Number of commits that a complete dataset has: one per object and model, or fleet."""
        return sum(item.objects for item in self.check.scored_before)

    @cached_property
    def scored(self) -> int:
        """Number of those that exist."""
        return sum(min(item.scored, item.objects) for item in self.check.scored_before)

    @cached_property
    def missing(self) -> frozenset[ScoredBefore]:
        """The models and fleets that have not scored every object."""
        return frozenset(item for item in self.check.scored_before if not item.is_complete)

    @property
    def state(self) -> State:
        if self.check.problem_count:
            return State.REFUSED
        if not self.missing:
            return State.SCORED
        return State.PARTLY if self.scored else State.UNSCORED

    @property
    def reason(self) -> str:
        """The first problem of a refused dataset."""
        return self.check.problems[0] if self.check.problems else ""


class Outcome(StrEnum):
    """Outcome of one dataset of a backfill."""

    SKIPPED = "SKIPPED"
    """Everything was scored before."""
    SUCCEEDED = "SUCCEEDED"
    """Everything is scored now."""
    FAILED = "FAILED"
    """Something is still unscored; the next backfill scores it."""


@dataclass(frozen=True)
class SlotResult:
    """What a backfill did with one dataset. Commits count pairs of an object and a model or fleet."""

    dataset: str
    outcome: Outcome
    kept: int
    """Commits that existed before."""
    scored: int
    """Commits that are new."""
    unscored: int
    """Commits that are still missing; of a refused dataset, those that were missing before."""
    executions: tuple[str, ...] = ()
    """Executions that were started or followed."""
    reason: str = ""


@dataclass
class _Progress:
    """A dataset of which something was missing."""

    slot: Slot
    first: Look
    following: list[str] = field(default_factory=list)
    """Executions that have not ended."""
    started: list[str] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    failed: str = ""
    """The execution of this command that did not succeed."""


Report = Callable[[Slot, str, str], None]


class Backfill:
    """Starts executions for what is not scored yet, and waits for them."""

    def __init__(
        self,
        connection: Connection,
        deployment: Deployment,
        *,
        models: Sequence[str] | None = None,
        fleets: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare a backfill with the named models and fleets, or with all.

        `options` are other fields of the executions' requests.
        """
        self._executions = Executions(connection, deployment)
        self._running = RunningWork(connection, deployment, self._executions)
        self._checks = RequestChecks(connection, deployment.stage)
        self._options = {"execution_label": "backfill", **(options or {}), "keep_scored": True}
        self._named = models is not None or fleets is not None
        self._names = {"models": list(models or ()), "fleets": list(fleets or ())}

    def look_at_all(self, slots: Sequence[Slot]) -> Iterable[Look]:
        """Yield what is scored of each dataset, in order. Nothing is started."""
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as threads:
            try:
                yield from threads.map(self.look, slots)
            finally:
                threads.shutdown(cancel_futures=True)

    def look(self, slot: Slot) -> Look:
        """Return what is scored of a dataset now."""
        return Look(slot, self._checks.check(ExecutionKind.SCORING, self._request(slot.dataset, self._names)))

    def run(
        self, slots: Sequence[Slot], *, max_running: int, report: Report, seconds: float = SECONDS_BETWEEN_READS
    ) -> list[SlotResult]:
        """Score what is missing of every dataset, at most `max_running` at once; return the results in order.

        Idempotent: after an interruption, another call follows the executions that are running.

        Args:
            report: called at each step with the slot, the execution's id (may be empty) and the
                event.
            seconds: pause between two reads of the executions' statuses.
        """
        results: dict[Slot, SlotResult] = {}
        waiting: list[_Progress] = []

        def end(result: SlotResult, slot: Slot, text: str) -> None:
            results[slot] = result
            report(slot, "", text)

        for look in self.look_at_all(slots):
            if look.state in (State.SCORED, State.REFUSED):
                progress = _Progress(look.slot, look)
                end(_result(progress, look), look.slot, look.reason or "scored already")
            else:
                waiting.append(_Progress(look.slot, look))
        waiting.reverse()
        running: list[_Progress] = []
        pause = threading.Event()
        while waiting or running:
            while waiting and len(running) < max_running:
                progress = waiting.pop()
                if (result := self._advance(progress, report)) is None:
                    running.append(progress)
                else:
                    end(result, progress.slot, _text(result))
            for progress in list(running):
                self._read_ends(progress, report)
                if progress.following:
                    continue
                running.remove(progress)
                if (result := self._advance(progress, report)) is None:
                    running.append(progress)
                else:
                    end(result, progress.slot, _text(result))
            if running and (len(running) >= max_running or not waiting):
                pause.wait(seconds)
        return [results[slot] for slot in slots]

    def _advance(self, progress: _Progress, report: Report) -> SlotResult | None:
        """Look at a dataset again; start or follow what scores the rest. Return the result if nothing is left to do."""
        slot, look = progress.slot, self.look(progress.slot)
        if look.state in (State.SCORED, State.REFUSED):
            return _result(progress, look)
        covering = self._running.covering(slot.dataset, look.missing)
        uncovered = look.missing - frozenset().union(*covering.values())
        if not uncovered:
            for execution_id in covering:
                report(slot, execution_id, "already running")
            progress.following = list(covering)
        elif progress.failed or len(progress.started) >= MAX_ROUNDS:
            return _result(progress, look)
        else:
            execution_id = self._start(slot, self._scorers(look, uncovered))
            report(slot, execution_id, "started")
            progress.following = [execution_id]
            progress.started.append(execution_id)
        progress.executions += [name for name in progress.following if name not in progress.executions]
        return None

    def _read_ends(self, progress: _Progress, report: Report) -> None:
        for execution_id in list(progress.following):
            if self._executions.workflow_status(execution_id) == "RUNNING":
                continue
            progress.following.remove(execution_id)
            status = self._executions.snapshot(execution_id, count_committed=False).status
            report(progress.slot, execution_id, status)
            if status != "SUCCEEDED" and execution_id in progress.started:
                progress.failed = execution_id

    def _scorers(self, look: Look, missing: frozenset[ScoredBefore]) -> Mapping[str, Sequence[str]]:
        """Return the names of the models and fleets for a request; all of them if they share an output."""
        known = look.check.scored_before
        if self._options.get("output_layout") == "joined" or (len(missing) == len(known) and not self._named):
            return self._names
        chosen = [item for item in known if item in missing]
        found = {
            "models": [item.id for item in chosen if not item.is_fleet],
            "fleets": [item.id for item in chosen if item.is_fleet],
        }
        return found if len(json.dumps(found)) <= _MAX_NAMES_BYTES else self._names

    def _request(self, dataset: str, names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        return {"dataset": dataset, **self._options, **{name: list(ids) for name, ids in names.items() if ids}}

    def _start(self, slot: Slot, names: Mapping[str, Sequence[str]]) -> str:
        """Start an execution under the next name that is free, and return its id."""
        request = json.dumps(self._request(slot.dataset, names))
        for number in range(1, MAX_EXECUTIONS_PER_DATASET + 1):
            execution_id = slot.execution_id if number == 1 else f"{slot.execution_id}-{number}"
            if self._executions.workflow_status(execution_id) or self._executions.has_record(execution_id):
                continue
            try:
                return self._executions.start(request, execution_id)
            except CommandError:
                # Another command has taken the name meanwhile.
                continue
        expected = f"a name with fewer than {MAX_EXECUTIONS_PER_DATASET} executions"
        raise InvalidInputError("backfill", [Problem("name", slot.execution_id, expected, "Choose another --name.")])


def _result(progress: _Progress, now: Look) -> SlotResult:
    first, executions = progress.first, tuple(progress.executions)
    if now.state is State.REFUSED:
        missing = first.expected - first.scored
        return SlotResult(now.slot.dataset, Outcome.FAILED, first.scored, 0, missing, executions, now.reason)
    scored = max(0, now.scored - first.scored)
    if now.state is State.SCORED:
        outcome = Outcome.SUCCEEDED if executions else Outcome.SKIPPED
        return SlotResult(now.slot.dataset, outcome, now.scored - scored, scored, 0, executions)
    why = "the objects or models of the dataset keep changing: run the command again when they do not"
    if progress.failed:
        why = f"see `fleetscore status {progress.failed}`"
    unscored = now.expected - now.scored
    return SlotResult(now.slot.dataset, Outcome.FAILED, now.scored - scored, scored, unscored, executions, why)


def _text(result: SlotResult) -> str:
    if result.outcome is Outcome.SKIPPED:
        return "scored already"
    text = f"{result.kept:,} kept, {result.scored:,} scored, {result.unscored:,} unscored"
    return f"{text}: {result.reason}" if result.reason else text
