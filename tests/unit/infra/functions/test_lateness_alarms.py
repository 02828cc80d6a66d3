"""One late execution raises an alarm."""

import pytest

from lambdas.stage.observability import NAMESPACE, SERVICE
from tests.unit.infra.assembly import Assembly


@pytest.mark.parametrize("metric", ["DeadlinesAtRisk", "DeadlinesMissed"])
def test_one_late_execution_raises_an_alarm(assembly: Assembly, metric: str) -> None:
    found = assembly.resources("workflow", "AWS::CloudWatch::Alarm")[f"Lateness{metric}"]
    assert (found["Namespace"], found["MetricName"]) == (NAMESPACE, metric)
    named = {item["Name"]: item["Value"] for item in found["Dimensions"]}
    assert named == {"service": SERVICE, "stage": assembly.stage}
    assert (found["Statistic"], found["ComparisonOperator"], found["Threshold"]) == (
        "Sum",
        "GreaterThanOrEqualToThreshold",
        1,
    )
    assert found["TreatMissingData"] == "notBreaching"
