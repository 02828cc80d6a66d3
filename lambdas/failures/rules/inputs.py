"""Objects, keys and permissions that a job or a function lacks."""

import re

from contract.layout import ARTIFACT_NAME
from contract.status import FailureKind
from contract.training_layout import SOURCE_NAME
from lambdas.failures.failure_rule import AGAIN, TRANSIENT_SECONDS, FailureRule, Retry, any_of

_MISSING = ("NoSuchKey", "No S3 objects found", r"(Failed to download data|data download failed).*(Not ?Found|\b404\b)")
"""Patterns of texts about an object that is not in S3."""
_ARCHIVES = (ARTIFACT_NAME, SOURCE_NAME)
"""Names of the objects that hold a model and a training script; objects of datasets have other names."""

INPUTS: tuple[FailureRule, ...] = (
    FailureRule(
        "object archived",
        FailureKind.DATA,
        Retry.NO,
        f"Restore the object that the message names, or copy it to another storage class, then {AGAIN}",
        pattern=any_of("InvalidObjectState", r"not valid for the object's (storage class|access tier)"),
    ),
    FailureRule(
        "key not copied",
        FailureKind.DATA,
        Retry.NO,
        f"Copy the object that the message names to a key without these characters and delete this one, then {AGAIN}",
        pattern=any_of("illegal char"),
    ),
    FailureRule(
        "access denied",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Grant the missing permission to the role that the message names, or deploy the stacks again, then {AGAIN}",
        errors=frozenset({"States.Permissions"}),
    ),
    FailureRule(
        "access denied, by message",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Grant the missing permission to the role that the message names, or deploy the stacks again, then {AGAIN}",
        pattern=any_of(r"Access ?Denied", "not authorized to perform", "UnauthorizedOperation", "Forbidden"),
    ),
    FailureRule(
        "throttled",
        FailureKind.TRANSIENT,
        Retry.YES,
        f"Lower max_concurrency, then {AGAIN}",
        base_seconds=2 * TRANSIENT_SECONDS,
        waits=True,
        pattern=any_of(
            "Throttl", "Rate exceeded", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ThroughputExceeded"
        ),
    ),
    FailureRule(
        "invalid request",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Correct the named value in the model's compute, the request or the stage's settings, then {AGAIN}",
        pattern=any_of("ValidationException", "ValidationError", "SerializationException", "InvalidParameter"),
    ),
    FailureRule(
        "artifact gone",
        FailureKind.MODEL,
        Retry.NO,
        f"Restore the object that the message names, or register the model again, then {AGAIN}",
        training_remedy=f"Set the recipe with its script again, then {AGAIN}",
        pattern=re.compile(
            rf"(?is)\A(?=.*({'|'.join(_MISSING)}))(?=.*/({'|'.join(map(re.escape, _ARCHIVES))})(?![\w/-]))"
        ),
    ),
    FailureRule(
        "object missing",
        FailureKind.DATA,
        Retry.NO,
        f"Let uploads to the dataset end, then {AGAIN}",
        pattern=any_of(*_MISSING),
    ),
    FailureRule(
        "key or bucket missing",
        FailureKind.CONFIGURATION,
        Retry.NO,
        f"Deploy the stacks of the stage again, then {AGAIN}",
        pattern=any_of("NoSuchBucket", "ResourceNotFound", "NotFoundException", r"KMS\.\w*Exception"),
    ),
)
