"""Installation of the interpreter in ministack's Step Functions, and the run of an execution."""

import json
import logging
import re
import threading
from typing import Any

from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import PAYLOAD_LIMIT_BYTES
from embedded.step_functions.definition import validation
from embedded.step_functions.executions import redrive, running
from embedded.step_functions.executions.cancellation import Cancellation, CancelledError
from embedded.step_functions.executions.execution import Branch, Execution
from embedded.step_functions.executions.execution_log import ExecutionLog
from embedded.step_functions.executions.redrive import EndedRun
from embedded.step_functions.states import run_states
from embedded.threads import start_thread

_logger = logging.getLogger("embedded.step_functions")
_redrive_lock = threading.Lock()
_NAME = re.compile(r"""[^\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]+""")
"""Names of executions, as StartExecution documents them."""
_LONGEST_NAME = 80


def install(time_scale: float) -> None:
    """Let the interpreter run every execution.

    `time_scale` multiplies the seconds of Wait states and of retries. Timeouts keep their length.
    """
    workflows.install_interpreter(lambda arn: execute(arn, time_scale), running.stopped)
    workflows.install_start_check(_check_start)
    workflows.install_deletion()
    workflows.install_redrive(lambda request: redrive_execution(request, time_scale), redrive.described)
    workflows.install_definition_check(validation.problems)
    workflows.install_validation(validation.diagnostics)


def execute(execution_arn: str, time_scale: float) -> None:
    """Run a stored execution to its end in the calling thread."""
    record = workflows.execution_record(execution_arn)
    if record is None:
        return
    machine_record = workflows.state_machine_record(record["stateMachineArn"])
    if machine_record is None:
        # Deleted before this thread began; ministack has deleted its executions, too.
        _logger.warning("%s was deleted before %s began", record["stateMachineArn"], execution_arn)
        return
    _complete_first_event(record)
    _run(record, machine_record, EndedRun(json.loads(machine_record["definition"]), None), time_scale)


def redrive_execution(request: dict[str, Any], time_scale: float) -> dict[str, Any] | tuple[str, str]:
    """Continue an unsuccessful execution from where it ended, with the definition that it ran.

    Return the answer, or error code and message.
    """
    arn = str(request.get("executionArn", ""))
    record = workflows.execution_record(arn)
    machine_record = workflows.state_machine_record(record["stateMachineArn"]) if record else None
    if record is None or (machine_record is None and "mapRunArn" not in record):
        return "ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'"
    token = str(request.get("clientToken", ""))
    with _redrive_lock:
        if date := redrive.answered(record, token):
            return {"redriveDate": date}
        refused = redrive.refusal(record)
        ended = redrive.ended_run(arn)
        if refused or ended is None or machine_record is None:
            return refused or ("ExecutionNotRedrivable", "")
        event = redrive.reopen(record)
        redrive.remember_token(record, token)
    workflows.announce_status(record)
    start_thread(_run, record, machine_record, ended, time_scale, event, name="redriven")
    return {"redriveDate": record["redriveDate"]}


def _run(
    record: workflows.Record, machine_record: workflows.Record, before: EndedRun, time_scale: float, event: int = 0
) -> None:
    """Run an execution from where it ended `before`. `event` is the id of its last event."""
    execution_arn, machine = record["executionArn"], before.machine
    cancellation = Cancellation()
    log = ExecutionLog.of(machine_record.get("loggingConfiguration") or {})
    execution = Execution(record, role_arn=machine_record["roleArn"], cancellation=cancellation, log=log)
    running.add(execution)
    if record["status"] != "RUNNING":
        # StopExecution was called before this thread began.
        cancellation.cancel()
    timer = _time_limit(execution, machine)
    branch = Branch(
        execution=execution,
        context=_context(record, machine_record, machine),
        cancellation=cancellation,
        last_event=event,
        time_scale=time_scale,
        query_language=machine.get("QueryLanguage", "JSONPath"),
        resume_point=before.resume_point,
    )
    try:
        output = run_states(branch, machine, branch.context["Execution"]["Input"], before.resume_point)
        execution.succeed(output, branch.last_event)
    except TaskError as failure:
        execution.fail("FAILED", failure.error, failure.cause, branch.last_event)
    except CancelledError:
        _logger.info("%s was stopped", execution_arn)
    except Exception as failure:
        _logger.exception("%s failed in the interpreter", execution_arn)
        execution.fail("FAILED", "States.Runtime", f"The embedded AWS failed: {failure!r}", branch.last_event)
    finally:
        if timer is not None:
            timer.cancel()
        has_succeeded = record["status"] == "SUCCEEDED"
        redrive.remember(execution_arn, None if has_succeeded else EndedRun(machine, branch.resume_point))
        running.remove(execution)


def _complete_first_event(record: workflows.Record) -> None:
    """Add the fields of ExecutionStarted that ministack lacks."""
    with workflows.EVENT_LOCK:
        first = record["events"][0]
        first.setdefault("previousEventId", 0)
        first["executionStartedEventDetails"].setdefault("inputDetails", {"truncated": False})


def _time_limit(execution: Execution, machine: dict[str, Any]) -> threading.Timer | None:
    if "TimeoutSeconds" not in machine:
        return None

    def time_out() -> None:
        # As recorded on AWS, such an execution has neither error nor cause.
        execution.fail("TIMED_OUT", "", "")
        execution.cancellation.cancel()

    timer = threading.Timer(float(machine["TimeoutSeconds"]), workflows.in_this_scope(time_out))
    timer.daemon = True
    timer.start()
    return timer


def _context(record: workflows.Record, machine_record: workflows.Record, machine: dict[str, Any]) -> dict[str, Any]:
    return {
        "QueryLanguage": machine.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": record["executionArn"],
            "Input": json.loads(record["input"]),
            "Name": record["name"],
            "RoleArn": machine_record["roleArn"],
            "StartTime": record["startDate"],
            **redrive.context_fields(record),
        },
        "StateMachine": {"Id": record["stateMachineArn"], "Name": machine_record["name"]},
        "variables": {},
    }


def _check_start(request: dict[str, Any]) -> workflows.Record | tuple[str, str] | None:
    """Refuse a bad name or input, and return the running execution of the same name and input."""
    text = request.get("input", "{}")
    if len(text.encode(errors="surrogatepass")) > PAYLOAD_LIMIT_BYTES:
        return "ValidationException", _too_long("input", PAYLOAD_LIMIT_BYTES)
    try:
        json.loads(text)
    except ValueError as failure:
        return "InvalidExecutionInput", f"Invalid State Machine Execution Input: '{failure}'"
    name = request.get("name", "")
    if len(name) > _LONGEST_NAME:
        return "ValidationException", _too_long("name", _LONGEST_NAME)
    if name and not _NAME.fullmatch(name):
        return "InvalidName", f"Invalid Name: '{name}'"
    machine_arn = str(request.get("stateMachineArn", ""))
    existing = workflows.execution_record(f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}")
    if existing is not None and existing["status"] == "RUNNING" and existing["input"] == text:
        return existing
    return None


def _too_long(field: str, most: int) -> str:
    length = f"Member must have length less than or equal to {most}"
    return f"1 validation error detected: Value at '{field}' failed to satisfy constraint: {length}"
