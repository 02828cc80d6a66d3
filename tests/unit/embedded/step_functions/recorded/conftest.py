"""The interpreter, installed in this process for the tests of one file."""

from collections.abc import Iterator

import pytest
from ministack.services import s3, stepfunctions
from ministack.services.cloudformation import provisioners

from embedded.step_functions import service
from tests.unit.embedded.step_functions.recorded.engine import Engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Return the interpreter. Waits and retries take no time. ministack is restored afterwards."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    with pytest.MonkeyPatch.context() as restored:
        for name in [name for name in vars(stepfunctions) if name.startswith("_")]:
            restored.setattr(stepfunctions, name, getattr(stepfunctions, name))
        restored.setattr(provisioners, "_sfn_state_machine_create", provisioners._sfn_state_machine_create)
        restored.setitem(handlers, "create", handlers["create"])
        service.install(time_scale=0)
        yield Engine()
    stepfunctions.reset()
    s3.reset()
