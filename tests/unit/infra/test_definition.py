"""The workflow's definition: a golden file to review changes with, and the rules that every version of it keeps."""

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract import messages
from infra.definition import _message
from tests.unit.infra.assembly import Assembly, states_of

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden" / "workflow.asl.json"


def test_the_definition_is_the_reviewed_one(assembly: Assembly) -> None:
    """After a change on purpose: UPDATE_GOLDEN=1 pytest tests/unit/infra/test_definition.py, then read the diff."""
    text = json.dumps(assembly.definition, indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def tasks(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in states_of(assembly.definition).items() if state["Type"] == "Task"}


def test_every_state_says_why_it_is_there(assembly: Assembly) -> None:
    assert not [name for name, state in states_of(assembly.definition).items() if not state.get("Comment")]


def test_every_task_catches_everything_and_retries_with_full_jitter(assembly: Assembly) -> None:
    assert len(tasks(assembly)) == 6
    for name, state in tasks(assembly).items():
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert state["Catch"][-1]["ResultPath"] == "$.failure", name
        for retrier in state["Retry"]:
            assert retrier["JitterStrategy"] == "FULL", name
            assert retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"], name
            assert retrier["BackoffRate"] > 1, name


def test_every_function_that_dies_is_called_again_because_it_may_have_done_its_work(assembly: Assembly) -> None:
    functions = {name: state for name, state in tasks(assembly).items() if name != "RunProcessingJob"}
    assert len(functions) == 5
    for name, state in functions.items():
        retried = {error for retrier in state["Retry"] for error in retrier["ErrorEquals"]}
        assert retried >= {"Sandbox.Timedout", "Runtime.ExitError", "Lambda.Unknown"}, name


def test_every_failure_of_the_plan_or_the_map_still_leads_to_the_summary(assembly: Assembly) -> None:
    states = assembly.definition["States"]
    for name in ("PlanExecution", "ScoreModels"):
        assert [catcher["Next"] for catcher in states[name]["Catch"]] == ["SummarizeExecution"]
        assert states["ScoreModels"]["Next"] == "SummarizeExecution"


def test_a_request_that_is_no_object_leaves_room_for_the_failure(assembly: Assembly) -> None:
    first = assembly.definition["States"][assembly.definition["StartAt"]]
    assert first["Parameters"] == {"request.$": "$"}
    assert first["Next"] == "PlanExecution"
    assert assembly.definition["States"]["PlanExecution"]["Parameters"]["request.$"] == "$.request"


def test_every_failure_in_a_job_is_classified(assembly: Assembly) -> None:
    for name in ("RecordAttempt", "RunProcessingJob", "VerifyOutput"):
        assert [catcher["Next"] for catcher in tasks(assembly)[name]["Catch"]] == ["ClassifyFailure"]


def test_no_retry_of_the_processing_job_outlives_its_creation(assembly: Assembly) -> None:
    """A job that ran and failed raises States.TaskFailed; trying again under the same name would hide why."""
    errors = [error for retrier in tasks(assembly)["RunProcessingJob"]["Retry"] for error in retrier["ErrorEquals"]]
    assert "SageMaker.AmazonSageMakerException" in errors
    assert "SageMaker.ResourceLimitExceededException" in errors
    assert all(error.startswith("SageMaker.") for error in errors)


def test_the_map_takes_its_settings_from_the_plan_and_keeps_no_results(assembly: Assembly) -> None:
    score = assembly.definition["States"]["ScoreModels"]
    assert score["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert score["MaxConcurrencyPath"] == "$.max_concurrency"
    assert score["ToleratedFailurePercentagePath"] == "$.tolerated_failure_percentage"
    assert score["ItemReader"]["Parameters"] == {"Bucket.$": "$.jobs_bucket", "Key.$": "$.jobs_key"}
    assert score["ResultPath"] is None


def test_a_jobs_container_has_no_network(assembly: Assembly, other: Assembly) -> None:
    for found in (assembly, other):
        network = tasks(found)["RunProcessingJob"]["Parameters"]["NetworkConfig"]
        assert network["EnableNetworkIsolation"] is True


def test_the_vpc_reaches_the_job(assembly: Assembly, other: Assembly) -> None:
    assert "VpcConfig" not in tasks(assembly)["RunProcessingJob"]["Parameters"]["NetworkConfig"]
    assert tasks(other)["RunProcessingJob"]["Parameters"]["NetworkConfig"]["VpcConfig"] == {
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
        "Subnets": ["subnet-0123456789abcdef0"],
    }


def test_a_job_that_succeeds_costs_two_function_calls(assembly: Assembly) -> None:
    states = states_of(assembly.definition)
    path, name = [], assembly.definition["States"]["ScoreModels"]["ItemProcessor"]["StartAt"]
    while True:
        path.append(name)
        if states[name].get("End"):
            break
        name = states[name].get("Next") or states[name]["Default"]
    assert path == ["RecordAttempt", "NothingLeft?", "RunProcessingJob", "VerifyOutput"]


def test_the_wait_for_a_job_outlasts_its_run_time(assembly: Assembly) -> None:
    selector = tasks(assembly)["RecordAttempt"]["ResultSelector"]
    assert selector["timeout_seconds.$"] == "States.MathAdd($.max_runtime_seconds, 3600)"
    assert tasks(assembly)["RunProcessingJob"]["TimeoutSecondsPath"] == "$.plan.timeout_seconds"
    assert {name.removesuffix(".$") for name in selector} == {
        "timeout_seconds",
        *[field.name for field in dataclasses.fields(messages.AttemptPlan)],
    }


def test_partly_failed_never_reads_as_success(assembly: Assembly) -> None:
    states = assembly.definition["States"]
    assert states["PartlyFailed"]["Type"] == "Fail"
    assert [name for name, state in states.items() if state["Type"] == "Succeed"] == ["Succeeded"]


def test_a_message_with_a_field_too_many_or_too_few_stops_synthesis() -> None:
    with pytest.raises(TypeError, match="JobPointer has the fields"):
        _message(messages.JobPointer, execution_id="$.execution_id", job_id="$.job_id")
    with pytest.raises(TypeError, match="colour"):
        _message(messages.JobPointer, execution_id="$.a", job_id="$.b", attempt="$.c", colour="$.d")


def test_another_validator_finds_nothing_wrong(assembly: Assembly, tmp_path: Path) -> None:
    """npm's asl-validator checks the states language's schema and every JSONPath in it."""
    validator = ROOT / "node_modules" / ".bin" / "asl-validator"
    assert validator.exists(), "`make test` installs it"
    definition = tmp_path / "workflow.asl.json"
    definition.write_text(re.sub("<[^>]*>", "arn:aws:lambda:us-east-1:123456789012:function:any", GOLDEN.read_text()))
    done = subprocess.run([validator, "--json-path", definition], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
