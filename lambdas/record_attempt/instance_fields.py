"""The part of a job's request that describes its instances: ClusterConfig or ResourceConfig."""

from typing import Any

from contract.catalog.instance_types import has_local_storage
from contract.table.records import AttemptRecord, JobRecord
from lambdas.stage.deployment import Deployment


def instance_fields(job: JobRecord, attempt: AttemptRecord, deployment: Deployment) -> dict[str, Any]:
    """Return the fields with the stage's key for the volumes.

    SageMaker refuses a key for instance types with local storage, which encrypt it themselves.
    """
    fields = {
        "InstanceType": attempt.instance_type,
        "InstanceCount": attempt.instance_count,
        # Attempts of earlier releases have no size of their own.
        "VolumeSizeInGB": attempt.volume_size_gb or job.compute.volume_size_gb or 0,
    }
    if has_local_storage(attempt.instance_type):
        return fields
    return {**fields, "VolumeKmsKeyId": deployment.settings.key_arn}
