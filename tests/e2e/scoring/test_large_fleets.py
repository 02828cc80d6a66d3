"""A fleet of 10,000 jobs: what the Map keeps, and what it writes."""

import copy
import json
from typing import Any

from contract import codec, layout
from contract.workflow.messages import JobPointer
from tests.e2e.stage import Stage, wait_for

JOBS = 10_000
REASON = "MODEL: the artifact is damaged. " * 30
"""About as long as the reason of a failed job."""


def test_a_map_over_10000_jobs_succeeds_and_exports_its_results(stage: Stage) -> None:
    """The deployed Map and the policies of its role, with children that end at once.

    Each child ends as the deployed children end. Running 10,000 SageMaker jobs would show nothing
    more about the Map.
    """
    states = stage.client("stepfunctions")
    deployed = states.describe_state_machine(stateMachineArn=stage.deployment.state_machine_arn)
    definition = json.loads(deployed["definition"])
    name = "fleetscore-dev-10000"
    role = role_with_the_policies_of(stage, deployed["roleArn"], name)
    arn = states.create_state_machine(name=name, definition=json.dumps(with_instant_children(definition)), roleArn=role)
    pointers = [JobPointer(name, f"model-{n:05}", attempt=1 + (n % 1000 == 0)) for n in range(JOBS)]
    key = layout.jobs_key(name)
    body = json.dumps([codec.to_json(pointer) for pointer in pointers])
    stage.client("s3").put_object(Bucket=stage.deployment.results_bucket, Key=key, Body=body)
    plan = {
        "jobs_bucket": stage.deployment.results_bucket,
        "jobs_key": key,
        "max_concurrency": 1_000,
        "tolerated_failure_percentage": 100,
    }
    execution = states.start_execution(stateMachineArn=arn["stateMachineArn"], input=json.dumps(plan))["executionArn"]
    ended = wait_for(
        lambda: (found := states.describe_execution(executionArn=execution))["status"] != "RUNNING" and found,
        "the end of the Map",
        seconds=300,
    )

    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", plan)
    (map_run,) = states.list_map_runs(executionArn=execution)["mapRuns"]
    counts = states.describe_map_run(mapRunArn=map_run["mapRunArn"])["itemCounts"]
    assert (counts["succeeded"], counts["failed"], counts["resultsWritten"]) == (JOBS - 10, 10, JOBS)
    folder = f"{layout.map_runs_prefix('ScoreModels')}/{map_run['mapRunArn'].rpartition(':')[2]}"
    results = exported_results(stage, f"{folder}/manifest.json")
    assert {child["Output"] for child in results["SUCCEEDED"]} == {"{}"}
    assert {child["Cause"] for child in results["FAILED"]} == {REASON}
    started = {json.loads(child["Input"])["job_id"] for kind in results.values() for child in kind}
    assert started == {pointer.job_id for pointer in pointers}
    history = states.get_execution_history(executionArn=execution)["events"]
    assert len(history) < 10


def with_instant_children(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the deployed Map alone. Its children end at once, those of a second attempt with a failure."""
    score_models = copy.deepcopy(definition["States"]["ScoreModels"])
    last = score_models["ItemProcessor"]["States"]["VerifyOutput"]
    second = {"Variable": "$.attempt", "NumericEquals": 2, "Next": "JobFailed"}
    score_models["ItemProcessor"] |= {
        "StartAt": "Attempt",
        "States": {
            "Attempt": {"Type": "Choice", "Choices": [second], "Default": "VerifyOutput"},
            "VerifyOutput": {"Type": "Pass", "OutputPath": last["OutputPath"], "End": True},
            "JobFailed": {"Type": "Fail", "Error": "MODEL", "Cause": REASON},
        },
    }
    fields = {key: value for key, value in score_models.items() if key not in ("Next", "Catch")}
    return {"StartAt": "ScoreModels", "States": {"ScoreModels": {**fields, "End": True}}}


def role_with_the_policies_of(stage: Stage, role_arn: str, machine: str) -> str:
    """Create a role with the same policies, which may also run the Map of another state machine."""
    iam, deployed = stage.client("iam"), role_arn.rpartition("/")[2]
    trust = iam.get_role(RoleName=deployed)["Role"]["AssumeRolePolicyDocument"]
    role = iam.create_role(RoleName=machine, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    for name in iam.list_role_policies(RoleName=deployed)["PolicyNames"]:
        policy = iam.get_role_policy(RoleName=deployed, PolicyName=name)["PolicyDocument"]
        iam.put_role_policy(RoleName=machine, PolicyName=name, PolicyDocument=json.dumps(policy))
    for attached in iam.list_attached_role_policies(RoleName=deployed)["AttachedPolicies"]:
        iam.attach_role_policy(RoleName=machine, PolicyArn=attached["PolicyArn"])
    arn = f"arn:aws:states:*:*:stateMachine:{machine}"
    run_map = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [run_map]})
    iam.put_role_policy(RoleName=machine, PolicyName="Map", PolicyDocument=policy)
    return str(role)


def exported_results(stage: Stage, manifest_key: str) -> dict[str, list[dict[str, Any]]]:
    """Return the exported descriptions of children by the kind of file."""
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket

    def read(key: str) -> Any:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    files = read(manifest_key)["ResultFiles"]
    return {kind: [child for entry in entries for child in read(entry["Key"])] for kind, entries in files.items()}
