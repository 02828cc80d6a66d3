import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import layout
from contract.status import AttemptStatus, JobStatus
from lambdas.errors import (
    JobClosedError,
    ObjectReplacedError,
    OutputIncompleteError,
    PoolContendedError,
    StaleEventError,
)
from lambdas.stage.tables.pool_table import PoolName, PoolTable
from tests.unit.lambdas.builders import Stage, failure_event, outputs_prefix, plan_event, pointer_event

Step = Callable[[dict[str, Any]], dict[str, Any]]


def test_a_complete_output_ends_the_job_with_its_row_counts(opened: Stage, verify: Step) -> None:
    opened.commit()
    assert verify(pointer_event()) == {"schema_version": 2, "job_id": "delays-ua"}
    job, attempt = opened.job(), opened.attempt()
    assert job.status is JobStatus.SUCCEEDED
    assert (job.rows_in, job.rows_scored, job.rows_quarantined) == (20, 19, 1)
    assert (job.duplicate_keys, job.null_keys) == (4, 2)
    assert attempt.status is AttemptStatus.SUCCEEDED
    assert job.ended_at == attempt.ended_at != ""


def test_verifying_twice_changes_nothing(opened: Stage, verify: Step) -> None:
    opened.commit()
    first = verify(pointer_event())
    job, attempt = opened.job(), opened.attempt()
    opened.upload(keys=["a.parquet"], size=7)
    assert verify(pointer_event()) == first
    assert (opened.job(), opened.attempt()) == (job, attempt)


def test_instances_are_released_before_the_output_is_verified(opened: Stage, verify: Step) -> None:
    with pytest.raises(OutputIncompleteError):
        verify(pointer_event())
    assert list(opened.deployment.pools.leases()) == []
    assert [pool.held for pool in opened.deployment.pools.pools()] == [0]


def test_instances_that_are_contended_at_first_are_released_afterwards(
    opened: Stage, verify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.commit()
    release, calls = PoolTable.release, itertools.count()

    def contended_at_first(self: PoolTable, name: str, pool: PoolName | None = None) -> bool:
        if next(calls) == 0:
            raise PoolContendedError(name)
        return release(self, name, pool)

    monkeypatch.setattr(PoolTable, "release", contended_at_first)
    verify(pointer_event())
    assert list(opened.deployment.pools.leases()) == []


def test_a_late_call_that_opens_the_attempt_again_takes_no_released_instances(
    opened: Stage, record: Step, verify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.commit()
    release = PoolTable.release

    def release_and_open_again(self: PoolTable, name: str, pool: PoolName | None = None) -> bool:
        released = release(self, name, pool)
        record(pointer_event())
        return released

    monkeypatch.setattr(PoolTable, "release", release_and_open_again)
    verify(pointer_event())
    assert list(opened.deployment.pools.leases()) == []
    assert [pool.held for pool in opened.deployment.pools.pools()] == [0]


def test_a_missing_commit_is_named_and_the_job_stays_open(opened: Stage, verify: Step) -> None:
    opened.commit(objects=1)
    with pytest.raises(OutputIncompleteError, match=r"1 of 2 commits .*delays-ua/b\.parquet: no commit"):
        verify(pointer_event())
    assert opened.job().status is JobStatus.RUNNING


def test_an_output_whose_size_differs_from_its_commit_is_refused(opened: Stage, verify: Step) -> None:
    opened.commit()
    key = outputs_prefix("quarantine", opened.spec()) + layout.output_key("delays-ua", "a.parquet")
    opened.s3.put_object(Bucket="results-test", Key=key, Body=b"short")
    with pytest.raises(OutputIncompleteError, match="has 5 bytes in S3, the commit says 20"):
        verify(pointer_event())


def test_more_quarantined_rows_than_tolerated_are_not_a_commit(opened: Stage, verify: Step) -> None:
    opened.commit(objects=1)
    spec = opened.spec()
    opened.commit_one(spec, spec.models[0], opened.objects()[1], rows_quarantined=2)
    expected = r"b\.parquet: 2 of 10 rows are in quarantine, tolerated_quarantine_fraction 0\.1 allows 1"
    with pytest.raises(OutputIncompleteError, match=expected):
        verify(pointer_event())
    assert opened.job().status is JobStatus.RUNNING


def test_skipped_rows_of_a_model_are_not_a_commit(opened: Stage, verify: Step) -> None:
    opened.commit(objects=1)
    spec = opened.spec()
    opened.write_segment(spec, opened.write_outputs(spec, spec.models[0], opened.objects()[1], rows_skipped=10))
    with pytest.raises(OutputIncompleteError, match=r"b\.parquet: the commit says 10 rows were skipped, but only a"):
        verify(pointer_event())


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_a_dataset_that_changed_during_scoring_is_refused(opened: Stage, verify: Step, how: str) -> None:
    opened.commit()
    if how == "removed":
        opened.s3.delete_object(Bucket="datasets-test", Key="flights/b.parquet")
    else:
        opened.upload(keys=["b.parquet"], size=101)
    with pytest.raises(ObjectReplacedError, match=r"1 objects of its dataset.*b\.parquet"):
        verify(pointer_event())


def test_objects_that_were_added_later_do_not_matter(opened: Stage, verify: Step) -> None:
    opened.commit()
    opened.upload(keys=["c.parquet"])
    verify(pointer_event())
    assert (opened.job().status, opened.job().rows_in) == (JobStatus.SUCCEEDED, 20)


def test_a_late_verification_of_a_failed_attempt_is_refused(opened: Stage, verify: Step, classify: Step) -> None:
    classify(failure_event("OutputIncompleteError", "b.parquet is missing"))
    opened.commit()
    with pytest.raises(StaleEventError, match="WAITING"):
        verify(pointer_event())
    assert opened.attempt().status is AttemptStatus.FAILED


def test_a_failed_job_cannot_succeed_later(opened: Stage, verify: Step, classify: Step) -> None:
    classify(failure_event("ObjectReplacedError", "b.parquet"))
    opened.commit()
    with pytest.raises(JobClosedError, match="FAILED"):
        verify(pointer_event())


def test_objects_are_verified_by_listings_and_one_request_per_output(
    stage: Stage, plan: Step, record: Step, verify: Step
) -> None:
    stage.register()
    stage.upload(keys=[f"{number:04d}.parquet" for number in range(21)], size=32)
    plan(plan_event({}))
    record(pointer_event())
    stage.commit()
    calls: list[str] = []
    events = stage.deployment.store._s3.meta.events
    events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 20})
    verify(pointer_event())
    assert stage.job().rows_in == 210
    # With pages of 20 keys: two pages each of the dataset and the predictions, one each of the
    # quarantine and the ledger. One read per segment, and one of the job spec.
    expected = {"ListObjectsV2": 6, "GetObject": 2, "HeadObject": 22}
    assert {name: calls.count(name) for name in set(calls)} == expected


