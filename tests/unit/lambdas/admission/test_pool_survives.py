"""The pool's real table code on the embedded DynamoDB: calls are killed at any request, doubled, late, and shuffled.

Whatever happens, what is held is the sum of the leases, never above the quota, and every SageMaker job
that runs has a lease. When all has ended, nothing is held.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contract.pool.pool_records import JobKind, Lease, pool_key
from contract.status import FINAL_JOB_STATUSES, AttemptStatus, ExecutionStatus, JobStatus
from contract.table import records
from contract.table.records import AttemptRecord, JobRecord
from embedded.server.embedded_aws import EmbeddedAws
from lambdas.admission.decisions import Ask, acquire
from lambdas.reconcile.leases import Leases
from lambdas.stage.messaging.execution_reader import EndedExecution
from lambdas.stage.tables import pool_table
from lambdas.stage.tables.job_table import JobTable, Release
from lambdas.stage.tables.pool_table import Admitted, PoolTable
from tests.unit.fuzzing import FUZZ_PROFILE
from tests.unit.lambdas.builders import STARTED_AT, any_execution, any_job

KIND, TYPE, QUOTA = JobKind.PROCESSING, "ml.m5.large", 3
TABLES = itertools.count()


class KilledError(BaseException):
    """The function's process was killed."""


class Connection:
    """A DynamoDB client that is killed before or after its n-th request."""

    def __init__(self, client: Any) -> None:
        self._client, self.exceptions = client, client.exceptions
        self.left: int | None = None
        self.after = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name == "get_paginator":
            return method

        def call(**arguments: Any) -> Any:
            kills = self.left == 0
            if self.left is not None:
                self.left -= 1
            if kills and not self.after:
                raise KilledError
            answer = method(**arguments)
            if kills:
                raise KilledError
            return answer

        return call


def child_of(job: JobRecord) -> str:
    """Return the ARN of the child execution that runs a job."""
    return f"{job.execution_id}/RunJobs:{job.job_id}"


