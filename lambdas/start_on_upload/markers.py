"""Start one execution per marker: a `_READY` object that is written after the data that it selects.

The names of the manifest and of the execution are derived from the version of the marker. The
manifest is written once, before the execution starts. If a call does not finish, its message stays
in the queue. The next call finds the manifest and continues, so all calls start the same execution
over the same objects.

A marker that selects no objects, or missing ones, starts an execution too. The plan refuses it with
the reason, and the refusal is recorded like every other one.
"""

import json
from itertools import islice

from contract import layout
from contract.dataset.object_keys import is_data
from contract.triggers.uploads import MARKER_NAME, ObjectVersion, UploadManifest, UploadRule, execution_name
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.deployment import Deployment
from lambdas.stage.messaging.execution_starter import ExecutionStarter
from lambdas.stage.observability import logger
from lambdas.start_on_upload.decisions import (
    MAX_MARKED_OBJECTS,
    SPLIT_MARKER,
    batch_name,
    list_names,
    read_marker,
)

_MAX_MARKER_BYTES = 16 << 20


def start_marked(rule: UploadRule, marker: ObjectVersion, deployment: Deployment, starter: ExecutionStarter) -> bool:
    """Start the execution of a marker, and return whether this call started it."""
    batch_id = batch_name(rule.dataset, [marker])
    key = layout.upload_manifest_key(rule.dataset, batch_id)
    if not deployment.store.has_upload_manifest(key):
        manifest = _manifest(rule.dataset, marker, deployment)
        deployment.store.add_upload_manifest(key, manifest)
        logger.info(
            "read a marker",
            dataset=rule.dataset,
            marker=marker.key,
            object_count=len(manifest.objects),
            problems=manifest.problems,
        )
    name = execution_name(rule.dataset, batch_id)
    request = {**rule.request, "dataset": rule.dataset, "objects_manifest": key}
    started = starter.start(name, json.dumps(request, ensure_ascii=False, sort_keys=True))
    logger.info("the execution of a marker is started", dataset=rule.dataset, execution_id=name, started_now=started)
    return started


def _manifest(dataset: str, marker: ObjectVersion, deployment: Deployment) -> UploadManifest:
    folder = marker.key.removesuffix(MARKER_NAME)
    text, problem = _text(dataset, marker, deployment)
    objects: list[StoredObject] = []
    problems = [problem] if problem else []
    names_objects = bool(text.strip())
    if names_objects:
        objects, problems = _named_objects(dataset, folder, text, deployment)
    elif not problem:
        objects, problems = _data_below(dataset, folder, deployment)
    versions = tuple(ObjectVersion(found.key, "", found.etag, found.size) for found in objects)
    return UploadManifest(
        dataset, "marker", versions, marker=marker.key, problems=tuple(problems), names_objects=names_objects
    )


def _text(dataset: str, marker: ObjectVersion, deployment: Deployment) -> tuple[bytes, str]:
    """Return the content of a marker, or why it cannot be read."""
    if marker.size > _MAX_MARKER_BYTES:
        return b"", f"the marker has {marker.size:,} bytes, expected at most {_MAX_MARKER_BYTES:,}"
    text = deployment.store.marker_text(dataset, marker, _MAX_MARKER_BYTES)
    if text is None:
        return b"", "the marker was deleted before it could be read"
    if len(text) > _MAX_MARKER_BYTES:
        return b"", f"the marker has more than {_MAX_MARKER_BYTES:,} bytes"
    return text, ""


def _data_below(dataset: str, folder: str, deployment: Deployment) -> tuple[list[StoredObject], list[str]]:
    below = deployment.store.folder_objects(dataset, folder)
    data = list(islice((found for found in below if is_data(found.key)), MAX_MARKED_OBJECTS + 1))
    if len(data) > MAX_MARKED_OBJECTS:
        return [], [f"the folder of the marker has more than {MAX_MARKED_OBJECTS:,} objects: {SPLIT_MARKER}"]
    return data, []


def _named_objects(
    dataset: str, folder: str, text: bytes, deployment: Deployment
) -> tuple[list[StoredObject], list[str]]:
    keys, problems = read_marker(folder, text)
    existing = deployment.store.named_objects(dataset, keys)
    missing = [key for key in keys if key not in existing]
    if missing:
        problems.append(f"the marker names missing objects: {list_names(missing)}")
    return [existing[key] for key in keys if key in existing], problems
