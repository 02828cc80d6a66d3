"""A `_READY` object starts one execution over what it names.

The marker's own version is the intent: the manifest is written once under a name made from it, before the execution
is started under a name made from the same. A call that dies in between leaves its message in the queue, and the next
one goes on with the manifest that is there, so that all calls start the same execution over the same objects.

A marker that names nothing, or what is not there, starts its execution too: the plan refuses that by name, and the
refusal lies where every other one does.
"""

from contract import layout
from contract.triggers.uploads import MARKER_NAME, ObjectVersion, UploadManifest, UploadRule
from lambdas.dataset.pinning import is_data
from lambdas.stage.deployment import Deployment
from lambdas.stage.object_store import StoredObject
from lambdas.stage.observability import logger
from lambdas.start_on_upload.decisions import execution_name, listed, name_of, read_marker
from lambdas.stage.upload_queue import Outside

_LONGEST_MARKER_BYTES = 16 * 1024 * 1024


def is_marker(key: str) -> bool:
    return key.rpartition("/")[2] == MARKER_NAME


def start_marked(rule: UploadRule, marker: ObjectVersion, deployment: Deployment, outside: Outside) -> bool:
    """Start the execution of a marker; says whether this call did."""
    batch_id = name_of(rule.dataset, [marker])
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
    started = outside.start_execution(name, {**rule.request, "dataset": rule.dataset, "objects_manifest": key})
    logger.info("a marker has its execution", dataset=rule.dataset, execution_id=name, started_now=started)
    return started


def _manifest(dataset: str, marker: ObjectVersion, deployment: Deployment) -> UploadManifest:
    folder = marker.key.removesuffix(MARKER_NAME)
    objects, problems = _named(dataset, folder, marker, deployment)
    versions = tuple(ObjectVersion(found.key, "", found.etag, found.size) for found in objects)
    return UploadManifest(dataset, "marker", versions, marker=marker.key, problems=tuple(problems))


def _named(
    dataset: str, folder: str, marker: ObjectVersion, deployment: Deployment
) -> tuple[list[StoredObject], list[str]]:
    if marker.size > _LONGEST_MARKER_BYTES:
        return [], [f"the marker has {marker.size:,} bytes, of {_LONGEST_MARKER_BYTES:,} at most"]
    text = deployment.store.marker_text(dataset, marker)
    if text is None:
        return [], ["the marker was deleted before it could be read"]
    if not text.strip():
        below = deployment.store.folder_objects(dataset, folder)
        return [found for found in below if is_data(found.key)], []
    keys, problems = read_marker(folder, text)
    there = deployment.store.named_objects(dataset, keys)
    missing = [key for key in keys if key not in there]
    if missing:
        problems.append(f"the marker names what is not there: {listed(missing)}")
    return [there[key] for key in keys if key in there], problems
