"""The time that a Wait state waits."""

from datetime import UTC, datetime
from typing import Any

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.language import Context
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import State, dump, resolve, state_input
from embedded.step_functions.expressions.timestamps import moment

_LONGEST_SECONDS = 2**31 - 1
_FORMAT = "ISO-8601 extended offset date-time format string"


def wait_seconds(state: State, raw: Any, context: Context) -> float:
    """Return the seconds that a Wait state waits.

    Raises:
        TaskError: States.Runtime, or in JSONata States.QueryEvaluationError, if the state does not
            give a time; worded as on AWS.
    """
    seconds = _jsonata(state, raw, context) if context.get("QueryLanguage") == "JSONata" else None
    if seconds is None:
        seconds = _seconds(state, state_input(state, raw, context), context)
    if seconds > _LONGEST_SECONDS:
        raise TaskError("States.Runtime", "Wait state delay is too long.")
    return max(0.0, seconds)


def _seconds(state: State, data: Any, context: Context) -> float:
    if "Seconds" in state:
        return float(state["Seconds"])
    if "Timestamp" in state:
        return _until(state["Timestamp"])
    field = "SecondsPath" if "SecondsPath" in state else "TimestampPath"
    path = state[field]
    try:
        value = resolve(path, data, context, field)
    except TaskError as missing:
        text = f"The {field} parameter does not reference an input value: {path}"
        raise TaskError("States.Runtime", text) from missing
    shown = value if isinstance(value, str) else dump(value)
    if field == "TimestampPath":
        if moment(value) is None:
            text = f"The TimestampPath parameter does not reference a valid {_FORMAT}: {path} == {shown}"
            raise TaskError("States.Runtime", text)
        return _until(value)
    if isinstance(value, bool) or not isinstance(value, int):
        text = f"The SecondsPath parameter cannot be parsed as a long value: {path} == {shown}"
        raise TaskError("States.Runtime", text)
    if value < 0:
        raise TaskError("States.Runtime", f"The SecondsPath parameter references a negative value: {path} == {value}")
    return value


def _jsonata(state: State, raw: Any, context: Context) -> float:
    field = "Seconds" if "Seconds" in state else "Timestamp"
    value = language.jsonata_template(state[field], raw, context)
    if field == "Timestamp":
        if moment(value) is None:
            text = f"The Timestamp field cannot be parsed as an {_FORMAT}: {value}"
            raise TaskError("States.QueryEvaluationError", text)
        return _until(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        text = f"The Seconds field cannot be parsed as an integer: {dump(value)}"
        raise TaskError("States.QueryEvaluationError", text)
    if value < 0:
        raise TaskError("States.QueryEvaluationError", f"Seconds cannot be negative but was: {dump(value)}")
    return float(value)


def _until(timestamp: Any) -> float:
    until = moment(timestamp)
    if until is None:  # Creating the state machine has refused it.
        raise TaskError("States.Runtime", f"Timestamp: {timestamp!r} is not an RFC 3339 timestamp")
    return (until - datetime.now(UTC)).total_seconds()
