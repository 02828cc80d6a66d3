"""How far the time of a signature may be off, by service, and how services refuse it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from embedded.ministack.iam.signatures import _skew_error


@dataclass(frozen=True)
class Signature:
    service: str
    minutes: float

    @property
    def amz_date(self) -> str:
        return f"{datetime.now(UTC) + timedelta(minutes=self.minutes):%Y%m%dT%H%M%SZ}"


@pytest.mark.parametrize("minutes", [-14, 0, 14])
@pytest.mark.parametrize("service", ["s3", "dynamodb", "sqs", "sts", "iam"])
def test_some_services_accept_fifteen_minutes(service: str, minutes: int) -> None:
    assert _skew_error(Signature(service, minutes)) is None


@pytest.mark.parametrize(
    ("service", "minutes", "status", "code", "text"),
    [
        ("s3", -16, 403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too"),
        ("dynamodb", -16, 400, "InvalidSignatureException", " - 15 min.)"),
        ("states", -6, 403, "InvalidSignatureException", " - 5 min.)"),
        ("sagemaker", 6, 403, "InvalidSignatureException", " + 5 min.)"),
        ("sts", 16, 403, "SignatureDoesNotMatch", " + 15 min.)"),
    ],
)
def test_a_signature_that_is_too_far_off_is_refused(
    service: str, minutes: int, status: int, code: str, text: str
) -> None:
    error = _skew_error(Signature(service, minutes))
    assert error is not None
    assert (error.status, error.code) == (status, code)
    assert text in error.message


def test_five_minutes_are_the_limit_of_the_others() -> None:
    assert _skew_error(Signature("states", -4.9)) is None
