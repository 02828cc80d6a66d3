"""StartOnUpload with moto's S3 and DynamoDB, and the plan that reads its manifests."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from contract.triggers.uploads import MARKER_NAME, ObjectVersion, UploadRule
from lambdas.errors import InvalidRequestError
from lambdas.start_on_upload import markers
from lambdas.start_on_upload.start import start_on_upload
from tests.unit.lambdas.builders import Stage, plan_event
from tests.unit.lambdas.start_on_upload.queue_model import BEGIN, Trigger, event_of, sqs_record

Step = Callable[[dict[str, Any]], dict[str, Any]]
RULES = {
    "flights": UploadRule("flights", "marker"),
    "orders": UploadRule("orders", "window", 60),
}


class UploadDriver:
    """Puts objects into moto's buckets and delivers their events to the function."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.trigger = Trigger(RULES)
        stage.s3.put_bucket_versioning(Bucket=stage.datasets, VersioningConfiguration={"Status": "Enabled"})

    def put(self, key: str, body: bytes = b"data") -> str:
        """Put an object and return its event."""
        answer = self.stage.s3.put_object(Bucket=self.stage.datasets, Key=key, Body=body)
        dataset, _, name = key.partition("/") if "/" in key else ("", "", key)
        found = ObjectVersion(name, answer["VersionId"], answer["ETag"].strip('"'), len(body), f"{id(answer):x}")
        return event_of(self.stage.datasets, dataset, found)

    def deliver(self, *bodies: str, at: datetime = BEGIN) -> list[str]:
        """Return the bodies of messages that must be delivered again."""
        self.trigger.now = at
        messages = [sqs_record(str(index), body) for index, body in enumerate(bodies)]
        deployment = replace(self.stage.deployment, clock=lambda: at)
        again = start_on_upload(messages, RULES, deployment, self.trigger, self.trigger)  # type: ignore[arg-type]
        return [bodies[int(number)] for number in again]

    def mark(self, text: bytes = b"", folder: str = "day=1/") -> dict[str, Any]:
        """Write a marker and return the request of the execution that it starts."""
        assert self.deliver(self.put(f"flights/{folder}{MARKER_NAME}", text)) == []
        (request,) = self.trigger.executions.values()
        return dict(request)

    def manifest(self, request: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.stage.read_json(request["objects_manifest"])
        return found


@pytest.fixture
def uploads(stage: Stage) -> UploadDriver:
    return UploadDriver(stage)


def keys(found: Sequence[dict[str, Any]]) -> list[str]:
    return [item["key"] for item in found]


def test_an_empty_marker_selects_the_data_of_its_folder(uploads: UploadDriver, plan: Step) -> None:
    for key in ("day=1/a.parquet", "day=1/x/b.parquet", "day=1/_tmp/c.parquet", "day=10/d.parquet", "e.parquet"):
        uploads.put(f"flights/{key}", key.encode())
    request = uploads.mark()
    assert keys(uploads.manifest(request)["objects"]) == ["day=1/a.parquet", "day=1/x/b.parquet"]
    uploads.stage.register()
    uploads.stage.register("elsewhere", dataset="orders")
    plan(plan_event(request))
    assert [job.job_id for job in uploads.stage.deployment.table.jobs("e-1")] == ["delays-ua"]
    assert [item.key for item in uploads.stage.objects()] == ["day=1/a.parquet", "day=1/x/b.parquet"]


@pytest.mark.parametrize("text", ['["b.parquet"]', '{"objects": ["b.parquet", "b.parquet"]}', ' ["b.parquet"]\n'])
def test_a_marker_with_a_list_selects_exactly_these_objects(uploads: UploadDriver, text: str) -> None:
    for name in "abc":
        uploads.put(f"flights/day=1/{name}.parquet", name.encode())
    assert keys(uploads.manifest(uploads.mark(text.encode()))["objects"]) == ["day=1/b.parquet"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "got 'no objects', expected a marker with data in its folder"),
        (b"[]", "got 'no objects', expected a marker with data in its folder"),
        (
            b'["a.parquet", "b.parquet"]',
            (
                "expected a marker over existing data, but the marker names missing objects: 'day=1/a.parquet', "
                "'day=1/b.parquet'. Correct it and write it again, after the data."
            ),
        ),
        (b"a.parquet", "the marker is neither empty nor JSON"),
        (b'{"keys": []}', "neither a JSON list of object keys nor an object with such a list in 'objects'"),
        (b'["../../models/a.parquet"]', "the marker names keys that are not paths below its folder"),
        (b'["_tmp/a.parquet"]', "the marker names objects that are not data"),
        (b"[" * 100_000, "the marker is neither empty nor JSON with a list of keys, because it nests deeper than 100"),
        (
            json.dumps(list(map(str, range(100_001)))).encode(),
            "the marker names 100,001 objects, expected at most 100,000",
        ),
        (b'["\\ud800.parquet"]', "because it has half of a surrogate pair"),
        (json.dumps(["x" * 1_020 + ".parquet"]).encode(), "the marker names keys of more than 1,024 bytes"),
        (b'{"objects": ["a.parquet"], "objects": []}', "because an object has the name 'objects' twice"),
        (b'{"objects": [], "size": ' + b"9" * 1_000_000 + b"}", "because a number has 1,000,000 digits"),
        (b" " * (16 << 20) + b"[]", "the marker has 16,777,218 bytes, expected at most 16,777,216"),
    ],
    ids=range(14),
)
def test_a_marker_with_nothing_to_score_is_refused_by_the_plan(
    uploads: UploadDriver, plan: Step, text: bytes, problem: str
) -> None:
    uploads.stage.register()
    request = uploads.mark(text)
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event(request))
    assert problem in str(refused.value)
    assert "objects_manifest uploads/flights/" in str(refused.value)


