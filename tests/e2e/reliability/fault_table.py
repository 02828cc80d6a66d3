"""The table of faults: what happens in each state of the workflow, and how the execution ends.

`docs/why/reliability.md` shows this table; `test_fault_table.py` runs it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from contract.status import FailureKind
from embedded.faults import (
    AccessDenied,
    CorruptUpload,
    CrashFunction,
    DelayEvent,
    DoubleEvent,
    FailUpload,
    Fault,
    FullDisk,
    FunctionClock,
    InstanceClock,
    InstanceQuota,
    KeyUnusable,
    KillInstance,
    LoseEvent,
    NoCapacity,
    OutOfMemoryFunction,
    ServerError,
    SlowRequest,
    SlowUpload,
    Throttle,
    TimeOutFunction,
)

Outcome = Literal["succeeds", "second attempt", "refused", "fails", "stopped", "closed late"]
OUTCOMES: dict[Outcome, str] = {
    "succeeds": "The execution succeeds, with one attempt per job: the call is repeated.",
    "second attempt": "The first attempt fails and is explained. The second one scores what is missing, and succeeds.",
    "refused": "The execution fails before anything is scored, and its reason names the cause.",
    "fails": "The job fails with the named kind, a reason and a next step. What it committed stays.",
    "stopped": "The function goes on, as on AWS. A job whose work it ends has succeeded, others fail as STOPPED.",
    "closed late": "The execution ends as it would have, and its records are closed by the reconciler.",
}
"""How an execution ends. After each, a resume without the fault scores what is missing and succeeds."""

Action = Literal["", "stop", "replace an object", "delete an object"]


@dataclass(frozen=True)
class Case:
    """A fault in a state, and the outcome."""

    fault: str
    state: str
    faults: tuple[Fault, ...]
    outcome: Outcome
    kind: FailureKind | None = None
    """Kind of the failure of the job or of its first attempt."""
    action: Action = ""
    """What the test does when the last of the faults has happened."""
    resumes: bool = False
    """Whether the execution resumes one that was stopped after a commit."""
    quick: bool = False
    """Whether `make test` runs it. `make soak` runs all."""

    def __str__(self) -> str:
        return f"{self.fault} in {self.state}"

    @property
    def cell(self) -> str:
        """The outcome as the documentation's table shows it."""
        return self.outcome + (f": {self.kind.value}" if self.kind else "")


_COPYING = "copying of a resume"
_FUNCTIONS = {
    "PlanExecution": "PlanExecution",
    "RecordAttempt": "RecordAttempt",
    "VerifyOutput": "VerifyOutput",
    "ClassifyFailure": "ClassifyFailure",
    "SummarizeExecution": "SummarizeExecution",
    _COPYING: "RecordAttempt",
}
"""States that call a function, with a part of the function's name."""
_KILLED = KillInstance(cause="out-of-memory", objects=1)
_ACCEPTED = 840
"""Seconds by which a clock may be wrong until S3 and the table refuse requests, less a minute."""
_ALWAYS = 200
"""Number of times that no retry outlasts."""


