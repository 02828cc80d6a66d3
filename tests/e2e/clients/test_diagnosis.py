"""The command tells what happened to real failures."""

import json
import shlex
from typing import Any

import pyarrow as pa
import pytest

from cli.main import main
from contract import layout
from contract.status import ExecutionStatus, FailureKind
from tests.e2e.failing_models import Gate, RefusesOneRow
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

Captured = pytest.CaptureFixture[str]
BAD_ROW, WRONG_DIGEST, REFUSED, STOPPED = "diag-bad-row", "diag-digest", "diag-refused", "diag-stopped"
LABEL = "diagnosis"


@pytest.fixture(scope="module")
def failures(stage: Stage) -> None:
    """Run four executions: a bad row, an artifact that was replaced, a refused request, and a stop with a cause."""
    frame = people(50, 1).to_pandas()
    frame.loc[7, "visits"] = RefusesOneRow.REFUSED_VISITS
    stage.put_dataset("diag", {"bad.parquet": pa.Table.from_pandas(frame), "good.parquet": people(30, 2)})
    stage.register("diag-picky", RefusesOneRow(), dataset="diag")
    stage.register("diag-replaced", train_xgboost(1), dataset="diag", version="v1")
    s3, bucket = stage.client("s3"), stage.deployment.models_bucket
    key = layout.artifact_key("diag-replaced", "v1")
    artifact = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    artifact[-1] ^= 1
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(artifact))
    assert stage.aws.shared_folder is not None
    gate = stage.aws.shared_folder / "diagnosis"
    gate.mkdir()
    gate.chmod(0o777)
    stage.register("diag-gate", Gate(gate), dataset="diag")
    stage.executions.start(json.dumps({"models": ["diag-gate"], "execution_label": LABEL}), STOPPED)
    stage.run({"models": ["diag-picky"], "execution_label": LABEL}, BAD_ROW)
    stage.run({"models": ["diag-replaced"]}, WRONG_DIGEST)
    stage.start_unchecked('{"models": ["no-such-model"]}', REFUSED)
    wait_for((gate / "waiting").exists, "the model waits")
    arn = stage.executions.execution_arn(STOPPED)
    stage.client("stepfunctions").stop_execution(executionArn=arn, cause="the wrong dataset")
    stage.watch(STOPPED)
    # `{}` in other tests scores every enabled model.
    for model_id in ("diag-picky", "diag-replaced", "diag-gate"):
        stage.catalog.set_enabled(model_id, enabled=False)


def command(capsys: Captured, *words: str) -> Any:
    """Return what a command prints: a JSON value with --json, else text."""
    capsys.readouterr()
    assert main(list(words)) == 0
    printed = capsys.readouterr().out
    return json.loads(printed) if "--json" in words else printed


@pytest.mark.usefixtures("failures")
def test_list_has_every_execution_with_its_outcome(capsys: Captured) -> None:
    listed = command(capsys, "list", "--json", "--since", "1h", "--last", "1000")
    found = {entry["execution_id"]: entry for entry in listed}
    assert [found[name]["status"] for name in (BAD_ROW, REFUSED, STOPPED)] == ["FAILED", "FAILED", "ABORTED"]
    assert (found[BAD_ROW]["jobs"], found[BAD_ROW]["jobs_failed"], found[REFUSED]["jobs"]) == (1, 1, None)
    starts = [entry["started_at"] for entry in listed]
    assert starts == sorted(starts, reverse=True)
    labelled = command(capsys, "list", "--json", "--label", LABEL)
    assert {entry["execution_id"] for entry in labelled} == {BAD_ROW, STOPPED}
    text = command(capsys, "list", "--label", LABEL, "--status", "ABORTED")
    assert STOPPED in text
    assert BAD_ROW not in text


@pytest.mark.usefixtures("failures")
def test_status_shows_times_place_and_committed_objects_of_a_failed_execution(capsys: Captured) -> None:
    text = command(capsys, "status", BAD_ROW, "--failed")
    assert f"Execution {BAD_ROW} ({LABEL}): FAILED" in text
    assert ", took " in text
    assert "Dataset: diag (2 objects" in text
    assert f"/predictions/dataset=diag/execution_id={BAD_ROW}/" in text
    assert "Committed: 1 of 2 objects" in text
    assert "diag-picky: MODEL:" in text
    assert "Stopped by hand: the wrong dataset" in command(capsys, "status", STOPPED)


