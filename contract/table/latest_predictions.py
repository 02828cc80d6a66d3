"""Pointers to the latest complete predictions, one per dataset and model or fleet.

Each pointer is in two places with the same content: an item of the table, and a manifest in the
results bucket for readers of S3. Only an execution over the whole dataset moves it, and only to
predictions that were planned later.

| question                              | how                                                      |
|---------------------------------------|----------------------------------------------------------|
| the pointers of a dataset             | query pk=LATEST#<dataset>                                |
| a model's pointer for a dataset       | get  pk=LATEST#<dataset>, sk=MODEL#<id> or FLEET#<id>    |
| a model's pointers for all datasets   | index pk=LATEST, sk begins with MODEL#<id>#              |
| all pointers                          | index pk=LATEST                                          |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from contract import codec, layout
from contract.layout import OutputLayout
from contract.table import records
from contract.table.attributes import to_attributes
from contract.table.job_parts import whole_job
from contract.table.records import ExecutionRecord, JobRecord, record_time
from contract.table.request_text import recorded_request

LATEST_PARTITIONS = "LATEST#"
"""Prefix of the partition keys of pointers."""
LATEST_COLLECTION = "LATEST"
_MAX_RESUMPTIONS = 100
"""Longest chain of resumed executions that is followed."""
PLACE = "place"
"""Attribute with the pointer's place among those of the same model: the greatest wins."""


@dataclass(frozen=True)
class LatestPredictions:
    """The latest complete predictions of a model, or of a fleet, for a dataset.

    Times are ISO 8601 in UTC. Rows are those of the job, in which each of its models counts a row.
    """

    dataset: str
    model_id: str
    """Id of the model, or of the fleet."""
    model_version: str
    """Version that scored; empty for a fleet, whose rows name theirs."""
    fleet: str
    """Id of the fleet whose models scored; empty for a model."""
    execution_id: str
    job_id: str
    output_layout: OutputLayout
    """`per_model`, or a layout in which the models of the job share their outputs."""
    predictions_uris: tuple[str, ...]
    """Prefixes of the predictions, each with a slash at the end: one, or one per part of the job."""
    quarantine_uris: tuple[str, ...]
    """Prefixes of the rows that could not be scored; empty if there are none."""
    object_count: int
    models_in_job: int
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    rows_skipped: int
    planned_at: str
    """Time at which the plan began that pinned the dataset's objects and the model's version."""
    started_at: str
    ended_at: str
    outputs_expire_at: str
    """Time from which S3 may delete the outputs; empty if they never expire."""

    @property
    def place(self) -> str:
        """Text that sorts the pointers of one model by time.

        Of executions with the same snapshots, one that resumed the other started later.
        """
        return f"{self.planned_at}#{self.started_at}#{self.execution_id}"

    @property
    def key(self) -> str:
        """Key of the manifest in the results bucket."""
        return layout.latest_key(self.dataset, self.model_id, self.fleet)


def point_to_job(
    parts: Sequence[JobRecord], results_bucket: str, *, planned_at: str, expiry_days: int | None
) -> list[LatestPredictions]:
    """Return the pointers to a succeeded job's predictions, one per model, or one for its fleet.

    `parts` are the records of the job's parts, or its only one. `expiry_days` is the setting
    `predictions_expiry_days`.
    """
    job = whole_job(parts)

    def uris(kind: layout.OutputKind, model_id: str) -> tuple[str, ...]:
        # The rows of one part may be in quarantine, and none of another: that one has no such folder.
        found = [part for part in parts if kind == "predictions" or part.rows_quarantined]
        return tuple(
            layout.s3_uri(results_bucket, prefix)
            for part in found
            for prefix in layout.output_prefixes(
                kind,
                part.dataset,
                part.execution_id,
                part.job_id,
                model_ids=[model_id],
                output_layout=part.output_layout,
            )
        )

    return [
        LatestPredictions(
            dataset=job.dataset,
            model_id=model_id,
            model_version="" if job.fleet else version,
            fleet=job.fleet,
            execution_id=job.execution_id,
            job_id=job.job_id,
            output_layout=job.output_layout,
            predictions_uris=uris("predictions", model_id),
            quarantine_uris=uris("quarantine", model_id),
            object_count=job.object_count,
            models_in_job=len(job.model_ids),
            rows_in=job.rows_in,
            rows_scored=job.rows_scored,
            rows_quarantined=job.rows_quarantined,
            rows_skipped=job.rows_skipped,
            planned_at=planned_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
            outputs_expire_at=_days_after(job.started_at, expiry_days) if expiry_days else "",
        )
        for model_id, version in zip(job.model_ids, job.model_versions, strict=True)
    ]


def _days_after(moment: str, days: int) -> str:
    return record_time(datetime.fromisoformat(moment) + timedelta(days=days))


def original_execution(
    record: ExecutionRecord, find: Callable[[str], ExecutionRecord | None]
) -> ExecutionRecord | None:
    """Return the execution whose snapshots these jobs have: the first of those that were resumed.

    Returns None if its record is gone, because then nobody knows what it covered.
    """
    for _ in range(_MAX_RESUMPTIONS):
        if not record.resumes:
            return record
        found = find(record.resumes)
        if found is None:
            return None
        record = found
    return None


def covers_whole_datasets(request_json: str) -> bool:
    """Return whether an execution of this request scores all objects of its datasets.

    Executions of uploads have a manifest of some objects. That of a table's newest snapshot has all.

    >>> covers_whole_datasets('{"dataset": "flights"}')
    True
    >>> covers_whole_datasets('{"objects_manifest": "uploads/flights/window-1.json"}')
    False
    """
    request = recorded_request(request_json)
    if request is None:
        return False
    manifest = request.get("objects_manifest")
    name = str(manifest).rpartition("/")[2]
    is_table = name.startswith(layout.TABLE_MANIFEST) and not name.startswith(layout.TABLE_PART_MANIFEST)
    return manifest is None or is_table


def latest_key(dataset: str, model_id: str, fleet: str = "") -> dict[str, str]:
    """Return the key of a pointer's item."""
    return {records.PARTITION_KEY: f"{LATEST_PARTITIONS}{dataset}", records.SORT_KEY: _subject(model_id, fleet)}


def latest_index_prefix(model_id: str, fleet: str = "") -> str:
    """Return the beginning of the index's sort keys of a model's or fleet's pointers."""
    return f"{_subject(model_id, fleet)}#"


def latest_item(latest: LatestPredictions) -> dict[str, Any]:
    """Return a pointer's item. It expires with the outputs."""
    item: dict[str, Any] = {
        **to_attributes(codec.to_json(latest)),
        **latest_key(latest.dataset, latest.model_id, latest.fleet),
        records.INDEX_PARTITION_KEY: LATEST_COLLECTION,
        records.INDEX_SORT_KEY: latest_index_prefix(latest.model_id, latest.fleet) + latest.dataset,
        PLACE: latest.place,
    }
    if latest.outputs_expire_at:
        item[records.TIME_TO_LIVE] = int(datetime.fromisoformat(latest.outputs_expire_at).timestamp())
    return item


def read_latest(item: dict[str, Any]) -> LatestPredictions:
    """Return the pointer of a table item.

    Raises:
        InvalidInputError: another release wrote the item.
    """
    return records.read_item(LatestPredictions, {name: value for name, value in item.items() if name != PLACE})


def _subject(model_id: str, fleet: str) -> str:
    return f"FLEET#{fleet}" if fleet else f"MODEL#{model_id}"
