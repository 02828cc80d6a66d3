"""Log lines as text for people and as JSON Lines for programs."""

from typing import Any

from cli.stage.diagnosis.attempt_logs import LogLine
from cli.views.tables import exact_time, one_line


def log_text(line: LogLine, *, with_job: bool, with_host: bool) -> str:
    """Return a line with its time and, if several jobs or instances are shown, where it is from."""
    source = [f"{line.job_id}#{line.attempt}"] if with_job else []
    source += [line.host] if with_host else []
    return one_line(" ".join([exact_time(line.moment), *source, line.message]))


def log_json(line: LogLine) -> dict[str, Any]:
    return {
        "time": exact_time(line.moment),
        "job_id": line.job_id,
        "attempt": line.attempt,
        "stream": line.stream,
        "message": line.message,
    }
