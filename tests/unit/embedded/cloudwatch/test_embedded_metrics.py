"""Metrics are read from the log lines of Powertools, and nothing else becomes a metric."""

import json
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from embedded.cloudwatch.embedded_metrics import metric_points


def line(**fields: Any) -> str:
    directive = {"Namespace": "N", "Dimensions": [["stage"], []], "Metrics": [{"Name": "Rows", "Unit": "Count"}]}
    return json.dumps(
        {"_aws": {"Timestamp": 2_000, "CloudWatchMetrics": [directive]}, "stage": "dev", "Rows": [1, 2], **fields}
    )


def test_the_lines_of_powertools_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics(namespace="Fleetscore", service="plan")
    metrics.add_dimension("stage", "dev")
    metrics.add_metric("JobsPlanned", MetricUnit.Count, 3)
    metrics.add_metric("RowsScored", MetricUnit.Count, 400)
    metrics.flush_metrics()
    points = list(metric_points(capsys.readouterr().out))
    assert [(point.namespace, point.name, point.values, point.unit) for point in points] == [
        ("Fleetscore", "JobsPlanned", (3.0,), "Count"),
        ("Fleetscore", "RowsScored", (400.0,), "Count"),
    ]
    assert points[0].dimensions == {"stage": "dev", "service": "plan"}
    assert points[0].timestamp > 1_700_000_000


def test_each_set_of_dimensions_is_a_metric() -> None:
    assert [(dict(point.dimensions), point.values) for point in metric_points(line())] == [
        ({"stage": "dev"}, (1.0, 2.0)),
        ({}, (1.0, 2.0)),
    ]


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1",
        '{"message": "no \\"_aws\\" here"}',
        '{"_aws": null}',
        '{"_aws": {"Timestamp": "x", "CloudWatchMetrics": []}}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "N"}]}}',
        line(Rows="many"),
        line(Rows=[1, "x"]),
        line(Rows=True),
    ],
)
def test_other_lines_are_not_metrics(message: str) -> None:
    assert not list(metric_points(message))


def test_a_set_with_a_dimension_that_the_line_lacks_is_left_out() -> None:
    assert [dict(point.dimensions) for point in metric_points(line(stage=None))] == [{}]
