"""The triggers stack: everything that starts executions automatically."""

from aws_cdk import Environment, Stack
from constructs import Construct

from infra.functions.function_factory import FunctionFactory
from infra.settings import AppSettings
from infra.stack_outputs import STATE_MACHINE_ARN, imported
from infra.triggers.schedules import Schedules
from infra.triggers.uploads import UploadTrigger


class TriggersStack(Stack):
    """Schedules and uploads."""

    def __init__(self, scope: Construct, id: str, *, settings: AppSettings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: schedules and upload triggers",
        )
        functions = FunctionFactory(self, settings)
        state_machine_arn = imported(settings.stage, STATE_MACHINE_ARN)
        self.schedules = Schedules(
            self,
            "Schedules",
            stage=settings.stage,
            state_machine_arn=state_machine_arn,
            functions=functions,
            schedules=settings.schedules,
        )
        self.uploads = UploadTrigger(
            self,
            "Uploads",
            stage=settings.stage,
            record_days=settings.record_days,
            state_machine_arn=state_machine_arn,
            functions=functions,
            rules=settings.uploads,
        )