def test_a_marker_selects_a_limited_number_of_objects(
    uploads: UploadDriver, plan: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markers, "MAX_MARKED_OBJECTS", 2)
    uploads.stage.register()
    for name in ("a", "b", "_c", "d"):
        uploads.put(f"flights/day=1/{name}.parquet", name.encode())
    with pytest.raises(InvalidRequestError, match="the folder of the marker has more than 2 objects: write several"):
        plan(plan_event(uploads.mark()))


def test_a_marker_with_many_keys_needs_few_listings(uploads: UploadDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:03d}.parquet" for number in range(150)]
    for name in names:
        uploads.put(f"flights/day=1/{name}")
    listings: list[dict[str, Any]] = []
    list_objects = uploads.stage.s3.list_objects_v2
    monkeypatch.setattr(
        uploads.stage.s3, "list_objects_v2", lambda **request: listings.append(request) or list_objects(**request)
    )
    request = uploads.mark(json.dumps(names).encode())
    assert keys(uploads.manifest(request)["objects"]) == [f"day=1/{name}" for name in names]
    assert len(listings) <= 6


def test_a_marker_is_read_in_the_version_of_its_event(uploads: UploadDriver) -> None:
    for name in "ab":
        uploads.put(f"flights/day=1/{name}.parquet")
    first = uploads.put(f"flights/day=1/{MARKER_NAME}", b'["a.parquet"]')
    second = uploads.put(f"flights/day=1/{MARKER_NAME}", b'["b.parquet"]')
    assert uploads.deliver(second, first, second, first) == []
    assert uploads.deliver(first) == []
    manifests = [uploads.manifest(dict(request)) for request in uploads.trigger.executions.values()]
    assert sorted(keys(manifest["objects"]) for manifest in manifests) == [["day=1/a.parquet"], ["day=1/b.parquet"]]


def test_a_redelivered_marker_keeps_its_first_manifest(uploads: UploadDriver) -> None:
    uploads.put("flights/day=1/a.parquet")
    marker = uploads.put(f"flights/day=1/{MARKER_NAME}", b"")
    uploads.trigger.refusal = "ThrottlingException"
    assert uploads.deliver(marker) == [marker]
    uploads.put("flights/day=1/later.parquet")
    uploads.trigger.refusal = ""
    assert uploads.deliver(marker) == []
    (request,) = uploads.trigger.executions.values()
    assert keys(uploads.manifest(dict(request))["objects"]) == ["day=1/a.parquet"]


