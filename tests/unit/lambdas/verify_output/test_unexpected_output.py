"""A job does not succeed with files in its output that none of its commits names."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import layout
from contract.job.ledger import MAX_COMMIT_BYTES, MAX_SEGMENT_BYTES, SegmentHeader, commit_line, segment_content
from contract.status import FailureKind, JobStatus
from lambdas.errors import OutputIncompleteError, UnexpectedOutputError
from tests.unit.lambdas.builders import Stage, failure_event, outputs_prefix, plan_event, pointer_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
DIGEST = "0123456789abcdef" * 2


def put(stage: Stage, area: str, key: str, body: bytes = b"forged", job_id: str = "delays-ua") -> None:
    spec = stage.spec(job_id=job_id)
    prefixes = {
        "predictions": outputs_prefix("predictions", spec),
        "quarantine": outputs_prefix("quarantine", spec),
        "ledger": layout.ledger_prefix(spec.execution_id, spec.job_id),
    }
    stage.s3.put_object(Bucket="results-test", Key=prefixes[area] + key, Body=body)


@pytest.mark.parametrize(
    ("area", "key"),
    [
        ("predictions", "dataset=flights/model_id=victim/execution_id=old/part-0.parquet"),
        ("predictions", "dataset=flights/execution_id=old/job_id=victim/model_id=victim/part-0.parquet"),
        ("predictions", "model_id=victim/a.parquet"),
        ("predictions", "model_id=delays-ua/c.parquet"),
        ("predictions", "model_id=delays-ua/a.csv"),
        ("predictions", "model_id=delays-ua/.a.parquet"),
        ("predictions", "model_id=delays-ua/.c.parquet.unfinished"),
        ("predictions", "a.parquet"),
        # A folder placeholder with content.
        ("predictions", "model_id=delays-ua/data/"),
        ("quarantine", "model_id=victim/a.parquet"),
        # An object without bad rows: readers would take its rows for quarantined.
        ("quarantine", "model_id=delays-ua/b.parquet"),
        ("ledger", "victim/a.parquet.json"),
        ("ledger", f"victim/1-{DIGEST}.jsonl"),
        ("ledger", f"0-{DIGEST}.jsonl"),
        ("ledger", "../job.json"),
    ],
)
def test_a_file_that_no_commit_names_fails_the_job(opened: Stage, verify: Step, area: str, key: str) -> None:
    opened.commit()
    put(opened, area, key)
    with pytest.raises(UnexpectedOutputError) as caught:
        verify(pointer_event())
    assert f"no commit names 1 file in the job's output: '{area}/{key}'. Written by code" in str(caught.value)
    assert opened.job().status is JobStatus.RUNNING


def test_the_reason_names_the_key_and_there_is_no_other_attempt(opened: Stage, verify: Step, classify: Step) -> None:
    opened.commit()
    key = "dataset=flights/execution_id=nightly-1/job_id=victim/model_id=victim/part-0.parquet"
    put(opened, "predictions", key)
    with pytest.raises(UnexpectedOutputError) as caught:
        verify(pointer_event())
    decision = classify(failure_event("UnexpectedOutputError", {"errorMessage": str(caught.value)}))
    assert (decision["try_again"], decision["kind"]) == (False, FailureKind.MODEL)
    assert f"'predictions/{key}'" in decision["reason"]
    assert "register a version of the model whose code writes no files there" in decision["reason"]
    assert opened.job().reason == decision["reason"]


def test_a_forged_commit_cannot_make_a_file_expected(opened: Stage, verify: Step) -> None:
    opened.commit()
    spec = opened.spec()
    commit = opened.write_outputs(spec, spec.models[0], opened.objects()[0])
    put(opened, "predictions", "model_id=victim/a.parquet")
    forged = replace(commit.outputs[0], key="model_id=victim/a.parquet", bytes=len(b"forged"))
    opened.write_segment(spec, replace(commit, outputs=(*commit.outputs, forged)))
    with pytest.raises(UnexpectedOutputError, match=r"'predictions/model_id=victim/a\.parquet'"):
        verify(pointer_event())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"key": "model_id=delays-ua/b.parquet"}, r"names predictions/.*b\.parquet, not predictions/.*a\.parquet"),
        ({"key": "../a.parquet"}, r"names predictions/\.\./a\.parquet, not"),
        ({"kind": "quarantine"}, "names no predictions"),
    ],
)
def test_a_commit_with_outputs_of_other_names_is_no_commit(
    opened: Stage, verify: Step, change: dict[str, Any], expected: str
) -> None:
    spec = opened.spec()
    opened.commit_one(spec, spec.models[0], opened.objects()[1])
    put(opened, "quarantine", "model_id=delays-ua/a.parquet", b"p" * 50)
    commit = opened.write_outputs(spec, spec.models[0], opened.objects()[0])
    opened.write_segment(spec, replace(commit, outputs=(replace(commit.outputs[0], **change),)))
    with pytest.raises(OutputIncompleteError, match=expected):
        verify(pointer_event())


def test_a_commit_that_names_an_output_twice_does_not_count(opened: Stage, verify: Step) -> None:
    opened.commit(objects=1)
    spec = opened.spec()
    commit = opened.write_outputs(spec, spec.models[0], opened.objects()[1])
    opened.write_segment(spec, replace(commit, outputs=commit.outputs * 2))
    with pytest.raises(OutputIncompleteError, match="names an output twice"):
        verify(pointer_event())


@pytest.mark.parametrize(
    ("header", "change", "expected"),
    [
        ({"job_id": "victim"}, {}, r"job_id: got 'victim of execution e-1'"),
        ({"execution_id": "e-0"}, {}, r"expected delays-ua of execution e-1"),
        ({"models": {"delays-ua": "2"}}, {}, r"models\.delays-ua: got '2', expected version '1'"),
        ({"models": {"delays-ua": "1", "victim": "1"}}, {}, r"models\.victim: got '1', expected a model of the job"),
        ({}, {"model_id": "victim"}, r"model_id: got 'victim', expected a model of the header"),
        ({}, {"object": "c.parquet"}, r"object: got 'c\.parquet', expected an object of the job"),
    ],
)
def test_a_segment_of_other_jobs_models_or_objects_is_unexpected(
    opened: Stage, verify: Step, header: Any, change: Any, expected: str
) -> None:
    spec = opened.spec()
    opened.commit(objects=1)
    first, second = (opened.write_outputs(spec, spec.models[0], item) for item in opened.objects())
    name = opened.write_segment(spec, second, replace(first, **change), **header)
    with pytest.raises(UnexpectedOutputError, match=expected) as caught:
        verify(pointer_event())
    assert f"no commit names 1 file in the job's output: 'ledger/{name}' (" in str(caught.value)


def test_no_commit_of_a_segment_counts_if_one_of_them_is_forged(opened: Stage, record: Step, classify: Step) -> None:
    spec = opened.spec()
    opened.commit(objects=1)
    commit = opened.write_outputs(spec, spec.models[0], opened.objects()[1])
    opened.write_segment(spec, commit, replace(commit, object="c.parquet"))
    record(classify(failure_event("States.Timeout")))
    assert opened.read_json(layout.data_manifest_key("e-1", "delays-ua", 2))[1:] == ["flights/b.parquet"]


@pytest.mark.parametrize("damage", ["changed", "cut", "longer", "huge", "another release", "no JSON", "long line"])
def test_a_damaged_segment_is_unexpected(opened: Stage, verify: Step, damage: str) -> None:
    spec = opened.spec()
    opened.commit()
    lines = [commit_line(opened.write_outputs(spec, spec.models[0], item)) for item in opened.objects()]
    name, content = segment_content(SegmentHeader("e-1", "delays-ua", {"delays-ua": "1"}), lines)
    expected = "expected the number of commits and the digest that the name says"
    if damage == "changed":
        content = content.replace(b'"rows_in":10', b'"rows_in":11')
    elif damage == "cut":
        content = content[:-1]
    elif damage == "longer":
        content += lines[0]
    elif damage == "huge":
        content += b" " * (MAX_SEGMENT_BYTES + 1 - len(content))
        expected = "it has 8,388,609 bytes, expected at most 8,388,608"
    elif damage == "another release":
        content = content.replace(b'"schema_version":2', b'"schema_version":1')
        name, expected = layout.segment_name(2, content), "schema_version: got 1, expected 2"
    else:
        line = b"[" * 200 if damage == "no JSON" else lines[0].replace(b'""', b'"' + b"x" * MAX_COMMIT_BYTES + b'"')
        content = b"".join([content[: -len(lines[1])], line.removesuffix(b"\n"), b"\n"])
        name = layout.segment_name(2, content)
        expected = "nests deeper" if damage == "no JSON" else "it has more than 1,048,576 bytes"
    put(opened, "ledger", name, content)
    with pytest.raises(UnexpectedOutputError, match=expected):
        verify(pointer_event())


def test_more_commits_than_all_attempts_can_have_are_not_read(opened: Stage, verify: Step) -> None:
    opened.commit()
    for number in range(5):
        put(opened, "ledger", f"{10 + number}-{DIGEST}.jsonl")
    reads: list[str] = []
    events = opened.deployment.store._s3.meta.events
    events.register("provide-client-params.s3.GetObject", lambda params, **_: reads.append(params["Key"]))
    with pytest.raises(UnexpectedOutputError, match="no commit names 5 files") as caught:
        verify(pointer_event())
    assert "there are more commits than all attempts can have" in str(caught.value)
    assert sum("/ledger/" in key for key in reads) == 4


def test_outputs_without_a_commit_are_replaced_by_the_next_attempt(
    opened: Stage, verify: Step, record: Step, classify: Step
) -> None:
    """SageMaker may have uploaded a killed attempt's outputs, but not their commit."""
    opened.commit(objects=1)
    put(opened, "predictions", "model_id=delays-ua/b.parquet", b"of the killed attempt")
    put(opened, "quarantine", "model_id=delays-ua/b.parquet", b"of the killed attempt")
    with pytest.raises(OutputIncompleteError, match=r"delays-ua/b\.parquet: no commit"):
        verify(pointer_event())

    decision = classify(failure_event("OutputIncompleteError", "b.parquet"))
    record(decision)
    spec = opened.spec()
    opened.commit_one(spec, spec.models[0], opened.objects()[1], rows_quarantined=1)
    verify(decision)
    assert (opened.job().status, opened.job().rows_quarantined) == (JobStatus.SUCCEEDED, 2)


