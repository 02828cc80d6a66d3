from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given

from contract.catalog.models import Model, ModelVersion
from contract.problems import InvalidInputError
from contract.status import ExecutionStatus, JobStatus
from contract.table import catalog_items, records, upload_records
from contract.table.attributes import from_attribute, to_attributes
from contract.table.item_size import MAX_ITEM_BYTES, check_item_size
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.table.upload_records import UploadWindow
from tests.unit.contract import strategies

ITEM_OF = {
    JobRecord: records.job_item,
    AttemptRecord: records.attempt_item,
    ExecutionRecord: records.execution_item,
    Model: catalog_items.model_item,
    ModelVersion: catalog_items.version_item,
    UploadWindow: upload_records.upload_window_item,
}


@given(strategies.table_records)
def test_every_record_survives_dynamodb(record: Any) -> None:
    make: Any = ITEM_OF[type(record)]
    item = make(record)
    stored = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    read = {name: TypeDeserializer().deserialize(value) for name, value in stored.items()}
    assert records.read_item(type(record), read) == record


@given(strategies.job_records)
def test_index_key_of_a_job_has_its_status(job: JobRecord) -> None:
    item = records.job_item(job, expires_at=7)
    assert item[records.INDEX_PARTITION_KEY] == records.jobs_by_status(job.execution_id, job.status)
    assert item[records.TIME_TO_LIVE] == 7


def test_attempt_keys_sort_by_number() -> None:
    keys = [records.attempt_key("e", "j", attempt)[records.SORT_KEY] for attempt in range(1, 12)]
    assert keys == sorted(keys)


def test_execution_index_sorts_by_time() -> None:
    executions = [
        ExecutionRecord(name, "arn", ExecutionStatus.RUNNING, started_at, "{}")
        for name, started_at in (("z", "2026-01-01T00:00:00.000Z"), ("a", "2026-01-02T00:00:00.000Z"))
    ]
    keys = [records.execution_index(record)[records.INDEX_SORT_KEY] for record in executions]
    assert keys == sorted(keys)


def test_job_keys_of_executions_do_not_overlap() -> None:
    assert records.jobs_by_status("e", JobStatus.RUNNING) != records.jobs_by_status("e-1", JobStatus.RUNNING)
    assert records.job_key("e", "j")[records.PARTITION_KEY] != records.job_key("e-1", "j")[records.PARTITION_KEY]


def test_item_of_another_kind_is_refused_with_its_key() -> None:
    item = catalog_items.model_item(Model("delays-ua", "1"))
    with pytest.raises(InvalidInputError, match="item MODEL#delays-ua / MODEL"):
        records.read_item(JobRecord, item)


def test_fractions_become_exact_decimals() -> None:
    assert to_attributes({"share": 12.5, "gone": None, "flag": True}) == {"share": Decimal("12.5"), "flag": True}


@pytest.mark.parametrize("value", [1e-300, -1e-300, 5e-324, 1e100, 0.1, -0.0])
def test_every_metric_fits_into_an_item(value: float) -> None:
    stored = TypeSerializer().serialize(to_attributes({"metric": value}))
    assert float(stored["M"]["metric"]["N"]) == (value if abs(value) > 1e-120 else 0)


def test_a_long_list_is_stored_compressed_and_read_again() -> None:
    columns = [{"name": f"col_{number:040d}", "type": "double", "nullable": number % 2 == 0} for number in range(9_000)]
    mixed = [*columns, {"name": "ü", "type": "string"}, None, 1.5]
    for values in (columns, mixed):
        stored = TypeSerializer().serialize(to_attributes({"features": values}))
        assert len(stored["M"]["features"]["B"]) < 100_000
        assert from_attribute(TypeDeserializer().deserialize(stored)) == {"features": values}


def test_a_list_of_features_is_readable_text_and_read_again() -> None:
    columns = [{"name": f"feature_{number}", "type": "ü", "nullable": True} for number in range(30)]
    stored = TypeSerializer().serialize(to_attributes({"features": columns}))
    assert stored["M"]["features"]["S"].startswith('json:[{"name":"feature_0","type":"ü","nullable":true},')
    assert from_attribute(TypeDeserializer().deserialize(stored)) == {"features": columns}


@pytest.mark.parametrize("text", ["json:", "json:[1]", 'json:json:"x"', "text"])
def test_a_text_that_looks_like_a_list_stays_a_text(text: str) -> None:
    item = to_attributes({"description": text, "tags": {"list": text}})
    assert from_attribute(item) == {"description": text, "tags": {"list": text}}


def test_an_item_of_400_kb_is_accepted_and_a_larger_one_refused() -> None:
    largest = {"pk": "x" * (MAX_ITEM_BYTES - 2)}
    check_item_size("item", largest, "")
    with pytest.raises(InvalidInputError, match=r"got '409,602 bytes', expected at most 409,600 bytes.*\(pk takes"):
        check_item_size("item", {"pk": largest["pk"] + "ü"}, "")
