"""Detection and logging of requests that violate botocore's models."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embedded.requests.constraints import constraint_problems
from embedded.requests.operations import HttpRequest, find_operation, is_read, service_model
from embedded.requests.parameters import reads_body, request_parameters

LOG_VARIABLE = "EMBEDDED_AWS_VIOLATIONS"
"""Environment variable with a file.

While it is set, every embedded AWS that starts checks the requests of all clients. It refuses those
that violate a model, and appends them to the file.
"""
_UNCHECKED = ("ec2",)
"""Services that are not checked: their models take a second to load, and the project only lists."""

_lock = threading.Lock()
_log: Path | None = None


def log_to(file: Path) -> None:
    """Append the violations that this process finds to a file, as one JSON object per line."""
    global _log  # noqa: PLW0603 - one log per server process
    _log = file


def log_violations(operation: str, problems: Sequence[str]) -> None:
    """Append violations to the log, if there is one."""
    if _log is not None:
        with _lock, _log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"operation": operation, "problems": list(problems)}) + "\n")


def violation_text(problems: Sequence[str]) -> str:
    """Return the message of the services' ValidationException."""
    count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
    return f"{count}: {'; '.join(problems)}"


def must_read_model(service: str) -> bool:
    """Return whether the check of a service's request reads its model first."""
    return service not in _UNCHECKED and not is_read(service)


class RequestCheck:
    """The check of one HTTP request, whose body may be unread yet.

    `operation` is None if botocore does not know what the request calls, or if its service is not
    checked.
    """

    def __init__(self, service: str, request: HttpRequest) -> None:
        self._request = request
        self._model = None if service in _UNCHECKED else service_model(service)

    def needs_body(self) -> bool:
        """Return whether parameters are in the body. A stream of data is left to the service."""
        if self._model is None:
            return False
        if not str(self._model.metadata["protocol"]).startswith("rest"):
            return True
        operation = find_operation(self._model, self._request, b"")
        return operation is not None and reads_body(operation)

    def problems(self, body: bytes) -> tuple[str, list[str]]:
        """Return the operation, and which constraints of its model the request violates."""
        operation = None if self._model is None else find_operation(self._model, self._request, body)
        if operation is None:
            return "", []
        parameters: dict[str, Any] = request_parameters(operation, self._request, body)
        name = f"{operation.model.service_model.service_name}.{operation.model.name}"
        shape = operation.model.input_shape
        return name, [] if shape is None else list(constraint_problems(shape, parameters))
