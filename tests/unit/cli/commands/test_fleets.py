"""`fleetscore fleets`, and the fields of models that belong to one."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main as entry
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.fleets import FleetRecord
from contract.catalog.models import Compute, Model, ModelVersion
from contract.table import catalog_items, records
from tests.unit.cli.builders import make_archive
from tests.unit.lambdas.builders import any_model_spec

Captured = pytest.CaptureFixture[str]
Command = Callable[..., Any]


@pytest.fixture
def table(account: Connection, deployment: Deployment) -> Any:
    return account.resource("dynamodb").Table(deployment.table_name)


@pytest.fixture
def command(table: Any, capsys: Captured) -> Command:
    """Return a function that runs the command with --json and returns what it prints."""

    def run(*words: str) -> Any:
        capsys.readouterr()
        status = entry.main([*words, "--json"])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return json.loads(captured.out)

    return run


def member(table: Any, model_id: str, *route: str, enabled: bool = True, fleet: str = "flights", **spec: Any) -> None:
    version = ModelVersion(spec=any_model_spec(model_id, **spec), dataset="flights", fleet=fleet, route=route)
    table.put_item(Item=catalog_items.version_item(version))
    table.put_item(Item=catalog_items.model_item(Model(model_id, "1", enabled)))


def stored(table: Any, fleet_id: str = "flights") -> FleetRecord:
    return records.read_item(FleetRecord, table.get_item(Key=catalog_items.fleet_key(fleet_id))["Item"])


def test_a_fleet_is_created_and_changed_field_by_field(table: Any, command: Command) -> None:
    command("fleets", "set", "flights", "--dataset", "flights", "--route-by", "hour:int64", "--instance-count", "4")
    command("fleets", "set", "flights", "--unmatched", "model:rest", "--instance-type", "ml.c5.large")
    fleet = stored(table)
    assert (fleet.dataset, fleet.route_by, fleet.route_type, fleet.unmatched) == (
        "flights",
        "hour",
        "int64",
        "model:rest",
    )
    assert fleet.compute == Compute("ml.c5.large", 4)
    assert fleet.updated_by
    command("fleets", "set", "flights", "--route-by", "carrier")
    assert (stored(table).route_by, stored(table).route_type) == ("carrier", "string")
    [listed] = command("fleets", "list")
    assert (listed["fleet_id"], listed["enabled_models"]) == ("flights", 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "flights"], "route_by: got nothing, expected a value"),
        (["--dataset", "flights", "--route-by", "carrier", "--unmatched", "drop"], "unmatched: got 'drop', expected"),
        (["--dataset", "No", "--route-by", "carrier"], "dataset: got 'No', expected"),
        (["--dataset", "d", "--route-by", "c", "--max-attempts", "99"], "max_attempts: got 99, expected 1 to 10"),
        (["--dataset", "d", "--route-by", "c", "--instance-count", "0"], "instance_count: got 0, expected 1 to 100"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(table: Any, capsys: Captured, words: list[str], message: str) -> None:
    assert entry.main(["fleets", "set", "flights", *words]) == 2
    assert message in capsys.readouterr().err
    assert "Item" not in table.get_item(Key=catalog_items.fleet_key("flights"))


def test_show_lists_models_routes_and_problems(table: Any, command: Command, capsys: Captured) -> None:
    command("fleets", "set", "flights", "--dataset", "flights", "--route-by", "carrier", "--unmatched", "model:rest")
    member(table, "ua", "UA", "UX")
    member(table, "aa", "AA", "UA", output_format="csv")
    member(table, "dl", "DL", enabled=False)
    member(table, "rest")
    member(table, "alone", fleet="")
    shown = command("fleets", "show", "flights")
    assert [(model["model_id"], model["enabled"], model["route"]) for model in shown["models"]] == [
        ("aa", True, ["AA", "UA"]),
        ("dl", False, ["DL"]),
        ("rest", True, []),
        ("ua", True, ["UA", "UX"]),
    ]
    problems = "\n".join(shown["problems"])
    assert (
        "model 'ua': route: got 'UA', expected a route of one model; model 'aa' of fleet 'flights' has it" in problems
    )
    assert "model 'rest' and 1 more: output_format: got 'parquet', expected 'csv' as for model 'aa'" in problems
    assert entry.main(["fleets", "show", "flights"]) == 0
    text = capsys.readouterr().out
    assert "3 enabled models, 1 disabled:" in text
    assert "all unmatched rows" in text
    assert "Problem: model 'ua': route" in text
    assert "compute" not in text
    assert re.search(r"^instance_type +the stage's", text, re.MULTILINE)


def test_set_says_what_a_plan_would_refuse(table: Any, capsys: Captured) -> None:
    words = ["fleets", "set", "flights", "--dataset", "flights", "--route-by", "carrier"]
    assert entry.main(words) == 0
    assert "Note" not in capsys.readouterr().out
    for model_id in "abcdefg":
        member(table, model_id, model_id.upper())
    assert entry.main(words) == 0
    assert "Note" not in capsys.readouterr().out
    assert entry.main(["fleets", "set", "flights", "--unmatched", "model:rest"]) == 0
    note = "Note: a plan would refuse fleet flights now: fleet 'flights': unmatched: got 'rest', expected an enabled"
    assert note in capsys.readouterr().out
    assert entry.main(["fleets", "set", "flights", "--route-by", "hour:int64"]) == 0
    assert "and 3 more problems: `fleetscore fleets show flights`" in capsys.readouterr().out


def test_a_model_without_a_dataset_has_that_of_its_fleet(table: Any, tmp_path: Path, capsys: Captured) -> None:
    make_archive(tmp_path / "m.tar.gz", {"m.json": b'{"learner": {}, "version": [3, 0, 0]}'})
    document = {"features": "a:double", "format": "xgboost-json", "method": "predict", "model_file": "m.json"}
    document |= {"artifact": "m.tar.gz", "fleet": "flights"}
    lines = [{**document, "model_id": model_id, "route": [model_id]} for model_id in ("ua", "aa", "dl")]
    lines[2]["dataset"] = "own"
    path = tmp_path / "models.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert entry.main(["models", "register", "--bulk", str(path), "--no-load-check"]) == 2
    shown = capsys.readouterr().err
    assert "lines 1 and 2: fleet: got 'flights', expected the id of a fleet. Create it first" in shown
    assert "dataset" not in shown.replace("--dataset", "")
    entry.main(["fleets", "set", "flights", "--dataset", "flights-2026", "--route-by", "carrier"])
    assert entry.main(["models", "register", "--bulk", str(path), "--no-load-check"]) == 0
    (tmp_path / "one.json").write_text(json.dumps({**lines[0], "model_id": "one", "route": ["B6"]}))
    assert entry.main(["models", "register", f"@{tmp_path}/one.json", "--no-load-check"]) == 0
    found = {
        model_id: records.read_item(
            ModelVersion, table.get_item(Key=catalog_items.version_key(model_id, "1"))["Item"]
        ).dataset
        for model_id in ("ua", "aa", "dl", "one")
    }
    assert found == {"ua": "flights-2026", "aa": "flights-2026", "dl": "own", "one": "flights-2026"}


def test_bulk_registration_says_what_a_plan_would_refuse(table: Any, tmp_path: Path, capsys: Captured) -> None:
    entry.main(["fleets", "set", "flights", "--dataset", "flights", "--route-by", "carrier"])
    member(table, "broken", "AA", fleet="other")
    make_archive(tmp_path / "m.tar.gz", {"m.json": b'{"learner": {}, "version": [3, 0, 0]}'})
    document = {
        "dataset": "flights",
        "features": "a:double",
        "format": "xgboost-json",
        "method": "predict",
        "artifact": "m.tar.gz",
        "model_file": "m.json",
        "fleet": "flights",
    }
    lines = [{**document, "model_id": model_id, "route": ["UA", model_id]} for model_id in ("ua", "ux")]
    (tmp_path / "models.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["models", "register", "--bulk", str(tmp_path / "models.jsonl"), "--no-load-check"]
    assert entry.main(words) == 0
    assert (
        "Note: a plan would refuse fleet flights now: model 'ux': route: got 'UA', expected a route of one model; "
        "model 'ua'"
    ) in " ".join(capsys.readouterr().out.split())


def test_a_fleet_with_enabled_models_is_not_deleted(table: Any, command: Command, capsys: Captured) -> None:
    command("fleets", "set", "flights", "--dataset", "flights", "--route-by", "carrier")
    member(table, "ua", "UA")
    assert entry.main(["fleets", "delete", "flights"]) == 2
    assert "Fleet flights has 1 enabled models, such as ua." in capsys.readouterr().err
    member(table, "ua", "UA", enabled=False)
    command("fleets", "delete", "flights")
    assert entry.main(["fleets", "show", "flights"]) == 2
    assert "There is no fleet 'flights'." in capsys.readouterr().err


def test_models_list_has_a_column_of_fleets_if_a_model_is_in_one(
    table: Any, command: Command, capsys: Captured
) -> None:
    member(table, "alone", fleet="")
    entry.main(["models", "list"])
    assert "fleet" not in capsys.readouterr().out
    member(table, "ua", "UA", fleet="by-carrier")
    entry.main(["models", "list"])
    assert "by-carrier" in capsys.readouterr().out


def test_run_names_models_and_fleets_once(capsys: Captured) -> None:
    assert entry.main(["run", "--check=form", "--fleets", "flights,stores", "--models", "churn"]) == 0
    assert entry.main(["run", "--check=form", "--fleets", "Flights"]) == 2
    assert "fleets[0]: got 'Flights'" in capsys.readouterr().err
    assert entry.main(["run", "--check=form", "--fleets", "a", "--input", '{"fleets": ["b"]}']) == 2
    assert "Name the fleets once: with --fleets or in --input." in capsys.readouterr().err


def test_routes_without_a_fleet_are_refused(tmp_path: Path, capsys: Captured, account: Connection) -> None:
    document = tmp_path / "model.json"
    fields = {"model_id": "ua", "artifact": "m.tar.gz", "dataset": "flights", "format": "xgboost-json"}
    document.write_text(json.dumps({**fields, "method": "predict", "features": "a:double", "model_file": "m.json"}))
    assert entry.main(["models", "register", f"@{document}", "--route", "UA,UX"]) == 2
    assert "route: got ['UA', 'UX'], expected no routes, because fleet is not set" in capsys.readouterr().err


def test_a_model_and_a_recipe_of_an_unknown_fleet_are_refused(table: Any, tmp_path: Path, capsys: Captured) -> None:
    archive = make_archive(tmp_path / "m.tar.gz", {"m.json": b'{"learner": {}, "version": [3, 0, 0]}'})
    fields = {"dataset": "flights", "features": "a:double", "format": "xgboost-json", "method": "predict"}
    document = {**fields, "model_id": "ua", "artifact": str(archive), "model_file": "m.json"}
    (tmp_path / "model.json").write_text(json.dumps(document))
    words = ["--fleet", "nowhere", "--route", "UA", "--no-load-check"]
    assert entry.main(["models", "register", f"@{tmp_path}/model.json", *words]) == 2
    message = "fleet: got 'nowhere', expected the id of a fleet. Create it first: `fleetscore fleets set nowhere"
    assert message in capsys.readouterr().err
    (tmp_path / "models.jsonl").write_text(json.dumps({**document, "fleet": "nowhere", "route": ["UA"]}))
    assert entry.main(["models", "register", "--bulk", str(tmp_path / "models.jsonl"), "--no-load-check"]) == 2
    assert f"line 1, model ua: {message}" in capsys.readouterr().err
    recipe = {**fields, "trainer": "xgboost", "task": "binary", "training_dataset": "learn", "label": "late"}
    (tmp_path / "recipe.json").write_text(json.dumps({**recipe, "fleet": "nowhere", "route": ["UA"]}))
    assert entry.main(["models", "recipe", "set", "ua", f"@{tmp_path}/recipe.json"]) == 2
    assert message in capsys.readouterr().err
    entry.main(["fleets", "set", "nowhere", "--dataset", "flights", "--route-by", "carrier"])
    assert entry.main(["models", "recipe", "set", "ua", f"@{tmp_path}/recipe.json"]) == 0
