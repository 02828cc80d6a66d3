"""The course of a training job: its attempts on spot instances, their checkpoints, and what it leaves in S3."""

from __future__ import annotations

import dataclasses
import shutil
import time
from functools import partial

from embedded.images.image import Image
from embedded.sagemaker.clients import RoleAccess
from embedded.sagemaker.faults import InterruptionWatch
from embedded.sagemaker.instances.supervision import NEVER, Ending, Outcome
from embedded.sagemaker.jobs.job import SpotInterrupted
from embedded.sagemaker.jobs.job_run import Instances, JobRun, tolerated
from embedded.sagemaker.jobs.training import artifacts
from embedded.sagemaker.jobs.training.job import MODEL, OUTPUT_DATA, Secondary, TrainingJob, channel_folder
from embedded.sagemaker.transfer import inputs
from embedded.sagemaker.transfer.outputs import OutputFolder, OutputUpload

_FAILURE = "/opt/ml/output/failure"
_SECONDARY = {
    Ending.COMPLETED: Secondary.COMPLETED,
    Ending.FAILED: Secondary.FAILED,
    Ending.STOPPED: Secondary.STOPPED,
    Ending.OUT_OF_RUNTIME: Secondary.MAX_RUNTIME_EXCEEDED,
    Ending.OUT_OF_WAITING_TIME: Secondary.MAX_WAIT_TIME_EXCEEDED,
}


class TrainingRun(JobRun[TrainingJob]):
    """One attempt after the other, each with new and empty instances, as long as they are interrupted."""

    def _course(self, image: Image, access: RoleAccess) -> Outcome:
        job = self._job
        limits = {}
        if job.max_wait_seconds is not None:
            limits[Ending.OUT_OF_WAITING_TIME] = time.monotonic() + job.max_wait_seconds
        runtime_left = float(job.max_runtime_seconds)
        number = 0
        while True:
            number += 1
            folder = self._folder / f"attempt-{number}"
            job.take_instances()
            instances = self._make_instances(folder)
            checkpoints = self._checkpoints(access, instances)
            self._bring_data(access, instances, checkpoints)
            job.enter(Secondary.TRAINING)
            began = time.monotonic()
            outcome = self._train(
                image, access, instances, checkpoints, {**limits, Ending.OUT_OF_RUNTIME: began + runtime_left}
            )
            runtime_left -= time.monotonic() - began
            if outcome.ending is Ending.FAILED:
                outcome = dataclasses.replace(outcome, reason=_failure_reason(instances, outcome))
            if self._tools.closing.is_set():
                return outcome
            with tolerated(job, outcome):
                checkpoints.finish(only_continuous=True)
            if outcome.ending is not Ending.INTERRUPTED:
                break
            job.give_instances_back()
            job.enter(Secondary.INTERRUPTED)
            shutil.rmtree(folder)
            if job.stop_requested.is_set():
                return Outcome(Ending.STOPPED)
            if limits.get(Ending.OUT_OF_WAITING_TIME, NEVER) <= time.monotonic():
                return Outcome(Ending.OUT_OF_WAITING_TIME)
            job.enter(Secondary.STARTING)
        with tolerated(job, outcome):
            self._publish(access, instances, outcome)
        return outcome

    def _end(self, outcome: Outcome) -> None:
        status = outcome.ending.status
        self._job.conclude(status, _SECONDARY[outcome.ending], failure_reason=outcome.reason)

    def _checkpoints(self, access: RoleAccess, instances: Instances) -> OutputUpload:
        uri, path = self._job.checkpoint_uri, self._job.checkpoint_path
        folders = [OutputFolder(instance.local(path), uri, True) for instance in instances.values()] if uri else []
        return OutputUpload(self._uploader(access, None), folders, pool=self._tools.transfers)

    def _bring_data(self, access: RoleAccess, instances: Instances, checkpoints: OutputUpload) -> None:
        """The channels, and what earlier attempts or jobs have left at the checkpoint prefix."""
        job = self._job
        job.enter(Secondary.DOWNLOADING)
        shares = [
            share
            for channel in job.channels
            for share in self._shares(access, instances, channel["DataSource"]["S3DataSource"], channel_folder(channel))
        ]
        if job.checkpoint_uri:
            objects = inputs.list_prefix(access.s3, job.checkpoint_uri, job.role_arn)
            shares += [(instance.local(job.checkpoint_path), objects) for instance in instances.values()]
        self._download(access, shares)
        checkpoints.leave_out_what_is_there()

    def _train(
        self,
        image: Image,
        access: RoleAccess,
        instances: Instances,
        checkpoints: OutputUpload,
        limits: dict[Ending, float],
    ) -> Outcome:
        job, seconds = self._job, self._tools.watch_seconds
        meanwhile = [partial(checkpoints.watch, interval_seconds=seconds)]
        readers = [job.metrics.line]
        if job.is_spot:
            interruption = InterruptionWatch(self._tools.faults, job.name, checkpoints=lambda: checkpoints.count)
            meanwhile.append(
                partial(
                    interruption.watch,
                    interval_seconds=seconds,
                    interrupt=lambda: job.events.put(SpotInterrupted()),
                )
            )
            readers.append(interruption.line)

        def on_line(text: str) -> None:
            for read in readers:
                read(text)

        return self._run_instances(image, access, instances, limits=limits, meanwhile=meanwhile, on_line=on_line)

    def _publish(self, access: RoleAccess, instances: Instances, outcome: Outcome) -> None:
        """Upload the archives: as on the service also of a job that did not complete, where there is something."""
        job = self._job
        job.enter(Secondary.UPLOADING)
        uploader = self._uploader(access, job.request["OutputDataConfig"].get("KmsKeyId") or None)
        for path, name in ((MODEL, "model.tar.gz"), (OUTPUT_DATA, "output.tar.gz")):
            folders = {host: instance.local(path) for host, instance in instances.items()}
            is_due = path == MODEL and outcome.ending is Ending.COMPLETED
            if is_due or not artifacts.is_empty(folders):
                archive = self._folder / name
                artifacts.pack(folders, archive, path)
                uploader.put(archive, job.artifact_uri(name))


def _failure_reason(instances: Instances, outcome: Outcome) -> str:
    """What the host that failed first says in its failure file, or another one where it says nothing."""
    hosts = sorted(instances, key=lambda host: host != outcome.failed_host)
    files = [instances[host].local(_FAILURE) for host in hosts]
    texts = [file.read_text(encoding="utf-8", errors="replace").strip() for file in files if file.is_file()]
    return f"AlgorithmError: {next(filter(None, texts), '')}, exit code: {outcome.exit_code}"