class World:
    """Executions with jobs, a fake SageMaker, and the real tables."""

    def __init__(self, dynamodb: Any) -> None:
        name = f"pool-{next(TABLES)}"
        attributes = [(records.PARTITION_KEY, "HASH"), (records.SORT_KEY, "RANGE")]
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each, _ in attributes],
            KeySchema=[{"AttributeName": each, "KeyType": kind} for each, kind in attributes],
        )
        self.connection = Connection(dynamodb)
        self.jobs = JobTable(self.connection, name, record_days=90)
        self.pools = PoolTable(self.connection, name, pause=lambda _: None)
        self.sagemaker: dict[str, str] = {}
        self.at = 1_000
        deployment: Any = SimpleNamespace(pools=self.pools, table=self.jobs)
        service: Any = SimpleNamespace(status=lambda _kind, job_name: self.sagemaker.get(job_name, ""))
        self.ended_children: set[str] = set()
        executions: Any = SimpleNamespace(read=self._child)
        self.leases = Leases(deployment, service, executions)

    def _child(self, arn: str) -> EndedExecution:
        return EndedExecution("{}", "", "", status="FAILED" if arn in self.ended_children else "RUNNING")

    def add(self, execution_id: str, jobs: int) -> None:
        self.jobs.open_execution(any_execution(execution_id))
        self.jobs.add_jobs(any_job(execution_id, f"job-{number}") for number in range(jobs))

    @property
    def held(self) -> int:
        """Number of instances that are held, as the pools' items say."""
        return sum(pool.held for pool in self.pools.pools())

    def admit(self, job: JobRecord, attempt: int, instances: int = 1, *, waited: bool = False) -> AttemptRecord | None:
        """Do what RecordAttempt does, with a job's record that may be out of date.

        A job that has waited gets its lease before its attempt is opened.
        """
        name = f"{job.execution_id}-{job.job_id}-{attempt}"
        child = child_of(job)
        lease = Lease(name, KIND, TYPE, instances, job.execution_id, job.job_id, attempt, "", child)
        record = AttemptRecord(
            job.execution_id, job.job_id, attempt, AttemptStatus.RUNNING, name, 1, TYPE, instances, STARTED_AT
        )
        for opening in ([], self.jobs.opening(job, record)) if waited else (self.jobs.opening(job, record),):
            keys = self.pools.expected_keys()
            expected = self.pools.expected_pool(self.jobs._get_each(*keys) if keys else [])
            slot = None
            if opening and expected is not None and acquire(expected.state.pool, Ask(lease, 5, self.at, 60), QUOTA)[0]:
                state, slot = expected.state, self.pools.start_slot(expected, self.at * 1_000, 1_000)
            else:
                state = self.pools.lease_state(name, (KIND, TYPE))
            answer = self.pools.acquire(Ask(lease, 5, self.at, 60), QUOTA, job, state, opening, slot=slot)
            if not isinstance(answer, Admitted):
                return None
        return record if answer.is_opened else self.jobs.open_attempt(job, record)

    def create(self, attempt: AttemptRecord) -> None:
        """Do what the workflow does when RecordAttempt has answered."""
        self.sagemaker.setdefault(attempt.sagemaker_job_name, "InProgress")

    def end_attempt(self, job: JobRecord, status: JobStatus, *, together: bool = False, changed: bool = False) -> None:
        """Do what VerifyOutput or ClassifyFailure does.

        VerifyOutput releases the instances before it verifies, or `together` with the attempt's end. Then others
        may have `changed` the pool.
        """
        release = None
        if status is JobStatus.SUCCEEDED and together:
            items = self.jobs._get_each(*self.pools.held_keys(job.sagemaker_job_name, (KIND, TYPE)))
            if changed:
                pool = self.pools.lease_state("", (KIND, TYPE)).pool
                self.pools._write(pool, pool)
            writes = self.pools.release_writes(items, (KIND, TYPE))
            assert writes is not None
            release = Release(writes, lambda: self.pools.release(job.sagemaker_job_name, (KIND, TYPE)))
        elif status is JobStatus.SUCCEEDED:
            self.pools.release(job.sagemaker_job_name, (KIND, TYPE))
        moved = replace(job, status=status, ended_at=STARTED_AT if status in FINAL_JOB_STATUSES else "")
        ended = self.jobs.end_attempt(job, moved, ended_at=STARTED_AT, release=release)
        if ended.status is JobStatus.SUCCEEDED:
            assert self.pools.find_lease(job.sagemaker_job_name) is None
        if status is not JobStatus.SUCCEEDED:
            self.pools.release(job.sagemaker_job_name)


kills = st.none() | st.tuples(st.integers(0, 6), st.booleans())


