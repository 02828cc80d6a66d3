"""The quotas of instance types: what the stage's setting says, else what Service Quotas says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.pool.pool_records import JobKind, quota_key, quota_name

_NAME_END = " usage"


@dataclass(frozen=True)
class Quotas:
    """The known quotas. A type without one is not limited by the pool: SageMaker's own answer decides."""

    declared: Mapping[str, int] = field(default_factory=dict)
    """The setting `instance_quotas`: by type, or by `quota_key` for one kind of job."""
    account: Mapping[str, int] = field(default_factory=dict)
    """By `quota_key`, from Service Quotas."""

    def of(self, kind: JobKind, instance_type: str) -> int | None:
        """Return how many instances of a type the jobs of a kind may use together; None if it is unknown.

        >>> Quotas({"ml.m5.large": 3, "training:ml.m5.large": 1}).of(JobKind.TRAINING, "ml.m5.large")
        1
        """
        key = quota_key(kind, instance_type)
        for known, name in ((self.declared, key), (self.declared, instance_type), (self.account, key)):
            if name in known:
                return known[name]
        return None

    def source(self, kind: JobKind, instance_type: str) -> str:
        """Return where a quota comes from, for messages."""
        if {quota_key(kind, instance_type), instance_type} & set(self.declared):
            return "the stage's setting instance_quotas"
        return f'Service Quotas, "{quota_name(kind, instance_type)}"'


def instance_quotas(values: Iterable[tuple[str, float]]) -> dict[str, int]:
    """Return the quotas of instance types, by `quota_key`, among all quotas of SageMaker, by name.

    >>> instance_quotas([("ml.m5.large for spot training job usage", 4.0), ("Longest run time", 9.0)])
    {'spot-training:ml.m5.large': 4}
    """
    # The longest words first: "spot training job" ends like "training job".
    kinds = sorted(JobKind, key=lambda kind: -len(kind.words))
    found: dict[str, int] = {}
    for name, value in values:
        instance_type, _, rest = name.partition(" for ")
        kind = next((kind for kind in kinds if rest == kind.words + _NAME_END), None)
        if kind is not None and instance_type.startswith("ml."):
            found[quota_key(kind, instance_type)] = int(value)
    return found
