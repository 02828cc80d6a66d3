"""`fleetscore estimates`."""

import json
from typing import Any

import pytest

from cli import main as entry
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.models import Model, ModelVersion
from contract.table import catalog_items
from contract.table.catalog_ids import catalog_id_key
from contract.table.estimate_items import EstimateRecord, Measured, Subject, add_measured, estimate_item, estimate_key
from contract.table.records import read_item
from tests.unit.lambdas.builders import any_model_spec

Captured = pytest.CaptureFixture[str]
TYPE = "ml.m5.xlarge"


@pytest.fixture
def table(account: Connection, deployment: Deployment) -> Any:
    table = account.resource("dynamodb").Table(deployment.table_name)
    for model_id in ("churn", "new"):
        version = ModelVersion(spec=any_model_spec(model_id), dataset="flights")
        table.put_item(Item=catalog_items.version_item(version))
        table.put_item(Item=catalog_items.model_item(Model(model_id, "1", True)))
        table.put_item(Item=catalog_id_key("MODEL", model_id))
    return table


def measure(table: Any, subject: Subject, name: str, measure_name: str, *values: float) -> None:
    found = [
        Measured(subject, name, measure_name, value, f"e-{number}", "2026-12-01T02:00:00.000Z")
        for number, value in enumerate(values)
    ]
    item = table.get_item(Key=estimate_key(subject, name)).get("Item")
    known = read_item(EstimateRecord, item) if item else EstimateRecord(subject, name, {})
    table.put_item(Item=estimate_item(add_measured(known, found), 2_000_000_000))


def run(capsys: Captured, *words: str) -> Any:
    capsys.readouterr()
    assert entry.main(["estimates", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_without_samples_everything_is_a_default(table: Any, capsys: Captured) -> None:
    found = run(capsys)
    assert found["models"] == []
    assert found["models_without_samples"] == 2
    [instance_type] = found["instance_types"]
    assert (instance_type["instance_type"], instance_type["startup_seconds"]["samples"]) == ("", 0)
    [model] = run(capsys, "--model", "new")["models"]
    assert (model["source"], model["rows_per_second"]["samples"]) == ("default", 0)


def test_what_was_measured_is_shown_by_instance_type_and_model(table: Any, capsys: Captured) -> None:
    measure(table, "INSTANCE", TYPE, "startup", 180, 190, 200, 210, 220)
    measure(table, "INSTANCE", TYPE, "download", 50 << 20)
    measure(table, "MODEL", "churn", TYPE, 10_000, 20_000, 30_000, 40_000, 50_000)
    found = run(capsys)
    # Of five samples, the 10th and 90th percentile are 184 and 216. Those of the next start-up are further apart.
    startup = {"median": 200, "percentile_10": 171, "percentile_90": 231, "samples": 5}
    [instance_type] = found["instance_types"]
    assert instance_type["instance_type"] == TYPE
    assert {name: round(value) for name, value in instance_type["startup_seconds"].items()} == startup
    assert instance_type["download_bytes_per_second"]["samples"] == 1
    [model] = found["models"]
    assert (model["model_id"], model["instance_type"], model["source"]) == ("churn", TYPE, "measured")
    assert model["rows_per_second"] == {
        "median": 30_000,
        "percentile_10": 14_000,
        "percentile_90": 46_000,
        "samples": 5,
    }
    assert found["models_without_samples"] == 1

    assert entry.main(["estimates"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    start_up = ["3", "min", "20", "s", "2", "min", "51", "s", "3", "min", "51", "s", "5", "measured"]
    assert [TYPE, *start_up, "50.0", "MiB/s", "(1", "sample)"] in lines
    assert ["churn", TYPE, "30,000", "14,000", "46,000", "5", "measured"] in lines
    assert lines[-1][:6] == ["Not", "measured:", "1", "model", "or", "fleet."]


def test_a_model_that_was_not_measured_gets_the_rate_of_its_format(table: Any, capsys: Captured) -> None:
    spec = any_model_spec("new")
    measure(table, "FORMAT", f"{spec.format}/1KB", TYPE, 7_000)
    [model] = run(capsys, "--model", "new")["models"]
    assert (model["source"], model["rows_per_second"]["median"]) == ("same format", 7_000)


def test_an_unknown_model_is_refused(table: Any, capsys: Captured) -> None:
    assert entry.main(["estimates", "--model", "nobody"]) != 0
    assert "--model: got 'nobody', expected the id of a model or a fleet" in capsys.readouterr().err
