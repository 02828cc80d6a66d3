"""CloudWatch's alarms: states by dimensions, periods and missing data, evaluated as time passes."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import logging
import threading
import time
from typing import Any

from embedded.cloudwatch.alarm_state import alarm_state
from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.monitoring.metrics import QueueMetrics

_UNSUPPORTED = {"Metrics", "ThresholdMetricId", "EvaluateLowSampleCountPercentile"}
"""Fields that ministack ignores: metric math, anomaly bands and small samples."""
_logger = logging.getLogger("embedded.cloudwatch")


def install_alarms() -> None:
    """Evaluate alarms by their dimensions, evaluation periods and treatment of missing data.

    ministack merges all dimensions of a metric and all periods, and keeps the state when data is
    missing.
    """
    from ministack.services import cloudwatch

    if not callable(getattr(cloudwatch, "_evaluate_alarm", None)):
        raise MinistackChangedError("ministack has no _evaluate_alarm: install the pinned version")
    lock = threading.Lock()

    def evaluate(alarm: dict[str, Any]) -> None:
        with lock:
            changed = alarm_state(alarm, _values(alarm))
            if changed is None or changed[0] == alarm["StateValue"]:
                return
            before, (state, reason) = alarm["StateValue"], changed
            alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
        cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
        cloudwatch._evaluate_parent_alarms(alarm)

    ministack_put = cloudwatch._put_metric_alarm

    def put(params: dict[str, Any], request: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        given = {str(name).partition(".")[0] for name in (*params, *request)}
        if refused := sorted(_UNSUPPORTED & given):
            text = f"The embedded AWS does not support {', '.join(refused)} of PutMetricAlarm."
            return cloudwatch._error("ValidationError", text, 400, use_json=is_json, use_cbor=is_cbor)
        return ministack_put(params, request, is_cbor, is_json)

    cloudwatch._evaluate_alarm = evaluate
    cloudwatch._put_metric_alarm = put


def start_evaluation(seconds: float) -> None:
    """Publish the metrics of queues and evaluate all alarms every `seconds`, in a thread."""
    queues = QueueMetrics()

    def repeat() -> None:
        while True:
            time.sleep(seconds)
            try:
                sweep(queues)
            except Exception:
                _logger.exception("the alarms could not be evaluated")

    threading.Thread(target=repeat, name="alarms", daemon=True).start()


def sweep(queues: QueueMetrics) -> None:
    """Publish the metrics of queues, and evaluate all alarms, once."""
    from ministack.services import cloudwatch

    queues.publish()
    for alarm in list(cloudwatch._alarms.values()):
        cloudwatch._evaluate_alarm(alarm)


def _values(alarm: dict[str, Any]) -> list[float | None]:
    """Return the metric's value in each evaluation period, the newest first.

    The newest ends now.
    """
    from ministack.services import cloudwatch

    named = {entry["Name"]: entry["Value"] for entry in alarm.get("Dimensions") or ()}
    points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(named))) or []
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    now, period = time.time(), int(alarm["Period"])
    values: list[float | None] = []
    for number in range(int(alarm["EvaluationPeriods"])):
        end = now - number * period
        inside = [
            point
            for point in list(points)
            if end - period < point["Timestamp"] <= end and alarm.get("Unit") in (None, point["Unit"])
        ]
        values.append(cloudwatch._stat_value(cloudwatch._calc_stats(inside), statistic, inside) if inside else None)
    return values