def test_a_marker_over_changed_objects_is_refused(uploads: UploadDriver, plan: Step) -> None:
    uploads.stage.register()
    for name in "abc":
        uploads.put(f"flights/day=1/{name}.parquet")
    request = uploads.mark()
    uploads.put("flights/day=1/a.parquet", b"another")
    uploads.stage.s3.delete_object(Bucket=uploads.stage.datasets, Key="flights/day=1/b.parquet")
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event(request))
    for part in ("a.parquet: replaced since", "b.parquet: removed since", "2 objects", "write it again"):
        assert part in str(refused.value)


def window(uploads: UploadDriver, *events: str) -> dict[str, Any]:
    """Gather these uploads, let the window end, and return its execution's request."""
    before = set(uploads.trigger.executions)
    assert uploads.deliver(*events) == []
    at = BEGIN.replace(hour=11 + len(before))
    reminders, uploads.trigger.queue = [waiting.body for waiting in uploads.trigger.queue], []
    assert uploads.deliver(*reminders, at=at) == []
    (name,) = set(uploads.trigger.executions) - before
    return dict(uploads.trigger.executions[name])


def test_a_replaced_upload_is_skipped_with_its_reason(uploads: UploadDriver, plan: Step) -> None:
    uploads.stage.register(dataset="orders")
    request = window(uploads, *[uploads.put(f"orders/{name}.parquet", name.encode()) for name in "abc"])
    later = uploads.put("orders/b.parquet", b"the later one")
    uploads.stage.s3.delete_object(Bucket=uploads.stage.datasets, Key="orders/c.parquet")
    plan(plan_event(request))
    assert [item.key for item in uploads.stage.objects()] == ["a.parquet"]
    skipped = {item["key"]: item["reason"] for item in uploads.stage.read_json("executions/e-1/skipped.json")}
    assert skipped.keys() == {"b.parquet", "c.parquet"}
    assert skipped["b.parquet"].endswith("the later upload starts its own execution")
    assert skipped["c.parquet"] == "removed since it was uploaded"
    # The later upload has its own execution.
    plan(plan_event(window(uploads, later), execution_id="e-2"))
    assert [(item.key, item.size) for item in uploads.stage.objects("e-2")] == [("b.parquet", 13)]


def test_a_window_with_no_unchanged_upload_is_refused(uploads: UploadDriver, plan: Step) -> None:
    uploads.stage.register(dataset="orders")
    request = window(uploads, uploads.put("orders/a.parquet", b"1"))
    uploads.put("orders/a.parquet", b"22")
    with pytest.raises(InvalidRequestError, match="later uploads have their own executions"):
        plan(plan_event(request))


def test_a_marker_in_a_hidden_folder_starts_nothing(uploads: UploadDriver, caplog: pytest.LogCaptureFixture) -> None:
    """Writers hide what is not committed yet. A partition whose column begins with "_" is not hidden."""
    hidden = [uploads.put(f"flights/{folder}/{MARKER_NAME}", b"") for folder in ("_tmp", "day=1/.spark", "_tmp/0")]
    assert uploads.deliver(*hidden) == []
    assert uploads.trigger.executions == {}
    said = {vars(line)["reason"]: vars(line)["count"] for line in caplog.records if "reason" in vars(line)}
    assert said == {"dataset 'flights': the marker is in a hidden folder": 3}
    uploads.mark(folder="_year=2013/")


@pytest.mark.parametrize("others", [0, 1], ids=["no-other-model", "a-model-of-another-dataset"])
@pytest.mark.parametrize("named", [False, True], ids=["by-dataset", "by-name"])
def test_uploads_whose_only_model_is_disabled_name_it(
    uploads: UploadDriver, plan: Step, others: int, named: bool
) -> None:
    uploads.stage.register("orders-model", dataset="orders", enabled=False)
    if others:
        uploads.stage.register("flights-model", dataset="flights")
    request = window(uploads, uploads.put("orders/a.parquet", b"1"))
    if named:
        request["models"] = ["orders-model"]
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event(request))
    text = str(refused.value)
    if not named:
        assert "models: got 'no enabled model of this dataset, because orders-model is disabled', expected" in text
    assert "Enable it with `fleetscore models enable orders-model`" in text
    assert "Then score the refused uploads with `fleetscore resume --uploads orders`." in text