def test_the_number_of_notes_is_limited(opened: Stage, verify: Step) -> None:
    opened.commit(objects=1)
    spec = opened.spec()
    commit = opened.write_outputs(spec, spec.models[0], opened.objects()[1])
    opened.write_segment(spec, replace(commit, notes=tuple(f"note {index:02}" for index in range(50))))
    verify(pointer_event())
    notes = opened.job().notes
    assert len(notes) == 20
    assert notes[0] == "delays-ua: note 00"
    assert notes[-1] == "and 31 more notes, see the commits in the ledger"


def test_counts_of_a_note_are_summed_over_the_objects(opened: Stage, verify: Step) -> None:
    spec = opened.spec()
    for item in opened.objects():
        commit = opened.write_outputs(spec, spec.models[0], item)
        opened.write_segment(spec, replace(commit, notes=("loaded",), counts={"column 'price' is rounded": 1_000}))
    verify(pointer_event())
    total = f"{1_000 * len(opened.objects()):,}"
    assert opened.job().notes == ("delays-ua: column 'price' is rounded: " + total + " values", "delays-ua: loaded")


def test_equal_commits_of_two_attempts_count_once(opened: Stage, verify: Step) -> None:
    """The first attempt was killed, and the object was scored again for another model."""
    opened.commit()
    spec = opened.spec()
    commit = opened.write_outputs(spec, spec.models[0], opened.objects()[1])
    opened.write_segment(spec, commit, host="algo-2")
    verify(pointer_event())
    assert (opened.job().rows_in, opened.job().duplicate_keys) == (20, 4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_commits_that_differ_the_one_that_fits_the_files_counts(
    opened: Stage, verify: Step, order: tuple[int, int]
) -> None:
    opened.commit(objects=1)
    spec = opened.spec()
    right = opened.write_outputs(spec, spec.models[0], opened.objects()[1])
    wrong = replace(right, rows_in=9, rows_scored=9, outputs=(replace(right.outputs[0], bytes=49),))
    for number in order:
        opened.write_segment(spec, (right, wrong)[number])
    verify(pointer_event())
    assert opened.job().rows_in == 20


def test_an_object_that_no_longer_has_a_quarantine_counts_as_the_last_attempt_says(opened: Stage, verify: Step) -> None:
    """Files that the commit does not name are found, although an older commit names them."""
    opened.commit(objects=1)
    spec = opened.spec()
    opened.commit_one(spec, spec.models[0], opened.objects()[1], rows_quarantined=1)
    opened.s3.delete_object(
        Bucket="results-test",
        Key=outputs_prefix("quarantine", spec) + layout.output_key("delays-ua", "b.parquet"),
    )
    opened.commit_one(spec, spec.models[0], opened.objects()[1])
    verify(pointer_event())
    assert (opened.job().rows_scored, opened.job().rows_quarantined) == (19, 1)
