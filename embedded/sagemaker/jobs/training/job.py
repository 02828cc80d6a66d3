"""A training job as the API describes it and as its containers see it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.sagemaker.instances.instance import resource_config
from embedded.sagemaker.jobs.job import Container, Job, JobKind, Status, Timestamp
from embedded.sagemaker.jobs.training.metrics import Metrics
from embedded.sagemaker.transfer.outputs import below

KIND = JobKind("Training")
CHECKPOINTS = "/opt/ml/checkpoints"
MODEL = "/opt/ml/model"
OUTPUT_DATA = "/opt/ml/output/data"


class Secondary(enum.StrEnum):
    """SecondaryStatus, in the order in which a job can have them."""

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
            Secondary.COMPLETED,
            Secondary.FAILED,
            Secondary.STOPPED,
            Secondary.MAX_RUNTIME_EXCEEDED,
            Secondary.MAX_WAIT_TIME_EXCEEDED,
        }


_BEFORE_STOPPING = {Secondary.STARTING, Secondary.DOWNLOADING, Secondary.TRAINING, Secondary.INTERRUPTED}
_MESSAGES = {
    Secondary.STARTING: "Preparing the instances for training",
    Secondary.DOWNLOADING: "Downloading input data",
    Secondary.TRAINING: "Training image download completed. Training in progress.",
    Secondary.INTERRUPTED: "The managed spot training instances were interrupted",
    Secondary.STOPPING: "Stopping the training job",
    Secondary.UPLOADING: "Uploading generated training model",
    Secondary.COMPLETED: "Training job completed",
    Secondary.FAILED: "Training job failed",
    Secondary.STOPPED: "Training job stopped",
    Secondary.MAX_RUNTIME_EXCEEDED: "Training job runtime exceeded MaxRuntimeInSeconds provided",
    Secondary.MAX_WAIT_TIME_EXCEEDED: "Training job runtime exceeded MaxWaitTimeInSeconds provided",
}


@dataclass(eq=False)
class Transition:
    """A stretch of time in one secondary status; `end` is None while it lasts."""

    status: Secondary
    start: datetime
    end: datetime | None = None

    def describe(self, timestamp: Timestamp) -> dict[str, Any]:
        ended = {"EndTime": timestamp(self.end)} if self.end else {}
        message = {"StatusMessage": _MESSAGES[self.status]}
        return {"Status": str(self.status), "StartTime": timestamp(self.start), **ended, **message}


@dataclass(eq=False)
class TrainingJob(Job):
    kind = KIND

    transitions: list[Transition] = field(default_factory=list)
    _held: timedelta = timedelta()
    _held_since: datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.metrics = Metrics(self.request["AlgorithmSpecification"].get("MetricDefinitions") or [])
        self.transitions.append(Transition(Secondary.STARTING, self.created_at))

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
    def is_spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining", False))

    @property
    def max_wait_seconds(self) -> int | None:
        """From the job's start to its end, with all of its attempts; None where it is not limited."""
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
        """Where the archive of that name, such as model.tar.gz, lies when the job has ended."""
        return below(self.request["OutputDataConfig"]["S3OutputPath"], f"{self.name}/output/{name}")

    def folders(self) -> list[str]:
        channels = [channel_folder(channel) for channel in self.channels]
        checkpoints = [self.checkpoint_path] if self.checkpoint_uri else []
        return [*channels, "/opt/ml/input/data", MODEL, OUTPUT_DATA, *checkpoints]

    def files(self, host: str) -> Mapping[str, dict[str, Any]]:
        return {
            "/opt/ml/input/config/hyperparameters.json": self.request.get("HyperParameters") or {},
            "/opt/ml/input/config/inputdataconfig.json": {
                channel["ChannelName"]: _channel_config(channel) for channel in self.channels
            },
            "/opt/ml/input/config/resourceconfig.json": resource_config(self, host),
        }

    def enter(self, status: Secondary) -> None:
        """Go on to the next secondary status; a job that is stopping only uploads and ends."""
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
                self.enter(Secondary.STOPPING)
            return True

    def take_instances(self) -> None:
        """The job has instances from now on, which it pays."""
        with self._changed:
            self._held_since = datetime.now(UTC)

    def give_instances_back(self) -> None:
        with self._changed:
            if self._held_since is not None:
                self._held += datetime.now(UTC) - self._held_since
                self._held_since = None

    def conclude(self, status: Status, secondary: Secondary, *, failure_reason: str | None = None) -> None:
        """End the job with both of its statuses."""
        with self._changed:
            self.give_instances_back()
            self.enter(secondary)
            self.end(status, failure_reason=failure_reason)

    def end(self, status: Status, *, failure_reason: str | None = None) -> None:
        with self._changed:
            if not self.transitions[-1].status.is_final:
                self.enter(Secondary(str(status)))
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
            # Where it will be, also when the job has not uploaded it or never does: only the status says so.
            "ModelArtifacts": {"S3ModelArtifacts": self.artifact_uri("model.tar.gz")},
            "SecondaryStatusTransitions": [transition.describe(timestamp) for transition in self.transitions],
            "FailureReason": self.failure_reason,
            "FinalMetricDataList": self.metrics.final(timestamp) or None,
        }
        if self.started_at is not None:
            details["TrainingStartTime"] = timestamp(self.started_at)
            if self.ended_at is not None:
                details["TrainingTimeInSeconds"] = round((self.ended_at - self.started_at).total_seconds())
                details["BillableTimeInSeconds"] = round(self._held.total_seconds())
        return details


def channel_folder(channel: dict[str, Any]) -> str:
    return f"/opt/ml/input/data/{channel['ChannelName']}"


def _channel_config(channel: dict[str, Any]) -> dict[str, Any]:
    """A channel's entry in inputdataconfig.json."""
    source = channel["DataSource"]["S3DataSource"]
    content_type = {"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}
    return {
        **content_type,
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
