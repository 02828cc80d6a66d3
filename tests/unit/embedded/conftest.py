from collections.abc import Iterator

import pytest

from embedded.server.embedded_aws import EmbeddedAws


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """One embedded AWS for the tests that only use it; Wait and Retry take a hundredth of their time."""
    with EmbeddedAws(time_scale=0.01) as embedded:
        yield embedded
