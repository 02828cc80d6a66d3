"""ministack's stored state machines and executions, and hooks for our own interpreter."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import asyncio
import contextvars
import functools
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from embedded.ministack.step_functions.packed_history import PackedHistory

Record = dict[str, Any]
DefinitionCheck = Callable[[str, str, Record, str], Sequence[object]]
"""Returns the problems of (definition, role ARN, logging, type); `str` gives a problem's text."""

_RESTARTED = "States.ServiceRestart"
EVENT_LOCK = threading.RLock()
"""Guards every change of a record's history or status: several threads write to one execution."""


def execution_record(execution_arn: str) -> Record | None:
    record: Record | None = _engine()._executions.get(execution_arn)
    return record


def interrupted_executions() -> list[Record]:
    """Mark the interrupted executions of a restored server as RUNNING, and return them.

    ministack has marked them as failed.
    """
    with EVENT_LOCK:
        found = [record for record in _engine()._executions.all_values() if record.get("error") == _RESTARTED]
        for record in found:
            record.update(status="RUNNING", stopDate=None, error=None, cause=None)
        return found


def map_runs() -> list[Record]:
    return list(_engine()._map_runs.all_values())


def forget_execution(execution_arn: str) -> None:
    """Delete the record of an ended execution."""
    _engine()._executions.pop(execution_arn, None)


def store_execution(record: Record) -> None:
    _engine()._executions[record["executionArn"]] = record


def state_machine_record(state_machine_arn: str) -> Record | None:
    record: Record | None = _engine()._state_machines.get(state_machine_arn)
    return record


def store_map_run(record: Record) -> None:
    """Store a Map Run. UpdateMapRun changes the stored record in place."""
    _engine()._map_runs[record["mapRunArn"]] = record


def add_event(record: Record, kind: str, details: dict[str, Any], previous: int) -> int:
    """Append a history event and return its id.

    `previous` is the id of the event that caused it.
    """
    with EVENT_LOCK:
        events = record["events"]
        if isinstance(events, PackedHistory):
            events = record["events"] = list(events)
        number = len(events) + 1
        events.append({"id": number, "type": kind, "timestamp": timestamp(), "previousEventId": previous, **details})
        return number


def pack_history(record: Record) -> None:
    """Compress the history of an ended execution. `add_event` makes it a list again."""
    with EVENT_LOCK:
        record["events"] = PackedHistory(record["events"])


def announce_status(record: Record) -> None:
    """Send "Step Functions Execution Status Change" to the default event bus."""
    _engine()._emit_execution_status_event(record)


def timestamp() -> str:
    """Return the current time as Step Functions' API shows it."""
    return f"{datetime.now(UTC).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def start_execution(request: dict[str, Any]) -> dict[str, Any]:
    """Call StartExecution without HTTP. A refusal is `{"__type": …, "message": …}`."""
    _status, _headers, body = _engine()._start_execution(request)
    answer: dict[str, Any] = json.loads(body)
    return answer


def install_interpreter(run: Callable[[str], None], stopped: Callable[[str], None]) -> None:
    """Run every execution with `run(execution_arn)`.

    The call is made in a thread with the caller's account and Region. `stopped(execution_arn)` is
    called after StopExecution has marked a record ABORTED.
    """
    engine = _engine()
    ministack_stop = engine._stop_execution

    def stop_execution(request: dict[str, Any]) -> Any:
        with EVENT_LOCK:
            response = ministack_stop(request)
            record = execution_record(request.get("executionArn", ""))
            if response[0] == 200 and record is not None:
                _complete_abort_event(record)
        if response[0] == 200:
            stopped(request.get("executionArn", ""))
        return response

    emit = engine._emit_execution_status_event

    def emit_status_event(record: Record) -> None:
        # On AWS, the event of an encrypted execution has no data of the execution.
        machine = state_machine_record(record["stateMachineArn"]) or {}
        if machine.get("encryptionConfiguration", {}).get("type") == "CUSTOMER_MANAGED_KMS_KEY":
            record = {**record, "input": None, "output": None, "error": None, "cause": None}
        emit(record)

    engine._run_execution = run
    engine._stop_execution = stop_execution
    engine._emit_execution_status_event = emit_status_event


def install_redrive(
    redrive: Callable[[Record], Record | tuple[str, str]], described: Callable[[Record], Record]
) -> None:
    """Serve RedriveExecution, which ministack lacks.

    `redrive(request)` returns the answer, or error code and message. `described(record)` returns
    the fields that DescribeExecution shows in addition.
    """
    engine = _engine()
    ministack_handle, ministack_describe = engine.handle_request, engine._describe_execution
    ministack_list = engine._list_executions

    async def handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        if headers.get("x-amz-target", "").rpartition(".")[2] != "RedriveExecution":
            return await ministack_handle(method, path, headers, body, query)
        # A redrive may wait for the threads of an execution that was just stopped.
        answer = await asyncio.to_thread(redrive, json.loads(body or b"{}"))
        if isinstance(answer, tuple):
            return engine.error_response_json(*answer, 400)
        return engine._finalize_response(engine.json_response(answer))

    def describe_execution(request: Record) -> Any:
        record = execution_record(request.get("executionArn", ""))
        status, headers, body = ministack_describe(request)
        if status != 200 or record is None:
            return status, headers, body
        return engine.json_response({**json.loads(body), **described(record)})

    def list_executions(request: Record) -> Any:
        status, headers, body = ministack_list(request)
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        for each in answer["executions"]:
            redriven = described(execution_record(each["executionArn"]) or each)
            each.update({key: redriven[key] for key in ("redriveCount", "redriveDate") if key in redriven})
        return engine.json_response(answer)

    engine.handle_request = handle_request
    engine._describe_execution, engine._list_executions = describe_execution, list_executions


