from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.catalog.models import Compute
from contract.status import AttemptStatus, ExecutionKind, FailureKind, JobStatus, Shortage
from contract.table.records import AttemptRecord, JobRecord
from lambdas.failures.decision_table import DECISION_TABLE
from lambdas.failures.decisions import MAX_REASON_CHARACTERS, MAX_WAIT_SECONDS, Decision, decide, wait_seconds
from lambdas.failures.failure_rule import FailureRule

RULES = {rule.name: rule for rule in DECISION_TABLE}
SMALL = Compute("ml.m5.xlarge", 1, 30, 3_600, (), 30)
"""Compute that allows neither a larger type nor a larger volume."""
GROWING = Compute("ml.m5.xlarge", 1, 30, 3_600, ("ml.m5.2xlarge",), 100)


def any_job(**changes: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "execution_id": "e-1",
        "job_id": "delays-ua",
        "status": JobStatus.RUNNING,
        "dataset": "flights",
        "model_ids": ("delays-ua",),
        "model_versions": ("1",),
        "object_count": 4,
        "input_bytes": 400,
        "compute": SMALL,
        "max_attempts": 3,
    }
    return JobRecord(**(fields | changes))


def failed(attempt: int, kind: FailureKind = FailureKind.TRANSIENT, shortage: Shortage | None = None) -> AttemptRecord:
    """Return the record of an attempt that has failed."""
    return AttemptRecord(
        "e-1",
        "delays-ua",
        attempt,
        AttemptStatus.FAILED,
        f"test-delays-ua-0-{attempt}",
        4,
        "ml.m5.xlarge",
        1,
        "2026-03-01T00:00:02Z",
        failure_kind=kind,
        shortage=shortage,
    )


def decision(rule: str | FailureRule, *, job: JobRecord | None = None, **changes: Any) -> Decision:
    arguments: dict[str, Any] = {
        "message": "it broke",
        "attempt": 1,
        "earlier": (),
        "made_progress": False,
        "sagemaker_job_name": "test-delays-ua-0-1",
    }
    return decide(RULES[rule] if isinstance(rule, str) else rule, job=job or any_job(), **(arguments | changes))


def test_a_transient_failure_is_retried_until_the_last_attempt() -> None:
    assert [decision("killed", attempt=attempt).try_again for attempt in (1, 2, 3)] == [True, True, False]


def test_a_failure_that_is_retried_asks_for_nothing() -> None:
    first, last = decision("output incomplete"), decision("output incomplete", attempt=3)
    assert "Another attempt follows, 2 of at most 3." in first.reason
    assert "resume" not in first.reason
    assert "resume the execution: `fleetscore resume e-1`; if it happens again, read the logs. This was" in last.reason
    assert "attempt 3 of at most 3, the last one." in last.reason
    assert "Another attempt" not in last.reason


def test_max_attempts_1_means_no_retry() -> None:
    last = decision("killed", job=any_job(max_attempts=1))
    assert (last.try_again, last.wait_seconds) == (False, 0)
    assert "attempt 1 of at most 1, the last one." in last.reason


def test_an_unknown_failure_is_retried_once() -> None:
    assert decision("unknown").try_again
    assert not decision("unknown", attempt=2, earlier=[failed(1, FailureKind.UNKNOWN)]).try_again
    assert decision("unknown", attempt=2, earlier=[failed(1)]).try_again


def test_a_timeout_is_retried_only_with_progress() -> None:
    with_progress = decision("runtime limit, by workflow timeout", made_progress=True)
    without = decision("runtime limit, by workflow timeout")
    assert (with_progress.try_again, with_progress.kind) == (True, FailureKind.TRANSIENT)
    assert (without.try_again, without.kind) == (False, FailureKind.CONFIGURATION)
    assert "no object was committed" in without.reason
    assert "Raise max_runtime_seconds" in without.reason


def test_the_reason_has_message_remedy_and_logs() -> None:
    reason = decision("container: model", message="MODEL: delays-ua: digest differs.").reason
    assert reason == (
        "MODEL: delays-ua: digest differs. Register a corrected version of the model, then resume the execution: "
        "`fleetscore resume e-1`. Logs: log group /aws/sagemaker/ProcessingJobs, streams test-delays-ua-0-1/*."
    )


def test_the_remedy_of_a_training_is_about_its_recipe() -> None:
    reason = decision(
        "container: model", message="MODEL: the script raised", job=any_job(kind=ExecutionKind.TRAINING)
    ).reason
    assert "Correct the recipe or the training script, then train again." in reason
    assert "Register" not in reason
    with_own_remedy = decision("no spot capacity", job=any_job(kind=ExecutionKind.TRAINING), attempt=3)
    assert "Raise max_wait_seconds of the recipe's compute" in with_own_remedy.reason


def test_a_full_volume_is_retried_only_if_less_is_left_to_download() -> None:
    assert decision("volume full", made_progress=True).try_again
    full = decision("volume full")
    assert (full.try_again, full.kind) == (False, FailureKind.CONFIGURATION)
    assert "Raise volume_size_gb, max_volume_size_gb or instance_count of the model's compute" in full.reason
    training = decision("volume full", job=any_job(kind=ExecutionKind.TRAINING))
    assert "max_volume_size_gb of the recipe's compute" in training.reason
    assert "train again" in training.reason


