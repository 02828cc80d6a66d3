"""Filters of partitions, and the table that policies are matched against."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import glue

from embedded.ministack.glue import equalities, glue_resource_arn, install_partition_filters


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(glue, "_get_partitions", glue._get_partitions)
    install_partition_filters()
    glue._create_database({"DatabaseInput": {"Name": "lake"}})
    keys = [{"Name": "day", "Type": "string"}, {"Name": "hour", "Type": "int"}]
    glue._create_table({"DatabaseName": "lake", "TableInput": {"Name": "events", "PartitionKeys": keys}})
    for values in (["1", "7"], ["it's", "7"], ["1", "8"]):
        request = {"DatabaseName": "lake", "TableName": "events", "PartitionInput": {"Values": values}}
        glue._create_partition(request)
    yield
    glue.reset()


def get(**request: str) -> tuple[int, Any]:
    status, _, body = glue._get_partitions({"DatabaseName": "lake", "TableName": "events", **request})
    return status, json.loads(body)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("", 3), ("day='1'", 2), ("day = '1' AND hour=8", 1), ("day='it''s'", 1), ("day='2'", 0)],
)
def test_partitions_are_filtered(expression: str, expected: int) -> None:
    status, answer = get(Expression=expression)
    assert (status, len(answer["Partitions"])) == (200, expected)


@pytest.mark.parametrize("expression", ["day>'1'", "day='1' OR day='2'", "day='1' AND", "month='1'", "day IN ('1')"])
def test_other_expressions_are_refused(expression: str) -> None:
    status, answer = get(Expression=expression)
    assert (status, answer["__type"]) == (400, "InvalidInputException")
    assert expression in answer["message"]


def test_a_missing_table_is_not_found() -> None:
    assert get(TableName="none")[1]["__type"] == "EntityNotFoundException"


def test_policies_are_matched_against_the_table() -> None:
    body = json.dumps({"DatabaseName": "lake", "TableName": "events"}).encode()
    assert glue_resource_arn("GetPartitions", body, "us-east-1", "1") == "arn:aws:glue:us-east-1:1:table/lake/events"
    assert glue_resource_arn("CreateTable", body, "us-east-1", "1") == ""
    assert glue_resource_arn("GetTable", b"{", "us-east-1", "1") == ""
    assert equalities("") is None
