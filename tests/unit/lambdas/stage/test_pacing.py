"""How functions pace their requests to the table when it is throttled."""

import time

import pytest
from botocore.retries.bucket import Clock, TokenBucket

from lambdas.stage import resources


def test_a_clock_that_is_set_back_does_not_make_a_throttled_function_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(Clock, "current_time", Clock.current_time)  # restored after the test
    resources._dynamodb_client()
    bucket = TokenBucket(max_rate=100, clock=Clock())
    bucket.acquire()
    right_time = time.time
    monkeypatch.setattr(time, "time", lambda: right_time() - 840)
    time.sleep(0.05)
    bucket.acquire(block=False)  # raises if there is no capacity yet
