"""`fleetscore doctor --job` runs the inspection as a job, and compares what it finds with the assumptions."""

import json

import pytest
from botocore.exceptions import ClientError

from cli.doctor.findings import Level
from cli.doctor.job.assumptions import assumption_findings
from cli.doctor.job.processing_inspection import job_request, run_inspection
from cli.doctor.job.training_inspection import run_training_inspection, training_findings
from cli.doctor.stage import DeployedStage, read_stage
from cli.sandbox.isolation import IsolationKind, probe
from embedded.sagemaker.instances.settings import InstanceSettings
from tests.e2e.account.documented_policy import FIRST_READ, POLICY, connection_of, person
from tests.e2e.account.faults import (
    policy,
    without,
)
from tests.e2e.stage import Stage


def test_the_inspection_job_confirms_the_assumptions_and_leaves_nothing_behind(
    stage: Stage, deployed: DeployedStage
) -> None:
    inspected = run_inspection(deployed)
    found = list(assumption_findings(inspected, 30))
    assert [finding for finding in found if finding.level is Level.ERROR] == []
    assert {finding.check for finding in found} >= {"job.manifest", "job.slash", "job.mounts", "job.separation"}
    assert stage.result_keys("executions/doctor-") == []

    # The request meets the conditions on which the workflow's role may create jobs.
    made = inspected.description
    assert made["RoleArn"] == deployed.job_role_arn
    assert made["NetworkConfig"]["EnableNetworkIsolation"] is True
    assert made["ProcessingOutputConfig"]["KmsKeyId"] == deployed.key_arn
    assert made["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == deployed.key_arn


@pytest.mark.skipif(not probe().has_namespaces, reason="this machine permits no mount namespaces")
def test_the_inspection_job_shows_a_mount_per_path_and_a_small_disk(stage: Stage, deployed: DeployedStage) -> None:
    limits = {"volume_bytes": 64 << 20, "root_disk_bytes": 8 << 20} if probe().kind is IsolationKind.ROOT else {}
    stage.aws.instances.set(InstanceSettings(mounts="per-path", **limits))
    try:
        inspected = run_inspection(deployed)
    finally:
        stage.aws.instances.set(InstanceSettings())
    found = {finding.check: finding for finding in assumption_findings(inspected, 30)}
    assert [finding for finding in found.values() if finding.level is Level.ERROR] == []
    assert found["job.mounts"].found.startswith("each of ledger, plain is a mount of its own")
    assert found["job.unfinished"].found == "ledger: linked; plain: linked"
    if limits:
        assert found["job.space"].level is Level.WARNING
        assert "less than the volume" in found["job.space"].found


def test_the_inspection_as_a_training_job_confirms_the_assumptions(stage: Stage, deployed: DeployedStage) -> None:
    inspected = run_training_inspection(deployed)
    found = {finding.check: finding for finding in training_findings(inspected)}
    assert [finding for finding in found.values() if finding.level is not Level.OK] == []
    assert found.keys() == {"training.completed", "training.manifest", "training.mounts", "training.separation"}
    assert inspected.description["RoleArn"] == deployed.training_role_arn
    assert stage.result_keys("executions/doctor-") == []


def test_a_job_that_its_role_cannot_run_is_an_error(stage: Stage, deployed: DeployedStage) -> None:
    with policy(without("s3:GetObject"))(stage, deployed):
        [finding] = assumption_findings(run_inspection(deployed), 30)
    assert finding.level is Level.ERROR
    assert finding.found.startswith("the job is Failed: ")
    assert stage.result_keys("executions/doctor-") == []


def test_who_has_the_documented_policy_for_the_job_runs_it_and_no_other(stage: Stage, deployed: DeployedStage) -> None:
    statements = [
        *json.loads(POLICY.read_text())["Statement"][:FIRST_READ],
        *json.loads(POLICY.with_name("doctor-job.json").read_text())["Statement"],
    ]
    seen = read_stage(connection_of(person(stage, deployed, "inspector", statements), deployed), "dev")
    assert run_inspection(seen).description["ProcessingJobStatus"] == "Completed"
    assert run_training_inspection(seen).description["TrainingJobStatus"] == "Completed"
    request = job_request(seen, "doctor-other", "ml.m5.xlarge")
    for change in ({"NetworkConfig": {"EnableNetworkIsolation": False}}, {"ProcessingJobName": "dev-other"}):
        with pytest.raises(ClientError, match="not authorized"):
            seen.client("sagemaker").create_processing_job(**{**request, **change})