def install_deletion() -> None:
    """Let DeleteStateMachine succeed for a state machine that does not exist, as on AWS."""
    engine = _engine()
    ministack_delete = engine._delete_state_machine

    def delete(request: dict[str, Any]) -> Any:
        if state_machine_record(request.get("stateMachineArn", "")) is None:
            return engine.json_response({})
        return ministack_delete(request)

    engine._delete_state_machine = delete


def _complete_abort_event(record: Record) -> None:
    """Show the abort as on AWS: without a previous event, and without empty details."""
    event = record["events"][-1]
    if event["type"] == "ExecutionAborted":
        event.setdefault("previousEventId", 0)
        details = event["executionAbortedEventDetails"]
        event["executionAbortedEventDetails"] = {key: value for key, value in details.items() if value}


def install_start_check(check: Callable[[dict[str, Any]], Record | tuple[str, str] | None]) -> None:
    """Call `check(request)` before ministack handles a StartExecution request.

    The check returns None to accept, (error code, message) to refuse, or the record of an execution
    that exists already and becomes the response.
    """
    engine = _engine()
    ministack_start = engine._start_execution

    def start(request: dict[str, Any]) -> Any:
        answer = check(request)
        if answer is None:
            return ministack_start(request)
        if isinstance(answer, tuple):
            return engine.error_response_json(*answer, 400)
        return engine.json_response({"executionArn": answer["executionArn"], "startDate": answer["startDate"]})

    engine._start_execution = start


def install_definition_check(check: DefinitionCheck) -> None:
    """Let a check refuse state machines, in the API and in stacks.

    `check(definition, role_arn, logging, type)` returns problems. The first is `<error code>:
    <text>`, or the text alone for InvalidDefinition.
    """
    from ministack.services.cloudformation import provisioners

    engine = _engine()
    ministack_create, ministack_update = engine._create_state_machine, engine._update_state_machine
    provision = provisioners._sfn_state_machine_create

    def refusal(problems: Sequence[object]) -> Any:
        text = "; ".join(map(str, problems))
        code, separator, message = text.partition(": ")
        if separator and code.endswith("Exception"):
            return engine.error_response_json(code, message, 400)
        return engine.error_response_json("InvalidDefinition", f"Invalid State Machine Definition: '{text}'", 400)

    def create(request: dict[str, Any]) -> Any:
        logging = request.get("loggingConfiguration", {})
        kind = request.get("type", "STANDARD")
        problems = check(request.get("definition", "{}"), request.get("roleArn", ""), logging, kind)
        return refusal(problems) if problems else ministack_create(request)

    def update(request: dict[str, Any]) -> Any:
        stored = engine._state_machines.get(request.get("stateMachineArn")) or {}
        definition = request.get("definition", stored.get("definition", "{}"))
        if "loggingConfiguration" in request:
            # Updates of stacks arrive here with the template's property names.
            request = {**request, "loggingConfiguration": _api_names(request["loggingConfiguration"])}
        logging = request.get("loggingConfiguration", stored.get("loggingConfiguration", {}))
        role_arn = request.get("roleArn", stored.get("roleArn", ""))
        problems = check(definition, role_arn, logging, stored.get("type", "STANDARD")) if stored else []
        return refusal(problems) if problems else ministack_update(request)

    def provision_checked(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        logging = _api_names(properties.get("LoggingConfiguration", {}))
        kind = properties.get("StateMachineType", "STANDARD")
        problems = check(provisioners._sfn_definition(properties), properties.get("RoleArn", ""), logging, kind)
        if problems:
            text = "; ".join(map(str, problems))
            raise provisioners._sfn_handler_error(f"Invalid State Machine Definition: '{text}'")
        arn, attributes = provision(logical_id, properties, stack_name)
        if logging:
            engine._state_machines[arn]["loggingConfiguration"] = logging
        return arn, attributes

    engine._create_state_machine, engine._update_state_machine = create, update
    provisioners._sfn_state_machine_create = provision_checked
    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    handlers["create"] = provision_checked


def install_validation(diagnostics: Callable[[str, str], list[Record]]) -> None:
    """Answer ValidateStateMachineDefinition with `diagnostics(definition, type)`."""
    engine = _engine()

    def validate(request: Record) -> Any:
        found = diagnostics(request.get("definition", ""), request.get("type", "STANDARD"))
        shown = found[: int(request.get("maxResults") or 100)]
        result = {"result": "FAIL" if found else "OK", "diagnostics": shown, "truncated": len(shown) < len(found)}
        return engine.json_response(result)

    engine._validate_state_machine_definition = validate


@functools.cache
def _engine() -> Any:
    from ministack.services import stepfunctions

    return stepfunctions


def _api_names(settings: Any) -> Any:
    """Convert a template's settings to the API's names and types, such as "true" to true."""
    if isinstance(settings, dict):
        return {key[:1].lower() + key[1:]: _api_names(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_api_names(item) for item in settings]
    return {"true": True, "false": False}.get(settings, settings) if isinstance(settings, str) else settings


def in_this_scope(call: Callable[[], object]) -> Callable[[], None]:
    """Return `call` bound to the current request's account and Region, for another thread."""
    scope = contextvars.copy_context()

    def scoped() -> None:
        scope.run(call)

    return scoped
