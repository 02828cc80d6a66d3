"""Errors of the SageMaker API, by the names and forms in which the service sends them."""

from __future__ import annotations

import json
import secrets
import uuid


class ApiError(Exception):
    """An error answer: `code` is what clients match, `message` what they show."""

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def body(self) -> bytes:
        return json.dumps({"__type": self.code, "message": self.message}).encode()

    def as_cause(self) -> str:
        """The text that Step Functions puts into Cause when this error ends a Task."""
        details = f"Service: AmazonSageMaker; Status Code: {self.status}; Error Code: {self.code}"
        return f"{self.message} ({details}; Request ID: {uuid.UUID(bytes=secrets.token_bytes(16))}; Proxy: null)"


def validation_error(problems: list[str]) -> ApiError:
    """All that is wrong with a request in one error."""
    noun = "error" if len(problems) == 1 else "errors"
    return ApiError("ValidationException", f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")


class JobFailure(Exception):  # noqa: N818 - how a job ends, not how a program errs
    """The job has failed for `reason`, which becomes its FailureReason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
