"""Errors of the SageMaker API, and the failure of a job."""

from __future__ import annotations

import json
import secrets
import uuid


class ApiError(Exception):
    """An error response of the API. Clients match `code` and show `message`."""

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def body(self) -> bytes:
        """Return the body of the response."""
        return json.dumps({"__type": self.code, "message": self.message}).encode()

    def as_cause(self) -> str:
        """Return the Cause with which Step Functions reports the error."""
        details = f"Service: AmazonSageMaker; Status Code: {self.status}; Error Code: {self.code}"
        return f"{self.message} ({details}; Request ID: {uuid.UUID(bytes=secrets.token_bytes(16))}; Proxy: null)"


def validation_error(problems: list[str]) -> ApiError:
    """Return one error with all problems of a request."""
    noun = "error" if len(problems) == 1 else "errors"
    return ApiError("ValidationException", f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")


class JobFailure(Exception):  # noqa: N818 - a job's outcome, not a program's error
    """The job has failed. `reason` becomes its FailureReason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
