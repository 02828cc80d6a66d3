"""The state of a metric alarm, from the values of its metric in the latest periods."""

from collections.abc import Mapping, Sequence
from typing import Any

_BREACHES = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_SIGNS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


def alarm_state(alarm: Mapping[str, Any], values: Sequence[float | None]) -> tuple[str, str] | None:
    """Return an alarm's state and the reason; None if it stays as it is.

    Args:
        alarm: The alarm, as PutMetricAlarm receives it.
        values: The metric's value in each of the evaluation periods, the newest first. None means
            that a period has no data.
    """
    breaches = _BREACHES.get(alarm["ComparisonOperator"])
    if breaches is None:
        return None
    needed = int(alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"])
    threshold = float(alarm["Threshold"])
    known = [value for value in values if value is not None]
    breaching = sum(bool(breaches(value, threshold)) for value in known)
    treatment = alarm.get("TreatMissingData") or "missing"
    if treatment == "breaching":
        breaching += len(values) - len(known)
    elif not known and treatment == "missing":
        return "INSUFFICIENT_DATA", "Insufficient Data: no datapoints were received"
    elif not known and treatment == "ignore":
        return None
    elif treatment in ("missing", "ignore"):
        # Missing datapoints do not delay an alarm while all known ones breach.
        needed = min(needed, len(known))
    comparison = f"{_SIGNS[alarm['ComparisonOperator']]} the threshold ({threshold:g})"
    latest = f"latest value {known[0]:g}" if known else f"no datapoints, which are treated as {treatment}"
    if breaching >= needed:
        return "ALARM", f"Threshold Crossed: {breaching} datapoints of {len(values)} were {comparison} ({latest})."
    return "OK", f"Threshold Crossed: {len(known) - breaching} datapoints were not {comparison} ({latest})."
