"""An alarm's state follows from its datapoints and the treatment of missing data."""

from typing import Any

import pytest

from embedded.cloudwatch.alarm_state import alarm_state


def alarm(**fields: Any) -> dict[str, Any]:
    return {
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1.0,
        "EvaluationPeriods": 1,
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "values", "expected"),
    [
        ({}, [1.0], "ALARM"),
        ({}, [0.0], "OK"),
        ({}, [None], "INSUFFICIENT_DATA"),
        ({"TreatMissingData": "notBreaching"}, [None], "OK"),
        ({"TreatMissingData": "breaching"}, [None], "ALARM"),
        ({"TreatMissingData": "ignore"}, [None], None),
        ({"EvaluationPeriods": 3}, [1.0, 1.0, 0.0], "OK"),
        ({"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, [1.0, 1.0, 0.0], "ALARM"),
        ({"EvaluationPeriods": 3}, [None, 1.0, None], "ALARM"),
        ({"EvaluationPeriods": 3, "TreatMissingData": "notBreaching"}, [None, 1.0, None], "OK"),
        ({"ComparisonOperator": "LessThanThreshold"}, [0.5], "ALARM"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, [0.5], None),
    ],
)
def test_the_state_of_an_alarm(fields: dict[str, Any], values: list[float | None], expected: str | None) -> None:
    state = alarm_state(alarm(**fields), values)
    assert (None if state is None else state[0]) == expected


def test_the_reason_has_the_threshold_and_the_latest_value() -> None:
    state = alarm_state(alarm(), [3.0])
    assert state == (
        "ALARM",
        "Threshold Crossed: 1 datapoints of 1 were greater than or equal to the threshold (1) (latest value 3).",
    )
