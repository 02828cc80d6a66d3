"""The deployed stage as `fleetscore doctor` reads it."""

import pytest

from cli.doctor.stage import DeployedStage, read_stage
from tests.e2e.stage import Stage


@pytest.fixture(scope="module")
def deployed(stage: Stage) -> DeployedStage:
    return read_stage(stage.connection, "dev")
