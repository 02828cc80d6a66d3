"""What an account's limits, and the instances of a job, say."""

from contract.status import FailureKind, Shortage
from lambdas.failures.failure_rule import AGAIN, CAPACITY_SECONDS, TRANSIENT_SECONDS, FailureRule, Retry, any_of

MORE_DISK = (
    "Raise volume_size_gb, max_volume_size_gb or instance_count of the model's compute, or split large objects; the "
    "volume of an instance_type with local storage is fixed, so that one needs a larger type. "
    f"Then {AGAIN}"
)
MORE_DISK_TO_TRAIN = (
    "Raise volume_size_gb or max_volume_size_gb of the recipe's compute; the volume of an instance_type with local "
    f"storage is fixed, so that one needs a larger type. Then {AGAIN}"
)
MORE_MEMORY = (
    "Choose an instance_type with more memory, or name larger ones in larger_instance_types of the model's compute, "
    f"then {AGAIN}"
)
MORE_MEMORY_TO_TRAIN = (
    "Choose an instance_type with more memory, or name larger ones in larger_instance_types of the recipe's compute, "
    f"then {AGAIN}"
)

INSTANCES: tuple[FailureRule, ...] = (
    # SageMaker checks a request against the account's limits before it looks at what is free.
    FailureRule(
        "volume above a limit of the account",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Lower volume_size_gb or max_volume_size_gb of the model's compute, or raise the named quota, then {AGAIN}",
        training_remedy="Lower volume_size_gb or max_volume_size_gb of the recipe's compute, or raise the named quota, "
        f"then {AGAIN}",
        pattern=any_of("EBS volume", "volume size", r"\d GBs?\b"),
        above_limit=True,
    ),
    FailureRule(
        "instances above a limit of the account",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Raise the named quota, choose another instance_type, or lower instance_count of the model's compute, then "
        f"{AGAIN}",
        training_remedy=f"Raise the named quota, or choose another instance_type in the recipe's compute, then {AGAIN}",
        above_limit=True,
    ),
    FailureRule(
        "quota",
        FailureKind.CAPACITY,
        Retry.YES,
        "Raise the quota of the instance type for such jobs, choose another instance_type, or lower max_concurrency, "
        f"then {AGAIN}",
        base_seconds=CAPACITY_SECONDS,
        waits=True,
        errors=frozenset({"SageMaker.ResourceLimitExceededException", "SageMaker.ResourceLimitExceeded"}),
    ),
    FailureRule(
        "no capacity",
        FailureKind.CAPACITY,
        Retry.YES,
        f"Choose another instance_type or another time, then {AGAIN}",
        base_seconds=CAPACITY_SECONDS,
        waits=True,
        pattern=any_of("ResourceLimitExceeded", "CapacityError", r"insufficient\s?(instance\s?)?capacity"),
    ),
    # Before the rule about denied access: SageMaker's text for such an image mentions permissions.
    FailureRule(
        "image cannot be used",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Push the image that the stack names, or set image_uri or image_uris, let the job's role pull it (a policy of "
        f"the repository may deny that), and deploy the stack again. Then {AGAIN}",
        pattern=any_of(
            r"Cannot ?Pull (the )?(Algorithm )?Container",
            "image does not exist",
            "manifest unknown",
            "CannotStartContainer",
            "ImageNotFound",
            "exec format",
        ),
    ),
    FailureRule(
        "no free addresses",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Name subnets with more free IP addresses in the setting vpc.subnet_ids (an instance needs up to two), or "
        f"lower max_concurrency or instance_count, then {AGAIN}",
        pattern=any_of(
            r"enough free (IP|private) addresses", r"(free|enough) IP ?addresses", "InsufficientFreeAddresses"
        ),
    ),
    # Objects that were committed are not downloaded again, so another attempt needs less room.
    FailureRule(
        "volume full",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        MORE_DISK,
        training_remedy=MORE_DISK_TO_TRAIN,
        shortage=Shortage.DISK_SPACE,
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of(
            "No space left on device", r"Insufficient disk ?space", "Disk quota exceeded", r"more disk ?space"
        ),
    ),
    FailureRule(
        "out of memory",
        FailureKind.TRANSIENT,
        Retry.NO,
        MORE_MEMORY,
        training_remedy=MORE_MEMORY_TO_TRAIN,
        shortage=Shortage.MEMORY,
        base_seconds=TRANSIENT_SECONDS,
        pattern=any_of(r"\bOutOfMemory", r"\bout of memory\b", "instance type with more memory"),
    ),
)
