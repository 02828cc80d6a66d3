"""Metrics from log lines, executions and queues reach CloudWatch's queries, alarms and topics."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import cloudwatch, cloudwatch_logs, sns, sqs, stepfunctions

from embedded.ministack.monitoring.alarms import install_alarms, sweep
from embedded.ministack.monitoring.metrics import (
    QueueMetrics,
    install_embedded_metrics,
    install_execution_metrics,
    install_metric_queries,
    publish,
)
from tests.unit.embedded.ministack.conftest import Call

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:m"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the corrections, and restore ministack's names after the test.

    A missing name fails here.
    """
    places = [
        (cloudwatch_logs, "_append_log_events"),
        (cloudwatch, "_dims_from_list"),
        (cloudwatch, "_get_metric_data"),
        (cloudwatch, "_evaluate_alarm"),
        (cloudwatch, "_put_metric_alarm"),
        (stepfunctions, "_emit_execution_status_event"),
    ]
    for module, name in places:
        monkeypatch.setattr(module, name, getattr(module, name))
    install_embedded_metrics()
    install_execution_metrics()
    install_metric_queries()
    install_alarms()
    yield
    for service in (cloudwatch, cloudwatch_logs, sns, sqs):
        service.reset()


def sums(call: Call, namespace: str, name: str, dimensions: dict[str, str], **fields: Any) -> list[float]:
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
    answer = call(
        cloudwatch,
        "GetMetricData",
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        MetricDataQueries=[{"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}],
        **fields,
    )
    values: list[float] = answer["MetricDataResults"][0]["Values"]
    return values


def alarm(call: Call, **fields: Any) -> None:
    call(
        cloudwatch,
        "PutMetricAlarm",
        **{
            "AlarmName": "a",
            "Namespace": "AWS/States",
            "MetricName": "ExecutionsFailed",
            "Dimensions": [{"Name": "StateMachineArn", "Value": MACHINE}],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            **fields,
        },
    )


def state(call: Call) -> str:
    return str(call(cloudwatch, "DescribeAlarms", AlarmNames=["a"])["MetricAlarms"][0]["StateValue"])


def test_metrics_in_log_lines_are_found_by_their_dimensions(call: Call) -> None:
    call(cloudwatch_logs, "CreateLogGroup", logGroupName="/aws/lambda/f")
    call(cloudwatch_logs, "CreateLogStream", logGroupName="/aws/lambda/f", logStreamName="s")
    now = int(time.time() * 1000)
    directive = {"Namespace": "Fleetscore", "Dimensions": [["stage"]], "Metrics": [{"Name": "Rows", "Unit": "Count"}]}
    metadata = {"Timestamp": now, "CloudWatchMetrics": [directive]}
    lines = [json.dumps({"_aws": metadata, "stage": stage, "Rows": [2, 3]}) for stage in ("dev", "prod")]
    events = [{"timestamp": now, "message": line} for line in [*lines, "no metric"]]
    call(cloudwatch_logs, "PutLogEvents", logGroupName="/aws/lambda/f", logStreamName="s", logEvents=events)
    listed = call(cloudwatch, "ListMetrics", Namespace="Fleetscore")["Metrics"]
    assert [metric["Dimensions"] for metric in listed] == [
        [{"Name": "stage", "Value": "dev"}],
        [{"Name": "stage", "Value": "prod"}],
    ]
    assert sums(call, "Fleetscore", "Rows", {"stage": "dev"}) == [5.0]
    assert sums(call, "Fleetscore", "Rows", {}) == []


def test_the_newest_values_are_first_unless_the_request_says_otherwise(call: Call) -> None:
    now = time.time()
    for value, age in [(1, 600), (2, 300), (3, 0)]:
        data = [{"MetricName": "m", "Value": value, "Timestamp": now - age}]
        call(cloudwatch, "PutMetricData", Namespace="N", MetricData=data)
    assert sums(call, "N", "m", {}) == [3.0, 2.0, 1.0]
    assert sums(call, "N", "m", {}, ScanBy="TimestampAscending") == [1.0, 2.0, 3.0]


def test_an_alarm_on_failed_executions_notifies_a_topic(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(sns, "_fanout", lambda topic, _id, text, *_rest: sent.append((topic, json.loads(text))))
    topic = "arn:aws:sns:us-east-1:000000000000:failures"
    alarm(call, AlarmActions=[topic])
    sweep(QueueMetrics())
    assert state(call) == "INSUFFICIENT_DATA"
    publish("AWS/States", "ExecutionsFailed", 1, "Count", {"StateMachineArn": "another"})
    sweep(QueueMetrics())
    assert (state(call), sent) == ("INSUFFICIENT_DATA", [])
    record = {
        "executionArn": MACHINE.replace("stateMachine", "execution") + ":1",
        "stateMachineArn": MACHINE,
        "name": "1",
        "status": "FAILED",
        "input": "{}",
        "startDate": "2026-01-01T00:00:00Z",
    }
    stepfunctions._emit_execution_status_event(record)
    sweep(QueueMetrics())
    sweep(QueueMetrics())
    assert state(call) == "ALARM"
    [(found, message)] = sent
    assert (found, message["AlarmName"], message["OldStateValue"]) == (topic, "a", "INSUFFICIENT_DATA")


def test_an_alarm_follows_the_depth_of_its_queue(call: Call) -> None:
    url = call(sqs, "CreateQueue", QueueName="dead")["QueueUrl"]
    call(sqs, "CreateQueue", QueueName="other")
    alarm(
        call,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": "dead"}],
        Statistic="Maximum",
        TreatMissingData="notBreaching",
    )
    queues = QueueMetrics()
    sweep(queues)
    assert state(call) == "OK"
    call(sqs, "SendMessage", QueueUrl=url, MessageBody="lost")
    sweep(queues)
    assert state(call) == "ALARM"
    cloudwatch._metrics.clear()
    call(sqs, "PurgeQueue", QueueUrl=url)
    sweep(queues)
    assert state(call) == "OK"
    assert {metric["Dimensions"][0]["Value"] for metric in call(cloudwatch, "ListMetrics")["Metrics"]} == {"dead"}


def test_alarms_on_metric_math_are_refused_by_name(call: Call) -> None:
    refused = call(cloudwatch, "PutMetricAlarm", AlarmName="a", Metrics=[{"Id": "a", "Expression": "m1 / m2"}])
    assert "does not support Metrics of PutMetricAlarm" in json.dumps(refused)
    assert call(cloudwatch, "DescribeAlarms")["MetricAlarms"] == []
