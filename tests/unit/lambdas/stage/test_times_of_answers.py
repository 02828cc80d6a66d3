"""The functions read times of AWS's answers as botocore does, and faster."""

from typing import Any

import pytest
from botocore.utils import parse_timestamp

from lambdas.stage.resources import _read_time


@pytest.mark.parametrize(
    "value",
    [
        "2026-12-01T10:00:00.000Z",  # S3's listings
        "2026-12-01T10:00:00+02:00",
        "Tue, 01 Dec 2026 10:00:00 GMT",  # HTTP headers
        1_796_118_316,
        1_796_118_316.5,
        "1796118316",
    ],
)
def test_times_are_those_of_botocore(value: Any) -> None:
    read, expected = _read_time(value), parse_timestamp(value)
    assert (read, read.utcoffset()) == (expected, expected.utcoffset())


def test_a_text_that_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="GMT"):
        _read_time("in a while GMT")
