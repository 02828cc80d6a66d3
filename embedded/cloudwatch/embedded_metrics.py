"""Metrics in log lines: the embedded metric format (EMF) that Powertools for AWS Lambda writes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MetricPoint:
    """The values of one metric with one set of dimensions, from one log line.

    `timestamp` is in seconds since 1970.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    timestamp: float
    values: tuple[float, ...]
    unit: str


def metric_points(message: str) -> Iterator[MetricPoint]:
    """Yield the metrics of a log line. As in CloudWatch, invalid parts are skipped."""
    if '"_aws"' not in message:
        return
    try:
        document = json.loads(message)
        metadata = document["_aws"]
        timestamp = float(metadata["Timestamp"]) / 1000
        directives = [
            (directive["Namespace"], directive.get("Dimensions", [[]]), directive["Metrics"])
            for directive in metadata["CloudWatchMetrics"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for namespace, dimension_sets, metrics in directives:
        for metric in metrics:
            values = _values(document.get(metric.get("Name")))
            for names in dimension_sets:
                if values and all(isinstance(document.get(name), str) for name in names):
                    dimensions = {name: document[name] for name in names}
                    unit = metric.get("Unit", "None")
                    yield MetricPoint(namespace, metric["Name"], dimensions, timestamp, values, unit)


def _values(target: Any) -> tuple[float, ...]:
    found = target if isinstance(target, list) else [target]
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
    return tuple(float(value) for value in found) if is_numeric else ()
