from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.status import ExecutionKind, FailureKind
from lambdas.classify_failure.decision_table import DECISION_TABLE
from lambdas.classify_failure.decisions import MAX_REASON_CHARACTERS, MAX_WAIT_SECONDS, Decision, decide, wait_seconds
from lambdas.classify_failure.failure_rule import FailureRule

RULES = {rule.name: rule for rule in DECISION_TABLE}


def decision(rule: str | FailureRule, **changes: Any) -> Decision:
    arguments: dict[str, Any] = {
        "message": "it broke",
        "attempt": 1,
        "max_attempts": 3,
        "earlier_kinds": (),
        "made_progress": False,
        "job_key": "e-1\ndelays-ua",
        "sagemaker_job_name": "test-delays-ua-0-1",
    }
    return decide(RULES[rule] if isinstance(rule, str) else rule, **(arguments | changes))


def test_a_transient_failure_is_retried_until_the_last_attempt() -> None:
    assert [decision("killed", attempt=attempt).try_again for attempt in (1, 2, 3)] == [True, True, False]


def test_a_failure_that_is_retried_asks_for_nothing() -> None:
    first, last = decision("output incomplete"), decision("output incomplete", attempt=3)
    assert "Another attempt follows. Attempt 1 of at most 3." in first.reason
    assert "Start a new execution" not in first.reason
    assert "Start a new execution; if it happens again, read its logs. Attempt 3 of at most 3, the" in last.reason
    assert "Another attempt" not in last.reason


def test_max_attempts_1_means_no_retry() -> None:
    last = decision("killed", max_attempts=1)
    assert (last.try_again, last.wait_seconds) == (False, 0)
    assert "Attempt 1 of at most 1, the last one." in last.reason


def test_an_unknown_failure_is_retried_once() -> None:
    assert decision("unknown").try_again
    assert not decision("unknown", attempt=2, earlier_kinds=(FailureKind.UNKNOWN,)).try_again
    assert decision("unknown", attempt=2, earlier_kinds=(FailureKind.TRANSIENT,)).try_again


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
        "MODEL: delays-ua: digest differs. Register a corrected version of the model, then start a new execution. "
        "Attempt 1 of at most 3. Logs: log group /aws/sagemaker/ProcessingJobs, streams test-delays-ua-0-1/*."
    )


def test_the_remedy_of_a_training_is_about_its_recipe() -> None:
    reason = decision("container: model", message="MODEL: the script raised", job_kind=ExecutionKind.TRAINING).reason
    assert "Correct the recipe or the training script, then train again." in reason
    assert "Register" not in reason
    with_own_remedy = decision("no spot capacity", job_kind=ExecutionKind.TRAINING, attempt=3)
    assert "Raise max_wait_seconds of the recipe's compute" in with_own_remedy.reason


def test_a_full_volume_is_retried_only_if_less_is_left_to_download() -> None:
    assert decision("volume full", made_progress=True).try_again
    full = decision("volume full")
    assert (full.try_again, full.kind) == (False, FailureKind.CONFIGURATION)
    assert "Raise volume_size_gb or instance_count of the model's compute" in full.reason
    assert "volume_size_gb of the recipe's compute" in decision("volume full", job_kind=ExecutionKind.TRAINING).reason


@pytest.mark.parametrize("rule", DECISION_TABLE, ids=lambda rule: rule.name)
def test_the_length_of_a_reason_is_limited(rule: FailureRule) -> None:
    long = decision(rule, message="x" * 10_000, sagemaker_job_name="n" * 63)
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