class PoolMachine(RuleBasedStateMachine):
    """Two executions of four jobs each, in any order of events."""

    dynamodb: Any

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.dynamodb)
        for execution_id in ("e-1", "e-2"):
            self.world.add(execution_id, 4)
        self.seen: list[JobRecord] = self.all_jobs()

    def all_jobs(self) -> list[JobRecord]:
        return [job for name in ("e-1", "e-2") for job in self.world.jobs.jobs(name)]

    def killed(self, kill: tuple[int, bool] | None, call: Callable[[], Any]) -> Any:
        """Call a function that may be killed, and return its answer; None if there is none."""
        if kill is not None:
            self.world.connection.left, self.world.connection.after = kill
        try:
            with suppress(KilledError):
                return call()
        finally:
            self.world.connection.left = None
        return None

    @rule(
        number=st.integers(0, 7),
        kill=kills,
        instances=st.integers(1, QUOTA),
        seconds=st.integers(-500, 500),
        waited=st.booleans(),
    )
    def record_attempt(
        self, number: int, kill: tuple[int, bool] | None, instances: int, seconds: int, waited: bool
    ) -> None:
        self.world.at += seconds  # A clock may be wrong.
        job = self.all_jobs()[number]
        self.seen.append(job)
        if job.status in (JobStatus.PENDING, JobStatus.WAITING) and child_of(job) not in self.world.ended_children:
            attempt = self.killed(kill, lambda: self.world.admit(job, job.attempt + 1, instances, waited=waited))
            if attempt is not None:
                self.world.create(attempt)

    @rule(number=st.integers(0, 40), kill=kills)
    def a_late_call_records_an_old_attempt(self, number: int, kill: tuple[int, bool] | None) -> None:
        job = self.seen[number % len(self.seen)]
        if job.status in (JobStatus.PENDING, JobStatus.WAITING) and child_of(job) not in self.world.ended_children:
            with suppress(Exception):
                self.killed(kill, lambda: self.world.admit(job, job.attempt + 1))

    @rule(
        number=st.integers(0, 7),
        status=st.sampled_from([JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.WAITING]),
        kill=kills,
        together=st.booleans(),
        changed=st.booleans(),
    )
    def a_job_ends(
        self, number: int, status: JobStatus, kill: tuple[int, bool] | None, *, together: bool, changed: bool
    ) -> None:
        job = self.all_jobs()[number]
        if job.status is JobStatus.RUNNING:
            self.world.sagemaker[job.sagemaker_job_name] = "Completed"
            self.killed(kill, lambda: self.world.end_attempt(job, status, together=together, changed=changed))

    @rule(number=st.integers(0, 40), kill=kills)
    def an_event_arrives_again(self, number: int, kill: tuple[int, bool] | None) -> None:
        ended = [name for name, status in self.world.sagemaker.items() if status == "Completed"]
        if ended:
            self.killed(kill, lambda: self.world.pools.release(ended[number % len(ended)]))

    @rule(number=st.integers(0, 7), kill=kills)
    def no_failure_of_a_job_is_recorded(self, number: int, kill: tuple[int, bool] | None) -> None:
        """Its child execution ends with its SageMaker job, and the records stay as they are."""
        job = self.all_jobs()[number]
        self.world.ended_children.add(child_of(job))
        for name, status in self.world.sagemaker.items():
            if name.startswith(f"{job.execution_id}-{job.job_id}-") and status == "InProgress":
                self.world.sagemaker[name] = "Stopped"
        self.killed(kill, self.world.leases.release_ended)

    @rule(execution_id=st.sampled_from(["e-1", "e-2"]), kill=kills)
    def an_execution_is_stopped(self, execution_id: str, kill: tuple[int, bool] | None) -> None:
        record = self.world.jobs.execution(execution_id)
        closed = replace(record, status=ExecutionStatus.FAILED, ended_at=STARTED_AT)
        self.world.jobs.close_execution(closed)
        for name, status in self.world.sagemaker.items():
            if name.startswith(execution_id) and status == "InProgress":
                self.world.sagemaker[name] = "Stopped"
        self.killed(kill, lambda: self.world.leases.release_of(execution_id))

    @rule(kill=kills)
    def the_schedule_looks(self, kill: tuple[int, bool] | None) -> None:
        self.killed(kill, self.world.leases.release_ended)
        if kill is None:
            assert not [lease for lease in self.world.pools.leases() if lease.child_arn in self.world.ended_children]

    @invariant()
    def what_is_held_is_leased_and_within_the_quota(self) -> None:
        leases = list(self.world.pools.leases())
        held = self.world.held
        assert held == sum(lease.instances for lease in leases) <= QUOTA
        running = {name for name, status in self.world.sagemaker.items() if status == "InProgress"}
        assert running <= {lease.sagemaker_job_name for lease in leases}

    def teardown(self) -> None:
        """End everything without a single release, and let the schedule look once."""
        for name in self.world.sagemaker:
            self.world.sagemaker[name] = "Stopped"
        for execution_id in ("e-1", "e-2"):
            record = self.world.jobs.execution(execution_id)
            self.world.jobs.close_execution(replace(record, status=ExecutionStatus.FAILED, ended_at=STARTED_AT))
        self.world.leases.release_ended()
        assert list(self.world.pools.leases()) == []
        assert self.world.held == 0


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with EmbeddedAws() as aws:
        session, config = aws.endpoint.session(), Config(max_pool_connections=12)
        resource = session.resource(
            "dynamodb", endpoint_url=aws.endpoint.url, verify=str(aws.endpoint.ca_bundle), config=config
        )
        yield resource.meta.client


