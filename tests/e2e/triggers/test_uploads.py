"""Uploads start executions, and each object version is in exactly one of them."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cli.main import main
from contract import codec, layout
from contract.status import ExecutionStatus
from contract.triggers.uploads import MARKER_NAME, UploadManifest
from tests.e2e.conftest import WINDOW_SECONDS
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

MODELS = {"gathers": "by-window", "waits-for-marker": "by-marker"}


@pytest.fixture(scope="module", autouse=True)
def models(stage: Stage) -> Iterator[None]:
    for model_id, dataset in MODELS.items():
        stage.register(model_id, train_xgboost(1), dataset=dataset)
    yield
    for model_id in MODELS:
        stage.catalog.set_enabled(model_id, enabled=False)


def started(stage: Stage, dataset: str) -> dict[str, UploadManifest]:
    """Return the manifests of the executions that uploads to a dataset have started, by name."""
    states, arn = stage.client("stepfunctions"), stage.deployment.state_machine_arn
    found: dict[str, UploadManifest] = {}
    for execution in states.list_executions(stateMachineArn=arn)["executions"]:
        if execution["name"].startswith(f"upload-{dataset}-"):
            given = json.loads(states.describe_execution(executionArn=execution["executionArn"])["input"])
            found[execution["name"]] = read_manifest(stage, given["objects_manifest"])
    return found


def read_manifest(stage: Stage, key: str) -> UploadManifest:
    body = stage.client("s3").get_object(Bucket=stage.deployment.results_bucket, Key=key)["Body"].read()
    return codec.loads(UploadManifest, body)


def wait_for_execution(stage: Stage, dataset: str, good: Callable[[UploadManifest], bool]) -> str:
    def names() -> list[str]:
        return [name for name, manifest in started(stage, dataset).items() if good(manifest)]

    (name,) = wait_for(names, f"uploads to {dataset} start an execution")
    return str(name)


def queue_url(stage: Stage, name: str) -> str:
    (found,) = [url for url in stage.client("sqs").list_queues()["QueueUrls"] if f"triggers-Uploads{name}" in url]
    return str(found)


def scored(stage: Stage, execution_id: str) -> set[str]:
    (job,) = stage.watch(execution_id).jobs
    (model_id,) = job.model_ids
    return set(stage.predictions(job.dataset, model_id, execution_id))


def test_executions_score_exactly_the_uploads_of_their_windows(stage: Stage) -> None:
    # Uploads to other datasets, and files that are not data, start nothing.
    stage.put_dataset("by-nobody", {"a.parquet": people(5, 1)})
    stage.put_dataset("by-window", {"notes.pdf": b"no data", "_tmp/a.parquet": b"not committed yet"})
    keys = [f"day=1/{number}.parquet" for number in range(3)]
    began = time.monotonic()
    stage.put_dataset("by-window", {key: people(30, 1) for key in keys})
    seconds = time.monotonic() - began

    def covering() -> dict[str, list[str]]:
        """The objects of each execution; empty until every upload is in one."""
        found = {name: [item.key for item in m.objects] for name, m in started(stage, "by-window").items()}
        return found if {key for objects in found.values() for key in objects} >= set(keys) else {}

    # One execution, or one more per window that ends between the uploads; each object is in exactly one.
    objects_of = wait_for(covering, "the uploads start executions")
    assert sorted(key for objects in objects_of.values() for key in objects) == keys
    assert len(objects_of) <= 2 + seconds // WINDOW_SECONDS
    for name, objects in objects_of.items():
        snapshot = stage.watch(name)
        assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
        assert [job.model_ids for job in snapshot.jobs] == [("gathers",)]
        assert scored(stage, name) == set(objects)

    # A later upload starts another execution over exactly the new object version.
    stage.put_dataset("by-window", {"day=1/1.parquet": people(40, 2)})
    (later,) = wait_for(lambda: set(started(stage, "by-window")) - set(objects_of), "the later upload starts one too")
    assert scored(stage, later) == {"day=1/1.parquet"}
    assert stage.summary(later).rows_in == 40


def test_a_marker_starts_one_execution_over_the_objects_it_names(stage: Stage) -> None:
    data = {"day=1/a.parquet": people(10, 1), "day=1/b.parquet": people(10, 2), "day=2/c.parquet": people(10, 3)}
    stage.put_dataset("by-marker", data)
    # Hidden folders have what writers have not committed yet, so their markers start nothing.
    stage.put_dataset("by-marker", {f"{folder}/{MARKER_NAME}": b"" for folder in ("_tmp", "day=1/.parts")})
    stage.put_dataset("by-marker", {f"day=1/{MARKER_NAME}": b""})
    first = wait_for_execution(stage, "by-marker", lambda manifest: manifest.marker.startswith("day=1/"))
    assert scored(stage, first) == {"day=1/a.parquet", "day=1/b.parquet"}
    stage.put_dataset("by-marker", {f"day=2/{MARKER_NAME}": json.dumps(["c.parquet", "d.parquet"]).encode()})
    second = wait_for_execution(stage, "by-marker", lambda manifest: manifest.marker.startswith("day=2/"))
    snapshot = stage.watch(second)
    assert snapshot.status == ExecutionStatus.FAILED
    assert "the marker names missing objects: 'day=2/d.parquet'" in snapshot.reason
    assert set(started(stage, "by-marker")) == {first, second}


def test_uploads_that_a_disabled_model_would_score_are_scored_later_by_one_command(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.catalog.set_enabled("gathers", enabled=False)
    stage.put_dataset("by-window", {"later/a.parquet": people(15, 9)})
    name = wait_for_execution(stage, "by-window", lambda m: {item.key for item in m.objects} == {"later/a.parquet"})
    refused = stage.watch(name)
    assert refused.status == ExecutionStatus.FAILED
    assert "no enabled model of this dataset, because gathers is disabled" in refused.reason
    again = "fleetscore resume --uploads by-window"
    assert f"`fleetscore models enable gathers`. Then score the refused uploads with `{again}`." in refused.reason
    assert main(["why", name]) == 0
    assert f"Next: {again}" in capsys.readouterr().out

    words = shlex.split(again)[1:]
    assert main(words) == 2
    assert "1 execution would be refused again." in capsys.readouterr().out
    assert main(["models", "enable", "gathers"]) == 0
    assert main(words) == 0
    assert scored(stage, f"{name}-2") == {"later/a.parquet"}
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("No uploads to by-window are left over")


def event_of(stage: Stage, dataset: str, key: str) -> str:
    bucket = stage.deployment.datasets_bucket
    head = stage.client("s3").head_object(Bucket=bucket, Key=layout.dataset_prefix(dataset) + key)
    found = {
        "key": layout.dataset_prefix(dataset) + key,
        "size": head["ContentLength"],
        "etag": head["ETag"].strip('"'),
        "version-id": head["VersionId"],
        "sequencer": "0",
    }
    detail = {"version": "0", "bucket": {"name": bucket}, "object": found}
    return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})


def test_repeated_events_start_nothing_and_bad_messages_become_dead_letters(stage: Stage) -> None:
    sqs, queue, dead_letters = stage.client("sqs"), queue_url(stage, "Queue"), queue_url(stage, "DeadLetters")
    stage.put_dataset("by-window", {"twice.parquet": people(10, 1)})
    twice = event_of(stage, "by-window", "twice.parquet")
    for body in (twice, "poison", twice, '{"source": "aws.ec2"}'):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    name = wait_for_execution(stage, "by-window", lambda m: {item.key for item in m.objects} == {"twice.parquet"})
    before = set(started(stage, "by-window"))

    dead: list[dict[str, Any]] = []

    def take() -> bool:
        dead.extend(sqs.receive_message(QueueUrl=dead_letters, WaitTimeSeconds=1).get("Messages", []))
        return len(dead) == 2

    wait_for(take, "two dead letters")
    assert {message["Body"] for message in dead} == {"poison", '{"source": "aws.ec2"}'}
    # The same event again after everything is done: the queue empties, and nothing starts.
    sqs.send_message(QueueUrl=queue, MessageBody=twice)
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def left() -> list[str]:
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
        return [found[count] for count in counts]

    wait_for(lambda: left() == ["0", "0"], "the queue is empty")
    assert set(started(stage, "by-window")) == before
    assert scored(stage, name) == {"twice.parquet"}


def test_the_event_source_mapping_reports_no_problem(stage: Stage) -> None:
    mappings = stage.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    (mapping,) = [mapping for mapping in mappings if ":sqs:" in mapping["EventSourceArn"]]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["LastProcessingResult"].startswith(("OK", "No records"))