@pytest.mark.usefixtures("failures")
def test_status_without_an_execution_shows_the_latest(capsys: Captured) -> None:
    listed = command(capsys, "list", "--json")
    newest = next(entry["execution_id"] for entry in listed if entry["kind"] == "scoring")
    assert main(["status", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["execution_id"] == newest
    assert f"The latest scoring execution is {newest}, started " in captured.err


def explained(capsys: Captured, *words: str) -> tuple[list[str], dict[str, Any]]:
    """Return the sources of a chain, from the symptom to the cause, and the whole answer."""
    answer = command(capsys, "why", "--json", *words)
    assert all(step["time"] for step in answer["steps"]), "each step has its time"
    assert answer["not_read"] == []
    return [step["what"] for step in answer["steps"]], answer


@pytest.mark.usefixtures("failures")
def test_why_leads_from_the_job_to_the_row_and_its_value(stage: Stage, capsys: Captured) -> None:
    [attempt] = stage.executions.attempts(BAD_ROW)["diag-picky"]
    name = attempt.sagemaker_job_name
    expected = [
        "job diag-picky",
        "attempt 1 of at most 3",
        f"SageMaker job {name}",
        "exit message of its container",
        "object bad.parquet, model diag-picky",
        "row 7, in the log",
    ]
    for words in ([BAD_ROW], [BAD_ROW, "diag-picky"], [stage.executions.execution_arn(BAD_ROW)], [name]):
        sources, answer = explained(capsys, *words)
        assert sources == expected
    texts = [step["text"] for step in answer["steps"]]
    assert "by the rule 'container: rows that the model cannot score' of the decision table" in texts[1]
    assert texts[2].startswith("Failed: AlgorithmError")
    assert texts[-1].endswith("nobody visits so often"), "only the log has the exception's text"
    text = command(capsys, "why", BAD_ROW)
    assert text.splitlines()[-1] == f"Next: {answer['next_command']}"


@pytest.mark.usefixtures("failures")
def test_why_names_an_artifact_that_was_replaced_and_is_never_loaded(stage: Stage, capsys: Captured) -> None:
    snapshot = stage.executions.snapshot(WRONG_DIGEST)
    (job,) = snapshot.jobs
    assert (snapshot.status, job.failure_kind, job.attempt) == (ExecutionStatus.FAILED, FailureKind.MODEL, 1)
    assert stage.predictions("diag", "diag-replaced", WRONG_DIGEST) == {}
    sources, answer = explained(capsys, WRONG_DIGEST)
    assert sources[-1] == "exit message of its container"
    assert "its artifact has SHA-256" in answer["steps"][-1]["text"]
    assert f"`{answer['next_command']}`" in answer["remedy"], "the remedy and the next command agree"


@pytest.mark.usefixtures("failures")
def test_why_shows_the_operators_cause_of_a_stop(capsys: Captured) -> None:
    sources, answer = explained(capsys, STOPPED)
    assert sources[-1] == "StopExecution"
    assert answer["steps"][-1]["text"] == "stopped by hand: the wrong dataset"
    assert answer["remedy"] == ""


@pytest.mark.usefixtures("failures")
def test_why_shows_the_problems_of_a_refused_request_and_a_check_that_repeats_them(capsys: Captured) -> None:
    sources, answer = explained(capsys, REFUSED)
    assert sources == ["the plan"]
    assert "models[0]: got 'no-such-model'" in answer["steps"][0]["problems"][0]
    program, *words = shlex.split(answer["next_command"])
    assert program == "fleetscore"
    assert main(words) == 2
    assert "no-such-model" in capsys.readouterr().err


@pytest.mark.usefixtures("failures")
def test_logs_are_merged_chosen_and_followed(capsys: Captured) -> None:
    lines = command(capsys, "logs", BAD_ROW).splitlines()
    assert lines == sorted(lines, key=lambda line: line.partition(" ")[0])
    assert any("ValueError: nobody visits so often" in line for line in lines)
    [failed, *_] = command(capsys, "logs", BAD_ROW, "diag-picky", "--filter", "object_failed").splitlines()
    assert " object_failed object=bad.parquet " in failed
    assert command(capsys, "logs", BAD_ROW, "--follow").splitlines() == lines
    capsys.readouterr()
    assert main(["logs", BAD_ROW, "--filter", "{ $.event = "]) == 2
    assert "--filter: got '{ $.event = ', expected a filter pattern" in capsys.readouterr().err


def test_a_training_is_listed_explained_and_logged(stage: Stage, capsys: Captured) -> None:
    stage.client("stepfunctions").start_execution(
        stateMachineArn=stage.deployment.training_state_machine_arn, name="diag-train", input='{"models": ["no-such"]}'
    )
    stage.watch("diag-train")
    [listed] = command(capsys, "list", "--json", "--training", "--last", "1")
    assert (listed["execution_id"], listed["kind"], listed["status"]) == ("diag-train", "training", "FAILED")
    answer = command(capsys, "why", "--json", "diag-train")
    assert answer["next_command"] == """fleetscore train --check --input '{"models": ["no-such"]}'"""
    assert main(["logs", "diag-train"]) == 2
    assert "`fleetscore why diag-train` says why" in capsys.readouterr().err
