"""One Logger, one Tracer and one Metrics for all functions.

Every log line carries the execution's id as its correlation id. Metrics are CloudWatch metrics in
the embedded metric format, printed like a log line, so they cost no API call. The Tracer switches
itself off outside of Lambda.
"""

from collections.abc import Mapping

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

SERVICE = "fleetscore"
NAMESPACE = "Fleetscore"
EXECUTION_ID_PATH = "execution_id"
"""Where the execution's id lies in every event of these functions (a JMESPath)."""

logger = Logger(service=SERVICE)
tracer = Tracer(service=SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


def publish_counts(stage: str, counts: Mapping[str, int]) -> None:
    """Publish counts by metric name, with the stage as dimension."""
    metrics.add_dimension(name="stage", value=stage)
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    metrics.flush_metrics()
