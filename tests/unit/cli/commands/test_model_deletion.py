"""`fleetscore models delete`: what it removes, and what it refuses to remove."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.main import main
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.fleets import Fleets
from cli.stage.catalog.model_deletion import ModelDeletion
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions
from contract import training_layout
from contract.catalog.model_fields import Feature
from contract.status import ExecutionStatus
from contract.table import catalog_items, records
from tests.unit.cli.builders import any_execution, end_in_step_functions, make_archive, running_job

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def document(tmp_path: Path) -> ModelDocument:
    archive = make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"some model"})
    return ModelDocument(
        model_id="churn",
        artifact=str(archive),
        dataset="customers",
        format="sklearn-joblib",
        model_file="model.joblib",
        method="predict",
        features=(Feature("age", "double"),),
    )


@pytest.fixture
def catalog(account: Connection, deployment: Deployment, document: ModelDocument) -> Catalog:
    """Return a catalog with the versions 1, 2 and 3 of `churn`; 3 is current."""
    catalog = Catalog(account, deployment)
    for version in ("1", "2", "3"):
        catalog.register(replace(document, version=version))
    catalog.register(replace(document, model_id="churn-b", version="1"))
    return catalog


@pytest.fixture
def table(account: Connection) -> Any:
    return account.resource("dynamodb").Table("some-table")


def keys(catalog: Catalog) -> list[str]:
    return [entry["Key"] for entry in catalog.s3.list_objects_v2(Bucket="some-models").get("Contents", ())]


def test_a_model_goes_with_its_versions_recipe_and_objects(catalog: Catalog, table: Any, capsys: Captured) -> None:
    table.put_item(Item=catalog_items.recipe_key("churn"))
    for model_id in ("churn", "churn-b"):
        catalog.s3.put_object(Bucket="some-models", Key=training_layout.code_key(model_id, "0" * 64), Body=b"script")
    assert main(["models", "delete", "churn", "--yes"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "Deleted model churn with 3 versions and its recipe."
    assert "noncurrent_version_days" in shown.out
    assert catalog.read("churn") == (None, {})
    assert sorted(keys(catalog)) == sorted(["churn-b/1/model.tar.gz", training_layout.code_key("churn-b", "0" * 64)])
    assert [model.model_id for model, _ in catalog.models()] == ["churn-b"]
    versions = catalog.s3.list_object_versions(Bucket="some-models", Prefix="churn/")["Versions"]
    assert len(versions) == 3, "the bucket keeps what was deleted"
    assert main(["models", "delete", "churn", "--yes"]) == 2
    assert "There is no model 'churn'" in capsys.readouterr().err


def test_a_version_goes_alone_and_rollback_does_not_choose_it(catalog: Catalog, capsys: Captured) -> None:
    assert main(["models", "delete", "churn", "--version", "2", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "model_id": "churn", "versions": ["2"], "recipe": False, "objects": 1, "model_deleted": False,
    }  # fmt: skip
    model, versions = catalog.read("churn")
    assert model is not None
    assert (sorted(versions), model.current_version, model.previous_version) == (["1", "3"], "3", None)
    assert "churn/2/model.tar.gz" not in keys(catalog)
    assert main(["models", "rollback", "churn"]) == 2
    assert "has no previous version" in capsys.readouterr().err


def test_what_an_interruption_left_is_deleted_by_the_next_run(catalog: Catalog, table: Any) -> None:
    table.delete_item(Key=catalog_items.version_key("churn", "1"))
    assert main(["models", "delete", "churn", "--version", "1", "--yes"]) == 0
    assert "churn/1/model.tar.gz" not in keys(catalog)
    table.delete_item(Key=catalog_items.model_key("churn"))
    table.delete_item(Key=catalog_items.version_key("churn", "2"))
    assert main(["models", "delete", "churn", "--yes"]) == 0
    assert catalog.read("churn") == (None, {})


def test_a_model_whose_artifacts_are_not_deleted_stays_disabled_with_its_records(
    catalog: Catalog, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelDeletion, "_delete_objects", refuse)
    assert main(["models", "delete", "churn", "--yes"]) == 130
    model, versions = catalog.read("churn")
    assert model is not None
    assert (model.enabled, len(versions)) == (False, 3)


def test_the_current_version_and_unknown_names_are_refused(catalog: Catalog, capsys: Captured) -> None:
    for words, why in (
        (["churn", "--version", "3"], "Version 3 is the current version of model churn."),
        (["churn", "--version", "9"], "Model churn has no version 9. It has: 1, 2, 3."),
        (["nothing"], "There is no model 'nothing'."),
        (["churn"], "Add --yes to delete model churn with 3 versions: there is no terminal to ask."),
    ):
        assert main(["models", "delete", *words]) == 2
        assert why in capsys.readouterr().err
    assert len(catalog.versions("churn")) == 3


def test_a_model_of_a_fleet_is_refused(
    catalog: Catalog, account: Connection, deployment: Deployment, table: Any, capsys: Captured
) -> None:
    Fleets(account, deployment).set("stores", {"dataset": "customers", "route_by": "store"})
    version = replace(catalog.versions("churn")["3"], fleet="stores", route=("1",))
    table.put_item(Item=catalog_items.version_item(version))
    assert main(["models", "delete", "churn", "--yes"]) == 2
    assert "Model churn is in fleet stores." in capsys.readouterr().err
    Fleets(account, deployment)
    table.delete_item(Key=catalog_items.fleet_key("stores"))
    assert main(["models", "delete", "churn", "--yes"]) == 0


def test_a_model_of_a_running_execution_is_refused(
    catalog: Catalog, account: Connection, deployment: Deployment, table: Any, capsys: Captured
) -> None:
    Executions(account, deployment).start("{}", "nightly-1")
    words = ["models", "delete", "churn", "--yes"]
    assert main(words) == 2
    assert "Execution nightly-1 is being planned and may use it" in capsys.readouterr().err
    # The plan writes the records of jobs before its own, and may not have written this model's yet.
    table.put_item(Item=records.execution_item(any_execution(plan=None)))
    table.put_item(Item=records.job_item(running_job("another")))
    assert main(words) == 2
    assert "Execution nightly-1 is being planned and may use it" in capsys.readouterr().err
    table.put_item(Item=records.execution_item(any_execution()))
    table.put_item(Item=records.job_item(running_job("churn", model_versions=("2",))))
    for more in ([], ["--version", "2"]):
        assert main([*words, *more]) == 2
        assert "used by the running execution nightly-1" in capsys.readouterr().err
    model, _ = catalog.read("churn")
    assert model is not None
    assert model.enabled, "a refusal changes nothing"
    assert main([*words, "--version", "1"]) == 0
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.SUCCEEDED)))
    end_in_step_functions("nightly-1", "SUCCEEDED")
    assert main(words) == 0


def test_the_id_can_be_typed(catalog: Catalog, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.models.model_deletion.sys.stdin.isatty", lambda: True, raising=False)
    for answer, status in (("chum", 2), ("churn", 0)):
        monkeypatch.setattr("cli.commands.models.model_deletion.click.prompt", lambda *_, answer=answer, **__: answer)
        assert main(["models", "delete", "churn"]) == status
    assert catalog.read("churn") == (None, {})


def test_a_new_registration_goes_on_counting_after_a_deletion(
    catalog: Catalog, document: ModelDocument, table: Any, capsys: Captured
) -> None:
    catalog.promote("churn", "2")
    assert main(["models", "delete", "churn", "--version", "3", "--yes"]) == 0
    assert catalog.register(document).version.spec.version == "4", "the highest number that was ever used counts"
    assert main(["models", "delete", "churn", "--yes"]) == 0
    assert [model.model_id for model, _ in catalog.models()] == ["churn-b"]
    for words in (["show", "churn"], ["delete", "churn", "--yes"], ["promote", "churn", "4"]):
        assert main(["models", *words]) == 2
        assert "There is no model 'churn'" in capsys.readouterr().err
    with pytest.raises(CommandError, match=r"Version 2 of model churn was deleted at 20.*leave it out"):
        catalog.register(replace(document, version="2"))
    again = catalog.register(document)
    assert (again.version.spec.version, again.model.previous_version) == ("5", None)
    assert sorted(catalog.versions("churn")) == ["5"]
    assert main(["models", "promote", "churn", "4"]) == 2
    assert "Model churn has no version 4. It has: 5." in capsys.readouterr().err


def test_a_bulk_registration_does_not_use_the_name_of_a_deleted_version(
    catalog: Catalog, document: ModelDocument, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["models", "delete", "churn", "--yes"]) == 0
    lines = [
        {"model_id": "churn", "artifact": document.artifact, "dataset": "customers", "format": "sklearn-joblib"}
        | {
            "model_file": "model.joblib",
            "method": "predict",
            "features": [{"name": "age", "type": "double"}],
            **version,
        }
        for version in ({"version": "3"}, {})
    ]
    file = tmp_path / "models.jsonl"
    for line, status in zip(lines, (2, 0), strict=True):
        file.write_text(json.dumps(line))
        capsys.readouterr()
        assert main(["models", "register", "--bulk", str(file), "--no-load-check"]) == status
        if status:
            assert "a version that was never used (it was deleted at 20" in capsys.readouterr().err
    assert sorted(catalog.versions("churn")) == ["4"]