def _steps() -> Iterator[Case]:
    for state, function in _FUNCTIONS.items():
        name = f"*{function}*"
        # Without a failed attempt, ClassifyFailure is not called. It has ended the job with another one then.
        before = (_KILLED,) if state == "ClassifyFailure" else ()
        mended: Outcome = "second attempt" if before else "succeeds"
        kind = FailureKind.TRANSIENT if before else None
        resumes = state == _COPYING

        def case(
            text: str,
            *faults: Fault,
            outcome: Outcome = mended,
            kind: FailureKind | None = kind,
            quick: bool = False,
            state: str = state,
            before: tuple[Fault, ...] = before,
            resumes: bool = resumes,
        ) -> Case:
            return Case(text, state, (*before, *faults), outcome, kind, resumes=resumes, quick=quick)

        plans, closes = state == "PlanExecution", state == "SummarizeExecution"
        classifies = state == "ClassifyFailure"
        final: Outcome = "refused" if plans else "closed late" if closes else "fails"

        def failure(
            kind: FailureKind, plain: bool = plans or closes, classifies: bool = classifies
        ) -> FailureKind | None:
            # The workflow notes what ClassifyFailure cannot record, and SummarizeExecution classifies it.
            return None if plain else FailureKind.TRANSIENT if classifies else kind

        yield case("requests throttled", Throttle(caller=name, count=2))
        yield case("internal errors", ServerError(caller=name, count=2))
        yield case("internal errors after the work", ServerError(caller=name, when="after"), quick=resumes)
        yield case("slow answers", SlowRequest(caller=name, count=4, seconds=0.3))
        yield case("function cannot be called", Throttle(service="lambda", resource=name, count=3))
        yield case("function crashes", CrashFunction(function=name, when="before"), quick=plans)
        yield case("function crashes after its work", CrashFunction(function=name, when="after"), quick=closes)
        yield case("function times out", TimeOutFunction(function=name, when="after"))
        yield case("function out of memory", OutOfMemoryFunction(function=name, when="before"))
        yield case("clock 14 minutes behind", FunctionClock(function=name, seconds=-_ACCEPTED))
        yield case("clock 14 minutes ahead", FunctionClock(function=name, seconds=_ACCEPTED))
        # A failure that ClassifyFailure cannot record is noted without it.
        again: Outcome = "refused" if plans else "succeeds" if closes else "fails" if classifies else "second attempt"
        yield case(
            "clock once an hour behind",
            FunctionClock(function=name, count=1),
            outcome=again,
            kind=failure(FailureKind.TRANSIENT),
            quick=state == "VerifyOutput",
        )
        if not closes:
            yield case(
                "clock always an hour ahead",
                FunctionClock(function=name, seconds=3600),
                outcome=final,
                kind=failure(FailureKind.TRANSIENT),
            )
            yield case(
                "function always crashes",
                CrashFunction(function=name, count=_ALWAYS, when="before"),
                outcome=final,
                kind=failure(FailureKind.TRANSIENT),
            )
            yield case(
                "access to S3 denied",
                AccessDenied(service="s3", caller=name, count=_ALWAYS),
                outcome=mended if classifies else final,
                kind=FailureKind.TRANSIENT if classifies else failure(FailureKind.CONFIGURATION),
            )
            yield case(
                "access to the table denied",
                AccessDenied(service="dynamodb", caller=name, count=_ALWAYS),
                outcome=final,
                kind=failure(FailureKind.CONFIGURATION),
            )
            yield case(
                "key of S3 unusable",
                KeyUnusable(service="s3", cause="disabled", caller=name, count=_ALWAYS),
                outcome=mended if classifies else final,
                kind=FailureKind.TRANSIENT if classifies else failure(FailureKind.CONFIGURATION),
            )
        yield Case(
            "execution stopped",
            state,
            (*before, SlowRequest(caller=name, seconds=1.0)),
            "stopped",
            action="stop",
            resumes=resumes,
        )


_CREATION = "creation of the SageMaker job"
_RUNNING = "running job"
_UPLOAD = "upload"
_CLOSING = "closing event"
_CREATE = {"service": "sagemaker", "operation": "CreateProcessingJob"}
_OUTPUTS = "joined/*"
_LEDGER = "*/ledger/*"

