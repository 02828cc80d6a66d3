"""Outputs are compared with the CRC64NVME that S3 computed of them, within limits of number and time."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

import lambdas.attempts.checksums
from contract import environment, layout
from contract.status import JobStatus
from lambdas.attempts.checksums import ChecksumRules
from lambdas.errors import OutputIncompleteError
from lambdas.stage.resources import resources
from lambdas.verify_output.handler import handler
from tests.unit.checksums import crc64nvme
from tests.unit.lambdas.builders import Context, Stage, failure_event, plan_event, pointer_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
JOINED = "a.and-1-more"
OUTPUTS = {"predictions": (b"p" * 50, b"p" * 49 + b"x"), "quarantine": (b"q" * 20, b"q" * 19 + b"x")}
"""Content of each kind of output as it was committed, and with another last byte."""


class _NoBody(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


class NearTimeout(Context):
    """The context of a function that is stopped in a minute."""

    def get_remaining_time_in_millis(self) -> int:
        return 59_000


@pytest.fixture
def many(stage: Stage, plan: Step, record: Step) -> Stage:
    """Return a stage with one committed job of 40 objects, and so 41 outputs."""
    stage.register()
    stage.upload(keys=[f"{number:02d}.parquet" for number in range(40)], size=32)
    plan(plan_event({}))
    record(pointer_event())
    stage.commit()
    return stage


def change(stage: Stage, kind: layout.OutputKind, key: str, job_id: str = "delays-ua", **options: Any) -> None:
    """Replace an output by one of the same size with another last byte."""
    stage.put_output(kind, stage.spec(job_id=job_id), key, OUTPUTS[kind][1], **options)


def restore(stage: Stage, kind: layout.OutputKind, key: str, job_id: str = "delays-ua") -> None:
    stage.put_output(kind, stage.spec(job_id=job_id), key, OUTPUTS[kind][0])


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_changed_byte_is_found_by_name_and_the_object_is_scored_again(
    opened: Stage, verify: Step, record: Step, classify: Step, kind: layout.OutputKind
) -> None:
    opened.commit()
    key = layout.output_key("delays-ua", "a.parquet")
    change(opened, kind, key)
    committed, changed = map(crc64nvme, OUTPUTS[kind])
    with pytest.raises(OutputIncompleteError) as refused:
        verify(pointer_event())
    assert str(refused.value) == (
        "job 'delays-ua': 1 of 2 commits are missing or differ from the outputs in S3: "
        f"delays-ua/a.parquet: {kind}/{key} has the CRC64NVME {changed} in S3, the commit says {committed}: its "
        "content has changed since it was committed"
    )
    assert opened.job().status is JobStatus.RUNNING
    classify({**pointer_event(), "failure": {"Error": "OutputIncompleteError", "Cause": str(refused.value)}})
    plan = record(pointer_event(attempt=2))
    assert not plan["nothing_left"]
    manifest = opened.read_json(plan["data_manifest_uri"].removeprefix(f"s3://{opened.results}/"))
    assert manifest[1:] == ["flights/a.parquet"]
    restore(opened, kind, key)
    verify(pointer_event(attempt=2))
    assert (opened.job().status, opened.job().notes) == (JobStatus.SUCCEEDED, ())


def test_an_output_that_cannot_be_asked_for_is_named_with_the_permissions(
    opened: Stage, verify: Step, classify: Step
) -> None:
    opened.commit()
    events = opened.deployment.store._s3.meta.events
    events.register("before-send.s3.HeadObject", lambda request, **_: AWSResponse(request.url, 403, {}, _NoBody()))
    with pytest.raises(ClientError) as refused:
        verify(pointer_event())
    cause = json.dumps({"errorType": "ClientError", "errorMessage": str(refused.value)})
    assert classify(failure_event("ClientError", cause))["try_again"] is False
    reason = opened.job().reason
    assert "Forbidden for s3://results-test/predictions/dataset=flights/" in reason
    assert "role needs s3:GetObject on it, and kms:Decrypt on the key" in reason


def test_a_joined_output_is_asked_for_once_and_opens_the_object_for_all_models(
    stage: Stage, plan: Step, record: Step, verify: Step
) -> None:
    for model_id in ("a", "b"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({"output_layout": "joined"}))
    record(pointer_event(JOINED))
    stage.commit(job_id=JOINED)
    change(stage, "predictions", "a.parquet", JOINED)
    asked: list[str] = []
    events = stage.deployment.store._s3.meta.events
    events.register("provide-client-params.s3.HeadObject", lambda params, **_: asked.append(params["Key"]))
    with pytest.raises(OutputIncompleteError, match=r"2 of 4 commits .*: a/a\.parquet: .*CRC64NVME.*; b/a\.parquet: "):
        verify(pointer_event(JOINED))
    assert sorted(key.rpartition("job_id=")[2].partition("/")[2] for key in asked) == [
        "a.parquet", "b.parquet", "model_id=a/a.parquet", "model_id=b/a.parquet",
    ]  # fmt: skip


def test_the_older_commit_counts_when_it_is_the_one_of_the_output_in_s3(opened: Stage, verify: Step) -> None:
    """An attempt was killed when its segment was in S3 already, and its output was not."""
    opened.commit()
    spec, item = opened.spec(), opened.objects()[1]
    commit = opened.write_outputs(spec, spec.models[0], item)
    output = commit.outputs[0]
    changed = type(output)(output.kind, output.key, output.bytes, crc64nvme(OUTPUTS["predictions"][1]))
    newer = type(commit)(**{**vars(commit), "outputs": (changed,), "notes": ("newer",)})
    opened.write_segment(spec, newer, host="algo-2")
    verify(pointer_event())
    assert opened.job().notes == ()
    assert opened.job().rows_in == 20


@pytest.mark.parametrize("options", [{"ChecksumAlgorithm": "CRC32"}, {"ChecksumAlgorithm": "SHA256"}])
def test_without_a_crc64nvme_in_s3_the_size_is_compared_and_a_note_says_so(
    opened: Stage, verify: Step, options: dict[str, str]
) -> None:
    opened.commit()
    change(opened, "predictions", layout.output_key("delays-ua", "b.parquet"), **options)
    verify(pointer_event())
    assert opened.job().status is JobStatus.SUCCEEDED
    assert opened.job().notes == ("S3 has no CRC64NVME of 1 of 3 outputs, so only their sizes were compared",)


def test_an_output_that_vanishes_after_the_listing_is_missing(opened: Stage, verify: Step) -> None:
    opened.commit()
    removed = {"Bucket": opened.results, "Key": ""}

    def remove(params: dict[str, Any], **_: Any) -> None:
        removed["Key"] = removed["Key"] or params["Key"]
        opened.s3.delete_object(**removed)

    opened.deployment.store._s3.meta.events.register("provide-client-params.s3.HeadObject", remove)
    with pytest.raises(OutputIncompleteError, match=r"1 of 2 commits .* is not in S3"):
        verify(pointer_event())


def test_beyond_the_limit_a_sample_is_compared(many: Stage, verify: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambdas.attempts.checksums, "MAX_SAMPLED", 10)
    keys = [layout.output_key("delays-ua", f"{number:02d}.parquet") for number in range(40)]
    for key in keys:
        change(many, "predictions", key)
    with pytest.raises(OutputIncompleteError, match="10 of 40 commits"):
        verify(pointer_event())
    for key in keys:
        restore(many, "predictions", key)
    verify(pointer_event())
    assert many.job().notes == (
        "only the sizes of 31 of 41 outputs were compared, because the setting compared_checksums is not 'all'",
    )


def test_the_setting_all_has_no_limit(many: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambdas.attempts.checksums, "MAX_SAMPLED", 10)
    monkeypatch.setenv(environment.COMPARED_CHECKSUMS, "all")
    resources.cache_clear()
    for number in range(40):
        change(many, "predictions", layout.output_key("delays-ua", f"{number:02d}.parquet"))
    with pytest.raises(OutputIncompleteError, match="40 of 40 commits"):
        handler(pointer_event(), Context())


def test_the_function_ends_in_time_with_a_note(many: Stage) -> None:
    handler(pointer_event(), NearTimeout())
    assert many.job().status is JobStatus.SUCCEEDED
    assert many.job().notes == (
        "only the sizes of 41 of 41 outputs were compared, because the function's time was running out",
    )


@pytest.mark.parametrize("outputs", [0, 1, 2, 3, 5, 8, 1_000, 20_000])
def test_up_to_the_limit_each_output_is_chosen_once(outputs: int) -> None:
    rules = ChecksumRules("sampled", lambda: 900.0)
    assert sorted(rules.choose(outputs, outputs)) == list(range(outputs))


@pytest.mark.parametrize("outputs", [20_001, 100_000, 123_457])
def test_a_sample_is_spread_evenly_and_repeatable(outputs: int) -> None:
    rules = ChecksumRules("sampled", lambda: 900.0)
    chosen = list(rules.choose(outputs, outputs))
    assert len(set(chosen)) == len(chosen) == 20_000
    assert chosen == list(rules.choose(outputs, outputs))
    # Also when the time ends after the first thousand.
    for count in (1_000, 20_000):
        shares = [0] * 10
        for number in chosen[:count]:
            shares[number * 10 // outputs] += 1
        assert max(shares) - min(shares) < count / 10 * 0.2
