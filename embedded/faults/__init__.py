"""Fault injection: rules for faults in the embedded AWS, and where they have happened.

`docs/reference/faults.md` describes all kinds, with the errors that clients see.
"""

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
from embedded.faults.store import Faults, Happening, ScheduledFault

__all__ = [
    "AccessDenied",
    "ClockJump",
    "ClockSkew",
    "CorruptUpload",
    "CrashFunction",
    "DelayEvent",
    "DelayedListing",
    "DoubleEvent",
    "FailUpload",
    "Fault",
    "Faults",
    "FullDisk",
    "FunctionClock",
    "Happening",
    "InstanceClock",
    "InstanceQuota",
    "InterruptSpot",
    "KeyUnusable",
    "KillInstance",
    "LoseEvent",
    "NoCapacity",
    "OutOfMemoryFunction",
    "ScheduledFault",
    "ServerError",
    "SlowRequest",
    "SlowUpload",
    "Throttle",
    "TimeOutFunction",
]
