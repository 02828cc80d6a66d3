"""The run of a processing job: download inputs, run one process per instance, upload outputs."""

from __future__ import annotations

import codecs
import dataclasses
import time
from functools import partial

from embedded.images.image import Image
from embedded.sagemaker.clients import RoleAccess
from embedded.sagemaker.errors import JobFailure
from embedded.sagemaker.instances.supervision import Ending, Outcome
from embedded.sagemaker.jobs.job_run import Instances, JobRun, upload_errors_logged
from embedded.sagemaker.jobs.processing.job import ProcessingJob
from embedded.sagemaker.transfer.job_files import read_file
from embedded.sagemaker.transfer.outputs import OutputFolder, OutputUpload

_EXIT_MESSAGE = "/opt/ml/output/message"
_EXIT_MESSAGE_BYTES = 1_024
_CHECKED_BYTES = 1 << 20


class ProcessingRun(JobRun[ProcessingJob]):
    """The run of a processing job."""

    _instances: Instances

    def _execute(self, image: Image, access: RoleAccess) -> Outcome:
        self._instances = self._make_instances(self._folder)
        shares = [
            share
            for source in self._job.inputs
            for share in self._instance_inputs(access, self._instances, source, source["LocalPath"])
        ]
        self._download(access, shares)
        upload = self._upload(access)
        outcome = self._run_instances(
            image,
            access,
            self._instances,
            limits={Ending.OUT_OF_RUNTIME: time.monotonic() + self._job.max_runtime_seconds},
            meanwhile=[partial(upload.look, self._context.watch_seconds)],
            uploads=upload,
        )
        if outcome.ending is Ending.FAILED and outcome.reason is None:
            reason = f"AlgorithmError: See job logs for more information, exit code: {outcome.exit_code}"
            outcome = dataclasses.replace(outcome, reason=reason)
        if not self._context.closing.is_set():
            with upload_errors_logged(self._job, outcome):
                upload.finish(only_continuous=outcome.ending is not Ending.COMPLETED)
            self._check_exit_messages()
        return outcome

    def _end(self, outcome: Outcome) -> None:
        self._job.set_exit_message(self._exit_message())
        self._job.end(outcome.ending.status, failure_reason=outcome.reason)

    def _upload(self, access: RoleAccess) -> OutputUpload:
        folders = [
            OutputFolder(
                instance.ml_root,
                instance.local(output["LocalPath"]),
                output["S3Uri"],
                output["S3UploadMode"] == "Continuous",
            )
            for output in self._job.outputs
            for instance in self._instances.values()
        ]
        key_id = (self._job.request.get("ProcessingOutputConfig") or {}).get("KmsKeyId") or None
        return OutputUpload(self._uploader(access, key_id), folders, pool=self._context.transfers)

    def _exit_message(self) -> str:
        """Return the concatenated messages of all hosts, cut at 1 KB."""
        roots = [self._folder / host / "ml" for host in self._job.hosts if host not in self._lost_hosts]
        message = b"".join(read_file(root, root / "output/message", _EXIT_MESSAGE_BYTES) for root in roots)
        return message[:_EXIT_MESSAGE_BYTES].decode("utf-8", "ignore")

    def _check_exit_messages(self) -> None:
        for instance in self._instances.values():
            file = instance.local(_EXIT_MESSAGE)
            try:
                text = read_file(instance.ml_root, file, _CHECKED_BYTES)
                codecs.getincrementaldecoder("utf-8")().decode(text, final=len(text) < _CHECKED_BYTES)
            except UnicodeDecodeError as error:
                raise JobFailure(
                    f"ClientError: The exit message of {instance.host} in {_EXIT_MESSAGE} is not UTF-8: "
                    f"{error.reason} at byte {error.start}"
                ) from error
