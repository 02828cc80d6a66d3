"""The run of a training job: attempts, interruptions, checkpoints and archives."""

from __future__ import annotations

import dataclasses
import time
from functools import partial

from embedded.images.image import Image
from embedded.sagemaker.clients import RoleAccess
from embedded.sagemaker.instances.guard import delete_folder
from embedded.sagemaker.instances.supervision import NEVER, Ending, Outcome
from embedded.sagemaker.jobs.job_run import Instances, JobRun, upload_errors_logged
from embedded.sagemaker.jobs.training import artifacts
from embedded.sagemaker.jobs.training.job import MODEL, OUTPUT_DATA, SecondaryStatus, TrainingJob, channel_folder
from embedded.sagemaker.transfer import inputs
from embedded.sagemaker.transfer.job_files import is_folder, read_file
from embedded.sagemaker.transfer.outputs import OutputFolder, OutputUpload

_FAILURE = "/opt/ml/output/failure"
_FAILURE_BYTES = 1 << 16
_SECONDARY_STATUSES = {
    Ending.COMPLETED: SecondaryStatus.COMPLETED,
    Ending.FAILED: SecondaryStatus.FAILED,
    Ending.STOPPED: SecondaryStatus.STOPPED,
    Ending.OUT_OF_RUNTIME: SecondaryStatus.MAX_RUNTIME_EXCEEDED,
    Ending.OUT_OF_WAITING_TIME: SecondaryStatus.MAX_WAIT_TIME_EXCEEDED,
}


class TrainingRun(JobRun[TrainingJob]):
    """The run of a training job.

    Each interruption leads to a new attempt on new, empty instances.
    """

    def _execute(self, image: Image, access: RoleAccess) -> Outcome:
        job = self._job
        limits = {}
        if job.max_wait_seconds is not None:
            limits[Ending.OUT_OF_WAITING_TIME] = time.monotonic() + job.max_wait_seconds
        runtime_left = float(job.max_runtime_seconds)
        number = 0
        while True:
            number += 1
            folder = self._folder / f"attempt-{number}"
            job.start_billing()
            instances = self._make_instances(folder)
            checkpoints = self._checkpoints(access, instances)
            self._download_data(access, instances, checkpoints)
            job.enter(SecondaryStatus.TRAINING)
            began = time.monotonic()
            outcome = self._train(
                image, access, instances, checkpoints, {**limits, Ending.OUT_OF_RUNTIME: began + runtime_left}
            )
            runtime_left -= time.monotonic() - began
            if outcome.ending is Ending.FAILED and outcome.reason is None:
                outcome = dataclasses.replace(outcome, reason=_failure_reason(instances, outcome))
            if self._context.closing.is_set():
                return outcome
            with upload_errors_logged(job, outcome):
                checkpoints.finish(only_continuous=True)
            if outcome.ending is not Ending.INTERRUPTED:
                break
            job.stop_billing()
            job.enter(SecondaryStatus.INTERRUPTED)
            delete_folder(folder)
            if job.stop_requested.is_set():
                return Outcome(Ending.STOPPED)
            if limits.get(Ending.OUT_OF_WAITING_TIME, NEVER) <= time.monotonic():
                return Outcome(Ending.OUT_OF_WAITING_TIME)
            job.enter(SecondaryStatus.STARTING)
            if job.stop_requested.wait(self._context.instance_settings().waited_seconds):
                return Outcome(Ending.STOPPED)
        with upload_errors_logged(job, outcome):
            self._publish(access, instances, outcome)
        return outcome

    def _without_capacity(self) -> Outcome:
        # As on AWS, a job on spot capacity waits until its MaxWaitTimeInSeconds. The fault's wait stands for it.
        return Outcome(Ending.OUT_OF_WAITING_TIME) if self._job.is_spot else super()._without_capacity()

    def _end(self, outcome: Outcome) -> None:
        status = outcome.ending.status
        self._job.finish_training(status, _SECONDARY_STATUSES[outcome.ending], failure_reason=outcome.reason)

    def _checkpoints(self, access: RoleAccess, instances: Instances) -> OutputUpload:
        uri, path = self._job.checkpoint_uri, self._job.checkpoint_path
        folders = [
            OutputFolder(instance.ml_root, instance.local(path), uri, True) for instance in instances.values() if uri
        ]
        return OutputUpload(self._uploader(access, None), folders, pool=self._context.transfers)

    def _download_data(self, access: RoleAccess, instances: Instances, checkpoints: OutputUpload) -> None:
        """Download the channels, and the checkpoints of earlier attempts or jobs."""
        job = self._job
        job.enter(SecondaryStatus.DOWNLOADING)
        shares = [
            share
            for channel in job.channels
            for share in self._instance_inputs(
                access, instances, channel["DataSource"]["S3DataSource"], channel_folder(channel)
            )
        ]
        if job.checkpoint_uri:
            objects = inputs.list_prefix(access.s3, job.checkpoint_uri, job.role_arn)
            shares += [(instance.local(job.checkpoint_path), objects) for instance in instances.values()]
        self._download(access, shares)
        checkpoints.mark_existing_as_uploaded()

    def _train(
        self,
        image: Image,
        access: RoleAccess,
        instances: Instances,
        checkpoints: OutputUpload,
        limits: dict[Ending, float],
    ) -> Outcome:
        return self._run_instances(
            image,
            access,
            instances,
            limits=limits,
            meanwhile=[partial(checkpoints.look, self._context.watch_seconds)],
            uploads=checkpoints,
            on_line=self._job.metrics.line,
        )

    def _publish(self, access: RoleAccess, instances: Instances, outcome: Outcome) -> None:
        """Upload the archives.

        As on AWS, a job that did not complete also leaves what it has written.
        """
        job = self._job
        job.enter(SecondaryStatus.UPLOADING)
        uploader = self._uploader(access, job.request["OutputDataConfig"].get("KmsKeyId") or None)
        for path, name in ((MODEL, "model.tar.gz"), (OUTPUT_DATA, "output.tar.gz")):
            folders = {
                host: instance.local(path)
                for host, instance in instances.items()
                if host not in self._lost_hosts and is_folder(instance.ml_root, instance.local(path))
            }
            is_due = path == MODEL and outcome.ending is Ending.COMPLETED
            if is_due or not artifacts.is_empty(folders):
                archive = self._folder / name
                artifacts.pack(folders, archive, path)
                with archive.open("rb") as file:
                    uploader.put(file, job.artifact_uri(name))


def _failure_reason(instances: Instances, outcome: Outcome) -> str:
    """Return the text of a failure file, preferably that of the host that failed first."""
    hosts = sorted(instances, key=lambda host: host != outcome.failed_host)
    found = [read_file(instances[host].ml_root, instances[host].local(_FAILURE), _FAILURE_BYTES) for host in hosts]
    texts = [text.decode("utf-8", "replace").strip() for text in found]
    return f"AlgorithmError: {next(filter(None, texts), '')}, exit code: {outcome.exit_code}"
