"""Whatever is requested, answers, items, indexes and streams are those of ministack."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ministack.services import dynamodb

from tests.unit.embedded.ministack.dynamodb.plain_requests.conftest import UNCHANGED, contents, create_table, send_to
from tests.unit.embedded.ministack.dynamodb.plain_requests.random_requests import Requests


@pytest.mark.usefixtures("fast_path")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_requests_have_the_same_effects_and_answers(seed: int) -> None:
    requests = Requests(random.Random(seed))
    create_table(dynamodb)
    create_table(UNCHANGED)
    for _ in range(20):
        operation, request = requests.some()
        assert send_to(dynamodb, operation, request) == send_to(UNCHANGED, operation, request), (operation, request)
    assert contents(dynamodb) == contents(UNCHANGED)
