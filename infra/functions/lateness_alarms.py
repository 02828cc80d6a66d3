"""Alarms about executions that will miss their deadline."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.functions.function_factory import METRICS_NAMESPACE, METRICS_SERVICE

_ALARMS = {
    "DeadlinesAtRisk": "Executions are expected to end after their deadline",
    "DeadlinesMissed": "Executions have missed their deadline, or will for certain",
}
"""Description of the alarm on each metric."""


class LatenessAlarms(Construct):
    """An alarm per metric of late executions. It goes off for each warning of Reconcile, and ends by itself."""

    def __init__(self, scope: Construct, id: str, *, stage: str) -> None:  # noqa: A002
        super().__init__(scope, id)
        for name, description in _ALARMS.items():
            cloudwatch.Alarm(
                self,
                name,
                alarm_description=f"{description}. fleetscore status shows when they are expected to end",
                metric=cloudwatch.Metric(
                    namespace=METRICS_NAMESPACE,
                    metric_name=name,
                    dimensions_map={"service": METRICS_SERVICE, "stage": stage},
                    statistic=cloudwatch.Stats.SUM,
                    period=Duration.minutes(5),
                ),
                threshold=1,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
