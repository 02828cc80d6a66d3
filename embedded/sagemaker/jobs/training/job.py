"""The state of a training job, and the files that its containers see."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.sagemaker.instances.instance import resource_config
from embedded.sagemaker.jobs.job import Container, Job, JobKind, Status, Timestamp
from embedded.sagemaker.jobs.training.metrics import Metrics
from embedded.sagemaker.transfer.outputs import join_s3_uri

KIND = JobKind("Training")
CHECKPOINTS = "/opt/ml/checkpoints"
MODEL = "/opt/ml/model"
OUTPUT_DATA = "/opt/ml/output/data"


class SecondaryStatus(enum.StrEnum):
    """SecondaryStatus of the API, in the order in which a job can have them."""

    STARTING = "Starting"
    DOWNLOADING = "Downloading"
    TRAINING = "Training"
    INTERRUPTED = "Interrupted"
    STOPPING = "Stopping"
    UPLOADING = "Uploading"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
    MAX_WAIT_TIME_EXCEEDED = "MaxWaitTimeExceeded"

    @property
    def is_final(self) -> bool:
        return self in {
            SecondaryStatus.COMPLETED,
            SecondaryStatus.FAILED,
            SecondaryStatus.STOPPED,
            SecondaryStatus.MAX_RUNTIME_EXCEEDED,
            SecondaryStatus.MAX_WAIT_TIME_EXCEEDED,
        }


_BEFORE_STOPPING = {
    SecondaryStatus.STARTING,
    SecondaryStatus.DOWNLOADING,
    SecondaryStatus.TRAINING,
    SecondaryStatus.INTERRUPTED,
}
_MESSAGES = {
    SecondaryStatus.STARTING: "Preparing the instances for training",
    SecondaryStatus.DOWNLOADING: "Downloading input data",
    SecondaryStatus.TRAINING: "Training image download completed. Training in progress.",
    SecondaryStatus.INTERRUPTED: "The managed spot training instances were interrupted",
    SecondaryStatus.STOPPING: "Stopping the training job",
    SecondaryStatus.UPLOADING: "Uploading generated training model",
    SecondaryStatus.COMPLETED: "Training job completed",
    SecondaryStatus.FAILED: "Training job failed",
    SecondaryStatus.STOPPED: "Training job stopped",
    SecondaryStatus.MAX_RUNTIME_EXCEEDED: "Training job runtime exceeded MaxRuntimeInSeconds provided",
    SecondaryStatus.MAX_WAIT_TIME_EXCEEDED: "Training job runtime exceeded MaxWaitTimeInSeconds provided",
}


@dataclass(eq=False)
class Transition:
    """The time that a job spends in one secondary status. For `end`, None means until now."""

    status: SecondaryStatus
    start: datetime
    end: datetime | None = None

    def describe(self, timestamp: Timestamp) -> dict[str, Any]:
        ended = {"EndTime": timestamp(self.end)} if self.end else {}
        message = {"StatusMessage": _MESSAGES[self.status]}
        return {"Status": str(self.status), "StartTime": timestamp(self.start), **ended, **message}


@dataclass(eq=False)
class TrainingJob(Job):
    """A training job: its request, statuses, metrics and billable time."""

    kind = KIND

    transitions: list[Transition] = field(default_factory=list)
    _billed: timedelta = timedelta()
    _billed_since: datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metrics = Metrics(self.request["AlgorithmSpecification"].get("MetricDefinitions") or [])
        self.transitions.append(Transition(SecondaryStatus.STARTING, self.created_at))

    def saved(self) -> dict[str, Any]:
        with self._changed:
            transitions = [(str(each.status), each.start, each.end) for each in self.transitions]
            values = {"billed": self._billed, "transitions": transitions, "metrics": self.metrics.values()}
            return {**super().saved(), **values}

    def restore(self, saved: dict[str, Any]) -> None:
        self._billed = saved["billed"]
        self.transitions = [
            Transition(SecondaryStatus(status), start, end) for status, start, end in saved["transitions"]
        ]
        self.metrics.restore(saved["metrics"])
        super().restore(saved)

    @property
    def channels(self) -> list[dict[str, Any]]:
        return self.request.get("InputDataConfig") or []

    @property
    def instance_count(self) -> int:
        return int(self.request["ResourceConfig"]["InstanceCount"])

    @property
    def instance_type(self) -> str:
        return str(self.request["ResourceConfig"]["InstanceType"])

    @property
    def volume_size_gb(self) -> int:
        return int(self.request["ResourceConfig"]["VolumeSizeInGB"])

    @property
    def is_spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining", False))

    @property
    def max_wait_seconds(self) -> int | None:
        """Longest time from the start of the job to its end, over all attempts.

        None means no limit.
        """
        value = (self.request.get("StoppingCondition") or {}).get("MaxWaitTimeInSeconds")
        return None if value is None else int(value)

    @property
    def checkpoint_uri(self) -> str | None:
        return (self.request.get("CheckpointConfig") or {}).get("S3Uri")

    @property
    def checkpoint_path(self) -> str:
        return str((self.request.get("CheckpointConfig") or {}).get("LocalPath") or CHECKPOINTS)

    @property
    def container(self) -> Container:
        specification = self.request["AlgorithmSpecification"]
        entrypoint = specification.get("ContainerEntrypoint")
        return Container(
            image_uri=specification["TrainingImage"],
            entrypoint=entrypoint,
            arguments=specification.get("ContainerArguments") or (None if entrypoint else ["train"]),
            environment=self.request.get("Environment") or {},
            is_network_isolated=bool(self.request.get("EnableNetworkIsolation", False)),
        )

    def artifact_uri(self, name: str) -> str:
        """Return the URI of an archive of the ended job, such as model.tar.gz."""
        return join_s3_uri(self.request["OutputDataConfig"]["S3OutputPath"], f"{self.name}/output/{name}")

    def folders(self) -> list[str]:
        return [*self.mount_points(), "/opt/ml/input/data"]

    def mount_points(self) -> list[str]:
        channels = [channel_folder(channel) for channel in self.channels]
        checkpoints = [self.checkpoint_path] if self.checkpoint_uri else []
        return [*channels, "/opt/ml/input/config", MODEL, "/opt/ml/output", OUTPUT_DATA, *checkpoints]

    def files(self, host: str) -> Mapping[str, dict[str, Any]]:
        return {
            "/opt/ml/input/config/hyperparameters.json": self.request.get("HyperParameters") or {},
            "/opt/ml/input/config/inputdataconfig.json": {
                channel["ChannelName"]: _channel_config(channel) for channel in self.channels
            },
            "/opt/ml/input/config/resourceconfig.json": resource_config(self, host),
        }

    def enter(self, status: SecondaryStatus) -> None:
        """Enter the next secondary status.

        A job that is stopping skips all but uploading and its end.
        """
        with self._changed:
            if self.status is Status.STOPPING and status in _BEFORE_STOPPING:
                return
            now = datetime.now(UTC)
            self.transitions[-1].end = self.modified_at = now
            self.transitions.append(Transition(status, now))

    def mark_stopping(self) -> bool:
        with self._changed:
            is_first = self.status is Status.IN_PROGRESS
            if not super().mark_stopping():
                return False
            if is_first:
                self.enter(SecondaryStatus.STOPPING)
            return True

    def start_billing(self) -> None:
        """Start to count billable time: the job has instances."""
        with self._changed:
            self._billed_since = datetime.now(UTC)

    def stop_billing(self) -> None:
        with self._changed:
            if self._billed_since is not None:
                self._billed += datetime.now(UTC) - self._billed_since
                self._billed_since = None

    def finish_training(self, status: Status, secondary: SecondaryStatus, *, failure_reason: str | None = None) -> None:
        """End the job with its final status and secondary status."""
        with self._changed:
            self.stop_billing()
            self.enter(secondary)
            self.end(status, failure_reason=failure_reason)

    def end(self, status: Status, *, failure_reason: str | None = None) -> None:
        with self._changed:
            if not self.transitions[-1].status.is_final:
                self.enter(SecondaryStatus(str(status)))
            super().end(status, failure_reason=failure_reason)
            self.transitions[-1].end = self.ended_at

    def _add_defaults(self, described: dict[str, Any]) -> None:
        for channel in described.get("InputDataConfig") or []:
            channel.setdefault("CompressionType", "None")
            channel.setdefault("RecordWrapperType", "None")
            channel["DataSource"]["S3DataSource"].setdefault("S3DataDistributionType", "FullyReplicated")
        described["AlgorithmSpecification"].setdefault("EnableSageMakerMetricsTimeSeries", False)
        described["OutputDataConfig"] = {"KmsKeyId": "", "CompressionType": "GZIP", **described["OutputDataConfig"]}
        for switch in (
            "EnableNetworkIsolation",
            "EnableInterContainerTrafficEncryption",
            "EnableManagedSpotTraining",
        ):
            described.setdefault(switch, False)

    def _progress(self, timestamp: Timestamp) -> dict[str, Any]:
        return {"SecondaryStatus": str(self.transitions[-1].status)}

    def _details(self, timestamp: Timestamp) -> dict[str, Any]:
        details: dict[str, Any] = {
            # As on AWS, the URI is shown even if the job has not uploaded the archive or never
            # will.
            "ModelArtifacts": {"S3ModelArtifacts": self.artifact_uri("model.tar.gz")},
            "SecondaryStatusTransitions": [transition.describe(timestamp) for transition in self.transitions],
            "FailureReason": self.failure_reason,
            "FinalMetricDataList": self.metrics.final(timestamp) or None,
        }
        if self.started_at is not None:
            details["TrainingStartTime"] = timestamp(self.started_at)
            if self.ended_at is not None:
                details["TrainingTimeInSeconds"] = round((self.ended_at - self.started_at).total_seconds())
                details["BillableTimeInSeconds"] = round(self._billed.total_seconds())
        return details


def channel_folder(channel: dict[str, Any]) -> str:
    return f"/opt/ml/input/data/{channel['ChannelName']}"


def _channel_config(channel: dict[str, Any]) -> dict[str, Any]:
    """Return a channel's entry in inputdataconfig.json."""
    source = channel["DataSource"]["S3DataSource"]
    content_type = {"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}
    return {
        **content_type,
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
