"""Gather uploads in windows: every object version is scored by exactly one execution.

Messages arrive at least once, in any order, in batches of any size, in concurrent calls. A call may
end between any two of its steps. These rules still ensure it:

1. **File before claims.** A call writes the unclaimed object versions to a file in S3, as a *part*
   whose name is a digest of its content. Only then does it claim each version for the
   part, with a conditional write. A claim never changes. So a call that finds a claim also finds
   the part's file, and can complete the work of a call that did not finish.
2. **Shares.** Once every version in the file is claimed, the versions that this part owns are its
   share. Every call computes the same share. Shares of different parts do not overlap, and together
   they contain all versions.
3. **One window per part.** A part is attached to the dataset's open window, in a transaction that
   requires the window to be OPEN. If there is no open window, the same transaction opens the next
   one. A part never changes its window.
4. **Reminder before messages.** A message leaves the queue only after one of two events: the
   window of its part is STARTED, or this call has sent a reminder for that window. If a call ends
   earlier, its messages stay in the queue. The next call repeats rules 1 to 4 and continues.
5. **End of a window.** The reminder closes the window, so that no part can join it any more. The
   shares of its parts are the manifest, and the execution's name is a digest of the versions in it.
   Any number of calls write the same manifest and start the same execution. Only then does the
   window become STARTED and the reminder leave the queue.

So no version is lost (4, 5), and none is in two executions (2, 3 and the execution's name).

Limits: claims live for `record_days`, at least 30 days; the queues keep a message for 14 days; Step
Functions remembers a name for 90 days after the execution's end. While Step Functions refuses to
start executions, only reminders wait, and uploads are still gathered.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from contract import layout
from contract.json_text import parse_json
from contract.status import WindowStatus
from contract.table.upload_records import UploadWindow
from contract.triggers.uploads import ObjectVersion, UploadRule, execution_name
from lambdas.errors import UnreadableMessageError
from lambdas.stage.deployment import Deployment
from lambdas.stage.messaging.execution_starter import ExecutionStarter
from lambdas.stage.messaging.upload_queue import UploadQueue
from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel
from lambdas.start_on_upload.decisions import batch_name, distinct, window_manifest
from lambdas.start_on_upload.messages import WindowEnd, window_end_text


def gather(rule: UploadRule, uploads: Sequence[ObjectVersion], deployment: Deployment, queue: UploadQueue) -> None:
    """Ensure that each upload is or will be in an execution, so its message may leave the queue."""
    uploads = distinct(uploads)
    owners = deployment.uploads.owners(rule.dataset, uploads)
    unclaimed = [upload for upload in uploads if (upload.key, upload.identity) not in owners]
    if unclaimed:
        owners |= _claim_for_new_part(rule.dataset, unclaimed, deployment)
    windows = {_window_of(rule, part, deployment) for part in sorted(set(owners.values()))}
    for number in sorted(windows):
        window = deployment.uploads.find_window(rule.dataset, number)
        if window is not None and window.status is not WindowStatus.STARTED:
            _remind(WindowEnd(rule.dataset, number), window, deployment, queue)


def end_window(end: WindowEnd, deployment: Deployment, starter: ExecutionStarter, queue: UploadQueue) -> bool:
    """Close a window whose time is over, start its execution, and return whether this call started
    it.

    Raises:
        UnreadableMessageError: when the window does not exist.
    """
    window = deployment.uploads.find_window(end.dataset, end.window)
    if window is None:
        raise UnreadableMessageError(f"dataset {end.dataset!r} has no window {end.window}")
    if window.status is WindowStatus.STARTED:
        return False
    if window.status is WindowStatus.OPEN:
        if _seconds_left(window, deployment) > 0:
            _remind(end, window, deployment, queue)
            return False
        deployment.uploads.move_window(window, WindowStatus.CLOSED, deployment.clock())
    return _start(replace(window, status=WindowStatus.CLOSED), deployment, starter)


def _remind(end: WindowEnd, window: UploadWindow, deployment: Deployment, queue: UploadQueue) -> None:
    # A message waits for a limited time, so the reminder of a long window is sent again when it
    # arrives too early.
    queue.send_later(window_end_text(end), _seconds_left(window, deployment))


def _claim_for_new_part(
    dataset: str, unclaimed: Sequence[ObjectVersion], deployment: Deployment
) -> dict[tuple[str, str], str]:
    part = batch_name(dataset, unclaimed)
    deployment.store.add_upload_part(dataset, part, unclaimed)
    return deployment.uploads.claim(dataset, part, unclaimed, deployment.clock())


def _window_of(rule: UploadRule, part: str, deployment: Deployment) -> int:
    """Return the part's window. Completes the work of an earlier call that did not finish."""
    attached = deployment.uploads.find_part(rule.dataset, part)
    if attached is None:
        now = deployment.clock()
        versions = deployment.store.upload_part(rule.dataset, part)
        owners = deployment.uploads.owners(rule.dataset, versions)
        unclaimed = [upload for upload in versions if (upload.key, upload.identity) not in owners]
        owners |= deployment.uploads.claim(rule.dataset, part, unclaimed, now)
        share = [upload for upload in versions if owners[upload.key, upload.identity] == part]
        deployment.store.add_upload_share(rule.dataset, part, share)
        attached = deployment.uploads.attach(part, _next_window(rule, now), now)
    return attached.window


def _next_window(rule: UploadRule, now: datetime) -> UploadWindow:
    closes_at = now + timedelta(seconds=rule.window_seconds or 0)
    request = json.dumps(dict(rule.request), ensure_ascii=False)
    return UploadWindow(rule.dataset, 0, WindowStatus.OPEN, closes_at.isoformat(), request)


def _seconds_left(window: UploadWindow, deployment: Deployment) -> float:
    return (datetime.fromisoformat(window.closes_at) - deployment.clock()).total_seconds()


def _start(window: UploadWindow, deployment: Deployment, starter: ExecutionStarter) -> bool:
    dataset = window.dataset
    parts = deployment.uploads.parts(dataset, window.window)
    shares = in_parallel(lambda part: deployment.store.upload_share(dataset, part.part), parts)
    uploads = distinct(chain.from_iterable(shares))
    batch_id = batch_name(dataset, uploads)
    key = layout.upload_manifest_key(dataset, batch_id)
    deployment.store.add_upload_manifest(key, window_manifest(dataset, uploads))
    name = execution_name(dataset, batch_id)
    request = {**parse_json(window.request_json), "dataset": dataset, "objects_manifest": key}
    started = starter.start(name, json.dumps(request, ensure_ascii=False, sort_keys=True))
    done = replace(window, execution_id=name, objects_manifest=key, object_count=len(uploads))
    deployment.uploads.move_window(done, WindowStatus.STARTED, deployment.clock())
    logger.info(
        "the execution of a window is started",
        dataset=dataset,
        window=window.window,
        execution_id=name,
        object_count=len(uploads),
        started_now=started,
    )
    return started
