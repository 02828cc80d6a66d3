"""The interpreter: runs states from StartAt until one ends the branch."""

from typing import Any

from embedded.ministack.step_functions import language, workflows
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions import data_flow
from embedded.step_functions.data_flow import State, check_result_size
from embedded.step_functions.executions.cancellation import CancelledError
from embedded.step_functions.executions.execution import Branch, FanOutAttempt, state_details
from embedded.step_functions.executions.resume_point import ResumePoint
from embedded.step_functions.expressions.comparisons import holds
from embedded.step_functions.expressions.wait_time import wait_seconds
from embedded.step_functions.fan_out import map_state, parallel_state
from embedded.step_functions.retrying import Retries, catcher
from embedded.step_functions.tasks.task_state import run_task

Following = str | None
"""Name of the next state; None ends the branch."""

_LOCATED_ERRORS = frozenset({"States.Runtime", "States.IntrinsicFailure", "States.QueryEvaluationError"})
"""Errors of the interpreter itself. Their cause names the state."""
_LOCATION = "An error occurred while executing the state"


def run_states(branch: Branch, machine: dict[str, Any], data: Any, resume: ResumePoint | None = None) -> Any:
    """Run a machine (`StartAt`, `States`) on `data` and return its output.

    With `resume`, continue where an earlier run of the machine ended.

    Raises:
        TaskError: A state failed and nothing caught it. The branch's `resume_point` is set.
        CancelledError: The branch was cancelled. The branch's `resume_point` is set.
    """
    name: Following = machine["StartAt"]
    if resume is not None:
        name, data = resume.state, resume.data
        branch.context["variables"] = dict(resume.variables)
    text = data_flow.dump(data)
    while name is not None:
        state = machine["States"][name]
        data, text, name = _visit(branch, name, state, data, text, resume=resume)
        resume = None
    return data


def _visit(
    branch: Branch, name: str, state: State, raw: Any, text: str, *, resume: ResumePoint | None
) -> tuple[Any, str, Following]:
    """Run a state on its raw input, whose JSON is `text`. Return its output, the output's JSON and the next state."""
    branch.cancellation.check()
    kind = state["Type"]
    variables = dict(branch.context.get("variables", {}))
    branch.context["State"] = {"Name": name, "EnteredTime": workflows.timestamp()}
    if kind == "Task":
        branch.context["State"]["RetryCount"] = 0
    branch.query_language, outer = state.get("QueryLanguage", branch.query_language), branch.query_language
    branch.context["QueryLanguage"] = branch.query_language
    branch.attempt = FanOutAttempt(parts=resume.parts if resume else None)
    # A redriven state was entered before, and was not exited.
    entered = resume.entered if resume else _enter(branch, name, kind, text)
    try:
        if kind == "Fail":
            raise TaskError(*_failure(branch, state, raw))
        output, following = _with_retry_and_catch(branch, name, state, raw)
        text = check_result_size(output, name, text if output is raw else None)
    except (TaskError, CancelledError) as failure:
        branch.resume_point = ResumePoint(name, raw, entered, variables, branch.attempt.parts)
        if isinstance(failure, TaskError):
            raise _located(failure, name, entered) from failure.__cause__
        # Recorded on AWS: StopExecution leaves no such event of a Wait state.
        if kind != "Wait" or branch.execution.record["status"] == "RUNNING":
            branch.add_event(f"{kind}StateAborted")
        raise
    finally:
        branch.query_language = outer
        branch.context["QueryLanguage"] = outer
    branch.add_event(f"{kind}StateExited", {"stateExitedEventDetails": state_details(name, "output", text)})
    return output, text, following


def _enter(branch: Branch, name: str, kind: str, text: str) -> int:
    return branch.add_event(f"{kind}StateEntered", {"stateEnteredEventDetails": state_details(name, "input", text)})


def _located(failure: TaskError, name: str, entered: int) -> TaskError:
    """Return the failure with the state's name in the cause, as on AWS."""
    if failure.error not in _LOCATED_ERRORS or failure.cause.startswith(_LOCATION):
        return failure
    return TaskError(failure.error, f"{_LOCATION} '{name}' (entered at the event id #{entered}). {failure.cause}")


def _failure(branch: Branch, state: State, raw: Any) -> tuple[str, str]:
    """Return error and cause of a Fail state; empty without the fields."""
    if branch.query_language == "JSONata":
        return language.fail_reason({"Error": "", "Cause": "", **state}, raw, branch.context)
    return _failure_field(branch, state, raw, "Error"), _failure_field(branch, state, raw, "Cause")


def _failure_field(branch: Branch, state: State, raw: Any, field: str) -> str:
    if f"{field}Path" not in state:
        return str(state.get(field, ""))
    value = data_flow.resolve(state[f"{field}Path"], raw, branch.context, f"{field}Path")
    if not isinstance(value, str):
        shown = data_flow.dump(value)
        text = f"The value referenced by {field}Path must be a string, but the value was: {shown}"
        raise TaskError("States.Runtime", text)
    return value


def _with_retry_and_catch(branch: Branch, name: str, state: State, raw: Any) -> tuple[Any, Following]:
    retries = Retries(state)
    while True:
        try:
            return _execute(branch, state, raw)
        except TaskError as failure:
            delay = retries.next_delay(failure)
            if delay is None:
                # Recorded on AWS: an attempt that is retried has no such event.
                if branch.attempt.is_reported:
                    branch.add_event(f"{state['Type']}StateFailed")
                return _catch(branch, state, raw, failure)
        branch.attempt = FanOutAttempt()
        branch.sleep(delay)
        # Branches and iterations have overwritten `$$.State`; restore it for the retry.
        branch.context["State"] = {**branch.context["State"], "Name": name}
        if state["Type"] == "Task":
            branch.context["State"]["RetryCount"] = retries.count


def _catch(branch: Branch, state: State, raw: Any, failure: TaskError) -> tuple[Any, Following]:
    entry = catcher(state, failure)
    if entry is None:
        raise failure
    error_output = {"Error": failure.error, "Cause": failure.cause}
    if branch.query_language != "JSONata":
        return data_flow.insert_result(entry.get("ResultPath", "$"), raw, error_output), entry["Next"]
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
            branch.sleep(wait_seconds(state, raw, branch.context))
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
        if holds(rule, effective, branch.context):
            return data_flow.output_path(state, effective, branch.context), rule["Next"]
    if "Default" not in state:
        raise TaskError("States.NoChoiceMatched", "No choice rule matched and the state has no Default")
    return data_flow.output_path(state, effective, branch.context), state["Default"]
