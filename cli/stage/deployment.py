"""The resources of a stage, found through the outputs of its stacks."""

from dataclasses import dataclass, fields
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import CommandError, ExitStatus
from cli.stage.connection import Connection


@dataclass(frozen=True)
class Deployment:
    """The resources of one stage that the command uses."""

    stage: str
    datasets_bucket: str
    models_bucket: str
    results_bucket: str
    table_name: str
    state_machine_arn: str
    training_state_machine_arn: str


RESOURCES = tuple(field.name for field in fields(Deployment) if field.name != "stage")


def find_deployment(connection: Connection, stage: str) -> Deployment:
    """Return the resources of a stage, from the outputs of its stacks.

    Raises:
        CommandError: when a stack or one of its outputs does not exist.
    """
    client = connection.client("cloudformation")
    storage = stack_outputs(client, stage, "storage", ("DatasetsBucket", "ModelsBucket", "ResultsBucket", "TableName"))
    workflow = stack_outputs(client, stage, "workflow", ("StateMachineArn", "TrainingStateMachineArn"))
    return Deployment(
        stage=stage,
        datasets_bucket=storage["DatasetsBucket"],
        models_bucket=storage["ModelsBucket"],
        results_bucket=storage["ResultsBucket"],
        table_name=storage["TableName"],
        state_machine_arn=workflow["StateMachineArn"],
        training_state_machine_arn=workflow["TrainingStateMachineArn"],
    )


def stack_outputs(client: Any, stage: str, part: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the outputs of one of the stage's stacks, by name.

    Raises:
        CommandError: when the stack or one of the outputs does not exist.
    """
    stack_name = f"fleetscore-{stage}-{part}"
    try:
        stack = client.describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        problem = error.response.get("Error", {})
        if problem.get("Code") == "ValidationError" and "does not exist" in str(problem.get("Message")):
            raise CommandError(
                f"Stack {stack_name} does not exist in {client.meta.region_name}. "
                f"Deploy it with `cdk deploy --all -c fleetscore.stage={stage}`, "
                'start the embedded AWS with `eval "$(fleetscore up)"`, or check --stage, --region and --profile.',
                ExitStatus.AWS,
            ) from error
        raise
    outputs = {output["OutputKey"]: str(output["OutputValue"]) for output in stack.get("Outputs", [])}
    missing = [name for name in names if name not in outputs]
    if missing:
        raise CommandError(
            f"Stack {stack_name} (status {stack['StackStatus']}) has no output {', '.join(missing)}. "
            "Wait until its deployment has ended, or deploy it again with "
            f"`cdk deploy --all -c fleetscore.stage={stage}`.",
            ExitStatus.AWS,
        )
    return outputs
