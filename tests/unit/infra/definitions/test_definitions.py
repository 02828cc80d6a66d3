"""The workflow definitions: golden files for reviewing changes, and rules for every version."""

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from statelint.config import Config
from statelint.linter import Linter
from statelint.problem import ProblemType

from contract.workflow import messages
from infra.definitions.shared_states import message
from tests.unit.infra.assembly import Assembly, states_of

ROOT = Path(__file__).parents[4]
GOLDEN = Path(__file__).parent / "golden"
GOLDEN_FILES = {"scoring": GOLDEN / "scoring.asl.json", "training": GOLDEN / "training.asl.json"}
TASKS = {"scoring": 11, "training": 8}


def definition(assembly: Assembly, workflow: str) -> dict[str, Any]:
    return assembly.definition if workflow == "scoring" else assembly.training_definition


@pytest.mark.parametrize("workflow", GOLDEN_FILES)
def test_definition_matches_golden_file(assembly: Assembly, workflow: str) -> None:
    """Accept a change with UPDATE_GOLDEN=1 pytest tests/unit/infra/definitions; read the diff."""
    golden = GOLDEN_FILES[workflow]
    text = json.dumps(definition(assembly, workflow), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def tasks(assembly: Assembly, workflow: str = "scoring") -> dict[str, dict[str, Any]]:
    states = states_of(definition(assembly, workflow))
    return {name: state for name, state in states.items() if state["Type"] == "Task"}


@pytest.mark.parametrize("workflow", GOLDEN_FILES)
def test_every_state_has_a_comment(assembly: Assembly, workflow: str) -> None:
    states = states_of(definition(assembly, workflow))
    assert not [name for name, state in states.items() if not state.get("Comment")]


@pytest.mark.parametrize("workflow", GOLDEN_FILES)
def test_every_task_catches_all_errors_and_retries_with_full_jitter(assembly: Assembly, workflow: str) -> None:
    assert len(tasks(assembly, workflow)) == TASKS[workflow]
    for name, state in tasks(assembly, workflow).items():
        if name == "SummarizeExecution":
            assert "Catch" not in state, "a redrive must call it again"
        else:
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
            # The failure that is to be recorded stays beside the one of recording it.
            recording = dict.fromkeys(("ClassifyFailure", "RecordJobLeftRunning"), "$.classification")
            places = {"RunTraining": "$.training.failure", "NoteFailure": "$.noted", **recording}
            assert state["Catch"][-1]["ResultPath"] == places.get(name, "$.failure"), name
        for retrier in state["Retry"]:
            assert retrier["JitterStrategy"] == "FULL", name
            assert retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"], name
            assert retrier["BackoffRate"] > 1, name


@pytest.mark.parametrize("workflow", GOLDEN_FILES)
def test_a_crashed_function_is_called_again(assembly: Assembly, workflow: str) -> None:
    functions = {name: state for name, state in tasks(assembly, workflow).items() if "Lambda" in str(state["Retry"])}
    assert len(functions) == TASKS[workflow] - (4 if workflow == "scoring" else 2)
    for name, state in functions.items():
        retried = {error for retrier in state["Retry"] for error in retrier["ErrorEquals"]}
        assert retried >= {"Sandbox.Timedout", "Runtime.ExitError", "Lambda.Unknown"}, name


@pytest.mark.parametrize("workflow", GOLDEN_FILES)
def test_a_job_that_does_not_end_fails_for_good_and_is_recorded(assembly: Assembly, workflow: str) -> None:
    """Another concurrent attempt would score the same rows."""
    states = states_of(definition(assembly, workflow))
    classify = states["ClassifyFailure"]
    (waits,) = [entry for entry in classify["Retry"] if entry["ErrorEquals"] == ["JobStillRunningError"]]
    assert waits["MaxAttempts"] * waits["MaxDelaySeconds"] >= 1_800
    assert classify["Catch"][0]["ErrorEquals"] == ["JobStillRunningError"]
    left = classify["Catch"][0]["Next"]
    assert states[left]["Resource"] == classify["Resource"]
    assert states[states[left]["Next"]]["Type"] == "Fail"


def test_a_failed_plan_or_map_leads_to_the_summary(assembly: Assembly) -> None:
    states = assembly.definition["States"]
    for name in ("PlanExecution", "ScoreModels"):
        assert [catcher["Next"] for catcher in states[name]["Catch"]] == ["SummarizeExecution"]
        assert states["ScoreModels"]["Next"] == "SummarizeExecution"


def test_the_request_is_wrapped_so_that_a_catch_can_add_a_failure(assembly: Assembly) -> None:
    first = assembly.definition["States"][assembly.definition["StartAt"]]
    assert first["Parameters"] == {"request.$": "$", "training": {}}
    training = assembly.training_definition
    assert training["States"][training["StartAt"]]["Parameters"] == {"request.$": "$"}
    assert assembly.definition["States"]["PlanExecution"]["Parameters"]["request.$"] == "$.request"


def test_only_a_request_with_train_trains_first(assembly: Assembly) -> None:
    states = assembly.definition["States"]
    choice = states["TrainFirst?"]
    assert states["WrapInput"]["Next"] == "TrainFirst?"
    assert choice["Default"] == "PlanExecution"
    (wanted,) = choice["Choices"]
    assert wanted["Next"] == "PrepareTraining"
    train = "$.request.train"
    # aws-local-stepfunctions never matches `IsNull: false`.
    assert wanted["And"] == [{"Variable": train, "IsPresent": True}, {"Not": {"Variable": train, "IsNull": True}}]


def test_a_failed_training_leads_to_the_plan(assembly: Assembly) -> None:
    state = assembly.definition["States"]["RunTraining"]
    assert state["Resource"] == "arn:aws:states:::states:startExecution.sync:2"
    assert state["Parameters"]["Name.$"] == "$.training.name"
    assert [catcher["Next"] for catcher in state["Catch"]] == ["PlanExecution"]
    assert state["Next"] == "PlanExecution"
    assert "States.TaskFailed" not in [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]]
    prepare = assembly.definition["States"]["PrepareTraining"]
    assert [catcher["Next"] for catcher in prepare["Catch"]] == ["SummarizeExecution"]