def test_a_release_that_is_not_counted_is_noticed(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test below would be worth little if its invariant held with this mistake."""
    monkeypatch.setattr(pool_table, "release", lambda pool, _lease: pool)
    machine = type("Machine", (PoolMachine,), {"dynamodb": dynamodb})()
    machine.record_attempt(0, None, 1, 0, waited=False)
    machine.what_is_held_is_leased_and_within_the_quota()
    machine.a_job_ends(0, JobStatus.SUCCEEDED, None, together=False, changed=False)
    with pytest.raises(AssertionError):
        machine.what_is_held_is_leased_and_within_the_quota()


@pytest.mark.fuzz
def test_no_order_of_events_exceeds_the_quota_or_leaks(dynamodb: Any) -> None:
    machine = type("Machine", (PoolMachine,), {"dynamodb": dynamodb})
    many = settings.get_current_profile_name() == FUZZ_PROFILE
    chosen = settings(
        max_examples=200 if many else 4,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_hundreds_of_concurrent_calls_never_exceed_the_quota(dynamodb: Any) -> None:
    world = World(dynamodb)
    world.add("e-1", 24)
    jobs = world.jobs.jobs("e-1")
    with ThreadPoolExecutor(12) as threads:
        got = [attempt for attempt in threads.map(lambda job: world.admit(job, 1), jobs) if attempt is not None]
    assert 1 <= len(got) <= QUOTA
    assert world.held == len(got) == len(list(world.pools.leases()))
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda attempt: world.pools.release(attempt.sagemaker_job_name), got * 4))
    assert world.held == 0


@pytest.mark.parametrize("changed", [False, True])
def test_a_job_that_has_succeeded_holds_nothing(dynamodb: Any, *, changed: bool) -> None:
    world = World(dynamodb)
    world.add("e-1", 2)
    for job in world.jobs.jobs("e-1"):
        assert world.admit(job, 1) is not None
    first, _ = world.jobs.jobs("e-1")
    world.end_attempt(first, JobStatus.SUCCEEDED, together=True, changed=changed)
    assert [job.status for job in world.jobs.jobs("e-1")] == [JobStatus.SUCCEEDED, JobStatus.RUNNING]
    assert world.held == len(list(world.pools.leases())) == 1


def test_an_attempt_takes_a_start_slot_that_nobody_else_has_taken(dynamodb: Any) -> None:
    world = World(dynamodb)
    world.add("e-1", 1)
    [job] = world.jobs.jobs("e-1")
    pools = world.pools
    pools._expected = KIND, TYPE
    expected = pools.expected_pool(world.jobs._get_each(*pools.expected_keys()))
    assert expected is not None
    assert pools.take_start_slot(KIND, 5_000, 1_000) == 0, "another call was faster"
    ask = Ask(Lease("one", KIND, TYPE, 1, "e-1", job.job_id, 1, ""), 5, world.at, 60)
    answer = pools.acquire(ask, QUOTA, job, expected.state, slot=pools.start_slot(expected, 5_000, 1_000))
    assert isinstance(answer, Admitted)
    assert answer.slot is not None
    assert answer.slot.wait_ms == 1_000, "the one after"
    expected = pools.expected_pool(world.jobs._get_each(*pools.expected_keys()))
    assert expected is not None
    assert pools.start_slot(expected, 5_500, 1_000).wait_ms == 1_500
    assert pools.start_slot(expected, 60_000, 1_000).wait_ms == 0, "the queue has emptied meanwhile"


def test_start_slots_of_concurrent_calls_are_apart(dynamodb: Any) -> None:
    world = World(dynamodb)
    with ThreadPoolExecutor(8) as threads:
        slots = list(threads.map(lambda _: world.pools.take_start_slot(KIND, 5_000, 1_000), range(20)))
    assert sorted(slots) == [1_000 * number for number in range(20)]
    assert world.pools.take_start_slot(KIND, 60_000, 1_000) == 0, "the queue has emptied meanwhile"
    item = {**pool_key(KIND, TYPE), records.SORT_KEY: "STARTS#processing", "next_ms": 10**15}
    dynamodb.put_item(TableName=world.jobs._table_name, Item=item)
    assert world.pools.take_start_slot(KIND, 60_000, 1_000) == 0, "nobody waits for a time that a wrong clock wrote"
