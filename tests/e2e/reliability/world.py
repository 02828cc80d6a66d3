"""A small fleet and its executions, with faults, stops and resumes in between, and an audit after each."""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from contract.status import FINAL_JOB_STATUSES, ExecutionStatus
from embedded.faults import Fault, Happening
from tests.e2e.reliability.audit import audit, audit_resumed
from tests.e2e.reliability.evidence import Evidence, client, collect, open_jobs, progress
from tests.e2e.reliability.random_faults import disturbed_by
from tests.e2e.reliability.small_fleet import Layout, SmallFleet
from tests.e2e.stage import Stage

_SECONDS_TO_END = 900.0
_SECONDS_TO_HAPPEN = 60.0
"""Longest time in which a running execution shows no sign: no event, and no fault that it meets."""
_SECONDS_BETWEEN_SIGNS = 5.0
SECONDS_TO_CLOSE = 8.0
"""Longest time until the records close, before the reconciler is called."""
_SECONDS_TO_IDLE = 60.0
_OPEN = ("RUNNING", "PENDING_REDRIVE")


class PromiseBrokenError(AssertionError):
    """An execution broke a promise; the message has what the audit found, and the faults that had happened."""

    raised: ClassVar[list[str]] = []
    """The messages of all. Hypothesis runs an example again, and reports only what happens then."""