def test_every_failure_of_a_training_job_is_classified(assembly: Assembly) -> None:
    for name in ("RecordAttempt", "RunTrainingJob", "RegisterModelVersion"):
        assert [catcher["Next"] for catcher in tasks(assembly, "training")[name]["Catch"]] == ["ClassifyFailure"]
    states = assembly.training_definition["States"]
    for name in ("PlanTraining", "TrainModels"):
        assert [catcher["Next"] for catcher in states[name]["Catch"]] == ["SummarizeExecution"]


def test_a_training_job_is_isolated_and_takes_its_request_from_the_plan(assembly: Assembly, prod: Assembly) -> None:
    request = tasks(assembly, "training")["RunTrainingJob"]["Parameters"]
    assert request["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in request
    assert request["InputDataConfig.$"] == "$.plan.channels"
    assert request["StoppingCondition.$"] == "$.plan.stopping_condition"
    assert request["EnableManagedSpotTraining.$"] == "$.plan.spot"
    assert tasks(prod, "training")["RunTrainingJob"]["Parameters"]["VpcConfig"]["Subnets"] == [
        "subnet-0123456789abcdef0"
    ]


def test_the_training_state_times_out_after_the_longest_job_and_a_margin(assembly: Assembly) -> None:
    selector = tasks(assembly, "training")["RecordAttempt"]["ResultSelector"]
    assert selector["timeout_seconds.$"] == "States.MathAdd($.longest_seconds, 3600)"
    assert tasks(assembly, "training")["RunTrainingJob"]["TimeoutSecondsPath"] == "$.plan.timeout_seconds"
    assert {name.removesuffix(".$") for name in selector} == {
        "timeout_seconds",
        *[field.name for field in dataclasses.fields(messages.TrainingAttemptPlan)],
    }


def test_every_failure_of_a_scoring_job_is_classified(assembly: Assembly) -> None:
    for name in ("RecordAttempt", "RunProcessingJob", "VerifyOutput"):
        assert [catcher["Next"] for catcher in tasks(assembly)[name]["Catch"]] == ["ClassifyFailure"]


def test_a_processing_job_is_retried_only_when_it_was_not_created(assembly: Assembly) -> None:
    """A job that ran and failed raises States.TaskFailed; a retry would hide the reason."""
    errors = [error for retrier in tasks(assembly)["RunProcessingJob"]["Retry"] for error in retrier["ErrorEquals"]]
    assert "SageMaker.AmazonSageMakerException" in errors
    # ClassifyFailure lets it wait, and says so in the job's record.
    assert "SageMaker.ResourceLimitExceededException" not in errors
    assert all(error.startswith("SageMaker.") for error in errors)


def test_the_map_takes_its_settings_from_the_plan_and_discards_results(assembly: Assembly) -> None:
    score = assembly.definition["States"]["ScoreModels"]
    assert score["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert score["MaxConcurrencyPath"] == "$.max_concurrency"
    assert score["ToleratedFailurePercentage"] == 100
    assert score["ItemReader"]["Parameters"] == {"Bucket.$": "$.jobs_bucket", "Key.$": "$.jobs_key"}
    assert score["ResultPath"] is None


@pytest.mark.parametrize("workflow", GOLDEN_FILES)
def test_the_results_of_children_are_constants_and_exported(assembly: Assembly, workflow: str) -> None:
    """Otherwise the results of about 3,000 jobs exceed the 256 KB of the Map's output."""
    maps = [(name, state) for name, state in definition(assembly, workflow)["States"].items() if state["Type"] == "Map"]
    assert len(maps) == 1
    for name, state in maps:
        ends = [child for child in state["ItemProcessor"]["States"].values() if child.get("End")]
        assert ends, name
        assert all("OutputPath" in child and child["OutputPath"] is None for child in ends), name
        assert state["ResultWriter"] == {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "<fleetscore-dev-ResultsBucket>", "Prefix": f"map-runs/{name}"},
        }


def test_a_processing_job_has_no_network(assembly: Assembly, prod: Assembly) -> None:
    for found in (assembly, prod):
        network = tasks(found)["RunProcessingJob"]["Parameters"]["NetworkConfig"]
        assert network["EnableNetworkIsolation"] is True


def test_a_processing_job_gets_the_vpc_of_the_settings(assembly: Assembly, prod: Assembly) -> None:
    assert "VpcConfig" not in tasks(assembly)["RunProcessingJob"]["Parameters"]["NetworkConfig"]
    assert tasks(prod)["RunProcessingJob"]["Parameters"]["NetworkConfig"]["VpcConfig"] == {
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
        "Subnets": ["subnet-0123456789abcdef0"],
    }


def test_a_successful_job_takes_two_function_calls(assembly: Assembly) -> None:
    states = states_of(assembly.definition)
    path, name = [], assembly.definition["States"]["ScoreModels"]["ItemProcessor"]["StartAt"]
    while True:
        path.append(name)
        if states[name].get("End"):
            break
        name = states[name].get("Next") or states[name]["Default"]
    assert path == ["RecordAttempt", "MayStart?", "WaitForStart", "Spot?", "RunProcessingJob", "VerifyOutput"]


def test_the_wait_for_a_job_times_out_after_its_longest_time_and_a_margin(assembly: Assembly) -> None:
    selector = tasks(assembly)["RecordAttempt"]["ResultSelector"]
    assert selector["timeout_seconds.$"] == "States.MathAdd($.longest_seconds, 3600)"
    for name in ("RunProcessingJob", "RunSpotJob"):
        assert tasks(assembly)[name]["TimeoutSecondsPath"] == "$.plan.timeout_seconds"
    assert {name.removesuffix(".$") for name in selector} == {
        "timeout_seconds",
        "description",
        *[field.name for field in dataclasses.fields(messages.AttemptPlan)],
    }


def test_a_partly_failed_execution_fails(assembly: Assembly) -> None:
    states = assembly.definition["States"]
    assert states["PartlyFailed"]["Type"] == "Fail"
    assert [name for name, state in states.items() if state["Type"] == "Succeed"] == ["Succeeded"]


def test_a_message_with_unknown_or_missing_fields_stops_synthesis() -> None:
    with pytest.raises(TypeError, match="JobPointer has the fields"):
        message(messages.JobPointer, execution_id="$.execution_id", job_id="$.job_id")
    with pytest.raises(TypeError, match="colour"):
        message(messages.JobPointer, execution_id="$.a", job_id="$.b", attempt="$.c", colour="$.d")


def with_arns(golden: Path) -> str:
    """Return a definition with an ARN in place of each placeholder."""
    return re.sub("<[^>]*>", "arn:aws:lambda:us-east-1:123456789012:function:any", golden.read_text())


@pytest.mark.parametrize("golden", GOLDEN_FILES.values(), ids=GOLDEN_FILES)
def test_asl_validator_accepts_the_definitions(tmp_path: Path, golden: Path) -> None:
    """npm's asl-validator checks the schema of States Language and every JSONPath."""
    validator = ROOT / "node_modules" / ".bin" / "asl-validator"
    assert validator.exists(), "`make test` installs it"
    definition = tmp_path / "workflow.asl.json"
    definition.write_text(with_arns(golden))
    done = subprocess.run([validator, "--json-path", definition], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


AWS_FIELDS = (
    # Fields that AWS documents for distributed Maps, and that the specification of States Language
    # lacks.
    r'Field "Label" not allowed in State Machine\.States\.(ScoreModels|TrainModels)',
    r'Field "InputType" not allowed in State Machine\.States\.(ScoreModels|TrainModels)\.ItemReader\.ReaderConfig',
)


@pytest.mark.parametrize("golden", GOLDEN_FILES.values(), ids=GOLDEN_FILES)
def test_statelint_accepts_the_definitions(golden: Path) -> None:
    """PyPI's statelint follows the specification of States Language, independently of
    asl-validator.
    """
    found = statelint(with_arns(golden))
    assert [text for text in found if not any(re.fullmatch(known, text) for known in AWS_FIELDS)] == []
    assert len(found) == len(AWS_FIELDS)


def test_statelint_refuses_a_faulty_definition() -> None:
    broken = with_arns(GOLDEN_FILES["scoring"]).replace('"Next": "ScoreModels"', '"Next": "ScoreModel"')
    assert any("ScoreModel" in problem for problem in statelint(broken))


def statelint(definition: str) -> list[str]:
    # Whole numbers are numbers in JSON, but not floats in Python.
    return list(Linter.validate(json.loads(definition), Config({ProblemType.FLOAT})))
