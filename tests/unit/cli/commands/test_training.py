"""`fleetscore train`, recipes, and decisions about trained versions."""

import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import main as entry
from cli.documents.recipe_document import read_recipe
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.decisions import Decisions
from cli.stage.catalog.recipes import Recipes
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions
from cli.views.executions.progress import PlainProgress
from contract import training_layout
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Model, ModelVersion, TrainedBy, VersionDecision
from contract.problems import InvalidInputError
from contract.status import ExecutionKind, ExecutionStatus, VersionState
from contract.table import catalog_items, records
from tests.unit.cli.builders import any_execution, any_job, end_in_step_functions, succeeded_job

Captured = pytest.CaptureFixture[str]

RECIPE: dict[str, Any] = {
    "trainer": "xgboost",
    "task": "binary",
    "training_dataset": "customers-labelled",
    "dataset": "customers",
    "label": "left",
    "features": "age:double,visits:int64",
    "format": "xgboost-ubj",
    "method": "predict",
    "promotion": {"floor": 0.7},
}


@pytest.fixture
def table(account: Connection, deployment: Deployment) -> Any:
    return account.resource("dynamodb").Table(deployment.table_name)


def recipe_file(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.json"
    path.write_text(json.dumps({**RECIPE, **changes}), encoding="utf-8")
    return path


def version(name: str, state: VersionState | None, reason: str = "auc 0.6 < floor 0.7") -> ModelVersion:
    spec = ModelSpec(
        model_id="churn",
        version=name,
        artifact_sha256="0" * 64,
        artifact_bytes=10,
        framework="xgboost",
        format="xgboost-ubj",
        model_file="model.ubj",
        method="predict",
        features=(Feature("age", "double"),),
    )
    registered = ModelVersion(
        spec=spec, dataset="customers", registered_at=f"2026-01-0{len(name)}", tags={"team": "risk"}
    )
    if state is None:
        return registered
    return replace(
        registered,
        metrics={"auc": 0.6},
        trained_by=TrainedBy("t-1", "dev-churn-1", "customers-labelled", "auc"),
        decision=VersionDecision(state, reason, "2026-01-01", "the training"),
    )


def put(table: Any, *versions: ModelVersion, current: str | None = None) -> None:
    for item in versions:
        table.put_item(Item=catalog_items.version_item(item))
    if current is not None:
        table.put_item(Item=catalog_items.model_item(Model("churn", current, updated_at="before")))


# ---- recipes
# -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("account")
def test_recipe_is_set_listed_shown_and_removed(tmp_path: Path, capsys: Captured) -> None:
    assert entry.main(["models", "recipe", "set", "churn", f"@{recipe_file(tmp_path)}"]) == 0
    assert "fleetscore train --models churn" in capsys.readouterr().out
    assert entry.main(["models", "recipe", "list"]) == 0
    assert "rule, floor 0.7" in capsys.readouterr().out
    assert entry.main(["models", "recipe", "show", "churn", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["promotion"]["floor"], shown["features"][1]["name"]) == (0.7, "visits")
    assert shown["updated_by"].startswith("arn:aws:")
    assert entry.main(["models", "recipe", "remove", "churn"]) == 0
    assert entry.main(["models", "recipe", "show", "churn"]) == 2
    assert "recipe set churn @recipe.json" in capsys.readouterr().err
    assert entry.main(["models", "recipe", "remove", "churn"]) == 2


def test_all_problems_of_a_recipe_are_reported_at_once(tmp_path: Path) -> None:
    path = recipe_file(
        tmp_path, model_id="other", metric="rmse", label="age", features="age", updated_by="me", colour="red"
    )
    with pytest.raises(InvalidInputError) as raised:
        read_recipe("churn", path)
    fields = {problem.field for problem in raised.value.problems}
    assert {"model_id", "updated_by", "features[0]", "colour"} <= fields


def test_recipe_with_a_prediction_column_named_like_a_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"output_columns: got \['age'\]"):
        read_recipe("churn", recipe_file(tmp_path, output_columns=["age"]))
    keys_only = recipe_file(tmp_path, output_columns=["age"], columns="keys", key_columns=["id"])
    assert read_recipe("churn", keys_only).recipe.output_columns == ("age",)


def test_training_script_is_packed_reproducibly_and_uploaded_by_digest(
    connection: Connection, deployment: Deployment, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "train.py").write_text("print('hello')")
    (source / "lib" / "more.py").write_text("")
    path = recipe_file(tmp_path, trainer="script", code={"program": "train.py", "source": "source"})
    document = read_recipe("churn", path)
    assert read_recipe("churn", path) == document
    recipe = Recipes(connection, deployment).set(document)
    assert recipe.code is not None
    key = training_layout.code_key("churn", recipe.code.sha256)
    body = connection.client("s3").get_object(Bucket=deployment.models_bucket, Key=key)["Body"].read()
    assert len(body) == recipe.code.bytes
    (tmp_path / "source.tar.gz").write_bytes(body)
    with tarfile.open(tmp_path / "source.tar.gz") as archive:
        assert sorted(archive.getnames()) == ["lib/more.py", "train.py"]


@pytest.mark.parametrize(
    ("code", "field", "words"),
    [
        ({"program": "other.py", "source": "source"}, "code.program", "which holds train.py"),
        ({"program": "train.py", "source": "nowhere"}, "code.source", "can be read"),
        ({"program": "train.py"}, "code.source", "folder or tar.gz"),
        ({"program": "train.py", "source": "recipe.json"}, "code.source", "gzipped tar archive"),
    ],
)
def test_missing_training_script_is_refused(tmp_path: Path, code: dict[str, str], field: str, words: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text("")
    with pytest.raises(InvalidInputError) as raised:
        read_recipe("churn", recipe_file(tmp_path, trainer="script", code=code))
    [problem] = raised.value.problems
    assert problem.field == field
    assert words in problem.expected


def test_training_script_larger_than_its_limit_is_read_in_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.documents.recipe_document.MAX_CODE_BYTES", 1_000)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text("")
    (tmp_path / "source" / "weights.bin").write_bytes(random.Random(0).randbytes(5_000_000))
    # A sparse file: reading all of it would take its size in memory.
    with (tmp_path / "huge.tar.gz").open("wb") as file:
        file.truncate(1 << 40)
    for source in ("source", "huge.tar.gz"):
        code = {"program": "train.py", "source": source}
        with pytest.raises(InvalidInputError, match="expected at most 1,000 bytes, packed"):
            read_recipe("churn", recipe_file(tmp_path, trainer="script", code=code))


# ---- decisions
# -----------------------------------------------------------------------------------------------


def test_approved_version_becomes_current(table: Any, connection: Connection, deployment: Deployment) -> None:
    put(table, version("1", None), version("t", VersionState.PENDING_APPROVAL), current="1")
    decisions = Decisions(connection, deployment)
    model, decided = decisions.approve("churn", "t", changed_by="me", reason="looked at it")
    assert model is not None
    assert (model.current_version, model.previous_version) == ("t", "1")
    assert (model.history[-1].reason, model.history[-1].changed_by) == ("looked at it", "me")
    assert decided.decision is not None
    assert (decided.decision.state, decided.decision.decided_by) == (VersionState.PROMOTED, "me")
    assert Catalog(connection, deployment).show("churn")[0] == model
    with pytest.raises(CommandError, match="promoted already"):
        decisions.approve("churn", "t", reason="again")


def test_approving_the_first_version_creates_the_model(
    table: Any, connection: Connection, deployment: Deployment
) -> None:
    put(table, version("t", VersionState.PENDING_APPROVAL))
    catalog = Catalog(connection, deployment)
    assert catalog.show("churn")[0] is None
    assert catalog.models() == []
    model, _ = Decisions(connection, deployment).approve("churn", "t")
    assert model is not None
    assert (model.enabled, model.tags, model.history[-1].reason) == (True, {"team": "risk"}, "approved")
    assert [found.model_id for found, _ in catalog.models()] == ["churn"]


def test_rejected_version_becomes_current_only_with_a_reason(
    table: Any, connection: Connection, deployment: Deployment
) -> None:
    put(table, version("1", None), version("t", VersionState.REJECTED), current="1")
    decisions = Decisions(connection, deployment)
    with pytest.raises(CommandError, match=r"auc 0\.6 < floor 0\.7.*--reason"):
        decisions.approve("churn", "t")
    model, _ = decisions.approve("churn", "t", reason="the floor was wrong")
    assert model is not None
    assert model.current_version == "t"


def test_only_a_pending_version_can_be_rejected(table: Any, connection: Connection, deployment: Deployment) -> None:
    put(table, version("1", None), version("t", VersionState.PENDING_APPROVAL), current="1")
    decisions = Decisions(connection, deployment)
    model, decided = decisions.reject("churn", "t", changed_by="me", reason="drifts")
    assert model is not None
    assert model.current_version == "1"
    assert decided.decision is not None
    assert (decided.decision.state, decided.decision.reason) == (VersionState.REJECTED, "drifts")
    with pytest.raises(CommandError, match="REJECTED"):
        decisions.reject("churn", "t")
    with pytest.raises(CommandError, match="registered and not trained"):
        decisions.reject("churn", "1")
    with pytest.raises(CommandError, match="no version 9"):
        decisions.approve("churn", "9")
    with pytest.raises(CommandError, match="no model 'nobody'"):
        decisions.approve("nobody", "9")


def test_promote_refuses_a_rejected_trained_version(table: Any, connection: Connection, deployment: Deployment) -> None:
    put(table, version("1", None), version("t", VersionState.REJECTED), current="1")
    with pytest.raises(CommandError, match="models approve churn t"):
        Catalog(connection, deployment).promote("churn", "t")
    put(table, version("t", VersionState.PROMOTED, "auc 0.8"))
    assert Catalog(connection, deployment).promote("churn", "t").current_version == "t"


def test_model_without_current_version_shows_pending_versions(table: Any, capsys: Captured) -> None:
    put(table, version("t", VersionState.PENDING_APPROVAL, "waits for approval: auc 0.6"))
    assert entry.main(["models", "show", "churn"]) == 0
    shown = capsys.readouterr().out
    assert "no current version" in shown
    assert "PENDING_APPROVAL" in shown
    assert "waits for approval: auc 0.6" in shown
    assert entry.main(["models", "show", "churn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["current_version"] is None
    assert entry.main(["models", "promote", "churn", "t"]) == 2
    assert "models approve" in capsys.readouterr().err
    assert entry.main(["models", "approve", "churn", "t", "--reason", "fine"]) == 0
    assert "PROMOTED, fine" in capsys.readouterr().out


# ---- training executions
# -------------------------------------------------------------------------------------


def test_train_starts_an_execution_of_the_training_workflow(
    account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    assert entry.main(["train", "--models", "churn,upsell", "--name", "by-hand", "--json"]) == 0
    arn = json.loads(capsys.readouterr().out)["execution_arn"]
    assert arn == Executions(account, deployment).training_arn("by-hand")
    described = account.client("stepfunctions").describe_execution(executionArn=arn)
    assert described["stateMachineArn"] == deployment.training_state_machine_arn
    assert json.loads(described["input"]) == {"models": ["churn", "upsell"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", '{"dataset": "x"}'], "dataset: got 'x', expected no such field"),
        (["--input", '{"models": ["a"]}', "--models", "b"], "Name the models once"),
        (["--input", "no json"], "JSON text"),
        (["--models", "A"], "models[0]: got 'A'"),
    ],
)
def test_invalid_training_request_is_refused(words: list[str], message: str, capsys: Captured) -> None:
    assert entry.main(["train", "--check", *words]) == 2
    assert message in capsys.readouterr().err


def test_training_request_is_checked_without_aws(capsys: Captured) -> None:
    assert entry.main(["train", "--check=form"]) == 0
    assert "valid" in capsys.readouterr().out


def test_status_finds_a_training_execution_by_its_id(
    table: Any, connection: Connection, deployment: Deployment, capsys: Captured
) -> None:
    executions = Executions(connection, deployment)
    executions.start_training("{}", "nightly-1")
    record = any_execution(
        execution_arn=executions.training_arn("nightly-1"),
        kind=ExecutionKind.TRAINING,
        status=ExecutionStatus.SUCCEEDED,
    )
    table.put_item(Item=records.execution_item(record))
    job = succeeded_job(kind=ExecutionKind.TRAINING, outcome="version t is current now: auc 0.8 >= floor 0.7")
    table.put_item(Item=records.job_item(job))
    end_in_step_functions("nightly-1", "SUCCEEDED")
    assert entry.main(["status", "nightly-1"]) == 0
    shown = capsys.readouterr().out
    assert "Training execution nightly-1: SUCCEEDED" in shown
    assert "churn: version t is current now: auc 0.8 >= floor 0.7" in shown
    assert executions.snapshot(executions.training_arn("nightly-1")).kind is ExecutionKind.TRAINING


def test_execution_that_trains_first_shows_its_training(
    table: Any, connection: Connection, deployment: Deployment
) -> None:
    executions = Executions(connection, deployment)
    executions.start('{"train": {}}', "nightly-1")
    record = any_execution(plan=None, training_execution_id="nightly-1-training-0")
    table.put_item(Item=records.execution_item(record))
    before = executions.snapshot("nightly-1")
    assert before.training is None, "the training may not have started"
    assert "trains first, in execution nightly-1-training-0" in before.note
    executions.start_training("{}", "nightly-1-training-0")
    job = any_job(execution_id="nightly-1-training-0", kind=ExecutionKind.TRAINING)
    table.put_item(Item=records.job_item(job))
    table.put_item(
        Item=records.execution_item(
            any_execution(
                execution_id="nightly-1-training-0",
                execution_arn=executions.training_arn("nightly-1-training-0"),
                kind=ExecutionKind.TRAINING,
            )
        )
    )
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    progress.show(executions.snapshot("nightly-1"))
    assert lines == ["1 training job planned over 4 objects"]
    table.put_item(Item=records.execution_item(replace(any_execution(), training_execution_id="nightly-1-training-0")))
    table.put_item(Item=records.job_item(any_job()))
    progress.show(executions.snapshot("nightly-1"))
    assert lines[1:] == ["1 job planned over 4 objects"]


@pytest.mark.usefixtures("account")
def test_resources_list_both_state_machines(deployment: Deployment, capsys: Captured) -> None:
    assert entry.main(["resources", "training_state_machine_arn"]) == 0
    assert capsys.readouterr().out.strip() == deployment.training_state_machine_arn


def test_a_floor_that_the_metric_never_reaches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"promotion.floor: got 70.0, expected at most 1, because auc is never"):
        read_recipe("churn", recipe_file(tmp_path, promotion={"floor": 70}))


def test_an_approval_ends_the_wait_after_a_rollback(
    connection: Connection, deployment: Deployment, table: Any, capsys: Captured
) -> None:
    put(table, version("1", None), version("22", None), current="22")
    put(table, version("333", VersionState.PENDING_APPROVAL))
    catalog = Catalog(connection, deployment)
    catalog.promote("churn", "1", reason="bad in production")
    assert entry.main(["models", "show", "churn"]) == 0
    shown = capsys.readouterr().out
    assert "Trained versions wait for approval since it was set back to version 1 (bad in production)" in shown
    assert "`fleetscore models promote churn 1` ends that" in shown
    model, _ = Decisions(connection, deployment).approve("churn", "333")
    assert model is not None
    assert (model.current_version, model.set_back) == ("333", None)
