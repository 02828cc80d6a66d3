"""The triggers' stack: every way in which an execution starts by itself."""

from aws_cdk import Environment, Fn, Stack
from constructs import Construct

from infra.functions.stage_functions import StageFunctions
from infra.settings import Settings
from infra.stacks.storage import export_name
from infra.stacks.workflow import STATE_MACHINE_ARN
from infra.triggers.schedules import Schedules
from infra.triggers.uploads import UploadTrigger


class TriggersStack(Stack):
    """Schedules and uploads."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: what starts executions",
        )
        functions = StageFunctions(self, settings)
        state_machine_arn = Fn.import_value(export_name(settings.stage, STATE_MACHINE_ARN))
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
