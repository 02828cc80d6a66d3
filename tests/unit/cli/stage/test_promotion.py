"""Promotion, rollback, and the history of the current version."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.catalog_table import CatalogTable
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.model_fields import Feature
from contract.catalog.models import HISTORY_LIMIT, Model
from contract.table import catalog_items
from tests.unit.cli.builders import make_archive


@pytest.fixture
def catalog(connection: Connection, deployment: Deployment, tmp_path: Path) -> Catalog:
    """A catalog with versions 1, 2 and 3 of `churn`; 3 is current."""
    catalog = Catalog(connection, deployment)
    archive = make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"some model"})
    document = ModelDocument(
        model_id="churn",
        artifact=str(archive),
        dataset="customers",
        format="sklearn-joblib",
        model_file="model.joblib",
        method="predict",
        features=(Feature("age", "double"),),
        tags={"team": "ads"},
    )
    for version in ("1", "2", "3"):
        catalog.register(replace(document, version=version), registered_by="trainer")
    return catalog


def model_of(catalog: Catalog) -> Model:
    return catalog.show("churn")[0]


def test_promotion_is_recorded_in_the_history_with_its_reason(catalog: Catalog) -> None:
    promoted = catalog.promote("churn", "1", changed_by="me", reason="3 drifts")
    assert promoted == model_of(catalog)
    assert (promoted.current_version, promoted.previous_version, promoted.tags) == ("1", "3", {"team": "ads"})
    changes = [(change.version, change.changed_by, change.reason) for change in promoted.history]
    assert changes == [
        ("1", "trainer", "registered"),
        ("2", "trainer", "registered"),
        ("3", "trainer", "registered"),
        ("1", "me", "3 drifts"),
    ]


def test_second_rollback_undoes_the_first(catalog: Catalog) -> None:
    assert catalog.roll_back("churn").current_version == "2"
    again = catalog.roll_back("churn", reason="it was not the model")
    assert (again.current_version, again.previous_version) == ("3", "2")
    assert again.history[-1].reason == "it was not the model"


def test_trained_versions_wait_from_a_rollback_until_somebody_chooses_a_version(catalog: Catalog) -> None:
    rolled_back = catalog.roll_back("churn", changed_by="me", reason="bad in production")
    assert rolled_back.set_back == rolled_back.history[-1]
    assert catalog.promote("churn", "1").set_back is not None  # further back
    chosen = catalog.promote("churn", "1", changed_by="me")  # the current one
    assert (chosen.set_back, chosen.current_version) == (None, "1")
    assert catalog.promote("churn", "3").set_back is None
    assert catalog.promote("churn", "2").set_back is not None
    assert catalog.promote("churn", "3").set_back is None  # a newer one
    catalog.roll_back("churn")
    assert catalog.roll_back("churn").set_back is None
    assert model_of(catalog).set_back is None


def test_promoting_the_current_version_changes_nothing(catalog: Catalog) -> None:
    before = model_of(catalog)
    assert catalog.promote("churn", "3") == before
    assert model_of(catalog) == before


def test_promoting_an_unknown_version_is_refused(catalog: Catalog) -> None:
    with pytest.raises(CommandError, match=r"no version 9\. It has: 1, 2, 3"):
        catalog.promote("churn", "9")
    with pytest.raises(CommandError, match="There is no model 'nobody'"):
        catalog.promote("nobody", "1")


def test_version_deleted_during_promotion_does_not_become_current(
    catalog: Catalog, connection: Connection, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = connection.resource("dynamodb").Table(deployment.table_name)
    read = CatalogTable.read

    def read_then_delete(self: CatalogTable, model_id: str) -> Any:
        answer = read(self, model_id)
        table.delete_item(Key=catalog_items.version_key("churn", "1"))
        return answer

    monkeypatch.setattr(CatalogTable, "read", read_then_delete)
    with pytest.raises(CommandError, match="no version 1"):
        catalog.promote("churn", "1")


def test_rollback_of_a_model_with_one_version_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    document = ModelDocument(
        model_id="young",
        artifact=str(tmp_path / "model.tar.gz"),
        dataset="customers",
        format="sklearn-joblib",
        model_file="model.joblib",
        method="predict",
        features=(Feature("age", "double"),),
    )
    catalog.register(document)
    with pytest.raises(CommandError, match="has no previous version"):
        catalog.roll_back("young")


def test_history_is_limited(catalog: Catalog) -> None:
    for turn in range(HISTORY_LIMIT):
        catalog.promote("churn", "1" if turn % 2 == 0 else "2", reason=f"turn {turn}")
    history = model_of(catalog).history
    assert [change.reason for change in history] == [f"turn {turn}" for turn in range(HISTORY_LIMIT)]


def test_promotion_keeps_a_concurrent_change(
    catalog: Catalog, connection: Connection, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = CatalogTable.read
    others = [Catalog(connection, deployment)]

    def read_then_promote(self: CatalogTable, model_id: str) -> Any:
        answer = read(self, model_id)
        while others:
            others.pop().promote(model_id, "1", reason="somebody else's")
        return answer

    monkeypatch.setattr(CatalogTable, "read", read_then_promote)
    model = catalog.promote("churn", "2")
    assert [change.version for change in model.history[-2:]] == ["1", "2"]
    assert model.previous_version == "1"


def test_model_record_of_the_previous_release_is_read_and_promoted(
    catalog: Catalog, connection: Connection, deployment: Deployment
) -> None:
    """Records of that release have no previous version, no history and no tags of versions."""
    table = connection.resource("dynamodb").Table(deployment.table_name)
    for key, new in (
        (catalog_items.model_key("churn"), "previous_version, history"),
        (catalog_items.version_key("churn", "1"), "tags"),
    ):
        names = {"#tags": "tags"} if new == "tags" else {}
        words = {"ExpressionAttributeNames": names} if names else {}
        table.update_item(Key=key, UpdateExpression=f"REMOVE {'#tags' if names else new}", **words)
    assert (model_of(catalog).previous_version, model_of(catalog).history) == (None, ())
    promoted = catalog.promote("churn", "1")
    assert (promoted.previous_version, len(promoted.history)) == ("3", 1)
