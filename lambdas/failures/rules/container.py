"""What the container says about its failure in the exit message."""

from contract.status import FailureKind, Shortage
from lambdas.failures.failure_rule import AGAIN, TRANSIENT_SECONDS, FailureRule, Retry, any_of
from lambdas.failures.rules.instances import MORE_DISK, MORE_DISK_TO_TRAIN, MORE_MEMORY, MORE_MEMORY_TO_TRAIN

_BAD_ROWS = any_of("rows are bad")
_TOLERATE_ROWS = "tolerate some with tolerated_quarantine_fraction, which --input of resume takes too"

CONTAINER: tuple[FailureRule, ...] = (
    # The container's own message is more precise than the service's message about the container.
    FailureRule(
        "container: volume full",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        MORE_DISK,
        training_remedy=MORE_DISK_TO_TRAIN,
        shortage=Shortage.DISK_SPACE,
        base_seconds=TRANSIENT_SECONDS,
        exit_prefix="CONFIGURATION",
        pattern=any_of("No space left on device", "Disk quota exceeded"),
    ),
    FailureRule(
        "container: configuration",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Correct the model's record or the request, then {AGAIN}",
        training_remedy=f"Correct the recipe or the request, then {AGAIN}",
        exit_prefix="CONFIGURATION",
    ),
    FailureRule(
        "container: rows that the model cannot score",
        FailureKind.MODEL,
        Retry.NO,
        f"Correct the rows or the model, or {_TOLERATE_ROWS}, then {AGAIN}",
        exit_prefix="MODEL",
        pattern=_BAD_ROWS,
    ),
    FailureRule(
        "container: rows that cannot be read",
        FailureKind.DATA,
        Retry.NO,
        f"Correct the rows, or {_TOLERATE_ROWS}, then {AGAIN}",
        exit_prefix="DATA",
        pattern=_BAD_ROWS,
    ),
    FailureRule(
        "container: model",
        FailureKind.MODEL,
        Retry.NO,
        f"Register a corrected version of the model, then {AGAIN}",
        training_remedy=f"Correct the recipe or the training script, then {AGAIN}",
        exit_prefix="MODEL",
    ),
    FailureRule(
        "container: data",
        FailureKind.DATA,
        Retry.NO,
        f"Correct the objects of the dataset, then {AGAIN}",
        training_remedy=f"Correct the objects of the training dataset or the recipe, then {AGAIN}",
        exit_prefix="DATA",
    ),
    FailureRule(
        "container: out of memory",
        FailureKind.TRANSIENT,
        Retry.NO,
        MORE_MEMORY,
        training_remedy=MORE_MEMORY_TO_TRAIN,
        shortage=Shortage.MEMORY,
        base_seconds=TRANSIENT_SECONDS,
        exit_prefix="TRANSIENT",
        pattern=any_of("out of memory"),
    ),
    FailureRule(
        "container: transient",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"To try once more, {AGAIN}; if it happens again, read the logs",
        base_seconds=TRANSIENT_SECONDS,
        exit_prefix="TRANSIENT",
    ),
)
