"""CloudWatch's metrics of log lines, executions and queues, and queries by exact dimensions."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import json
import time
from collections.abc import Mapping
from typing import Any

from embedded.cloudwatch.embedded_metrics import metric_points

_ACTIVE_SECONDS = 6 * 3600
"""Seconds for which SQS sends metrics of an inactive queue. Here only messages are activity."""
_EXECUTION_METRICS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def publish(namespace: str, name: str, value: float, unit: str, dimensions: Mapping[str, str]) -> None:
    """Store one value of a metric, with the present time."""
    from ministack.services import cloudwatch

    cloudwatch._store_datum(namespace, name, dict(dimensions), time.time(), unit, value, None, None, None)


def install_embedded_metrics() -> None:
    """Store the metrics in log lines that have the embedded metric format (EMF).

    ministack keeps such lines as logs only.
    """
    from ministack.services import cloudwatch, cloudwatch_logs

    ministack_append = cloudwatch_logs._append_log_events

    def append(stream: Any, events: list[dict[str, Any]]) -> None:
        ministack_append(stream, events)
        for event in events:
            for point in metric_points(event["message"]):
                counts = [1.0] * len(point.values)
                cloudwatch._store_datum(
                    point.namespace, point.name, dict(point.dimensions), point.timestamp, point.unit,
                    None, list(point.values), counts, None,
                )  # fmt: skip

    cloudwatch_logs._append_log_events = append


def install_execution_metrics() -> None:
    """Count the executions of each state machine in the namespace AWS/States."""
    from ministack.services import stepfunctions

    ministack_emit = stepfunctions._emit_execution_status_event

    def emit(record: dict[str, Any], *rest: Any) -> Any:
        if name := _EXECUTION_METRICS.get(record["status"]):
            publish("AWS/States", name, 1, "Count", {"StateMachineArn": record["stateMachineArn"]})
        return ministack_emit(record, *rest)

    stepfunctions._emit_execution_status_event = emit


def install_metric_queries() -> None:
    """Match metrics by their exact dimensions, and return the newest values first.

    ministack adds the metrics of all dimensions together, and returns the oldest values first.
    """
    from ministack.services import cloudwatch

    ministack_dimensions, ministack_data = cloudwatch._dims_from_list, cloudwatch._get_metric_data

    def get_metric_data(params: Any, request: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        status, headers, body = ministack_data(params, request, is_cbor, is_json)
        if status == 200 and is_json and request.get("ScanBy") != "TimestampAscending":
            answer = json.loads(body)
            for result in answer["MetricDataResults"]:
                result["Timestamps"].reverse()
                result["Values"].reverse()
            body = json.dumps(answer).encode()
        return status, headers, body

    cloudwatch._dims_from_list = lambda dimensions: _Dimensions(ministack_dimensions(dimensions))
    cloudwatch._get_metric_data = get_metric_data


class _Dimensions(dict[str, str]):
    """Dimensions that are truthy even when empty, because ministack tests `if dimensions`."""

    def __bool__(self) -> bool:
        return True


class QueueMetrics:
    """Publishes the depths of queues that hold messages or have held some in the last six hours."""

    def __init__(self) -> None:
        self._last_active: dict[str, float] = {}

    def publish(self) -> None:
        from ministack.services import sqs

        for url, queue in list(sqs._queues.items()):
            name = str(url).rpartition("/")[2]
            if queue["messages"]:
                self._last_active[name] = time.time()
            elif time.time() - self._last_active.get(name, 0.0) > _ACTIVE_SECONDS:
                continue
            sqs._refresh_counts(queue)
            for attribute in ("", "NotVisible", "Delayed"):
                depth = float(queue["attributes"][f"ApproximateNumberOfMessages{attribute}"])
                metric = f"ApproximateNumberOfMessages{attribute or 'Visible'}"
                publish("AWS/SQS", metric, depth, "Count", {"QueueName": name})
