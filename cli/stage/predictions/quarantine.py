"""Files of the rows that an execution could not score."""

from collections.abc import Iterator
from typing import Any

from cli.stage.diagnosis.job_choice import all_items
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.predictions.download import PredictionsFile, list_objects
from contract import layout


def find_quarantine(
    s3: Any, bucket: str, snapshot: Snapshot, *, dataset: str = "", model: str = ""
) -> list[PredictionsFile]:
    """Return the quarantine files of an execution's jobs, also of failed ones, by key.

    `dataset` and `model` choose some of them; `model` may be a fleet.
    """
    return sorted(_files(s3, bucket, snapshot, dataset, model), key=lambda file: file.key)


def _files(s3: Any, bucket: str, snapshot: Snapshot, dataset: str, model: str) -> Iterator[PredictionsFile]:
    for job in all_items(snapshot):
        if dataset not in ("", job.dataset):
            continue
        prefix = layout.job_outputs_prefix("quarantine", job.dataset, snapshot.execution_id, job.job_id)
        for key, size in list_objects(s3, bucket, prefix):
            if model in ("", job.fleet) or f"/model_id={model}/" in key:
                yield PredictionsFile(key, size)
