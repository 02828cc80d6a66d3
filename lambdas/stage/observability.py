"""One Logger, one Tracer and one Metrics for all functions.

Every log line has the execution's id as its correlation id. Metrics are printed in CloudWatch's
embedded metric format, so they cost no API call. The Tracer switches itself off outside of Lambda.
"""

from collections.abc import Mapping

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from contract.json_text import dump_json

SERVICE = "fleetscore"
NAMESPACE = "Fleetscore"
EXECUTION_ID_PATH = "execution_id"
"""JMESPath of the execution's id in the events of the workflows' functions."""


def _serialize(line: Mapping[str, object]) -> str:
    """Return a log line as JSON whose texts are safe to print."""
    return dump_json(line, default=str, separators=(",", ":"))


logger = Logger(service=SERVICE, json_serializer=_serialize)
# Only calls of AWS are traced. Left to itself, the Tracer imports every library that it could trace
# and finds, which is most of a cold start.
tracer = Tracer(service=SERVICE, patch_modules=["botocore"])
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


def publish_counts(stage: str, counts: Mapping[str, int]) -> None:
    """Publish counts by metric name, with the stage as dimension."""
    metrics.add_dimension(name="stage", value=stage)
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    metrics.flush_metrics()
