"""`fleetscore prices`: the bundled ones, those of a file, and those of the Price List API."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from cli import main as entry
from cli.stage.connection import Connection
from contract.planner.prices import PriceTable, RegionPrices, bundled_prices
from contract.table.price_items import prices_item
from embedded.prices.service import PriceList
from tests.unit.cli.conftest import REGION

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def price_list(account: Connection) -> Callable[[Callable[[dict[str, Any]], None]], list[str]]:
    """Answer GetProducts as the embedded AWS does, with changed products; return the pages' tokens."""

    def prepare(change: Callable[[dict[str, Any]], None] = lambda _: None) -> list[str]:
        tokens: list[str] = []

        def answer(*, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
            request = json.loads(params["body"])
            tokens.append(request.get("NextToken", ""))
            page = PriceList(REGION).call("GetProducts", {**request, "MaxResults": 40})
            products = [json.loads(text) for text in page["PriceList"]]
            for product in products:
                change(product)
            return AWSResponse("", 200, {}, None), {**page, "PriceList": [json.dumps(item) for item in products]}

        account.session().events.register("before-call.pricing.GetProducts", answer)
        return tokens

    return prepare


def shown(capsys: Captured, *words: str) -> Any:
    capsys.readouterr()
    assert entry.main(["prices", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("account")
def test_prices_of_the_release_are_used_until_others_are_set(capsys: Captured, tmp_path: Path) -> None:
    bundled = shown(capsys, "show")
    assert (bundled["bundled"], bundled["date"]) == (True, bundled_prices().date)
    file = tmp_path / "prices.json"
    prices = {"processing": {"ml.m5.xlarge": 0.2}, "training_spot": {"ml.m5.xlarge": 0.08}}
    table = {"date": "2026-11-30", "source": "our contract", "regions": {REGION: prices, "us-east-1": prices}}
    file.write_text(json.dumps(table), encoding="utf-8")
    written = shown(capsys, "set", str(file))
    assert written == shown(capsys, "show")
    assert (written["bundled"], written["source"], written["training_spot"]) == (
        False,
        "our contract",
        {"ml.m5.xlarge": 0.08},
    )
    assert entry.main(["prices", "show"]) == 0
    assert "of 2026-11-30. Source: our contract." in capsys.readouterr().out
    assert shown(capsys, "reset") == bundled


@pytest.mark.usefixtures("account")
def test_file_without_the_stages_region_is_refused(capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    table = {"date": "2026-11-30", "source": "x", "regions": {"us-east-1": {"processing": {"ml.m5.xlarge": 0.2}}}}
    file.write_text(json.dumps(table), encoding="utf-8")
    assert entry.main(["prices", "set", str(file)]) == 2
    assert f"regions: got us-east-1, expected prices of {REGION}" in capsys.readouterr().err
    file.write_text(json.dumps({**table, "regions": {REGION: {"processing": {"ml.m5.xlarge": 0}}}}), encoding="utf-8")
    assert entry.main(["prices", "set", str(file)]) == 2
    assert f"regions.{REGION}.processing.ml.m5.xlarge: got 0" in capsys.readouterr().err


def test_refresh_reads_every_page_and_names_its_source(capsys: Captured, price_list: Any) -> None:
    tokens = price_list()
    found = shown(capsys, "refresh")
    assert found["processing"]["ml.c5.18xlarge"] == pytest.approx(3.6)
    assert found["training"]["ml.m5.xlarge"] == pytest.approx(0.2)
    assert found["source"].startswith("AWS Price List API, published 2000-01-01")
    assert "40" in tokens
    assert shown(capsys, "show") == found


def test_products_without_an_hourly_price_in_dollars_are_left_out(capsys: Captured, price_list: Any) -> None:
    def change(product: dict[str, Any]) -> None:
        [term] = product["terms"]["OnDemand"].values()
        [dimension] = term["priceDimensions"].values()
        name = product["product"]["attributes"].pop("instanceName")
        if name == "ml.m5.large":
            dimension["pricePerUnit"] = {"CNY": "1.00"}
        if name == "ml.m5.2xlarge":
            dimension["unit"] = "GB-Mo"
        if name == "ml.m5.4xlarge":
            dimension["pricePerUnit"] = {"USD": "0.0000000000"}

    price_list(change)
    processing = shown(capsys, "refresh")["processing"]
    assert not {"ml.m5.large", "ml.m5.2xlarge", "ml.m5.4xlarge"} & processing.keys()
    assert "ml.m5.xlarge" in processing, "the type is in instanceType too"


def test_refresh_without_prices_of_the_region_changes_nothing(capsys: Captured, price_list: Any) -> None:
    def change(product: dict[str, Any]) -> None:
        product["terms"] = {}

    before = shown(capsys, "show")
    price_list(change)
    assert entry.main(["prices", "refresh"]) == 2
    assert f"has no prices of SageMaker Processing in {REGION}" in capsys.readouterr().err
    assert shown(capsys, "show") == before


def test_refresh_keeps_the_origin_of_spot_prices_and_replaces_what_cannot_be_read(
    capsys: Captured, price_list: Any, account: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "prices.json"
    prices = {"processing": {"ml.m5.xlarge": 0.2}, "training_spot": {"ml.m5.xlarge": 0.08}}
    file.write_text(
        json.dumps({"date": "2026-11-30", "source": "our contract", "regions": {REGION: prices}}), encoding="utf-8"
    )
    shown(capsys, "set", str(file))

    def change(product: dict[str, Any]) -> None:
        if product["product"]["attributes"].get("instanceName") == "ml.m5.large":
            product["product"]["attributes"]["instanceName"] = "ml.M5 (new)"

    price_list(change)
    found = [shown(capsys, "refresh") for _ in range(3)]
    assert found[0] == found[2] == shown(capsys, "show")
    assert found[2]["source"] == "AWS Price List API, published 2000-01-01; spot: our contract, 2026-11-30"
    assert "ml.M5 (new)" not in found[2]["processing"]
    [table] = account.resource("dynamodb").tables.all()
    unusable = RegionPrices({"ml.m5.xlarge": 0.0}, training_spot={"ml.m5.xlarge": 0.08})
    table.put_item(Item=prices_item(PriceTable("2026-11-30", "by hand", {REGION: unusable})))
    assert entry.main(["prices", "show"]) != 0
    assert f"regions.{REGION}.processing.ml.m5.xlarge: got 0" in capsys.readouterr().err
    assert shown(capsys, "refresh")["training_spot"] == {}
