"""The interpreter: runs states from StartAt until one ends the branch."""

from datetime import UTC, datetime
from typing import Any

from embedded.seams import language, workflows
from embedded.seams.tasks import TaskError
from embedded.step_functions import data_flow
from embedded.step_functions.data_flow import State, limited
from embedded.step_functions.executions.cancellation import CancelledError
from embedded.step_functions.executions.execution import Branch, state_details
from embedded.step_functions.fan_out import map_state, parallel_state
from embedded.step_functions.retrying import Retries, catcher
from embedded.step_functions.tasks.task_state import run_task

Following = str | None
"""Name of the next state; None ends the branch."""


def run_states(branch: Branch, machine: dict[str, Any], data: Any) -> Any:
    """Run a machine (`StartAt`, `States`) on `data` and return its output.

    Raises:
        TaskError: A state failed and nothing caught it.
        CancelledError: The branch was cancelled.
    """
    name: Following = machine["StartAt"]
    while name is not None:
        branch.cancellation.check()
        state = machine["States"].get(name)
        if state is None:
            raise TaskError("States.Runtime", f"The state {name!r} does not exist")
        data, name = _visit(branch, name, state, data)
    return data


def _visit(branch: Branch, name: str, state: State, raw: Any) -> tuple[Any, Following]:
    kind = state["Type"]
    branch.context["State"] = {"Name": name, "EnteredTime": workflows.timestamp(), "RetryCount": 0}
    branch.query_language, outer = state.get("QueryLanguage", branch.query_language), branch.query_language
    branch.context["QueryLanguage"] = branch.query_language
    branch.add_event(f"{kind}StateEntered", {"stateEnteredEventDetails": state_details(name, "input", raw)})
    try:
        if kind == "Fail":
            raise TaskError(*language.fail_reason(state, raw, branch.context))
        output, following = _with_retry_and_catch(branch, name, state, raw)
        limited(output, f"The output of the state {name!r}")
    except CancelledError:
        branch.add_event(f"{kind}StateAborted")
        raise
    finally:
        branch.query_language = outer
        branch.context["QueryLanguage"] = outer
    branch.add_event(f"{kind}StateExited", {"stateExitedEventDetails": state_details(name, "output", output)})
    return output, following


def _with_retry_and_catch(branch: Branch, name: str, state: State, raw: Any) -> tuple[Any, Following]:
    retries = Retries(state)
    while True:
        try:
            return _execute(branch, state, raw)
        except TaskError as failure:
            delay = retries.next_delay(failure)
            if delay is None:
                return _catch(branch, state, raw, failure)
        branch.sleep(delay)
        # Branches and iterations have overwritten `$$.State`; restore it for the retry.
        branch.context["State"] = {**branch.context["State"], "Name": name, "RetryCount": retries.count}


def _catch(branch: Branch, state: State, raw: Any, failure: TaskError) -> tuple[Any, Following]:
    entry = catcher(state, failure)
    if entry is None:
        raise failure
    error_output = {"Error": failure.error, "Cause": failure.cause}
    if branch.query_language != "JSONata":
        return data_flow.place(entry.get("ResultPath", "$"), raw, error_output), entry["Next"]
    output: Any = error_output
    if "Output" in entry:
        output = language.jsonata_template(entry["Output"], raw, branch.context, error_output=error_output)
    language.jsonata_assign(entry, raw, branch.context, error_output=error_output)
    return output, entry["Next"]


def _execute(branch: Branch, state: State, raw: Any) -> tuple[Any, Following]:
    following = None if state.get("End") or state["Type"] == "Succeed" else state.get("Next")
    match state["Type"]:
        case "Choice":
            return _choose(branch, state, raw)
        case "Succeed":
            return _pass_on(branch, state, raw), following
        case "Wait":
            branch.sleep(_wait_seconds(branch, state, raw))
            return _pass_on(branch, state, raw), following
        case "Pass":
            return _pass(branch, state, raw), following
        case "Task":
            result = run_task(branch, state, raw)
        case "Parallel":
            result = parallel_state.run_parallel(branch, state, raw, run_states)
        case "Map":
            result = map_state.run_map(branch, state, raw, run_states)
        case other:
            raise TaskError("States.Runtime", f"Type: {other!r} is not a state type")
    return _result(branch, state, raw, result), following


def _result(branch: Branch, state: State, raw: Any, result: Any) -> Any:
    if branch.query_language != "JSONata":
        return data_flow.state_output(state, raw, result, branch.context)
    output = result
    if "Output" in state:
        output = language.jsonata_template(state["Output"], raw, branch.context, result=result)
    language.jsonata_assign(state, raw, branch.context, result=result)
    return output


def _pass_on(branch: Branch, state: State, raw: Any) -> Any:
    if branch.query_language == "JSONata":
        return _result(branch, state, raw, raw)
    effective = data_flow.state_input(state, raw, branch.context)
    return data_flow.output_path(state, effective, branch.context)


def _pass(branch: Branch, state: State, raw: Any) -> Any:
    if branch.query_language == "JSONata":
        return _result(branch, state, raw, raw)
    result = data_flow.state_input(state, raw, branch.context)
    if "Parameters" in state:
        result = data_flow.fill(state["Parameters"], result, branch.context)
    return data_flow.state_output(state, raw, state.get("Result", result), branch.context)


def _choose(branch: Branch, state: State, raw: Any) -> tuple[Any, Following]:
    if branch.query_language == "JSONata":
        return language.jsonata_choice(state, raw, branch.context)
    effective = data_flow.state_input(state, raw, branch.context)
    for rule in state["Choices"]:
        if _holds(branch, rule, effective):
            return data_flow.output_path(state, effective, branch.context), rule["Next"]
    if "Default" not in state:
        raise TaskError("States.NoChoiceMatched", "No choice rule matched and the state has no Default")
    return data_flow.output_path(state, effective, branch.context), state["Default"]


def _holds(branch: Branch, rule: dict[str, Any], data: Any) -> bool:
    if "And" in rule:
        return all(_holds(branch, part, data) for part in rule["And"])
    if "Or" in rule:
        return any(_holds(branch, part, data) for part in rule["Or"])
    if "Not" in rule:
        return not _holds(branch, rule["Not"], data)
    if "IsPresent" in rule:
        try:
            data_flow.resolve(rule["Variable"], data, branch.context)
        except TaskError:
            return not rule["IsPresent"]
        return bool(rule["IsPresent"])
    # AWS fails the execution when a rule reads a missing value.
    data_flow.resolve(rule["Variable"], data, branch.context, "Variable")
    return language.comparison_holds(rule, data, branch.context)


def _wait_seconds(branch: Branch, state: State, raw: Any) -> float:
    if branch.query_language == "JSONata":
        state = {key: language.jsonata_template(value, raw, branch.context) for key, value in state.items()}
    effective = raw if branch.query_language == "JSONata" else data_flow.state_input(state, raw, branch.context)
    if "Seconds" in state or "SecondsPath" in state:
        return data_flow.number(state, "Seconds", effective, branch.context, default=0)
    moment = state.get("Timestamp")
    if "TimestampPath" in state:
        moment = data_flow.resolve(state["TimestampPath"], effective, branch.context, "TimestampPath")
    try:
        until = datetime.fromisoformat(str(moment))
    except ValueError:
        raise TaskError("States.Runtime", f"Timestamp: {moment!r} is not an ISO 8601 time") from None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
