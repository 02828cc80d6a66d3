"""Creating a state machine refuses unsupported features by name."""

import json
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows, distributed, one_state

ECHO = one_state({"Type": "Pass", "End": True})
TASK = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True}


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        (distributed(ECHO, ItemBatcher={"MaxItemsPerBatch": 2}), "ItemBatcher is not supported"),
        (distributed(ECHO, ResultWriter={"WriterConfig": {}}), "WriterConfig is not supported"),
        (one_state({"Type": "Pass", "End": True, "Colour": "red"}), "Colour is not supported"),
        (one_state({**TASK, "HeartbeatSeconds": 5}), "HeartbeatSeconds is not supported"),
        (one_state({**TASK, "Credentials": {}}), "Credentials is not supported"),
        (one_state({**TASK, "Retry": [{"ErrorEquals": ["A"], "Often": 1}]}), "Often is not supported"),
        (one_state({"Type": "Pass", "End": True, "Assign": {"a": 1}}), "Assign is not supported"),
        (one_state({**TASK, "Resource": "arn:aws:states:::glue:startJobRun"}), "glue:startJobRun is not supported"),
        (one_state({**TASK, "Resource": "arn:aws:states:us-east-1:1:activity:a"}), "activity:a is not supported"),
        (one_state({"Type": "Map", "End": True, "Iterator": ECHO}), "Iterator is not supported"),
        (distributed(ECHO, Parameters={}), "Parameters is not supported"),
        (
            distributed(ECHO, ItemReader={"Resource": "arn:aws:states:::sqs:x"}),
            "ItemReader 'arn:aws:states:::sqs:x'",
        ),
        (one_state({**TASK, "Resource": "arn:aws:states:::aws-sdk:s3:listBuckets"}), "aws-sdk:s3:listBuckets is not"),
        (one_state({"Type": "Pass", "Next": "Nowhere"}), "Missing 'Next' target: Nowhere"),
        (one_state({"Type": "Sleep", "End": True}), "The field 'Type' should have one of these values: [Task, "),
        ({"StartAt": "Other", "States": ECHO["States"]}, "Missing 'StartAt' target: Other"),
        (
            {"StartAt": "Only", "States": {**ECHO["States"], "Lost": {"Type": "Succeed"}}},
            "State 'Lost' is not reachable",
        ),
        (one_state({"Type": "Map", "End": True, "ItemProcessor": ECHO, "Label": "x"}, "Each"), "Label needs a DIST"),
    ],
)
def test_unsupported_definitions_are_refused_by_name(
    workflows: Workflows, definition: dict[str, Any], named: str
) -> None:
    with pytest.raises(workflows.client.exceptions.InvalidDefinition) as refused:
        workflows.create(definition)
    assert named in str(refused.value)


@pytest.mark.parametrize("text", ["[]", "{", "1"])
def test_a_definition_must_be_a_json_object(workflows: Workflows, text: str) -> None:
    with pytest.raises(workflows.client.exceptions.InvalidDefinition, match="INVALID_JSON_DESCRIPTION"):
        workflows.client.create_state_machine(name="n", definition=text, roleArn=workflows.powerful_role())


def test_all_problems_are_reported_at_once(workflows: Workflows) -> None:
    states = {"A": {"Type": "Pass", "Next": "B", "One": 1}, "B": {"Type": "Pass", "End": True, "Two": 2}}
    with pytest.raises(workflows.client.exceptions.InvalidDefinition) as refused:
        workflows.create({"StartAt": "A", "States": states})
    assert "/States/A/One" in str(refused.value)
    assert "/States/B/Two" in str(refused.value)


def test_a_refused_update_changes_nothing(workflows: Workflows) -> None:
    machine = workflows.create(ECHO)
    with pytest.raises(workflows.client.exceptions.InvalidDefinition, match="ResultWriter"):
        workflows.client.update_state_machine(
            stateMachineArn=machine, definition=json.dumps(distributed(ECHO, ResultWriter={}))
        )
    stored = workflows.client.describe_state_machine(stateMachineArn=machine)["definition"]
    assert json.loads(stored) == ECHO


def test_a_stack_fails_with_the_reason_of_a_refused_definition(workflows: Workflows) -> None:
    cloudformation = workflows.aws.endpoint.client("cloudformation")
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": workflows.powerful_role(),
                    "DefinitionString": json.dumps(distributed(ECHO, ItemBatcher={})),
                },
            }
        }
    }
    cloudformation.create_stack(StackName="refused", TemplateBody=json.dumps(template))
    workflows.wait(
        lambda: cloudformation.describe_stacks(StackName="refused")["Stacks"][0]["StackStatus"],
        lambda status: status == "ROLLBACK_COMPLETE",
    )
    events = cloudformation.describe_stack_events(StackName="refused")["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events if event["LogicalResourceId"] == "Machine"]
    assert any("ItemBatcher is not supported" in reason for reason in reasons)


def test_the_history_is_logged_to_the_configured_log_group(workflows: Workflows) -> None:
    endpoint = workflows.aws.endpoint
    destination = {"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Log", "Arn"]}}}
    template = {
        "Resources": {
            "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/workflow"}},
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": workflows.powerful_role(),
                    "DefinitionString": json.dumps(ECHO),
                    "LoggingConfiguration": {
                        "Level": "ALL", "IncludeExecutionData": True, "Destinations": [destination],
                    },
                },
            },
        },
        "Outputs": {"Arn": {"Value": {"Ref": "Machine"}}},
    }  # fmt: skip
    cloudformation = endpoint.client("cloudformation")
    cloudformation.create_stack(StackName="logged", TemplateBody=json.dumps(template))
    described = workflows.wait(
        lambda: cloudformation.describe_stacks(StackName="logged")["Stacks"][0],
        lambda stack: not stack["StackStatus"].endswith("IN_PROGRESS"),
    )
    assert described["StackStatus"] == "CREATE_COMPLETE"
    machine = described["Outputs"][0]["OutputValue"]
    assert workflows.client.describe_state_machine(stateMachineArn=machine)["loggingConfiguration"]["level"] == "ALL"
    arn = workflows.client.start_execution(stateMachineArn=machine, input='{"a": 1}')["executionArn"]
    logs = endpoint.client("logs")
    events = workflows.wait(
        lambda: logs.filter_log_events(logGroupName="/workflow")["events"], lambda found: len(found) == 4
    )
    messages = [json.loads(event["message"]) for event in events]
    assert {message["execution_arn"] for message in messages} == {arn}
    assert [message["type"] for message in messages] == workflows.event_types(arn)
    assert json.loads(messages[1]["details"]["input"]) == {"a": 1}


def test_logging_needs_permission_to_deliver_logs(workflows: Workflows) -> None:
    role = workflows.role({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    with pytest.raises(workflows.client.exceptions.ClientError, match="not authorized to access the Log Destination"):
        workflows.client.create_state_machine(
            name="unlogged", definition=json.dumps(ECHO), roleArn=role, loggingConfiguration={"level": "ALL"}
        )
