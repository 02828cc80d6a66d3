"""The start-up of jobs, which appears to take a time that a setting states."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from embedded.sagemaker.instances.settings import InstanceSettings
from embedded.sagemaker.jobs.job import Job, Status


def creation_time(settings: InstanceSettings) -> datetime:
    """Return the creation time that a new job shows."""
    return datetime.now(UTC) - timedelta(seconds=settings.shown_seconds)


def after_startup(job: Job, settings: InstanceSettings, submit: Callable[[], None]) -> None:
    """Call `submit` when the waited part of the start-up is over, in another thread if there is one.

    A job that is stopped meanwhile ends as stopped.
    """
    if not settings.waited_seconds:
        submit()
        return

    def wait() -> None:
        if job.stop_requested.wait(settings.waited_seconds):
            job.end(Status.STOPPED)
        else:
            submit()

    threading.Thread(target=wait, name=f"startup-{job.name}", daemon=True).start()
