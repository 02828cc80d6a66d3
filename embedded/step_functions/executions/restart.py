"""Executions that were interrupted by the end of a persistent embedded AWS."""

from embedded.ministack.step_functions import workflows
from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution import Execution
from embedded.step_functions.executions.execution_log import ExecutionLog

ERROR = "EmbeddedAws.Ended"
CAUSE = "The embedded AWS ended while this execution ran. Start a new one."


def end_interrupted() -> None:
    """Fail the interrupted executions and Map Runs, and announce each failure."""
    for record in workflows.interrupted_executions():
        machine = workflows.state_machine_record(record["stateMachineArn"]) or {}
        log = ExecutionLog.of(machine.get("loggingConfiguration") or {})
        execution = Execution(record, role_arn=machine.get("roleArn", ""), cancellation=Cancellation(), log=log)
        execution.fail("FAILED", ERROR, CAUSE, len(record["events"]))
        log.write(record)
    for run in workflows.map_runs():
        if run["status"] == "RUNNING":
            run.update(status="FAILED", stopDate=workflows.timestamp())