def test_a_quarantine_that_only_an_earlier_attempt_wrote_is_named(
    opened: Stage, verify: Step, record: Step, classify: Step
) -> None:
    opened.commit(objects=1)
    put(opened, "quarantine", "model_id=delays-ua/b.parquet", b"of the killed attempt")
    decision = classify(failure_event("States.Timeout"))
    record(decision)
    spec = opened.spec()
    opened.commit_one(spec, spec.models[0], opened.objects()[1])
    with pytest.raises(UnexpectedOutputError, match=r"'quarantine/model_id=delays-ua/b\.parquet'.* an earlier attempt"):
        verify(decision)


@pytest.mark.parametrize(
    ("area", "key"),
    [
        ("predictions", "model_id=delays-ua/.a.parquet.unfinished"),
        ("quarantine", "model_id=delays-ua/.b.parquet.unfinished"),
        ("ledger", f".2-{DIGEST}.jsonl.unfinished"),
    ],
)
def test_an_incomplete_copy_of_a_killed_attempt_is_harmless(opened: Stage, verify: Step, area: str, key: str) -> None:
    opened.commit()
    put(opened, area, key, b"incompl")
    verify(pointer_event())
    assert opened.job().status is JobStatus.SUCCEEDED


def test_folder_placeholders_are_harmless(opened: Stage, verify: Step) -> None:
    opened.commit()
    for area, key in (("predictions", ""), ("predictions", "model_id=delays-ua/"), ("ledger", "")):
        put(opened, area, key, b"")
    verify(pointer_event())
    assert opened.job().status is JobStatus.SUCCEEDED


