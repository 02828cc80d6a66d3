"""Records of the pool: which instances the executions of a stage hold, and which executions wait for some.

Access patterns, in the table of `records`:

| question                                | how                                             |
|-----------------------------------------|-------------------------------------------------|
| who holds and awaits instances of a type | get  pk=POOL, sk=INSTANCES#<kind>#<type>        |
| the lease of a SageMaker job            | get  pk=POOL, sk=LEASE#<job name>               |
| all leases                              | query pk=POOL, sk begins with LEASE#            |
| the account's quotas                    | get  pk=POOL, sk=QUOTAS                         |
| when the next job may be created        | get  pk=POOL, sk=STARTS#<service operation>     |

None of them expires: a lease ends when SageMaker says that its job has ended, never by a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contract.catalog.models import Compute
from contract.status import ExecutionKind
from contract.table.records import PARTITION_KEY, SORT_KEY

POOL_PARTITION = "POOL"
"""Partition key of all these items, which policies of roles name."""
INSTANCES_SORT_PREFIX = "INSTANCES#"
LEASE_SORT_PREFIX = "LEASE#"


class JobKind(StrEnum):
    """A kind of SageMaker job. The account has a quota of each instance type for each kind."""

    PROCESSING = "processing"
    TRAINING = "training"
    SPOT_TRAINING = "spot-training"

    @property
    def words(self) -> str:
        """The kind as Service Quotas names it.

        >>> JobKind.SPOT_TRAINING.words
        'spot training job'
        """
        return f"{self.value.replace('-', ' ')} job"

    @property
    def api(self) -> str:
        """The kind of jobs that the same operation creates, and whose rate it limits."""
        return JobKind.PROCESSING.value if self is JobKind.PROCESSING else JobKind.TRAINING.value


def pool_kind(kind: ExecutionKind, compute: Compute) -> JobKind:
    """Return the kind of the SageMaker jobs of a job."""
    if compute.uses_spot:
        return JobKind.SPOT_TRAINING
    return JobKind.TRAINING if kind is ExecutionKind.TRAINING else JobKind.PROCESSING


def quota_name(kind: JobKind, instance_type: str) -> str:
    """Return the name of a quota in Service Quotas.

    >>> quota_name(JobKind.PROCESSING, "ml.m5.xlarge")
    'ml.m5.xlarge for processing job usage'
    """
    return f"{instance_type} for {kind.words} usage"


def quota_key(kind: JobKind, instance_type: str) -> str:
    """Return the name of a quota in the pool's records and in the setting `instance_quotas`.

    >>> quota_key(JobKind.SPOT_TRAINING, "ml.m5.xlarge")
    'spot-training:ml.m5.xlarge'
    """
    return f"{kind.value}:{instance_type}"


@dataclass(frozen=True)
class Share:
    """What one execution holds and awaits of a pool. Times are epoch seconds of Step Functions' clock."""

    priority: int
    held: int = 0
    """Number of instances of its leases."""
    passed: int = 0
    """Virtual time up to which it was served: see `lambdas.admission.decisions`."""
    wants: int = 0
    """Largest number of instances that one of its waiting jobs needs; 0 if none waits."""
    since: int = 0
    """When the first of these jobs began to wait."""
    until: int = 0
    """When the wait counts as abandoned, unless one of them asks again."""
    granted_at: int = 0
    """When it last got instances."""


@dataclass(frozen=True)
class Pool:
    """The instances of one type for one kind of job, as the executions of a stage share them."""

    kind: JobKind
    instance_type: str
    version: int = 0
    """Number of the item's writes, by which concurrent ones notice each other."""
    clock: int = 0
    """Virtual time of the pool, which grows with every grant."""
    shares: Mapping[str, Share] = field(default_factory=dict)
    """By execution id."""

    @property
    def held(self) -> int:
        return sum(share.held for share in self.shares.values())


@dataclass(frozen=True)
class Lease:
    """Instances that one attempt of a job holds, from before its SageMaker job is created until that has ended."""

    sagemaker_job_name: str
    kind: JobKind
    instance_type: str
    instances: int
    execution_id: str
    job_id: str
    attempt: int
    acquired_at: str
    """For people. No decision depends on it."""
    child_arn: str = ""
    """ARN of the child execution that asked for it, without which its job is never created; empty in leases of
    earlier releases."""


@dataclass(frozen=True)
class AccountQuotas:
    """The account's quotas of instances, as Service Quotas had them."""

    read_at: str
    instances: Mapping[str, int] = field(default_factory=dict)
    """By `quota_key`."""


QUOTAS_KEY = {PARTITION_KEY: POOL_PARTITION, SORT_KEY: "QUOTAS"}


def pool_key(kind: JobKind, instance_type: str) -> dict[str, str]:
    return {PARTITION_KEY: POOL_PARTITION, SORT_KEY: f"{INSTANCES_SORT_PREFIX}{kind.value}#{instance_type}"}


def lease_key(sagemaker_job_name: str) -> dict[str, str]:
    return {PARTITION_KEY: POOL_PARTITION, SORT_KEY: f"{LEASE_SORT_PREFIX}{sagemaker_job_name}"}


def starts_key(kind: JobKind) -> dict[str, str]:
    return {PARTITION_KEY: POOL_PARTITION, SORT_KEY: f"STARTS#{kind.api}"}
