"""How a SageMaker job ended: out of time, without spot capacity, or stopped."""

from contract.status import FailureKind, Shortage
from lambdas.failures.failure_rule import AGAIN, CAPACITY_SECONDS, TRANSIENT_SECONDS, FailureRule, Retry, any_of

_MORE_TIME = f"Raise max_runtime_seconds or instance_count of the model's compute, then {AGAIN}"
_MORE_TIME_TO_TRAIN = f"Raise max_runtime_seconds of the recipe's compute, then {AGAIN}"

ENDINGS: tuple[FailureRule, ...] = (
    FailureRule(
        "no spot capacity",
        FailureKind.CAPACITY,
        Retry.YES,
        "Raise max_wait_seconds of the model's compute, or choose another instance_type, or set spot to false, which "
        f"--input of resume takes too, then {AGAIN}",
        training_remedy="Raise max_wait_seconds of the recipe's compute, choose another instance_type, or set spot to "
        f"false, then {AGAIN}",
        base_seconds=CAPACITY_SECONDS,
        waited_too_long=True,
    ),
    # These come before the statuses: SageMaker reports a job that reached its runtime limit as
    # Stopped, like a job that somebody stopped.
    FailureRule(
        "runtime limit, by job duration",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _MORE_TIME,
        training_remedy=_MORE_TIME_TO_TRAIN,
        shortage=Shortage.TIME,
        base_seconds=TRANSIENT_SECONDS,
        statuses=frozenset({"Stopped", "Stopping", "Failed"}),
        ran_out_of_time=True,
    ),
    FailureRule(
        "runtime limit, by message",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _MORE_TIME,
        training_remedy=_MORE_TIME_TO_TRAIN,
        shortage=Shortage.TIME,
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of(r"MaxRuntime(InSeconds)?\b.*exceed", r"exceed\w* .{0,40}max\w* ?run ?time"),
    ),
    FailureRule(
        "runtime limit, by workflow timeout",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _MORE_TIME,
        training_remedy=_MORE_TIME_TO_TRAIN,
        shortage=Shortage.TIME,
        base_seconds=TRANSIENT_SECONDS,
        errors=frozenset({"States.Timeout", "States.HeartbeatTimeout"}),
    ),
    FailureRule(
        "stopped",
        FailureKind.STOPPED,
        Retry.NO,
        f"Somebody stopped the job: when it may run, {AGAIN}",
        statuses=frozenset({"Stopped", "Stopping"}),
    ),
)