@pytest.mark.parametrize("rule", ["out of memory", "container: out of memory", "killed"])
def test_each_attempt_after_one_out_of_memory_gets_more_of_it(rule: str) -> None:
    job = any_job(compute=GROWING, max_attempts=10)
    short: list[AttemptRecord] = []
    follows = []
    for attempt in (1, 2, 3, 4):
        taken = decision(rule, job=job, attempt=attempt, earlier=short)
        assert taken.explanation.shortage is Shortage.MEMORY
        follows.append(taken.reason.partition("Another attempt follows, ")[2].partition(". Logs")[0])
        short.append(failed(attempt, shortage=taken.explanation.shortage))
    assert follows[:3] == [
        "2 of at most 10, with rows per batch 65,536 → 8,192",
        "3 of at most 10, with instance type ml.m5.xlarge → ml.m5.2xlarge",
        "4 of at most 10, with rows per batch 8,192 → 1,024",
    ]
    # An instance that was killed may be gone for another reason.
    assert follows[3] == ("5 of at most 10" if rule == "killed" else "")


def test_out_of_memory_is_final_when_nothing_can_change() -> None:
    short = [failed(1, shortage=Shortage.MEMORY), failed(2, shortage=Shortage.MEMORY)]
    message = "TRANSIENT: 1 of 1 objects failed: out of memory"
    last = decision("container: out of memory", attempt=3, earlier=short, job=any_job(max_attempts=9), message=message)
    assert (last.try_again, last.kind) == (False, FailureKind.CONFIGURATION)
    assert last.reason.startswith(
        "CONFIGURATION: 1 of 1 objects failed: out of memory; batches are as small as they may be, and no larger "
        "instance type is named, so another attempt would fail again. Choose an instance_type with more memory, or "
        "name larger ones in larger_instance_types of the model's compute, then resume the execution"
    )
    assert "attempt 3 of at most" not in last.reason


def test_a_training_out_of_memory_needs_a_larger_type() -> None:
    job = any_job(kind=ExecutionKind.TRAINING, compute=GROWING)
    assert "instance type ml.m5.xlarge → ml.m5.2xlarge" in decision("killed", job=job).reason
    assert decision("out of memory", job=any_job(kind=ExecutionKind.TRAINING)).kind is FailureKind.CONFIGURATION


@pytest.mark.parametrize("rule", ["volume full", "container: volume full"])
def test_a_full_volume_is_followed_by_larger_ones_up_to_the_largest(rule: str) -> None:
    job = any_job(compute=GROWING, max_attempts=10)
    short: list[AttemptRecord] = []
    taken = []
    for attempt in (1, 2, 3):
        taken.append(decision(rule, job=job, attempt=attempt, earlier=short))
        short.append(failed(attempt, shortage=taken[-1].explanation.shortage))
    assert [one.try_again for one in taken] == [True, True, False]
    assert "with volume 30 GB → 60 GB" in taken[0].reason
    assert "with volume 60 GB → 100 GB" in taken[1].reason
    assert "the settings allow no larger volume, so another attempt would fail again" in taken[2].reason


def test_local_storage_grows_with_the_instance_type_only() -> None:
    local = Compute("ml.m5d.xlarge", 1, 30, 3_600, ("ml.m5d.2xlarge",), 100)
    assert "instance type ml.m5d.xlarge → ml.m5d.2xlarge" in decision("volume full", job=any_job(compute=local)).reason


def test_a_failure_either_has_another_attempt_or_a_remedy() -> None:
    for rule in DECISION_TABLE:
        taken = decision(rule, made_progress=True, job=any_job(compute=GROWING))
        assert taken.try_again == ("Another attempt follows" in taken.reason), rule.name
        assert taken.try_again != ("`fleetscore resume e-1`" in taken.reason), rule.name
        assert taken.try_again or "of at most" not in taken.reason, rule.name


@pytest.mark.parametrize("rule", DECISION_TABLE, ids=lambda rule: rule.name)
def test_the_length_of_a_reason_is_limited(rule: FailureRule) -> None:
    for job in (any_job(execution_id="e" * 80), any_job(execution_id="e" * 80, max_attempts=1)):
        long = decision(rule, message="x" * 10_000, sagemaker_job_name="n" * 63, job=job)
        assert len(long.reason) <= MAX_REASON_CHARACTERS
        assert long.reason.endswith("/*.")


@given(st.integers(1, 300), st.integers(1, 10), st.text())
def test_a_wait_grows_with_the_attempt_and_is_limited(base: int, attempt: int, key: str) -> None:
    whole = min(base * 2 ** (attempt - 1), MAX_WAIT_SECONDS)
    wait = wait_seconds(base, attempt, key)
    assert max(1, whole // 2) <= wait <= max(1, whole)
    assert wait == wait_seconds(base, attempt, key)


def test_jobs_that_fail_together_wait_for_different_times() -> None:
    waits = {wait_seconds(60, 1, f"e-1\njob-{number}") for number in range(100)}
    assert len(waits) > 20
