"""One embedded AWS per test process, for the tests that only use it."""

from collections.abc import Iterator

import pytest

from embedded.server.embedded_aws import EmbeddedAws
from tests.unit import quick_clients  # noqa: F401 - tests make many clients


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[EmbeddedAws]:
    """Run an embedded AWS whose Wait and Retry take a hundredth of their time."""
    with EmbeddedAws(time_scale=0.01) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def aws(embedded_aws: EmbeddedAws) -> EmbeddedAws:
    return embedded_aws
