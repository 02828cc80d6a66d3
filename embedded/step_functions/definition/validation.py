"""Validation of definitions, as CreateStateMachine does it.

Unsupported fields are refused by name, never ignored.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from embedded.seams import authorize, language
from embedded.seams.iam.identity import current_region, may_assume
from embedded.seams.tasks import task_integration
from embedded.step_functions import authorization
from embedded.step_functions.data_flow import State
from embedded.step_functions.fan_out import result_writer

_TOP = {"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"}
_ANY = {"Type", "Comment", "QueryLanguage"}
_PATHS = {"InputPath", "OutputPath"}
_RESULT = {"ResultPath", "ResultSelector"}
_GO_ON = {"Next", "End"}
_ON_ERROR = {"Retry", "Catch"}
_JSONATA = {"Assign", "Output"}
_TOLERANCE = {
    "MaxConcurrency", "MaxConcurrencyPath", "ToleratedFailurePercentage", "ToleratedFailurePercentagePath",
    "ToleratedFailureCount", "ToleratedFailureCountPath",
}  # fmt: skip
_DISTRIBUTED_ONLY = (_TOLERANCE - {"MaxConcurrency", "MaxConcurrencyPath"}) | {"ItemReader", "ResultWriter", "Label"}
_FIELDS = {
    "Task": {"Resource", "Parameters", "Arguments", "TimeoutSeconds", "TimeoutSecondsPath"}
    | _PATHS | _RESULT | _GO_ON | _ON_ERROR | _JSONATA,
    "Pass": {"Result", "ResultPath", "Parameters"} | _PATHS | _GO_ON | _JSONATA,
    "Choice": {"Choices", "Default"} | _PATHS | _JSONATA,
    "Wait": {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"} | _PATHS | _GO_ON | _JSONATA,
    "Succeed": {"Output"} | _PATHS,
    "Fail": {"Error", "Cause", "ErrorPath", "CausePath"},
    "Parallel": {"Branches", "Parameters", "Arguments"} | _PATHS | _RESULT | _GO_ON | _ON_ERROR | _JSONATA,
    "Map": {"ItemProcessor", "ItemsPath", "Items", "ItemSelector", "ItemReader", "ResultWriter", "Label"}
    | _TOLERANCE | _PATHS | _RESULT | _GO_ON | _ON_ERROR | _JSONATA,
}  # fmt: skip
_JSONPATH_ONLY = {"InputPath", "OutputPath", "ResultPath", "ResultSelector", "Parameters", "ItemsPath"}
_RETRY = {
    "ErrorEquals",
    "IntervalSeconds",
    "BackoffRate",
    "MaxAttempts",
    "MaxDelaySeconds",
    "JitterStrategy",
    "Comment",
}
_CATCH = {"ErrorEquals", "Next", "ResultPath", "Assign", "Output", "Comment"}
_READERS = {"arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2"}
_READER_CONFIG = {
    "InputType", "MaxItems", "MaxItemsPath", "ItemsPointer", "CSVHeaderLocation", "CSVHeaders", "CSVDelimiter",
}  # fmt: skip

UNSUPPORTED = "is not supported by the embedded AWS"


def problems(definition: str, role_arn: str, logging: dict[str, Any]) -> list[str]:
    """Return every problem of a state machine; empty if it can be created."""
    try:
        machine = json.loads(definition)
    except ValueError as failure:
        return [f"INVALID_JSON_DESCRIPTION: Could not parse as a JSON object: {failure}"]
    if not isinstance(machine, dict):
        return [f"INVALID_JSON_DESCRIPTION: expected a JSON object, but the definition is {definition[:100]}"]
    found = list(_machine(machine, "", machine.get("QueryLanguage", "JSONPath"), _TOP))
    jsonata = language.jsonata_error(definition)
    if jsonata:
        found.append(jsonata)
    return found or list(_role(role_arn, machine, logging))


def _machine(machine: dict[str, Any], where: str, query: str, known: set[str]) -> Iterator[str]:
    yield from _unknown(machine, known, where or "/")
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield f"SCHEMA_VALIDATION_FAILED: States must be a non-empty object at {where}/States"
        return
    if machine.get("StartAt") not in states:
        yield f"MISSING_TRANSITION_TARGET: Missing 'StartAt' target: {machine.get('StartAt')} at {where}/StartAt"
    reachable = _reachable(machine.get("StartAt"), states)
    for name, state in states.items():
        here = f"{where}/States/{name}"
        if name not in reachable:
            yield f"MISSING_TRANSITION_TARGET: State {name!r} is not reachable at {here}"
        for field, target in _targets(state):
            if target not in states:
                yield f"MISSING_TRANSITION_TARGET: Missing '{field}' target: {target} at {here}/{field}"
        yield from _state(state, here, state.get("QueryLanguage", query))


def _state(state: State, here: str, query: str) -> Iterator[str]:
    kind = state.get("Type", "")
    if kind not in _FIELDS:
        yield f"SCHEMA_VALIDATION_FAILED: {kind!r} is not a state type at {here}/Type"
        return
    known = _ANY | _FIELDS[kind]
    known = known - _JSONPATH_ONLY if query == "JSONata" else known - (_JSONATA | {"Arguments", "Items"})
    yield from _unknown(state, known, here)
    if kind not in ("Choice", "Succeed", "Fail") and ("Next" in state) == bool(state.get("End")):
        yield f"SCHEMA_VALIDATION_FAILED: exactly one of Next and End is needed at {here}"
    for index, entry in enumerate(state.get("Retry", [])):
        yield from _unknown(entry, _RETRY, f"{here}/Retry[{index}]")
        if entry.get("JitterStrategy", "NONE") not in ("NONE", "FULL"):
            yield f"SCHEMA_VALIDATION_FAILED: JitterStrategy must be NONE or FULL at {here}/Retry[{index}]"
    for index, entry in enumerate(state.get("Catch", [])):
        yield from _unknown(entry, _CATCH, f"{here}/Catch[{index}]")
    checks: dict[str, Callable[[State, str, str], Iterator[str]]] = {
        "Task": _task, "Parallel": _parallel, "Map": _map, "Choice": _choice, "Wait": _wait,
    }  # fmt: skip
    if kind in checks:
        yield from checks[kind](state, here, query)


def _task(state: State, here: str, _query: str) -> Iterator[str]:
    resource = state.get("Resource", "")
    if not isinstance(resource, str) or not resource.startswith("arn:"):
        yield f"SCHEMA_VALIDATION_FAILED: Resource must be an ARN, but it is {resource!r} at {here}/Resource"
    elif task_integration(resource) is None and not _served_by_ministack(resource):
        yield f"INVALID_RESOURCE: {resource} {UNSUPPORTED} at {here}/Resource"
    elif not authorization.checkable(resource):
        yield f"INVALID_RESOURCE: {resource} {UNSUPPORTED} (no permission check exists for it) at {here}/Resource"


def _served_by_ministack(resource: str) -> bool:
    if not resource.startswith("arn:aws:states:::"):
        return True
    prefixes = (
        "arn:aws:states:::lambda:invoke", "arn:aws:states:::states:startExecution", *language.integration_prefixes(),
    )  # fmt: skip
    return resource.startswith(prefixes)


def _parallel(state: State, here: str, query: str) -> Iterator[str]:
    if not state.get("Branches"):
        yield f"SCHEMA_VALIDATION_FAILED: Branches must not be empty at {here}/Branches"
    for index, machine in enumerate(state.get("Branches", [])):
        yield from _machine(machine, f"{here}/Branches[{index}]", query, {"Comment", "StartAt", "States"})


def _map(state: State, here: str, query: str) -> Iterator[str]:
    processor = state.get("ItemProcessor")
    if not processor:
        yield f"SCHEMA_VALIDATION_FAILED: ItemProcessor is missing at {here}"
        return
    known = {"Comment", "StartAt", "States", "ProcessorConfig", "QueryLanguage"}
    config = processor.get("ProcessorConfig", {})
    yield from _unknown(config, {"Mode", "ExecutionType"}, f"{here}/ItemProcessor/ProcessorConfig")
    yield from _machine(processor, f"{here}/ItemProcessor", processor.get("QueryLanguage", query), known)
    distributed = config.get("Mode") == "DISTRIBUTED"
    if distributed and config.get("ExecutionType") != "STANDARD":
        yield f"ExecutionType {config.get('ExecutionType')!r} {UNSUPPORTED} (use STANDARD) at {here}/ItemProcessor"
    if not distributed:
        for field in sorted(_DISTRIBUTED_ONLY & state.keys()):
            yield f"SCHEMA_VALIDATION_FAILED: {field} needs a DISTRIBUTED ItemProcessor at {here}/{field}"
    reader = state.get("ItemReader")
    if reader is not None:
        yield from _unknown(reader, {"Resource", "Parameters", "Arguments", "ReaderConfig"}, f"{here}/ItemReader")
        yield from _unknown(reader.get("ReaderConfig", {}), _READER_CONFIG, f"{here}/ItemReader/ReaderConfig")
        if reader.get("Resource") not in _READERS:
            yield f"ItemReader {reader.get('Resource')!r} {UNSUPPORTED} at {here}/ItemReader/Resource"
        kind = reader.get("ReaderConfig", {}).get("InputType", "JSON")
        if kind not in ("JSON", "JSONL", "CSV"):
            yield f"InputType {kind!r} {UNSUPPORTED} at {here}/ItemReader/ReaderConfig/InputType"
    yield from _result_writer(state, f"{here}/ResultWriter", query)


def _result_writer(state: State, here: str, query: str) -> Iterator[str]:
    writer = state.get("ResultWriter")
    if writer is None:
        return
    parameters = "Arguments" if query == "JSONata" else "Parameters"
    yield from _unknown(writer, {"Resource", parameters}, here)
    if missing := sorted({"Resource", parameters} - writer.keys()):
        yield f"SCHEMA_VALIDATION_FAILED: These fields are required: [{', '.join(missing)}] at {here}"
    elif writer["Resource"] != result_writer.RESOURCE:
        yield f"ResultWriter {writer['Resource']!r} {UNSUPPORTED} at {here}/Resource"


def _choice(state: State, here: str, _query: str) -> Iterator[str]:
    if not state.get("Choices"):
        yield f"SCHEMA_VALIDATION_FAILED: Choices must not be empty at {here}/Choices"


def _wait(state: State, here: str, _query: str) -> Iterator[str]:
    if sum(field in state for field in ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")) != 1:
        yield f"SCHEMA_VALIDATION_FAILED: one of Seconds, SecondsPath, Timestamp, TimestampPath is needed at {here}"


def _reachable(start: Any, states: dict[str, State]) -> set[Any]:
    found: set[Any] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name in states and name not in found:
            found.add(name)
            ahead.extend(target for _, target in _targets(states[name]))
    return found


def _targets(state: State) -> Iterator[tuple[str, Any]]:
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for entry in [*state.get("Catch", []), *state.get("Choices", [])]:
        yield "Next", entry.get("Next")


def _unknown(fields: dict[str, Any], known: set[str], where: str) -> Iterator[str]:
    for field in sorted(fields.keys() - known):
        yield f"{field} {UNSUPPORTED} at {where}/{field}"


def _role(role_arn: str, machine: dict[str, Any], logging: dict[str, Any]) -> Iterator[str]:
    """Check the role as AWS does when a state machine is created: its trust policy, logging, and
    managed rules.
    """
    if not may_assume(role_arn, "states.amazonaws.com"):
        yield (
            "AccessDeniedException: Neither the global service principal states.amazonaws.com, nor the regional one "
            f"is authorized to assume the provided role {role_arn}."
        )
        return
    if logging.get("level", "OFF") != "OFF":
        # These actions have no resource, so policies allow them on `*`.
        for action in ("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "ListLogDeliveries"):
            if not authorize(role_arn, f"logs:{action}", "*"):
                reason = "is not authorized to access the Log Destination"
                yield f"AccessDeniedException: The state machine IAM Role {reason} (logs:{action})"
                break
    account = role_arn.split(":")[4]
    for rule in sorted(set(_managed_rules(machine))):
        for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
            if not authorize(role_arn, action, f"arn:aws:events:{current_region()}:{account}:rule/{rule}"):
                reason = f"is not authorized to create managed-rule ({action} on {rule})"
                yield f"AccessDeniedException: '{role_arn}' {reason}."
                break


def _managed_rules(machine: dict[str, Any]) -> Iterator[str]:
    for state in machine.get("States", {}).values():
        resource = str(state.get("Resource", ""))
        if ".sync" in resource:
            action = resource.rpartition(":")[2] if ".sync:" not in resource else resource.split(":")[-2]
            action = action.partition(".")[0]
            if action in authorization.SAGEMAKER_EVENT_RULES:
                yield authorization.SAGEMAKER_EVENT_RULES[action]
            elif action == "startExecution":
                yield authorization.EXECUTION_EVENT_RULE
        for inner in [state.get("ItemProcessor"), *state.get("Branches", [])]:
            if inner:
                yield from _managed_rules(inner)
