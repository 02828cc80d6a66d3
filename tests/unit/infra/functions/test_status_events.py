"""Status changes are announced by the function that reads the table's stream, and by no other."""

import json

from tests.unit.infra.assembly import Assembly, flat


def test_the_tables_stream_has_new_and_old_images(assembly: Assembly) -> None:
    (table,) = assembly.resources("storage", "AWS::DynamoDB::Table").values()
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_the_function_reads_execution_and_job_records_from_the_start(assembly: Assembly) -> None:
    (source,) = assembly.resources("workflow", "AWS::Lambda::EventSourceMapping").values()
    assert flat(source["EventSourceArn"]) == "<fleetscore-dev-TableStreamArn>"
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert (source["BatchSize"], source["MaximumBatchingWindowInSeconds"]) == (100, 1)
    assert flat(source["DestinationConfig"]["OnFailure"]["Destination"]) == "<AnnouncementsDeadLetters.Arn>"
    pattern = json.loads(source["FilterCriteria"]["Filters"][0]["Pattern"])
    assert pattern["eventName"] == ["INSERT", "MODIFY"]
    assert pattern["dynamodb"]["Keys"]["sk"]["S"] == [{"prefix": "JOB#"}, {"prefix": "EXECUTION"}]


def test_only_the_announcer_may_send_our_events_to_our_bus(assembly: Assembly) -> None:
    ((name, statement),) = [item for item in assembly.statements() if item[1]["Action"] == "events:PutEvents"]
    assert name == "workflow/AnnouncementsAnnounceStatusRoleDefaultPolicy"
    assert flat(statement["Resource"]) == "<AnnouncementsBus.Arn>"
    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {
            "events:source": "fleetscore",
            "events:detail-type": [
                "Fleetscore Execution Status Change",
                "Fleetscore Job Status Change",
                "Fleetscore Deadline At Risk",
            ],
        },
        "Null": {"events:source": "false", "events:detail-type": "false"},
    }


def test_only_what_closes_executions_may_answer_task_tokens(assembly: Assembly) -> None:
    answering = [name for name, item in assembly.statements() if "states:SendTaskSuccess" in item["Action"]]
    assert answering == ["workflow/SummarizeExecutionRoleDefaultPolicy", "workflow/ReconcileRoleDefaultPolicy"]
    resources = [item["Resource"] for _, item in assembly.statements() if "states:SendTaskSuccess" in item["Action"]]
    assert {flat(resource) for resource in resources} == {
        "arn:aws:states:<AWS::Region>:<AWS::AccountId>:stateMachine:*"
    }
