"""The faults of the random test, how often they happened, and what each may excuse."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from hypothesis import strategies as st

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
    Happening,
    InstanceClock,
    InstanceQuota,
    InterruptSpot,
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
from tests.e2e.reliability.audit import Disturbed

ROLES = "*/*"
"""Pattern of all callers with a role: functions, workflows and jobs, but not the test itself."""
SERVICES = ("s3", "dynamodb", "sagemaker", "lambda", "states", "logs")
STEPS = ("PlanExecution", "RecordAttempt", "VerifyOutput", "ClassifyFailure", "SummarizeExecution")
_SHARES = (0.4, 0.25, 0.1)

_services = st.sampled_from(SERVICES)
_shares = st.sampled_from(_SHARES)
_seeds = st.integers(0, 9)
_counts = st.integers(1, 3)
_skips = st.integers(0, 12)
_steps = st.sampled_from(STEPS).map(lambda step: f"*{step}*")
_when = st.sampled_from(["before", "after"])

REQUEST_SHOWERS: Sequence[st.SearchStrategy[Fault]] = (
    st.builds(Throttle, service=_services, caller=st.just(ROLES), probability=_shares, seed=_seeds),
    st.builds(ServerError, service=_services, caller=st.just(ROLES), probability=_shares, seed=_seeds, when=_when),
)
STORM = st.tuples(
    st.builds(Throttle, caller=st.just(ROLES), probability=st.sampled_from([0.3, 0.2, 0.1]), seed=_seeds),
    st.builds(ServerError, caller=st.just(ROLES), probability=st.sampled_from([0.2, 0.1]), seed=_seeds, when=_when),
    st.builds(SlowRequest, caller=st.just(ROLES), probability=st.just(0.3), seed=_seeds, seconds=st.just(0.02)),
).map(list)
"""Faults of all requests at once: most of them meet one, and are repeated or late."""
SHOWERS: Sequence[st.SearchStrategy[Fault]] = (
    *REQUEST_SHOWERS,
    st.builds(
        SlowRequest,
        service=_services,
        caller=st.just(ROLES),
        probability=st.just(0.2),
        seed=_seeds,
        seconds=st.just(0.05),
    ),
    st.builds(CrashFunction, function=_steps, probability=_shares, seed=_seeds, when=_when),
    st.builds(TimeOutFunction, function=_steps, probability=_shares, seed=_seeds, when=_when),
    st.builds(SlowUpload, probability=_shares, seed=_seeds, seconds=st.just(0.1)),
)
"""Faults that happen at a share of the occasions, as long as an execution runs."""

_KILLS: st.SearchStrategy[Fault] = st.builds(
    KillInstance, count=_counts, objects=st.integers(0, 3), cause=st.sampled_from(["lost", "out-of-memory"])
)
STROKES: Sequence[st.SearchStrategy[Fault]] = (
    st.builds(AccessDenied, service=_services, caller=st.just(ROLES), count=_counts, skip=_skips),
    st.builds(
        KeyUnusable, service=st.sampled_from(["s3", "dynamodb"]), caller=st.just(ROLES), count=_counts, skip=_skips
    ),
    st.builds(Throttle, service=_services, caller=st.just(ROLES), count=st.just(30), skip=_skips),
    st.builds(CrashFunction, function=_steps, count=_counts, when=_when),
    st.builds(TimeOutFunction, function=_steps, count=_counts, when=_when),
    st.builds(OutOfMemoryFunction, function=_steps, count=_counts, when=_when),
    _KILLS,
    st.builds(NoCapacity, count=_counts),
    st.builds(InstanceQuota, instances=st.just(1), others=st.just(1), count=_counts),
    st.builds(FullDisk, count=_counts),
    st.builds(FailUpload, key=st.sampled_from(["*predictions*", "*ledger*", "*quarantine*", "*"]), count=_counts),
    st.builds(CorruptUpload, key=st.sampled_from(["predictions*", "joined*", "fleets*", "quarantine*"]), count=_counts),
    st.builds(LoseEvent, source=st.just("aws.states")),
    st.builds(DoubleEvent, source=st.just("aws.states"), count=_counts),
    st.builds(DelayEvent, source=st.just("aws.states"), count=_counts, seconds=st.just(0.5)),
    # Services refuse requests that are signed more than 15 minutes before or after their own time.
    st.builds(FunctionClock, function=_steps, seconds=st.sampled_from([-840.0, 840.0])),
    st.builds(InstanceClock, objects=st.integers(0, 3), seconds=st.sampled_from([-3600.0, -60.0, 60.0, 3600.0])),
)
"""Faults that happen a few times."""

FAULTS = st.one_of(*SHOWERS, *STROKES)
_STORMY = st.tuples(
    STORM, st.lists(st.one_of(*REQUEST_SHOWERS), max_size=2), st.lists(FAULTS, min_size=1, max_size=4)
).map(lambda drawn: [fault for faults in drawn for fault in faults])
"""Requests are refused all the time, and some other things happen."""
_STRUCK: st.SearchStrategy[list[Fault]] = st.lists(st.one_of(_KILLS, *STROKES), min_size=2, max_size=5)
"""No request is refused by chance, so jobs run, and meet what happens to instances and uploads."""
WEATHER = st.one_of(_STORMY, _STRUCK)
"""The faults of an execution."""


SPOT_FAULTS = st.one_of(
    st.builds(InterruptSpot, count=_counts),
    st.builds(InterruptSpot, count=_counts, uploads=st.integers(1, 6)),
    st.builds(InterruptSpot, count=_counts, after_log=st.just("object_scored")),
    st.builds(CorruptUpload, key=st.just("spot/*/checkpoints/*"), count=_counts),
    st.builds(FailUpload, key=st.just("spot/*/checkpoints/*"), count=_counts),
)
"""Faults of training jobs that score on spot capacity."""


_OUTPUT_AREAS = ("predictions/", "joined/", "fleets/", "quarantine/", "/ledger/")


def disturbed_by(happened: Iterable[Happening], *, keys: Iterable[str], stopped: bool) -> Disturbed:
    """Return what the faults that happened may have caused.

    An output that did not arrive, or arrived damaged, is scored again although the ledger has its commit. So
    are outputs of an instance that was lost or taken before it had uploaded them.
    """
    names = {PurePosixPath(key).name: key for key in keys}
    outputs: set[str] = set()
    for happening in happened:
        if happening.kind in (KillInstance.KIND, InterruptSpot.KIND) or "/ledger/" in happening.place:
            return Disturbed(outputs=set(names.values()), stopped=stopped)
        if any(area in happening.place for area in _OUTPUT_AREAS):
            outputs |= {key for name, key in names.items() if name in happening.place}
    return Disturbed(outputs=outputs, stopped=stopped)
