"""Validation of definitions, as CreateStateMachine does it.

Unsupported fields are refused by name, never ignored.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import task_integration
from embedded.step_functions import authorization
from embedded.step_functions.data_flow import State
from embedded.step_functions.definition.choice_rules import rule_problems
from embedded.step_functions.definition.field_values import error_list_problems, field_problems
from embedded.step_functions.definition.problem import UNSUPPORTED, Problem, unsupported
from embedded.step_functions.definition.role_check import role_problems
from embedded.step_functions.definition.structure import structure_problems
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

_LONGEST_NAME = 80


def problems(
    definition: str, role_arn: str, logging: dict[str, Any], machine_type: str = "STANDARD"
) -> Sequence[Problem]:
    """Return every problem of a state machine; empty if it can be created."""
    found, machine = _definition_problems(definition, machine_type)
    return found or list(role_problems(role_arn, machine, logging))


def diagnostics(definition: str, machine_type: str) -> list[dict[str, str]]:
    """Return the problems of a definition as ValidateStateMachineDefinition shows them."""
    found, _machine = _definition_problems(definition, machine_type)
    return [
        {
            "severity": "ERROR",
            "code": problem.code,
            "message": problem.message,
            **({"location": problem.location} if problem.location else {}),
        }
        for problem in found
    ]


def _definition_problems(definition: str, machine_type: str) -> tuple[list[Problem], dict[str, Any]]:
    if not definition.strip():
        return [Problem("Definition must be a valid JSON object")], {}
    try:
        machine = json.loads(definition)
    except ValueError as failure:
        return [Problem(f"Could not parse as a JSON object: {failure}", code="INVALID_JSON_DESCRIPTION")], {}
    if not isinstance(machine, dict):
        text = f"expected a JSON object, but the definition is {definition[:100]}"
        return [Problem(text, code="INVALID_JSON_DESCRIPTION")], {}
    if wrong := list(structure_problems(machine)):
        return wrong, machine
    found = list(_Machine(machine_type).problems(machine, "", machine.get("QueryLanguage", "JSONPath"), _TOP))
    if machine_type == "EXPRESS":
        found.append(unsupported("A state machine of type EXPRESS", "/"))
    if jsonata := language.jsonata_error(definition):
        code, _, message = jsonata.partition(": ")
        found.append(Problem(message, code=code))
    return found, machine


class _Machine:
    """The check of one state machine; names of states and labels are unique in all of it."""

    def __init__(self, machine_type: str) -> None:
        self._is_express = machine_type == "EXPRESS"
        self._names: set[str] = set()
        self._labels: set[str] = set()

    def problems(self, machine: dict[str, Any], where: str, query: str, known: set[str]) -> Iterator[Problem]:
        yield from _unknown(machine, known, where)
        if missing := [field for field in ("States", "StartAt") if field not in machine]:
            yield Problem(f"These fields are required: [{', '.join(missing)}]", where or "/")
        states = machine.get("States")
        if not isinstance(states, dict) or not states:
            if "States" in machine:
                yield Problem("Value cannot be empty", f"{where}/States")
            return
        yield from field_problems({key: machine[key] for key in machine.keys() & {"TimeoutSeconds"}}, where, query)
        yield from _transitions(machine, states, where)
        for name, state in states.items():
            here = f"{where}/States/{name}"
            if name in self._names:
                yield Problem(f"The state name {name!r} appears more than once", here, "DUPLICATE_STATE_NAME")
            if len(name) > _LONGEST_NAME:
                yield Problem(f"State names have at most {_LONGEST_NAME} characters", here, "INVALID_STATE_NAME")
            self._names.add(name)
            yield from self._state(state, here, query)

    def _state(self, state: State, here: str, query: str) -> Iterator[Problem]:
        kind = state.get("Type", "")
        if kind not in _FIELDS:
            kinds = "Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map"
            yield Problem(f"The field 'Type' should have one of these values: [{kinds}]", f"{here}/Type")
            return
        own = state.get("QueryLanguage", query)
        if (query, own) == ("JSONata", "JSONPath"):
            text = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
            yield Problem(text, here)
        query = own
        known = _ANY | _FIELDS[kind]
        known = known - _JSONPATH_ONLY if query == "JSONata" else known - (_JSONATA | {"Arguments", "Items"})
        yield from _unknown(state, known, here)
        yield from field_problems(state, here, query)
        if kind not in ("Choice", "Succeed", "Fail") and ("Next" in state) == bool(state.get("End")):
            yield Problem("exactly one of Next and End is needed", here)
        yield from _on_error(state, here, query)
        checks: dict[str, Callable[[State, str, str], Iterator[Problem]]] = {
            "Task": self._task, "Parallel": self._parallel, "Map": self._map, "Choice": _choice, "Wait": _wait,
        }  # fmt: skip
        if kind in checks:
            yield from checks[kind](state, here, query)

    def _task(self, state: State, here: str, _query: str) -> Iterator[Problem]:
        resource, here = state.get("Resource", ""), f"{here}/Resource"
        if not isinstance(resource, str) or not resource.startswith("arn:"):
            yield Problem(f"Resource must be an ARN, but it is {resource!r}", here)
            return
        if self._is_express:
            # The trailing space was recorded, too.
            for suffix, shown in (
                (".sync", "'.sync' service integration"),
                (".waitForTaskToken", "'.waitForTaskToken' service integration "),
            ):
                if suffix in resource:
                    yield Problem(f"Express state machine does not support {shown}", here)
        if task_integration(resource) is None and not _served_by_ministack(resource):
            yield unsupported(resource, here, "INVALID_RESOURCE")
        elif not authorization.checkable(resource):
            text = f"{resource} {UNSUPPORTED} (no permission check exists for it)"
            yield Problem(text, here, "INVALID_RESOURCE")

    def _parallel(self, state: State, here: str, query: str) -> Iterator[Problem]:
        if not state.get("Branches"):
            yield Problem("Value cannot be empty", f"{here}/Branches")
        for index, machine in enumerate(state.get("Branches", [])):
            known = {"Comment", "StartAt", "States"}
            yield from self.problems(machine, f"{here}/Branches[{index}]", query, known)

    def _map(self, state: State, here: str, query: str) -> Iterator[Problem]:
        processor = state.get("ItemProcessor")
        if not processor:
            yield Problem("The field 'ItemProcessor' is required but was missing", here)
            return
        known = {"Comment", "StartAt", "States", "ProcessorConfig", "QueryLanguage"}
        config, place = processor.get("ProcessorConfig", {}), f"{here}/ItemProcessor"
        yield from _unknown(config, {"Mode", "ExecutionType"}, f"{place}/ProcessorConfig")
        yield from self.problems(processor, place, processor.get("QueryLanguage", query), known)
        if (label := state.get("Label")) in self._labels:
            yield Problem(f"The label {label!r} appears more than once", f"{here}/Label")
        self._labels |= {label} if label else set()
        if config.get("Mode") != "DISTRIBUTED":
            for field in sorted(_DISTRIBUTED_ONLY & state.keys()):
                yield Problem(f"{field} needs a DISTRIBUTED ItemProcessor", f"{here}/{field}")
        elif config.get("ExecutionType") != "STANDARD":
            yield unsupported(f"ExecutionType {config.get('ExecutionType')!r} (use STANDARD)", place)
        yield from _item_reader(state, f"{here}/ItemReader", query)
        yield from _result_writer(state, f"{here}/ResultWriter", query)


def _item_reader(state: State, here: str, query: str) -> Iterator[Problem]:
    reader = state.get("ItemReader")
    if reader is None:
        return
    config = reader.get("ReaderConfig", {})
    yield from _unknown(reader, {"Resource", "Parameters", "Arguments", "ReaderConfig"}, here)
    yield from _unknown(config, _READER_CONFIG, f"{here}/ReaderConfig")
    yield from field_problems(reader, here, query)
    yield from field_problems(config, f"{here}/ReaderConfig", query)
    if reader.get("Resource") not in _READERS:
        yield unsupported(f"ItemReader {reader.get('Resource')!r}", f"{here}/Resource")
    kind = config.get("InputType", "JSON")
    if kind not in ("JSON", "JSONL", "CSV"):
        yield unsupported(f"InputType {kind!r}", f"{here}/ReaderConfig/InputType")


def _on_error(state: State, here: str, query: str) -> Iterator[Problem]:
    for index, entry in enumerate(state.get("Retry", [])):
        place = f"{here}/Retry[{index}]"
        yield from _unknown(entry, _RETRY, place)
        yield from field_problems(entry, place, query)
        if entry.get("JitterStrategy", "NONE") not in ("NONE", "FULL"):
            yield Problem("JitterStrategy must be NONE or FULL", place)
    for index, entry in enumerate(state.get("Catch", [])):
        place = f"{here}/Catch[{index}]"
        yield from _unknown(entry, _CATCH, place)
        yield from field_problems(entry, place, query)
        if "Next" not in entry:
            yield Problem("The field 'Next' is required but was missing", place)
    for field in ("Retry", "Catch"):
        yield from error_list_problems(state.get(field, []), field, here)


def _transitions(machine: dict[str, Any], states: dict[str, State], where: str) -> Iterator[Problem]:
    """Yield the problems of the transitions between states."""
    start = machine.get("StartAt")
    if "StartAt" in machine and start not in states:
        yield Problem(f"Missing 'StartAt' target: {start}", f"{where}/StartAt", "MISSING_TRANSITION_TARGET")
    reachable = _reachable(start, states)
    for name, state in states.items():
        here = f"{where}/States/{name}"
        if "StartAt" in machine and name not in reachable:
            yield Problem(f"State {name!r} is not reachable", here, "MISSING_TRANSITION_TARGET")
        for field, target in _targets(state):
            if target not in states:
                text = f"Missing '{field}' target: {target}"
                yield Problem(text, f"{here}/{field}", "MISSING_TRANSITION_TARGET")
    if not any(state.get("End") or state.get("Type") in ("Succeed", "Fail") for state in states.values()):
        yield Problem("No state ends the machine", where or "/", "MISSING_END_STATE")


def _served_by_ministack(resource: str) -> bool:
    if not resource.startswith("arn:aws:states:::"):
        return True
    prefixes = (
        "arn:aws:states:::lambda:invoke", "arn:aws:states:::states:startExecution", *language.integration_prefixes(),
    )  # fmt: skip
    return resource.startswith(prefixes)


def _result_writer(state: State, here: str, query: str) -> Iterator[Problem]:
    writer = state.get("ResultWriter")
    if writer is None:
        return
    parameters = "Arguments" if query == "JSONata" else "Parameters"
    yield from _unknown(writer, {"Resource", parameters}, here)
    yield from field_problems(writer, here, query)
    if missing := sorted({"Resource", parameters} - writer.keys()):
        yield Problem(f"These fields are required: [{', '.join(missing)}]", here)
    elif writer["Resource"] != result_writer.RESOURCE:
        yield unsupported(f"ResultWriter {writer['Resource']!r}", f"{here}/Resource")


def _choice(state: State, here: str, query: str) -> Iterator[Problem]:
    if not state.get("Choices"):
        yield Problem("Value cannot be empty", f"{here}/Choices")
    for index, rule in enumerate(state.get("Choices", [])):
        yield from rule_problems(rule, f"{here}/Choices[{index}]", query)


def _wait(state: State, here: str, _query: str) -> Iterator[Problem]:
    if sum(field in state for field in ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")) != 1:
        yield Problem("one of Seconds, SecondsPath, Timestamp, TimestampPath is needed", here)


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
        if "Next" in entry:
            yield "Next", entry["Next"]


def _unknown(fields: dict[str, Any], known: set[str], where: str) -> Iterator[Problem]:
    for field in sorted(fields.keys() - known):
        yield unsupported(field, f"{where}/{field}")
