"""All kinds of faults by name, and their JSON."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from embedded.faults.clock_faults import ClockJump, FunctionClock, InstanceClock
from embedded.faults.delivery_faults import (
    CrashFunction,
    DelayEvent,
    DoubleEvent,
    LoseEvent,
    OutOfMemoryFunction,
    TimeOutFunction,
)
from embedded.faults.fault import Fault
from embedded.faults.job_faults import (
    CorruptUpload,
    FailUpload,
    FullDisk,
    InstanceQuota,
    InterruptSpot,
    KillInstance,
    NoCapacity,
    SlowUpload,
)
from embedded.faults.request_faults import (
    AccessDenied,
    ClockSkew,
    DelayedListing,
    KeyUnusable,
    ServerError,
    SlowRequest,
    Throttle,
)

KINDS: dict[str, type[Fault]] = {
    kind.KIND: kind
    for kind in (
        Throttle,
        ServerError,
        AccessDenied,
        KeyUnusable,
        SlowRequest,
        DelayedListing,
        ClockSkew,
        InstanceQuota,
        NoCapacity,
        KillInstance,
        InterruptSpot,
        FullDisk,
        SlowUpload,
        FailUpload,
        CorruptUpload,
        LoseEvent,
        DoubleEvent,
        DelayEvent,
        CrashFunction,
        TimeOutFunction,
        OutOfMemoryFunction,
        ClockJump,
        FunctionClock,
        InstanceClock,
    )
}


def given_fields(fault: Fault) -> dict[str, Any]:
    """Return the fields that are not the defaults."""
    values = {each.name: getattr(fault, each.name) for each in fields(fault)}
    return {each.name: values[each.name] for each in fields(fault) if values[each.name] != each.default}


def text(fault: Fault) -> str:
    """Return a fault as the words of the command, quoted for a shell.

    >>> text(Throttle(service="dynamodb", count=2))
    'throttle --count 2 --service dynamodb'
    """
    words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given_fields(fault).items()]
    return " ".join([fault.KIND, *words])
