"""Decide who gets instances of a pool. Pure functions, no I/O.

An execution's share is the number of instances that it holds, divided by its weight (priority + 1).
The waiting execution with the smallest share comes first, so each gets an instance before another
gets its second. Between equal shares, weighted fair queueing decides: each grant moves an
execution's virtual time on by instances / weight, and the smallest virtual end comes first. The
pool's own virtual time is where newcomers begin, so they never overtake for long those that wait.

Who comes first keeps what is free until it suffices, so jobs of many instances do not starve.

Times are those of Step Functions, never of a function's clock. They decide only whether somebody
still waits. A lease ends by facts alone.
"""

import hashlib
from dataclasses import dataclass, replace

from contract.pool.pool_records import Lease, Pool, Share

UNIT = 2_520
"""Virtual time that one instance costs an execution of weight 1. All weights, 1 to 10, divide it."""
MAX_SHARES = 400
"""Most executions in one pool's item, which DynamoDB limits to 400 KB. Further ones wait without a place."""
_ABANDONED_SECONDS = 150
"""How much later than announced a waiting job may ask again before its place is given away."""
_SLACK_SECONDS = 30
_SHORTEST_WAIT, _LONGEST_WAIT, _LONGEST_REFUSED_WAIT = 10, 300, 900


@dataclass(frozen=True)
class Ask:
    """A job that needs instances."""

    lease: Lease
    """The lease that it gets."""
    priority: int
    at: int
    """Time of the request, in epoch seconds."""
    wait_seconds: int
    """How long the job will wait if it gets none."""


def weight(priority: int) -> int:
    return priority + 1


def is_waiting(share: Share, at: int) -> bool:
    return share.wants > 0 and share.until >= at


def acquire(pool: Pool, ask: Ask, quota: int | None) -> tuple[bool, Pool]:
    """Return whether the job gets its instances, and the pool afterwards, equal to `pool` if nothing changes.

    A quota of None limits nothing. The number of instances must not be above the quota.
    """
    lease, execution_id = ask.lease, ask.lease.execution_id
    joined = _joined(pool, ask)
    waiting = {name: share for name, share in pool.shares.items() if is_waiting(share, ask.at)}
    waiting[execution_id] = replace(joined, wants=lease.instances)
    has_place = execution_id in pool.shares or len(pool.shares) < MAX_SHARES
    if quota is not None:
        mine = _rank(execution_id, waiting[execution_id])
        before = sum(min(share.wants, quota) for name, share in waiting.items() if _rank(name, share) < mine)
        if quota - pool.held - before < lease.instances or not has_place:
            pruned = pool if has_place else _pruned(pool, ask.at)
            if len(pruned.shares) >= MAX_SHARES and execution_id not in pruned.shares:
                return False, pool
            return False, replace(pruned, shares={**pruned.shares, execution_id: joined})
    total = sum(weight(share.priority) for share in waiting.values())
    served = replace(
        joined,
        held=joined.held + lease.instances,
        passed=joined.passed + lease.instances * UNIT // weight(ask.priority),
        wants=0,
        since=0,
        until=0,
        granted_at=ask.at,
    )
    clock = pool.clock + max(1, lease.instances * UNIT // total)
    pool = _pruned(pool, ask.at)
    return True, replace(pool, clock=clock, shares={**pool.shares, execution_id: served})


def release(pool: Pool, lease: Lease) -> Pool:
    """Return the pool without the instances of a lease."""
    share = pool.shares.get(lease.execution_id)
    if share is None:
        # Somebody has deleted the pool's item by hand. The lease must go all the same.
        return pool
    held = max(0, share.held - lease.instances)
    shares = {**pool.shares, lease.execution_id: replace(share, held=held)}
    if held == 0 and share.wants == 0:
        del shares[lease.execution_id]
    return replace(pool, shares=shares)


def leave(pool: Pool, execution_id: str) -> Pool:
    """Return the pool without the place of an execution that waits for nothing any more."""
    share = pool.shares.get(execution_id)
    if share is None or not share.wants:
        return pool
    shares = {**pool.shares, execution_id: replace(share, wants=0, since=0, until=0)}
    if share.held == 0:
        del shares[execution_id]
    return replace(pool, shares=shares)


def _joined(pool: Pool, ask: Ask) -> Share:
    """Return the share of the job's execution when the job waits. Unchanged if it says so already."""
    share = pool.shares.get(ask.lease.execution_id, Share(ask.priority, passed=pool.clock))
    until = ask.at + ask.wait_seconds
    if not is_waiting(share, ask.at):
        return replace(
            share,
            priority=ask.priority,
            # Who has not waited in the meantime saves nothing up.
            passed=max(share.passed, pool.clock),
            wants=ask.lease.instances,
            since=ask.at,
            until=until + _ABANDONED_SECONDS,
        )
    # Every poll of many waiting jobs would change the item otherwise.
    kept = share.until if share.until >= until + _SLACK_SECONDS else until + _ABANDONED_SECONDS
    return replace(share, priority=ask.priority, wants=max(share.wants, ask.lease.instances), until=kept)


def _rank(execution_id: str, share: Share) -> tuple[int, int, int, str]:
    per_instance = UNIT // weight(share.priority)
    return share.held * per_instance, share.passed + share.wants * per_instance, share.since, execution_id


def _pruned(pool: Pool, at: int) -> Pool:
    """Return the pool without executions that hold nothing and wait no longer."""
    kept = {name: share for name, share in pool.shares.items() if share.held or is_waiting(share, at)}
    return pool if len(kept) == len(pool.shares) else replace(pool, shares=kept)


# ---- waiting -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waited:
    """How long a job has waited, in seconds."""

    now: int
    """This time, since it last began to wait."""
    in_all: int
    """In all its attempts, this time included."""


LONGEST_WAIT_SECONDS = 432_000
"""Longest time that a job waits in all its attempts together: five days, so that the history of its child execution
stays below the 25,000 events of Step Functions."""


def wait_seconds(waited: int, key: str, *, refused: bool = False) -> int:
    """Return how long to wait before the next try: a tenth of the time waited so far, and half of it is jitter.

    `refused` is for waits after SageMaker has refused the job, whose rounds have more events. The jitter is a digest
    of `key` and the time, so a repeated call returns the same.
    """
    longest = min(max(waited // 10, _SHORTEST_WAIT), _LONGEST_REFUSED_WAIT if refused else _LONGEST_WAIT)
    digest = hashlib.sha256(f"{key}\n{waited}".encode()).digest()
    return max(1, round(longest * (0.5 + 0.5 * int.from_bytes(digest[:4]) / 2**32)))


def why_given_up(waited: Waited, limit: int, *, deadline_passed: bool) -> str:
    """Return why a job waits no longer; empty if it waits on. `limit` is the setting `capacity_wait_seconds`."""
    if deadline_passed:
        return "the deadline of its execution has passed"
    if waited.now > limit:
        return f"it has waited for {_hours(waited.now)}, and capacity_wait_seconds is {limit:,}"
    if waited.in_all > LONGEST_WAIT_SECONDS:
        return f"it has waited for {_hours(waited.in_all)} in all its attempts, and a job waits for at most five days"
    return ""


def _hours(seconds: int) -> str:
    return f"{seconds / 3_600:,.1f} hours"
