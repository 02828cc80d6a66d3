"""Requests of any client that AWS would refuse fail the test that makes them."""

from tests.e2e.clients.test_documented_clients import CLIENT_PROGRAMS, Shell
from tests.e2e.stage import Stage
from tests.e2e.violations import Violations


def test_a_bad_request_of_another_process_is_refused_and_named(stage: Stage, violations: Violations) -> None:
    """The AWS CLI checks no maximum length."""
    machine = stage.deployment.state_machine_arn
    shell = Shell(stage, CLIENT_PROGRAMS)
    output = shell(f"aws stepfunctions start-execution --state-machine-arn {machine} --name {'x' * 81} 2>&1 || true")
    assert "ValidationException" in output
    assert "1 validation error detected: Value 'xxx" in output
    [found] = violations.take()
    assert found.startswith("stepfunctions.StartExecution: Value 'xxx")
    assert found.endswith("at 'name' failed to satisfy constraint: Member must have length less than or equal to 80")
