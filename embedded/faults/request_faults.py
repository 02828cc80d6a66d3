"""Faults of requests to AWS APIs: from functions, containers, transfers, workflows and clients."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from embedded.faults.fault import Fault, at_least, option, pattern

MAX_SKEW_SECONDS = 900
"""Largest difference of clocks that all services accept, in seconds."""


@dataclass(frozen=True)
class ServiceRequest:
    """A request as rules describe it.

    Args:
        service: Name in signatures and IAM actions, such as `dynamodb` or `states`.
        operation: Name of the API's operation, such as UpdateItem.
        resources: Names and ARNs in the request: tables, `bucket/key`, functions, jobs.
        caller: The caller's role and session, such as `fleetscore-role/RecordAttempt`.
    """

    service: str
    operation: str
    resources: tuple[str, ...]
    caller: str


@dataclass(frozen=True, kw_only=True)
class RequestFault(Fault):
    """A fault of the requests that its patterns describe."""

    service: str = pattern("Service as in IAM actions, such as s3, dynamodb, states or sagemaker")
    operation: str = pattern("Operation of the API, such as UpdateItem")
    resource: str = pattern("Name or ARN in the request: a table, a function, a job, BUCKET/KEY")
    caller: str = pattern("Role of the caller, its session (for functions, their name), or ROLE/SESSION")

    def concerns(self, request: ServiceRequest) -> bool:
        """Return whether the patterns describe a request."""
        callers = (request.caller, *request.caller.split("/", 1))
        return (
            fnmatchcase(request.service, self.service)
            and fnmatchcase(request.operation, self.operation)
            and (self.resource == "*" or any(fnmatchcase(each, self.resource) for each in request.resources))
            and any(fnmatchcase(each, self.caller) for each in callers)
        )


@dataclass(frozen=True, kw_only=True)
class Throttle(RequestFault):
    """A service refuses requests because there are too many of them."""

    KIND: ClassVar[str] = "throttle"
    EXAMPLE: ClassVar[str] = "--service dynamodb --count 3"


@dataclass(frozen=True, kw_only=True)
class ServerError(RequestFault):
    """A service answers with an internal error (5xx)."""

    KIND: ClassVar[str] = "server-error"
    EXAMPLE: ClassVar[str] = "--service s3 --operation PutObject"

    when: str = option(
        "Whether the service has done its work before the error. Default: before.",
        default="before",
        choices=("before", "after"),
    )


@dataclass(frozen=True, kw_only=True)
class AccessDenied(RequestFault):
    """IAM denies requests that the caller's policies allow."""

    KIND: ClassVar[str] = "access-denied"
    EXAMPLE: ClassVar[str] = "--service s3 --resource '*/model.tar.gz'"


@dataclass(frozen=True, kw_only=True)
class KeyUnusable(RequestFault):
    """The KMS key that a service needs for a request cannot be used."""

    KIND: ClassVar[str] = "key-unusable"
    EXAMPLE: ClassVar[str] = "--service s3 --cause disabled"

    cause: str = option(
        "Why the key cannot be used. Default: denied.",
        default="denied",
        choices=("denied", "disabled", "pending-deletion"),
    )


@dataclass(frozen=True, kw_only=True)
class SlowRequest(RequestFault):
    """A service answers late."""

    KIND: ClassVar[str] = "slow-request"
    EXAMPLE: ClassVar[str] = "--service lambda --seconds 5"

    seconds: float = option("Seconds to wait before the service gets the request. Default: 1.", default=1.0)

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "seconds", 0)


@dataclass(frozen=True, kw_only=True)
class DelayedListing(RequestFault):
    """Lists omit what is newer than some seconds, as in stores with eventual consistency."""

    KIND: ClassVar[str] = "delayed-listing"
    EXAMPLE: ClassVar[str] = "--service s3 --seconds 5"
    STANDS: ClassVar[bool] = True

    seconds: float = option("Age in seconds from which entries are listed. Default: 5.", default=5.0)

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "seconds", 0)


@dataclass(frozen=True, kw_only=True)
class ClockSkew(RequestFault):
    """The caller's clock is wrong, so the service does not accept the signature's time."""

    KIND: ClassVar[str] = "clock-skew"
    EXAMPLE: ClassVar[str] = "--caller '*/SageMaker' --seconds 3600"

    seconds: float = option("Seconds by which it is ahead; below 0, behind. Default: -3600.", default=-3600.0)

    def problems(self) -> list[str]:
        found = super().problems()
        if abs(self.seconds) <= MAX_SKEW_SECONDS:
            found.append(
                f"seconds: got {self.seconds:g}, expected more than {MAX_SKEW_SECONDS}, or less than "
                f"-{MAX_SKEW_SECONDS}, which is what services accept"
            )
        return found
