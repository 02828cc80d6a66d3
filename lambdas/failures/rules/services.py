"""Failures of services that may have passed already, and those that no other rule knows."""

from contract.status import FailureKind, Shortage
from lambdas.failures.failure_rule import AGAIN, TRANSIENT_SECONDS, FailureRule, Retry, any_of
from lambdas.failures.rules.instances import MORE_MEMORY, MORE_MEMORY_TO_TRAIN

SERVICES: tuple[FailureRule, ...] = (
    FailureRule(
        "job name in use",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}",
        base_seconds=TRANSIENT_SECONDS,
        errors=frozenset({"SageMaker.ResourceInUseException", "SageMaker.ResourceInUse"}),
    ),
    # The instance may be gone, or its memory was too small: smaller batches help in one case, and do
    # no harm in the other.
    FailureRule(
        "killed",
        FailureKind.TRANSIENT,
        Retry.YES,
        MORE_MEMORY,
        training_remedy=MORE_MEMORY_TO_TRAIN,
        shortage=Shortage.MEMORY,
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of(r"exit code:? ?137", r"\bkilled\b"),
    ),
    FailureRule(
        "instance ended",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}",
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of(r"instance .{0,40}terminated"),
    ),
    FailureRule(
        "internal error of a service",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}",
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of(
            "Internal ?Server ?Error",
            "internal error",
            "InternalFailure",
            "Service ?Unavailable",
            r"Status Code: 5\d\d",
            "connection (reset|refused|timed out)",
            "EndpointConnectionError",
            "TransactionConflict",
        ),
    ),
    FailureRule(
        "function could not be called",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}",
        base_seconds=TRANSIENT_SECONDS,
        errors=frozenset(
            {
                "Lambda.ServiceException",
                "Lambda.AWSLambdaException",
                "Lambda.SdkClientException",
                "Lambda.TooManyRequestsException",
                "Lambda.ClientExecutionTimeoutException",
                "Lambda.Unknown",
                "Runtime.ExitError",
                "Sandbox.Timedout",
                "ConnectionError",
                "ReadTimeoutError",
                "ConnectTimeoutError",
                "EndpointConnectionError",
            }
        ),
    ),
    # Each call of a function may meet another machine.
    FailureRule(
        "clock of a function is wrong",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}; if it happens again, ask AWS's support about the clocks of Lambda",
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of("RequestTimeTooSkewed", "Signature expired", "Signature not yet current", "RequestExpired"),
    ),
    FailureRule(
        "unknown",
        FailureKind.UNKNOWN,
        Retry.ONCE,
        f"Read the logs, fix the cause, then {AGAIN}",
        base_seconds=TRANSIENT_SECONDS,
    ),
)
