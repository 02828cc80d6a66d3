"""The errors with which services refuse requests: HTTP status, code and text, as on AWS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from embedded.faults.request_faults import (
    MAX_SKEW_SECONDS,
    AccessDenied,
    ClockSkew,
    KeyUnusable,
    RequestFault,
    ServerError,
    Throttle,
)


@dataclass(frozen=True)
class ServiceError:
    """An error answer of a service."""

    status: int
    code: str
    message: str


_RATE = "Rate exceeded"
_THROTTLED = {
    "s3": ServiceError(503, "SlowDown", "Please reduce your request rate."),
    "dynamodb": ServiceError(
        400,
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. Consider increasing your "
        "provisioning level with the UpdateTable API.",
    ),
    "lambda": ServiceError(429, "TooManyRequestsException", "Rate Exceeded."),
    "sqs": ServiceError(400, "RequestThrottled", "Request is throttled."),
    "kms": ServiceError(
        400,
        "ThrottlingException",
        "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
    ),
    **dict.fromkeys(("sts", "iam", "monitoring", "cloudformation"), ServiceError(400, "Throttling", _RATE)),
}
_THROTTLED_ELSEWHERE = ServiceError(400, "ThrottlingException", _RATE)
_UNKNOWN = "The request processing has failed because of an unknown error, exception or failure."
_INTERNAL = {
    "s3": ServiceError(500, "InternalError", "We encountered an internal error. Please try again."),
    "dynamodb": ServiceError(500, "InternalServerError", "Internal server error"),
    "lambda": ServiceError(500, "ServiceException", "The AWS Lambda service encountered an internal error."),
    "kms": ServiceError(
        500, "KMSInternalException", "The request was rejected because an internal exception occurred. Try again."
    ),
    "logs": ServiceError(503, "ServiceUnavailableException", "The service cannot complete the request."),
    "events": ServiceError(500, "InternalException", "This exception occurs due to unexpected causes."),
}
_INTERNAL_ELSEWHERE = ServiceError(500, "InternalFailure", _UNKNOWN)
_ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CopyObject": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:UploadPart": "s3:PutObject",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
"""IAM action of an operation, where its name is another one."""
_XML = ("iam", "sts", "cloudformation", "ec2")
"""Services whose answers are XML, besides S3. Their codes have no ending."""
_LENIENT = ("dynamodb", "ecr", "iam", "s3", "sns", "sqs", "sts")
"""Services that accept signatures whose time is up to 15 minutes off."""
_DENIED_CODES = dict.fromkeys(("s3", *_XML), "AccessDenied")
_DENIED_STATUSES = dict.fromkeys(("s3", *_XML, "lambda"), 403)
_KEY_STATES = {"disabled": "is disabled.", "pending-deletion": "is pending deletion."}
_KEY_CODES = {
    "s3": {"disabled": "KMS.DisabledException", "pending-deletion": "KMS.KMSInvalidStateException"},
    "kms": {"disabled": "DisabledException", "pending-deletion": "KMSInvalidStateException"},
    "states": {
        "denied": "KmsAccessDeniedException",
        "disabled": "KmsInvalidStateException",
        "pending-deletion": "KmsInvalidStateException",
    },
    "sqs": {"denied": "KmsAccessDenied", "disabled": "KmsDisabled", "pending-deletion": "KmsInvalidState"},
    "lambda": {
        "denied": "KMSAccessDeniedException",
        "disabled": "KMSDisabledException",
        "pending-deletion": "KMSInvalidStateException",
    },
}
_WRITES = ("Put", "Create", "Copy", "Upload", "Send", "Start", "Update", "Write")


def error_of(fault: RequestFault, service: str, operation: str, *, principal: str, resource: str) -> ServiceError:
    """Return the error with which a fault ends a request.

    Args:
        fault: A fault of a kind that ends requests.
        service: The service, as in IAM actions.
        operation: The operation of the API.
        principal: ARN of the caller.
        resource: ARN or name of what the request concerns.
    """
    if isinstance(fault, Throttle):
        return _THROTTLED.get(service, _THROTTLED_ELSEWHERE)
    if isinstance(fault, ServerError):
        return _INTERNAL.get(service, _INTERNAL_ELSEWHERE)
    if isinstance(fault, KeyUnusable):
        return _key_error(fault.cause, service, operation, principal)
    if isinstance(fault, ClockSkew):
        return skewed_error(service, fault.seconds)
    if isinstance(fault, AccessDenied):
        return _denied(service, f"{service}:{operation}", principal, resource)
    raise TypeError(f"{fault.KIND} does not end a request")


def max_skew_seconds(service: str) -> int:
    """Return the largest difference of clocks that a service accepts in a signature, in seconds.

    The texts of the services' errors say it: 15 minutes for some of the oldest ones, 5 for the others.
    """
    return MAX_SKEW_SECONDS if service in _LENIENT else 300


def skewed_error(service: str, seconds: float) -> ServiceError:
    """Return the error of a request whose caller has a clock that is wrong by this many seconds."""
    if service == "s3":
        return ServiceError(
            403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
        )
    now, limit = datetime.now(UTC), timedelta(seconds=max_skew_seconds(service))
    signed, minutes = _stamp(now + timedelta(seconds=seconds)), limit // timedelta(minutes=1)
    if seconds < 0:
        text = f"Signature expired: {signed} is now earlier than {_stamp(now - limit)} ({_stamp(now)} - {minutes} min.)"
    else:
        text = (
            f"Signature not yet current: {signed} is still later than {_stamp(now + limit)} "
            f"({_stamp(now)} + {minutes} min.)"
        )
    if service in _XML:
        return ServiceError(403, "SignatureDoesNotMatch", text)
    return ServiceError(400 if service == "dynamodb" else 403, "InvalidSignatureException", text)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%SZ}"


def _denied(service: str, action: str, principal: str, resource: str) -> ServiceError:
    action = _ACTIONS.get(action, action)
    if action.startswith("s3:"):
        resource = f'"arn:aws:s3:::{resource}"'
    text = (
        f"User: {principal} is not authorized to perform: {action} on resource: {resource} because no identity-based "
        f"policy allows the {action} action"
    )
    code = _DENIED_CODES.get(service, "AccessDeniedException")
    return ServiceError(_DENIED_STATUSES.get(service, 400), code, text)


def _key_error(cause: str, service: str, operation: str, principal: str) -> ServiceError:
    action = "kms:GenerateDataKey" if operation.startswith(_WRITES) else "kms:Decrypt"
    if cause == "denied":
        error = _denied(service, action, principal, "the key of the resource")
    else:
        error = ServiceError(400, "AccessDeniedException", f"The key of the resource {_KEY_STATES[cause]}")
    code = _KEY_CODES.get(service, {}).get(cause, error.code)
    if service != "lambda":
        return ServiceError(error.status, code, error.message)
    exception = _KEY_CODES["kms"].get(cause, "AccessDeniedException")
    text = (
        "Lambda was unable to decrypt the environment variables because KMS access was denied. Please check the "
        f"function's KMS key settings. KMS Exception: {exception} KMS Message: {error.message}"
    )
    return ServiceError(502, code, text)
