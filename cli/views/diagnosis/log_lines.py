"""Log lines as text for people and as JSON Lines for programs."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.stage.diagnosis.attempt_logs import LogLine
from cli.views.tables import exact_time, one_line
from contract.json_text import JsonError, dump_json, parse_json

_IDENTITY = ("execution", "job", "attempt")
"""Fields of every event, which the command's user knows or which begin the line."""
_MAX_VALUE_CHARACTERS = 2_000


def log_texts(line: LogLine, *, with_job: bool, with_host: bool) -> list[str]:
    """Return a line as text: one line per line that was printed or that a traceback has.

    Each begins with the time and, if several jobs or instances are shown, where it is from.
    """
    source = [f"{line.job_id}#{line.attempt}"] if with_job else []
    source += [line.host] if with_host else []
    begin = " ".join([exact_time(line.moment), *source])
    return [one_line(f"{begin} {text}") for text in _texts(line.message)]


def log_json(line: LogLine) -> dict[str, Any]:
    return {
        "time": exact_time(line.moment),
        "job_id": line.job_id,
        "attempt": line.attempt,
        "stream": line.stream,
        "message": line.message,
    }


def _texts(message: str) -> Iterator[str]:
    """Yield an event of Fleetscore's containers for people, and anything else as it is."""
    event = _event(message)
    if event is None:
        yield message
        return
    name = event.pop("event")
    for field in _IDENTITY:
        event.pop(field)
    if name == "output" and isinstance(event.get("text"), str):
        who = event.get("program") or (f"worker {event['worker']}" if "worker" in event else "")
        yield f"{who}| {event['text']}"
        return
    traceback, failures = event.pop("traceback", None), event.pop("failures", None)
    yield " ".join(
        [str(name), *(f"{field}={_value(value)}" for field, value in event.items() if value not in ("", []))]
    )
    if isinstance(traceback, str):
        yield from (f"  {text}" for text in traceback.splitlines())
    elif traceback is not None:
        yield f"  traceback={_value(traceback)}"
    if isinstance(failures, list):
        yield from (f"  {_failure(failure)}" for failure in failures)
    elif failures is not None:
        yield f"  failures={_value(failures)}"


def _event(message: str) -> dict[str, Any] | None:
    """Return the event that a container of this project has written; None for any other line."""
    if not message.startswith("{"):
        return None
    try:
        found = parse_json(message)
    except JsonError:
        return None
    is_event = isinstance(found, dict) and isinstance(found.get("event"), str) and found.keys() >= {*_IDENTITY}
    return found if is_event else None


def _failure(failure: Any) -> str:
    if not isinstance(failure, Mapping) or not isinstance(failure.get("reason"), str):
        return _value(failure)
    model = f"model {failure['model']}: " if failure.get("model") else ""
    return f"{model}{failure.get('kind')}: {failure['reason']}"


def _value(value: Any) -> str:
    """Return a field's value; texts with spaces are quoted, so that the next field is found."""
    if isinstance(value, str) and value and " " not in value and '"' not in value and "=" not in value:
        text = value
    elif isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value):
        text = ",".join(map(_value, value))
    else:
        text = dump_json(value)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else text[: _MAX_VALUE_CHARACTERS - 1] + "…"
