"""Gathering uploads for a window: every object version in exactly one execution, whatever happens in between.

Messages come at least once, in any order, in batches that are cut anywhere, to several calls at the same time, and a
call may die between any two of its steps. What holds it together:

1. **A part's file before its claims.** A call writes the versions that nobody has claimed yet as a *part*, named by
   them, to S3, and only then claims each version for it by a conditional write. A claim never changes. So whoever
   meets a claim finds the file of its part, and can do the rest of the dead call's work.
2. **A part's share.** Once every version of the file has been claimed by somebody, those that this part owns are its
   share, the same for each who works it out. Shares of different parts have nothing in common, and together they are
   all versions.
3. **A part in a window.** The part is attached to the dataset's open window, in one transaction that holds only while
   the window is OPEN; a part has one window for good. When there is none, the same transaction opens the next one.
4. **A reminder before the messages go.** A message may leave the queue only after its version's part is attached to a
   window that has started, or for which this call has put a reminder into the queue. A call that dies earlier
   leaves its messages there, and they lead through 1 to 4 again, each step of which finds what was done already.
5. **The end of a window.** The reminder closes the window, after which no part can join. The shares of its parts make
   the manifest, the versions name the batch and thereby the execution. Any number of calls, at once or again, write
   the same manifest and start the same execution; only then is the window STARTED and the reminder done.

So no version is lost (4, 5), and none is in two executions (2, 3 and the execution's name). What bounds this: claims
live for `record_days`, 30 at least, and the queues keep a message for 14; Step Functions remembers a name for 90 days
after the execution's end. When Step Functions refuses for a time, only reminders wait, and uploads go on being
gathered.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from contract import layout
from contract.status import WindowStatus
from contract.table.records import UploadWindow
from contract.triggers.uploads import ObjectVersion, UploadRule
from lambdas.errors import UnreadableMessageError
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel
from lambdas.start_on_upload.decisions import distinct, execution_name, name_of, window_manifest
from lambdas.start_on_upload.messages import WindowEnd
from lambdas.stage.upload_queue import Outside


def gather(rule: UploadRule, uploads: Sequence[ObjectVersion], deployment: Deployment, outside: Outside) -> None:
    """See to it that each of these uploads is in an execution or will be; their messages may go after that."""
    uploads = distinct(uploads)
    owners = deployment.uploads.owners(rule.dataset, uploads)
    fresh = [upload for upload in uploads if (upload.key, upload.identity) not in owners]
    if fresh:
        owners |= _claim_for_a_new_part(rule.dataset, fresh, deployment)
    windows = {_window_of(rule, part, deployment) for part in sorted(set(owners.values()))}
    for number in sorted(windows):
        window = deployment.uploads.find_window(rule.dataset, number)
        if window is not None and window.status is not WindowStatus.STARTED:
            outside.end_window_later(WindowEnd(rule.dataset, number), _seconds_left(window, deployment))


def end_window(end: WindowEnd, deployment: Deployment, outside: Outside) -> bool:
    """Close a window whose time is over and start its execution; says whether this call started one.

    Raises:
        UnreadableMessageError: when there is no such window.
    """
    window = deployment.uploads.find_window(end.dataset, end.window)
    if window is None:
        raise UnreadableMessageError(f"dataset {end.dataset!r} has no window {end.window}")
    if window.status is WindowStatus.STARTED:
        return False
    if window.status is WindowStatus.OPEN:
        seconds = _seconds_left(window, deployment)
        if seconds > 0:
            outside.end_window_later(end, seconds)
            return False
        deployment.uploads.move_window(window, WindowStatus.CLOSED, deployment.clock())
    return _start(replace(window, status=WindowStatus.CLOSED), deployment, outside)


def _claim_for_a_new_part(
    dataset: str, fresh: Sequence[ObjectVersion], deployment: Deployment
) -> dict[tuple[str, str], str]:
    part = name_of(dataset, fresh)
    deployment.store.add_upload_part(dataset, part, fresh)
    return deployment.uploads.claim(dataset, part, fresh, deployment.clock())


def _window_of(rule: UploadRule, part: str, deployment: Deployment) -> int:
    """The window that the part is attached to, after doing what the call that made the part may have left undone."""
    attached = deployment.uploads.find_part(rule.dataset, part)
    if attached is None:
        now = deployment.clock()
        everything = deployment.store.upload_part(rule.dataset, part)
        owners = deployment.uploads.owners(rule.dataset, everything)
        unclaimed = [upload for upload in everything if (upload.key, upload.identity) not in owners]
        owners |= deployment.uploads.claim(rule.dataset, part, unclaimed, now)
        share = [upload for upload in everything if owners[upload.key, upload.identity] == part]
        deployment.store.add_upload_share(rule.dataset, part, share)
        attached = deployment.uploads.attach(part, _next_window(rule, now), now)
    return attached.window


def _next_window(rule: UploadRule, now: datetime) -> UploadWindow:
    closes_at = now + timedelta(seconds=rule.window_seconds or 0)
    request = json.dumps(dict(rule.request), ensure_ascii=False)
    return UploadWindow(rule.dataset, 0, WindowStatus.OPEN, closes_at.isoformat(), request)


def _seconds_left(window: UploadWindow, deployment: Deployment) -> float:
    return (datetime.fromisoformat(window.closes_at) - deployment.clock()).total_seconds()


def _start(window: UploadWindow, deployment: Deployment, outside: Outside) -> bool:
    dataset = window.dataset
    parts = deployment.uploads.parts(dataset, window.window)
    shares = in_parallel(lambda part: deployment.store.upload_share(dataset, part.part), parts)
    uploads = distinct(chain.from_iterable(shares))
    batch_id = name_of(dataset, uploads)
    key = layout.upload_manifest_key(dataset, batch_id)
    deployment.store.add_upload_manifest(key, window_manifest(dataset, uploads))
    name = execution_name(dataset, batch_id)
    request = {**json.loads(window.request_json), "dataset": dataset, "objects_manifest": key}
    started = outside.start_execution(name, request)
    done = replace(window, execution_id=name, objects_manifest=key, object_count=len(uploads))
    deployment.uploads.move_window(done, WindowStatus.STARTED, deployment.clock())
    logger.info(
        "a window of uploads has its execution",
        dataset=dataset,
        window=window.window,
        execution_id=name,
        object_count=len(uploads),
        started_now=started,
    )
    return started
