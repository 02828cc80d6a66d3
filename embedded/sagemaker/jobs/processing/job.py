"""The state of a processing job, and the files that its containers see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedded.sagemaker.instances.instance import resource_config
from embedded.sagemaker.jobs.job import Container, Job, JobKind, Timestamp

KIND = JobKind("Processing")
_CONFIG_MEMBERS = (
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "ProcessingInputs",
    "ProcessingJobArn",
    "ProcessingJobName",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "RoleArn",
    "StoppingCondition",
)


@dataclass(eq=False)
class ProcessingJob(Job):
    """A processing job: its request, status and exit message."""

    kind = KIND

    exit_message: str | None = None

    def saved(self) -> dict[str, Any]:
        return {**super().saved(), "exit_message": self.exit_message}

    def restore(self, saved: dict[str, Any]) -> None:
        self.exit_message = saved["exit_message"]
        super().restore(saved)

    @property
    def inputs(self) -> list[dict[str, Any]]:
        return [item["S3Input"] for item in self.request.get("ProcessingInputs") or []]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        config = self.request.get("ProcessingOutputConfig") or {}
        return [item["S3Output"] for item in config.get("Outputs") or []]

    @property
    def instance_count(self) -> int:
        return int(self.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])

    @property
    def instance_type(self) -> str:
        return str(self.request["ProcessingResources"]["ClusterConfig"]["InstanceType"])

    @property
    def volume_size_gb(self) -> int:
        return int(self.request["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"])

    @property
    def container(self) -> Container:
        specification = self.request["AppSpecification"]
        return Container(
            image_uri=specification["ImageUri"],
            entrypoint=specification.get("ContainerEntrypoint"),
            arguments=specification.get("ContainerArguments"),
            environment=self.request.get("Environment") or {},
            is_network_isolated=bool((self.request.get("NetworkConfig") or {}).get("EnableNetworkIsolation", False)),
        )

    def folders(self) -> list[str]:
        places = [item["LocalPath"] for item in [*self.inputs, *self.outputs]]
        return [*places, "/opt/ml/processing/input", "/opt/ml/processing/output", "/opt/ml/output", "/opt/ml/config"]

    def mount_points(self) -> list[str]:
        places = [item["LocalPath"] for item in [*self.inputs, *self.outputs]]
        return [*places, "/opt/ml/output", "/opt/ml/config"]

    def files(self, host: str) -> Mapping[str, dict[str, Any]]:
        described = self.describe()
        return {
            "/opt/ml/config/resourceconfig.json": resource_config(self, host),
            "/opt/ml/config/processingjobconfig.json": {
                name: described[name] for name in _CONFIG_MEMBERS if name in described
            },
        }

    def set_exit_message(self, exit_message: str) -> None:
        """Store the message that the containers have written; empty means none."""
        with self._changed:
            self.exit_message = exit_message or None

    def _add_defaults(self, described: dict[str, Any]) -> None:
        outputs = (described.get("ProcessingOutputConfig") or {}).get("Outputs") or []
        for item in [*(described.get("ProcessingInputs") or []), *outputs]:
            item.setdefault("AppManaged", False)

    def _progress(self, timestamp: Timestamp) -> dict[str, Any]:
        return {"ExitMessage": self.exit_message, "FailureReason": self.failure_reason}

    def _details(self, timestamp: Timestamp) -> dict[str, Any]:
        return {"ProcessingStartTime": timestamp(self.started_at) if self.started_at else None}
