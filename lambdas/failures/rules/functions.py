"""Failures that the workflow's functions report under names of their own."""

from contract.status import FailureKind
from lambdas.failures.failure_rule import AGAIN, TRANSIENT_SECONDS, FailureRule, Retry

FUNCTIONS: tuple[FailureRule, ...] = (
    FailureRule(
        "tolerance exceeded",
        FailureKind.STOPPED,
        Retry.NO,
        f"Fix what failed or raise the named percentage, then {AGAIN}",
        errors=frozenset({"ToleranceExceededError"}),
    ),
    FailureRule(
        "quota below one job",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Raise the quota, or choose another instance_type or a smaller instance_count, then {AGAIN}",
        errors=frozenset({"QuotaTooSmallError"}),
    ),
    FailureRule(
        "waited too long for a quota",
        FailureKind.CAPACITY,
        Retry.NO,
        "Let other executions end, give this one a higher priority, or raise the quota or capacity_wait_seconds, then "
        f"{AGAIN}",
        errors=frozenset({"CapacityWaitEndedError"}),
    ),
    FailureRule(
        "object replaced",
        FailureKind.DATA,
        Retry.NO,
        f"Let uploads to the dataset end, then {AGAIN}",
        errors=frozenset({"ObjectReplacedError"}),
    ),
    FailureRule(
        "artifact does not match its spec",
        FailureKind.MODEL,
        Retry.NO,
        f"Correct the recipe or the training script, then {AGAIN}",
        errors=frozenset({"TrainedArtifactError"}),
    ),
    FailureRule(
        "artifact missing",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}; if it happens again, read the logs",
        base_seconds=TRANSIENT_SECONDS,
        errors=frozenset({"ArtifactMissingError"}),
    ),
    FailureRule(
        "model contended",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"When no other process changes the model, {AGAIN}",
        base_seconds=TRANSIENT_SECONDS,
        errors=frozenset({"ModelContendedError"}),
    ),
    FailureRule(
        "output incomplete",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To score what is missing, {AGAIN}; if it happens again, read the logs",
        base_seconds=TRANSIENT_SECONDS,
        errors=frozenset({"OutputIncompleteError"}),
    ),
    FailureRule(
        "unexpected output",
        FailureKind.MODEL,
        Retry.NO,
        f"Delete these files, then {AGAIN}; if they appear again, register a version of the model whose code writes no "
        "files there",
        errors=frozenset({"UnexpectedOutputError"}),
    ),
    FailureRule(
        "job left running",
        FailureKind.STOPPED,
        Retry.NO,
        f"Stop the SageMaker job by hand, then {AGAIN}",
        errors=frozenset({"JobStillRunningError"}),
    ),
    FailureRule(
        "message of another release",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Deploy all stacks and the image of one release, then {AGAIN}",
        errors=frozenset({"InvalidInputError", "ExecutionNotFoundError", "JobNotFoundError"}),
    ),
)
