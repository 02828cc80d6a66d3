"""Admit an attempt: give it instances of its quota, or let it wait, and give it a moment to start."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.pool.pool_records import JobKind, Lease
from contract.table.records import ExecutionRecord, JobRecord, record_time
from lambdas.admission.decisions import Ask, Waited, acquire, wait_seconds, why_given_up
from lambdas.errors import CapacityWaitEndedError, QuotaTooSmallError
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger, publish_counts
from lambdas.stage.tables.pool_table import Admitted, ExpectedPool, StartSlot


@dataclass(frozen=True)
class Clock:
    """The moment of a step, as Step Functions has it: a function's own clock may be wrong."""

    moment: datetime

    @property
    def seconds(self) -> int:
        return int(self.moment.timestamp())

    @property
    def milliseconds(self) -> int:
        return int(self.moment.timestamp() * 1_000)

    @property
    def text(self) -> str:
        """The moment as records write it."""
        return record_time(self.moment)

    def seconds_since(self, time: str) -> int:
        """Return the seconds since a time of a record, which may be empty: 0 then."""
        return max(0, int((self.moment - datetime.fromisoformat(time)).total_seconds())) if time else 0


def step_clock(entered_at: str, deployment: Deployment) -> Clock:
    """Return the clock of a step that Step Functions entered at this time; empty in messages of earlier releases."""
    return Clock(datetime.fromisoformat(entered_at) if entered_at else deployment.clock())


@dataclass(frozen=True)
class Answer:
    """What an attempt is told that needs instances."""

    wait_seconds: int
    """Seconds until it should ask again; 0 if it has its instances."""
    is_opened: bool = False
    """Whether this call has opened it, with its lease."""
    slot: StartSlot | None = None
    """The start slot that it has taken with them, if it has."""


def admit(
    lease: Lease,
    job: JobRecord,
    execution: ExecutionRecord,
    clock: Clock,
    deployment: Deployment,
    *,
    may_wait: bool = True,
    opening: Sequence[dict[str, Any]] = (),
    expected: ExpectedPool | None = None,
) -> Answer:
    """Give an attempt its instances, or let it wait. Idempotent.

    `opening` are the writes that open the attempt. They are made with that of the lease, unless the
    attempt has one already. With `expected`, the pool was read already, and the start slot is taken with them.

    The job's record says what it waits for, and since when. An execution that an earlier release has
    started cannot wait (`may_wait`), so its attempts get their instances at once.

    Raises:
        QuotaTooSmallError: when the quota is below the instances of this job alone.
        CapacityWaitEndedError: when the job has waited for too long.
    """
    pools, name = deployment.pools, (lease.kind, lease.instance_type)
    waited = clock.seconds_since(job.waiting_since)
    wait = wait_seconds(waited, lease.sagemaker_job_name)
    ask = Ask(lease, execution.priority, clock.seconds, wait)
    state, slot = None, None
    if opening and expected is not None and expected.name == name:
        quota = deployment.quotas.known(expected.state.quotas).of(*name) if may_wait else None
        if acquire(expected.state.pool, ask, quota)[0]:
            # The attempt has mostly no lease yet. If it has one, these writes fail, and it is read.
            state = expected.state
            slot = pools.start_slot(expected, clock.milliseconds, _start_interval(deployment))
    if state is None:
        state = pools.lease_state(lease.sagemaker_job_name, name, with_quotas=True)
    quotas = deployment.quotas.known(state.quotas)
    quota = quotas.of(*name) if may_wait else None
    if quota is not None and lease.instances > quota and state.lease is None:
        source = quotas.source(lease.kind, lease.instance_type)
        raise QuotaTooSmallError(job.job_id, lease, quota, source)
    result = pools.acquire(ask, quota, job, state, opening, slot=slot)
    if isinstance(result, Admitted):
        return Answer(0, result.is_opened, result.slot)
    # Whose execution gets instances again and again waits for its turn, not for the quota.
    this_time = waited if not result.granted_at else min(waited, max(0, clock.seconds - result.granted_at))
    why = why_given_up(
        Waited(this_time, job.waited_seconds + waited),
        deployment.settings.capacity_wait_seconds,
        deadline_passed=deadline_passed(execution, clock),
    )
    waiting_for = _waiting_for(lease, quota)
    if why:
        raise CapacityWaitEndedError(job.job_id, waiting_for, why)
    if not job.waiting_since:
        publish_counts(deployment.settings.stage, {"JobsWaitingForCapacity": 1})
    logger.info("waits for instances", waiting_for=waiting_for, held=result.held, executions=result.waiting, wait=wait)
    deployment.table.record_wait(
        job, since=job.waiting_since or clock.text, waiting_for=waiting_for, instances=lease.instances
    )
    return Answer(wait)


def take_start_slot(kind: JobKind, clock: Clock, deployment: Deployment) -> int:
    """Return in how many whole seconds the job may be created, so that all executions together keep the API's rate."""
    return deployment.pools.take_start_slot(kind, clock.milliseconds, _start_interval(deployment)) // 1_000


def _start_interval(deployment: Deployment) -> int:
    """Return the time between two start slots, in milliseconds."""
    return round(1_000 / deployment.settings.job_starts_per_second)


def deadline_passed(execution: ExecutionRecord, clock: Clock) -> bool:
    """Return whether a strict deadline has passed. After another one, late predictions are better than none."""
    return execution.deadline_is_strict and clock.moment > datetime.fromisoformat(execution.deadline_at)


def _waiting_for(lease: Lease, quota: int | None) -> str:
    """Return what a job waits for, as its record says it. It does not change from one round to the next."""
    instances = instances_text(lease.instances, lease.instance_type)
    known = "" if quota is None else f" of {quota:,}"
    return f"{instances} for {lease.kind.words}s: jobs of this stage use the quota{known}"


def instances_text(count: int, instance_type: str) -> str:
    """Return a number of instances with their type.

    >>> instances_text(1, "ml.m5.large"), instances_text(2, "ml.m5.large")
    ('1 instance of ml.m5.large', '2 instances of ml.m5.large')
    """
    return f"{'1 instance' if count == 1 else f'{count:,} instances'} of {instance_type}"
