"""Task states: call an integration in a thread, so that the call can time out or be stopped."""

import dataclasses
import secrets
import threading
from collections.abc import Callable
from typing import Any

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import TaskCall, TaskError, task_integration
from embedded.step_functions import authorization, data_flow
from embedded.step_functions.data_flow import State, check_result_size, check_size
from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.tasks import nested_execution, task_tokens
from embedded.step_functions.tasks.task_events import NO_TIMEOUT_SECONDS, TaskEvents
from embedded.step_functions.tasks.task_faults import with_faults
from embedded.step_functions.tasks.task_requests import check_request
from embedded.threads import start_thread


def run_task(branch: Branch, state: State, raw: Any) -> Any:
    """Return the task's result, before ResultSelector.

    Raises:
        TaskError: The role lacks a permission, the request violates its model, the call failed or
            timed out, or its data is too large.
        CancelledError: The branch was cancelled.
    """
    resource = state["Resource"]
    token = secrets.token_hex(32) if resource.endswith(".waitForTaskToken") else ""
    if token:
        branch.context["Task"] = {"Token": token}
    parameters = _parameters(branch, state, raw)
    text = check_size(parameters, f"The input of the task in state {_name(branch)!r}")
    events = TaskEvents(branch, resource)
    timeout = _timeout(branch, state, raw)
    events.scheduled(text, timeout)
    try:
        authorization.check_task(branch.execution, resource, parameters)
        check_request(resource, parameters)
        result = _call(branch, state, parameters, token=token, timeout=timeout, submitted=events.submitted)
        result_text = check_result_size(result, events.name)
    except TaskError as failure:
        events.failed(failure)
        raise
    events.succeeded(result_text)
    return result


def interruptible(
    call: Callable[[Cancellation], Any], cancellation: Cancellation, timeout_seconds: float = NO_TIMEOUT_SECONDS
) -> Any:
    """Run `call` in a thread and return its result.

    `call` gets a token that is cancelled when it must stop. After a time-out, or if it ignores the
    token, it continues in its thread and its result is dropped. AWS documents that it cancels the
    work of a task whose execution is stopped, and does not document it for a task that times out.

    Raises:
        TaskError: `call` raised it, or States.Timeout after `timeout_seconds`.
        CancelledError: `cancellation` was cancelled.
    """
    token = cancellation.child()
    woken = threading.Event()
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["result"] = call(token)
        except Exception as failure:
            outcome["failure"] = failure
        woken.set()

    take_back = cancellation.on_cancel(woken.set)
    start_thread(work, name="task")
    try:
        in_time = woken.wait(min(timeout_seconds, threading.TIMEOUT_MAX))
        cancellation.check()
        if not in_time:
            raise TaskError("States.Timeout", "")
        if "failure" in outcome:
            raise outcome["failure"]
        return outcome["result"]
    finally:
        take_back()
        token.close()


def _call(
    branch: Branch, state: State, parameters: Any, *, token: str, timeout: float, submitted: Callable[[Any], object]
) -> Any:
    resource = state["Resource"]
    own = task_integration(resource)
    execution = branch.execution

    def faulty(call: Callable[[], Any], begin: Callable[[], Any] | None = None) -> Any:
        name = execution.arn.rpartition(":")[2]
        return with_faults(call, resource, parameters, role_arn=execution.role_arn, execution_name=name, begin=begin)

    if own is not None:

        def call_own(token: Cancellation) -> Any:
            call = TaskCall(
                resource, parameters, execution.arn, execution.role_arn, token.event, submitted, token.on_cancel
            )
            begun = dataclasses.replace(call, resource=resource.removesuffix(".sync"))
            return faulty(lambda: own(call), lambda: own(begun))

        return interruptible(call_own, branch.cancellation, timeout)
    if nested_execution.serves(resource):

        def call_nested(token: Cancellation) -> Any:
            def start(kind: str) -> Any:
                return nested_execution.start(kind, parameters, execution.arn, token, submitted)

            return faulty(lambda: start(resource), lambda: start(resource.partition(".sync")[0]))

        return interruptible(call_nested, branch.cancellation, timeout)
    if token:
        call, abandon = language.call_with_token(resource, parameters, token, state)
        take_back = branch.cancellation.on_cancel(abandon)
        try:
            with task_tokens.waiting(token, str(execution.record["stateMachineArn"])):
                return interruptible(lambda _token: faulty(call), branch.cancellation, timeout)
        finally:
            take_back()
            abandon()
    return interruptible(
        lambda _token: faulty(lambda: language.call_integration(resource, parameters)), branch.cancellation, timeout
    )


def _parameters(branch: Branch, state: State, raw: Any) -> Any:
    if branch.query_language == "JSONata":
        if "Arguments" not in state:
            return raw
        return language.jsonata_template(state["Arguments"], raw, branch.context)
    effective = data_flow.state_input(state, raw, branch.context)
    if "Parameters" in state:
        return data_flow.fill(state["Parameters"], effective, branch.context)
    return effective


def _timeout(branch: Branch, state: State, raw: Any) -> float:
    if branch.query_language == "JSONata" and "TimeoutSeconds" in state:
        state = {"TimeoutSeconds": language.jsonata_template(state["TimeoutSeconds"], raw, branch.context)}
    effective = raw if branch.query_language == "JSONata" else data_flow.state_input(state, raw, branch.context)
    seconds = data_flow.number(state, "TimeoutSeconds", effective, branch.context, default=NO_TIMEOUT_SECONDS)
    if seconds < 1:
        raise TaskError("States.Runtime", f"TimeoutSeconds: expected at least 1, but it is {seconds:g}")
    return seconds


def _name(branch: Branch) -> str:
    return str(branch.context.get("State", {}).get("Name", ""))
