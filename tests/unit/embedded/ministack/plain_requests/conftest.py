"""ministack's records of users, roles and sessions, which tests of callers change."""

from collections.abc import Iterator

import pytest
from ministack.services import iam, sts

from embedded.ministack.plain_requests import callers


@pytest.fixture
def no_callers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without users, roles and sessions."""
    monkeypatch.setenv("MINISTACK_ACCOUNT_ID", "000000000000")
    callers._callers.clear()
    yield
    iam.reset()
    sts.reset()
