"""A stage shared by all tests, because deploying one takes longer than most of them."""

from collections.abc import Iterator

import pytest

from embedded.images.interpreters import PYTHONS_VARIABLE, read_pythons
from embedded.server.embedded_aws import EmbeddedAws
from tests.e2e.stage import Stage, environment, find_stage
from tests.frameworks.e2e.variants import HEAVY, ROWS, deploy_variants, prepared


@pytest.fixture(scope="session")
def pythons() -> dict[str, str]:
    found = read_pythons()
    assert set(found) >= set(HEAVY), f"name a Python for each in {PYTHONS_VARIABLE}, as `make test-frameworks` does"
    return found


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, pythons: dict[str, str]) -> Iterator[Stage]:
    """A stage with the pytorch variant; the tensorflow variant is deployed later by a test."""
    folder = tmp_path_factory.mktemp("stage")
    with EmbeddedAws(time_scale=0.01, pythons=pythons) as aws:
        deploy_variants(aws, folder / "first", ["core", "pytorch"])
        with environment(aws.endpoint.environment()):
            stage = find_stage(aws, folder)
            stage.put_dataset("people", {"a.parquet": prepared(ROWS, seed=5)})
            yield stage