@dataclass
class World:
    """Everything that a random test does to one fleet.

    Args:
        stage: Stage without other executions.
        fleet: The fleet.
        counts: Number of times that each kind of fault happened, of all worlds of a process.
    """

    stage: Stage
    fleet: SmallFleet
    counts: Counter[str]
    execution_id: str = ""
    """The newest execution."""
    lineage: list[Evidence] = field(default_factory=list)
    """What the executions left behind that the newest one resumes, oldest first."""
    stopped: bool = False
    reconciled: bool = False
    """Whether the reconciler had to close the records of the newest execution."""
    seen: int = 0
    """Number of happenings that were counted."""
    seen_at_start: int = 0
    """Number of happenings before this world."""
    evidence: Evidence | None = None
    """What the newest execution left behind, once it has ended and nothing has been done to it since."""
    started: int = 0
    log: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, stage: Stage, name: str, layout: Layout, counts: Counter[str], *, spot: bool = False) -> "World":
        stage.aws.faults.clear()
        world = cls(stage, SmallFleet.create(stage, name, layout, spot=spot), counts)
        world.seen = world.seen_at_start = len(stage.aws.faults.happened())
        return world

    # ---- what happens to an execution ------------------------------------------------------------

    def add(self, fault: Fault) -> None:
        given = {
            item.name: getattr(fault, item.name) for item in fields(fault) if getattr(fault, item.name) != item.default
        }
        self._note(f"add {fault.KIND} {given}")
        self.stage.aws.faults.add(fault)

    def begin(self) -> None:
        """Forget the faults that have happened, and what was done."""
        self.calm()
        self.log.clear()
        self.seen_at_start = self.seen

    def start(self, *faults: Fault) -> None:
        """Start a new execution of everything, with these faults, after the last one has ended."""
        self.settle()
        self.lineage = []
        for fault in faults:
            self.add(fault)
        self._start(self.fleet.request())

    def resume(self, *faults: Fault) -> None:
        """Resume the last execution with these faults. Start one instead if the last one has no plan."""
        evidence = self.settle()
        if evidence is None or evidence.record is None or evidence.record.plan is None:
            self.start(*faults)
            return
        self.lineage.append(evidence)
        for fault in faults:
            self.add(fault)
        self._start({"resume": self.execution_id})

    def _start(self, request: dict[str, Any]) -> None:
        self.started += 1
        self.stopped = self.reconciled = False
        self.evidence = None
        self.execution_id = f"{self.fleet.name}-{self.started}"
        self._note(f"start {request}")
        self._workflow(
            "start_execution",
            stateMachineArn=self.stage.deployment.state_machine_arn,
            name=self.execution_id,
            input=json.dumps(request),
        )

    def stop(self, moment: str) -> None:
        """Stop the execution when it has come to a moment, or has ended."""
        if not self.execution_id:
            return
        reached: dict[str, Callable[[], bool]] = {
            "at once": lambda: True,
            "planned": lambda: bool(self._jobs()),
            "running": lambda: any(job.attempt for job in self._jobs()),
            "committed": lambda: bool(self._segments()),
        }
        self._wait_for_end(reached[moment])
        if self._status() in _OPEN:
            self._note(f"stop, {moment}")
            self.stopped = True
            try:
                self._workflow("stop_execution", executionArn=self._arn)
                self.counts["stop"] += 1
            except ClientError:
                # It has ended since its status was read.
                assert self._status() not in _OPEN

    def redrive(self) -> None:
        """Redrive the last execution, if Step Functions can."""
        if not self.execution_id:
            return
        self._wait_for_end()
        try:
            self._workflow("redrive_execution", executionArn=self._arn)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionNotRedrivable":
                raise
            return
        self._note("redrive")
        self.evidence = None
        self.counts["redrive"] += 1

    def settle(self, seconds_to_close: float = SECONDS_TO_CLOSE) -> Evidence | None:
        """Wait for the end of the execution and for its records to close, and audit it."""
        if not self.execution_id:
            return None
        if self.evidence is not None:
            return self.evidence
        self._wait_for_end()
        self._wait_for_records(seconds_to_close)
        # A stopped job has time to end, and uploads its outputs then.
        self._wait(self._is_idle, _SECONDS_TO_IDLE)
        # A plan goes on although its execution was stopped, and closes the jobs that it has written meanwhile.
        self._wait_for_records(seconds_to_close)
        evidence, found = self._audit()
        self._count()
        status = evidence.record.status if evidence.record else "no record"
        self._note(f"{self.execution_id} ended: {status}, {evidence.workflow}")
        if found:
            self.fail(found)
        self.evidence = evidence
        return evidence

    def _wait_for_records(self, seconds: float) -> None:
        if self._wait(self._closed, seconds):
            return
        self._note("reconcile")
        self.reconciled = True
        self.stage.aws.faults.clear()
        self.reconcile()
        if not self._wait(self._closed, _SECONDS_TO_END):
            self.fail([f"the reconciler did not close the records within {_SECONDS_TO_END:g} s"])

    def _audit(self) -> tuple[Evidence, list[str]]:
        evidence = collect(self.stage, self.execution_id)
        disturbed = disturbed_by(self.happened(), keys={key for key, _ in self.fleet.contents}, stopped=self.stopped)
        return evidence, audit(evidence, self.fleet, disturbed) + audit_resumed(self.lineage, evidence)

    def happened(self) -> list[Happening]:
        """Return the faults that have happened to this fleet."""
        return self.stage.aws.faults.happened()[self.seen_at_start :]

    def reconcile(self) -> None:
        """Let the time pass until the reconciler runs by its schedule."""
        clock = self.stage.aws.clock
        clock.set(clock.now() + timedelta(minutes=16))

    def finish(self) -> None:
        """End all faults, mend the fleet, and resume until everything is scored."""
        self.calm()
        if not self.execution_id:
            return
        self.mend()
        for _ in range(2):
            self.resume()
            evidence = self.settle()
            assert evidence is not None
            if evidence.record is not None and evidence.record.status is ExecutionStatus.SUCCEEDED:
                return
        reason = evidence.record.reason if evidence.record else "no record"
        self.fail([f"without faults, {self.execution_id} did not succeed: {reason}"])

    def calm(self) -> None:
        """Remove all faults. What has happened stays counted."""
        self._note("clear faults")
        self.stage.aws.faults.clear()

    # ---- what happens to the fleet ---------------------------------------------------------------

    def change(self, what: str, change: Callable[[SmallFleet], None]) -> None:
        """Change the dataset or the catalog, whether an execution runs or not."""
        self._note(what)
        self.counts[what.split(maxsplit=1)[0]] += 1
        change(self.fleet)

    def close(self) -> None:
        """Leave nothing that disturbs other tests."""
        self.stage.aws.faults.clear()
        if self.execution_id and self._status() in _OPEN:
            self._workflow("stop_execution", executionArn=self._arn)
            self._wait_for_end()
        self.fleet.close()

    def mend(self) -> None:
        for letter in "abc":
            model_id = f"{self.fleet.name}-{letter}"
            if not self.fleet.weights[(model_id, self.fleet.versions[model_id])]:
                self.fleet.register(letter, weight=7)
            if model_id in self.fleet.disabled:
                self.fleet.set_enabled(letter, enabled=True)
        for key in sorted(self.fleet.unreadable):
            self.fleet.put(key)

    # ---- small things ----------------------------------------------------------------------------

    def fail(self, found: list[str]) -> None:
        self.execution_id, self.lineage = "", []
        lines = ["promises were broken:", *(f"  {text}" for text in found), "what was done:"]
        lines += [f"  {text}" for text in self.log]
        lines += ["faults that happened:", *(f"  {each}" for each in self.happened()[-60:])]
        PromiseBrokenError.raised.append("\n".join(lines))
        raise PromiseBrokenError(PromiseBrokenError.raised[-1])

    @property
    def _arn(self) -> str:
        return self.stage.executions.execution_arn(self.execution_id)

    def _workflow(self, operation: str, **fields: Any) -> Any:
        return getattr(client(self.stage, "stepfunctions"), operation)(**fields)

    def _status(self) -> str:
        return str(self._workflow("describe_execution", executionArn=self._arn)["status"])

    def _is_idle(self) -> bool:
        return not any(open_jobs(self.stage))

    def _closed(self) -> bool:
        snapshot = self.stage.executions.snapshot(self.execution_id, count_committed=False)
        pending = snapshot.record is not None and snapshot.record.closing_pending
        return snapshot.closed and not pending and all(job.status in FINAL_JOB_STATUSES for job in snapshot.jobs)

    def _jobs(self) -> tuple[Any, ...]:
        return self.stage.executions.snapshot(self.execution_id, count_committed=False).jobs

    def _segments(self) -> list[str]:
        return [key for key in self.stage.result_keys(f"executions/{self.execution_id}/jobs/") if "/ledger/" in key]

    def _wait_for_end(self, is_reached: Callable[[], bool] = lambda: False) -> None:
        """Wait for the end of the execution, or for an earlier moment. Fail with its history if nothing happens.

        Nobody scales the seconds that the SDK of a function waits before it repeats a request, up to 20 each time.
        Such a function makes no event, but meets more faults.
        """
        began = checked = changed = time.monotonic()
        signs: tuple[int, list[str]] | None = None
        while self._status() in _OPEN and not is_reached():
            time.sleep(0.1)
            now = time.monotonic()
            if now < checked + _SECONDS_BETWEEN_SIGNS:
                continue
            checked, before = now, signs
            signs = len(self.stage.aws.faults.happened()), progress(self.stage, self.execution_id)
            if signs != before:
                changed = now
            if now > changed + _SECONDS_TO_HAPPEN or now > began + _SECONDS_TO_END:
                with suppress(ClientError):  # it may have ended just now
                    self._workflow("stop_execution", executionArn=self._arn)
                times = f"{now - began:.0f} s, the last {now - changed:.0f} without a sign"
                self.fail([f"{self.execution_id} has run for {times}", *signs[1]])

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _count(self) -> None:
        happened = self.stage.aws.faults.happened()
        self.counts.update(each.kind for each in happened[self.seen :])
        self.seen = len(happened)

    def _note(self, text: str) -> None:
        self.log.append(text)
        print(f"{time.strftime('%H:%M:%S')} {self.fleet.name}: {text}", flush=True)