TABLE: tuple[Case, ...] = (
    *_steps(),
    Case("requests throttled", _CREATION, (Throttle(**_CREATE, count=3),), "succeeds"),
    Case("internal errors", _CREATION, (ServerError(**_CREATE, count=3),), "succeeds"),
    Case(
        "internal errors after the work",
        _CREATION,
        (ServerError(**_CREATE, when="after"),),
        "second attempt",
        FailureKind.TRANSIENT,
    ),
    Case("slow answers", _CREATION, (SlowRequest(**_CREATE, seconds=0.3),), "succeeds"),
    Case("access denied", _CREATION, (AccessDenied(**_CREATE, count=_ALWAYS),), "fails", FailureKind.CONFIGURATION),
    Case("quota used up", _CREATION, (InstanceQuota(instances=1, others=1, count=3),), "succeeds"),
    Case("quota is zero", _CREATION, (InstanceQuota(),), "fails", FailureKind.CONFIGURATION),
    Case("no capacity", _CREATION, (NoCapacity(),), "second attempt", FailureKind.CAPACITY),
    Case(
        "execution stopped",
        _CREATION,
        (SlowRequest(**_CREATE, seconds=1.0),),
        "fails",
        FailureKind.STOPPED,
        action="stop",
    ),
    Case("instance lost", _RUNNING, (KillInstance(objects=2),), "second attempt", FailureKind.TRANSIENT, quick=True),
    Case("container killed", _RUNNING, (_KILLED,), "second attempt", FailureKind.TRANSIENT),
    Case("instance lost each time", _RUNNING, (KillInstance(count=_ALWAYS),), "fails", FailureKind.TRANSIENT),
    Case("clock an hour behind", _RUNNING, (InstanceClock(),), "succeeds"),
    Case("clock jumps by an hour", _RUNNING, (InstanceClock(seconds=3600, objects=1),), "succeeds"),
    Case("clock half as fast", _RUNNING, (InstanceClock(seconds=0, rate=0.5),), "succeeds"),
    Case("volume full", _RUNNING, (FullDisk(),), "second attempt", FailureKind.TRANSIENT),
    Case(
        "execution stopped",
        _RUNNING,
        (SlowUpload(key=_LEDGER, seconds=2.0),),
        "fails",
        FailureKind.STOPPED,
        action="stop",
        quick=True,
    ),
    Case(
        "object replaced",
        _RUNNING,
        (SlowUpload(key=_OUTPUTS, seconds=0.5),),
        "fails",
        FailureKind.DATA,
        action="replace an object",
    ),
    Case(
        "object deleted",
        _RUNNING,
        (SlowUpload(key=_OUTPUTS, seconds=0.5),),
        "fails",
        FailureKind.DATA,
        action="delete an object",
    ),
    Case("upload fails", _UPLOAD, (FailUpload(key=_OUTPUTS, count=2),), "second attempt", FailureKind.TRANSIENT),
    Case("upload always fails", _UPLOAD, (FailUpload(key=_OUTPUTS, count=_ALWAYS),), "fails", FailureKind.TRANSIENT),
    Case(
        "upload of the ledger fails at the end",
        _UPLOAD,
        (FailUpload(key=_LEDGER),),
        "second attempt",
        FailureKind.TRANSIENT,
    ),
    Case("output changed on its way", _UPLOAD, (CorruptUpload(key=_OUTPUTS),), "second attempt", FailureKind.TRANSIENT),
    Case("slow upload", _UPLOAD, (SlowUpload(count=5, seconds=0.3),), "succeeds"),
    Case(
        "requests throttled",
        _UPLOAD,
        (Throttle(service="s3", operation="PutObject", caller="*/SageMaker", count=2),),
        "succeeds",
    ),
    Case(
        "access denied",
        _UPLOAD,
        (AccessDenied(service="s3", operation="PutObject", caller="*/SageMaker", count=_ALWAYS),),
        "fails",
        FailureKind.CONFIGURATION,
    ),
    Case(
        "event lost",
        _CLOSING,
        (SlowUpload(key=_LEDGER, seconds=3.0), LoseEvent(source="aws.states", count=3)),
        "closed late",
        FailureKind.STOPPED,
        action="stop",
    ),
    Case(
        "all events lost",
        _CLOSING,
        (
            SlowUpload(key=_LEDGER, seconds=3.0),
            LoseEvent(source="aws.states", count=3),
            LoseEvent(source="aws.sagemaker", count=9),
        ),
        "closed late",
        FailureKind.STOPPED,
        action="stop",
    ),
    Case(
        "event twice",
        _CLOSING,
        (SlowUpload(key=_LEDGER, seconds=3.0), DoubleEvent(source="aws.states", count=3)),
        "fails",
        FailureKind.STOPPED,
        action="stop",
    ),
    Case(
        "event late",
        _CLOSING,
        (SlowUpload(key=_LEDGER, seconds=3.0), DelayEvent(source="aws.states", seconds=1.0)),
        "fails",
        FailureKind.STOPPED,
        action="stop",
    ),
)
"""Every fault in every state in which it can happen."""


def as_markdown() -> str:
    """Return the table with a row per fault and state, as the documentation has it."""
    states = list(dict.fromkeys(case.state for case in TABLE))
    lines = ["| State | Fault | Outcome |", "|---|---|---|"]
    for state in states:
        cells: dict[str, list[str]] = {}
        for case in TABLE:
            if case.state == state:
                cells.setdefault(case.cell, []).append(case.fault)
        lines += [f"| {state} | {', '.join(faults)} | {cell} |" for cell, faults in cells.items()]
    return "\n".join(lines)
