import pytest

from cli.failures import CommandError, ExitStatus
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment
from tests.unit.cli.builders import Stacks


def test_deployment_is_found_through_stack_outputs(connection: Connection, deployment: Deployment) -> None:
    assert find_deployment(connection, "dev") == deployment


@pytest.mark.usefixtures("deployment")
def test_missing_stack_is_named_with_the_command_to_deploy_it(connection: Connection) -> None:
    with pytest.raises(CommandError) as refused:
        find_deployment(connection, "prod")
    text = str(refused.value)
    assert "fleetscore-prod-storage does not exist in eu-central-1" in text
    assert "cdk deploy --all -c fleetscore.stage=prod" in text
    assert "fleetscore up" in text
    assert refused.value.status is ExitStatus.AWS


@pytest.mark.usefixtures("deployment")
def test_stack_without_outputs_is_named_with_its_status(connection: Connection, stacks: Stacks) -> None:
    stacks.outputs["fleetscore-half-storage"] = {"TableName": "some-table"}
    with pytest.raises(CommandError, match=r"CREATE_COMPLETE.* has no output DatasetsBucket, ModelsBucket, ResultsBu"):
        find_deployment(connection, "half")