def test_files_of_other_jobs_do_not_matter(stage: Stage, plan: Step, record: Step, verify: Step) -> None:
    for model_id in ("a", "a-b"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({}))
    for model_id in ("a", "a-b"):
        record(pointer_event(model_id))
        stage.commit(job_id=model_id)
    put(stage, "predictions", "forged.parquet", job_id="a-b")
    assert verify(pointer_event("a"))["job_id"] == "a"
    with pytest.raises(UnexpectedOutputError, match=r"forged\.parquet"):
        verify(pointer_event("a-b"))


def test_a_retry_ignores_unexpected_files(opened: Stage, record: Step, classify: Step) -> None:
    opened.commit(objects=1)
    put(opened, "ledger", "victim/a.parquet.json")
    put(opened, "ledger", f"1-{DIGEST}.jsonl")
    put(opened, "predictions", "model_id=victim/a.parquet")
    record(classify(failure_event("States.Timeout")))
    assert opened.read_json(layout.data_manifest_key("e-1", "delays-ua", 2))[1:] == ["flights/b.parquet"]


def test_text_and_listing_are_limited_however_many_files_there_are(
    opened: Stage, verify: Step, classify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.commit()
    for number in range(25):
        put(opened, "predictions", f"{'n' * 900}/\x1b[31m\n{number:02}.parquet")
    pages: list[str] = []
    events = opened.deployment.store._s3.meta.events
    events.register("before-call.s3.ListObjectsV2", lambda model, **_: pages.append(model.name))
    events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 2})
    monkeypatch.setattr("lambdas.attempts.output_files.MAX_COUNTED_FILES", 5)
    monkeypatch.setattr("lambdas.errors.MAX_COUNTED_FILES", 5)
    with pytest.raises(UnexpectedOutputError, match=r"no commit names more than 5 files .*; and more") as caught:
        verify(pointer_event())
    assert len(str(caught.value)) < 700
    assert len(pages) < 10
    reason = classify(failure_event("UnexpectedOutputError", {"errorMessage": str(caught.value)}))["reason"]
    assert "\x1b" not in reason
    assert "register a version" in reason
