"""A worker's description of an object is compared with the job's spec before anything is committed."""

from dataclasses import replace
from typing import Any

import pytest

from contract.catalog.model_fields import Feature
from contract.job.ledger import KeyReport
from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.commits.rules import BrokenRuleError, checked_outputs
from scoring.protocol import Failure, MergeParts, ObjectWritten, ScoreObject, WorkerSetup, WrittenFile, WrittenOutput
from tests.unit.scoring.support.model_specs import any_spec

PINNED = PinnedObject("a.parquet", 1, "etag")
FILE = WrittenFile(10, "rosUhgp5mIg=")
SPECS = [
    any_spec(Feature("x", "double"), model_id="keyed", key_columns=("id",), tolerated_quarantine_fraction=0.5),
    any_spec(Feature("x", "double"), model_id="plain"),
]
SETUP = WorkerSetup(
    execution_id="execution-1",
    job_id="job-1",
    batch_rows=10,
    scratch="",
    models=tuple(SPECS),
    model_files=("", ""),
    parts="",
    data="",
)
KEYED = WrittenOutput("keyed", 10, 8, 2, FILE, FILE, keys=KeyReport(10, 1, 0))
PLAIN = WrittenOutput("plain", 10, 10, 0, FILE)


def written(*outputs: WrittenOutput, failed: tuple[str, ...] = (), folder: str = "0") -> ObjectWritten:
    failures = tuple(Failure(model_id, FailureKind.DATA, "why") for model_id in failed)
    return ObjectWritten(PINNED.key, folder, 10, 0.1, outputs, failures)


@pytest.mark.parametrize(
    ("described", "models"),
    [
        (written(KEYED, PLAIN), ["keyed", "plain"]),
        (written(KEYED, failed=("plain",)), ["keyed"]),
        (written(failed=("",)), []),
        (written(failed=("keyed", "plain")), []),
    ],
)
def test_description_that_follows_the_rules_is_accepted(described: ObjectWritten, models: list[str]) -> None:
    found = checked_outputs(SETUP, ScoreObject(PINNED, 1), described, described.folder)
    assert [(spec.model_id, output.model_id) for spec, output in found] == [(name, name) for name in models]


def test_models_that_failed_in_a_part_have_no_output_of_the_merge() -> None:
    merge = MergeParts(PINNED, 2, ("plain",))
    assert len(checked_outputs(SETUP, merge, written(KEYED), "0")) == 1
    with pytest.raises(BrokenRuleError, match="models that it did not have to score"):
        checked_outputs(SETUP, merge, written(KEYED, PLAIN), "0")


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (written(KEYED), "no result of 'plain'"),
        (written(KEYED, PLAIN, failed=("plain",)), "several results for one model"),
        (written(KEYED, failed=("",)), "several results for one model"),
        (written(KEYED, PLAIN, folder="../models"), "the name of its folder is not a number"),
        (written(KEYED, PLAIN, failed=("secret-of-a-row",)), "models that it did not have to score"),
    ],
)
def test_results_that_do_not_match_the_models_are_refused(described: ObjectWritten, words: str) -> None:
    with pytest.raises(BrokenRuleError, match=rf"object 'a\.parquet': .*{words}") as raised:
        checked_outputs(SETUP, ScoreObject(PINNED, 1), described, described.folder)
    assert raised.value.kind is FailureKind.MODEL
    assert "secret" not in raised.value.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows_in": 11}, "not those that it scored, plus those in quarantine, plus those skipped"),
        ({"seconds": -0.1}, "impossible time"),
        ({"seconds": float("nan")}, "impossible time"),
        ({"seconds": 1e10}, "impossible time"),
        ({"rows_in": 11, "rows_skipped": 1}, "has skipped rows, which only a fleet may do"),
        ({"rows_in": -2, "rows_scored": -4}, "impossible number of rows"),
        ({"rows_scored": 3, "rows_quarantined": 7}, "more rows in quarantine than tolerated"),
        ({"quarantine": None}, "must have a quarantine file"),
        ({"rows_scored": 10, "rows_quarantined": 0}, "must have a quarantine file if"),
        ({"predictions": None}, "must have a file of predictions if the object has rows"),
        ({"predictions": WrittenFile(-1, "rosUhgp5mIg=")}, "without a size and a CRC64NVME"),
        ({"quarantine": WrittenFile(1, "rosUhgp5mIh=")}, "without a size and a CRC64NVME"),
        ({"keys": None}, "report of the key columns"),
        ({"keys": KeyReport(10, 11, 0)}, "report of the key columns"),
        ({"keys": KeyReport(10, 0, -1)}, "report of the key columns"),
        ({"notes": ("n",) * 101}, "more or longer notes"),
        ({"notes": ("n" * 4_001,)}, "more or longer notes"),
        ({"writer": "w" * 2_001}, "its writer has more"),
    ],
)
def test_impossible_output_is_refused_with_its_model(change: dict[str, Any], words: str) -> None:
    described = written(replace(KEYED, **change), PLAIN)
    with pytest.raises(BrokenRuleError, match=rf"object 'a\.parquet', model 'keyed' version 'v1': .*{words}"):
        checked_outputs(SETUP, ScoreObject(PINNED, 1), described, described.folder)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (written(KEYED, replace(PLAIN, predictions=WrittenFile(11, "rosUhgp5mIg="))), "same file and rows"),
        (written(KEYED, failed=("plain",)), "predictions of every model"),
    ],
)
def test_models_of_a_joined_output_must_all_have_the_same_file(described: ObjectWritten, words: str) -> None:
    setup = replace(SETUP, output_layout="joined")
    assert len(checked_outputs(setup, ScoreObject(PINNED, 1), written(KEYED, PLAIN), "0")) == 2
    with pytest.raises(BrokenRuleError, match=words):
        checked_outputs(setup, ScoreObject(PINNED, 1), described, described.folder)


def test_a_joined_output_may_lack_a_model_if_nulls_are_requested() -> None:
    setup = replace(SETUP, output_layout="joined", joined_nulls=True)
    described = written(KEYED, failed=("plain",))
    assert [spec.model_id for spec, _ in checked_outputs(setup, ScoreObject(PINNED, 1), described, "0")] == ["keyed"]