def test_ignored_uploads_are_counted_and_logged_by_reason(
    uploads: UploadDriver, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    nobody = [uploads.put(key) for key in ("loose.parquet", "nobody/a.parquet", "nobody/b.parquet")]
    no_data = [uploads.put(key) for key in ("orders/notes.pdf", "orders/_tmp/a.parquet", "orders//a.parquet")]
    waits = uploads.put("flights/day=1/a.parquet")
    assert uploads.deliver(*nobody, *no_data, waits) == []
    assert uploads.trigger.executions == {}
    assert uploads.trigger.queue == []
    said = {vars(line)["reason"]: vars(line)["count"] for line in caplog.records}
    assert said == {
        "the object is in no dataset's folder": 1,
        "no rule of the setting `uploads` names the dataset 'nobody'": 2,
        "dataset 'orders': the object is not data": 3,
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (counted,) = [line for line in lines if "UploadsIgnored" in line]
    assert counted["UploadsIgnored"] == [6.0]


POISON = [
    "poison",
    "[]",
    "{}",
    '{"source": "aws.ec2", "detail-type": "Object Created"}',
    '{"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}}',
    '{"source": "aws.s3", "detail-type": "Object Created"}',
    event_of("another-bucket", "orders", ObjectVersion("a.parquet", "v", "e", 1, "1")),
    event_of("datasets-test", "orders", ObjectVersion("a.parquet", "", "e", 1, "")),
    '{"type": "fleetscore.window_end", "dataset": "orders", "window": 7}',
    '{"type": "fleetscore.window_end", "dataset": "orders", "window": "7"}',
    "[" * 100_000,
    "1" * 5_000,
    event_of("datasets-test", "orders", ObjectVersion("a.parquet", "v", "e", 1, "1")).replace('"v"', "1e999999"),
    event_of("datasets-test", "orders", ObjectVersion("a.parquet", "v", "e", 1, "1")).replace("a.p", "\\ud800.p"),
    '{"type": "fleetscore.window_end", "dataset": "orders", "window": NaN}',
    '{"type": "fleetscore.window_end", "dataset": "orders", "dataset": "orders", "window": 7}',
]


@pytest.mark.parametrize("poison", POISON)
def test_only_the_unreadable_message_is_delivered_again_at_once(uploads: UploadDriver, poison: str) -> None:
    good = uploads.put("orders/a.parquet")
    assert uploads.deliver(good, poison, good) == [poison]
    assert uploads.trigger.waits == [0]
    assert len(uploads.trigger.queue) == 1


def test_a_failure_of_one_dataset_does_not_delay_others(uploads: UploadDriver) -> None:
    marker = uploads.put(f"flights/{MARKER_NAME}")
    uploads.trigger.refusal = "ThrottlingException"
    assert uploads.deliver(marker, uploads.put("orders/a.parquet")) == [marker]
    assert uploads.trigger.waits == [30]
    assert len(uploads.trigger.queue) == 1


def test_a_missing_or_mismatched_manifest_is_refused(uploads: UploadDriver, plan: Step) -> None:
    uploads.stage.register()
    with pytest.raises(
        InvalidRequestError, match=r"objects_manifest: got 'uploads/flights/x.json', expected an upload"
    ):
        plan(plan_event({"objects_manifest": "uploads/flights/x.json"}))
    uploads.put("flights/day=1/a.parquet")
    with pytest.raises(InvalidRequestError, match="the dataset of the objects_manifest"):
        plan(plan_event({**uploads.mark(), "dataset": "orders"}, execution_id="e-2"))


def test_a_dataset_without_a_model_is_refused_by_the_plan(uploads: UploadDriver, plan: Step) -> None:
    uploads.stage.register(dataset="orders")
    uploads.put("flights/day=1/a.parquet")
    request = uploads.mark()
    with pytest.raises(InvalidRequestError, match="at least one chosen model or fleet whose own dataset is 'flights'"):
        plan(plan_event(request))
    # A model that the request names scores the uploads, whatever its own dataset is.
    assert plan(plan_event({**request, "models": ["delays-ua"]}, execution_id="e-2"))["job_count"] == 1
