"""The estimates of a stage: what its executions have measured, and the defaults of what they have not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from boto3.dynamodb.conditions import Key

from cli.failures import CommandError
from cli.stage.catalog.catalog_table import CatalogTable, catalog_ids
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from contract.planner.estimates import Estimate, Estimates, Samples, format_key, summarize
from contract.table import records
from contract.table.estimate_items import (
    ESTIMATE_PARTITIONS,
    SHARED_PARTITIONS,
    EstimateRecord,
    estimate_key,
    samples_of,
)

Source = Literal["measured", "same format", "default"]
"""Where an estimate comes from: own samples, those of models with the same format, or documented defaults."""


@dataclass(frozen=True)
class TypeEstimates:
    """The estimates of an instance type."""

    instance_type: str
    startup_seconds: Estimate
    download_bytes_per_second: Estimate


@dataclass(frozen=True)
class ModelEstimate:
    """Rows per second of one worker with a model or a fleet."""

    model_id: str
    instance_type: str
    """Instance type on which the model was measured; empty if it was not."""
    rows_per_second: Estimate
    source: Source


@dataclass(frozen=True)
class StageEstimates:
    """The estimates of a stage."""

    types: Sequence[TypeEstimates]
    """Instance types on which something was measured; with the name "" if none was."""
    upload_bytes_per_second: Estimate
    """Upload rate of an instance, which is a default."""
    models: Sequence[ModelEstimate]
    unmeasured: int
    """Number of the other models and fleets, which nothing has measured."""


def read_estimates(connection: Connection, deployment: Deployment, model_ids: Sequence[str] = ()) -> StageEstimates:
    """Return the estimates of these models or fleets; without ids, those of all that were measured.

    Raises:
        CommandError: naming ids that are neither of a model nor of a fleet.
    """
    table = connection.resource("dynamodb").Table(deployment.table_name)
    catalog = CatalogTable(table, connection)
    wanted = list(dict.fromkeys(model_ids)) or [*catalog_ids(table, "MODEL"), *_fleet_ids(table)]
    own = list(_records(catalog, wanted))
    samples = samples_of([*_shared(table), *own])
    estimates = Estimates(samples)
    found = [
        ModelEstimate(record.name, instance_type, summarize(values), "measured")
        for record in own
        for instance_type in sorted(record.samples)
        if (values := record.values(instance_type))
    ]
    left = [model_id for model_id in wanted if model_id not in {each.model_id for each in found}]
    if model_ids:
        found += _without_samples(catalog, left, samples, estimates)
    measured = (name for kind in ("startup", "download") for name in samples.by_kind.get(kind, {}))
    types = sorted({*measured, *(each.instance_type for each in found if each.instance_type)}) or [""]
    return StageEstimates(
        [
            TypeEstimates(name, estimates.startup_seconds(name), estimates.transfer_bytes_per_second(name))
            for name in types
        ],
        estimates.upload_bytes_per_second(""),
        sorted(found, key=lambda each: (each.model_id, each.instance_type)),
        0 if model_ids else len(left),
    )


def _without_samples(
    catalog: CatalogTable, model_ids: Sequence[str], samples: Samples, estimates: Estimates
) -> Iterator[ModelEstimate]:
    """Yield the estimates of models that nothing has measured.

    Raises:
        CommandError: naming ids that are neither of a model nor of a fleet.
    """
    models = catalog.models(model_ids)
    fleets = catalog.fleet_ids(model_id for model_id in model_ids if model_id not in models)
    if unknown := [model_id for model_id in model_ids if model_id not in models and model_id not in fleets]:
        raise CommandError(
            f"--model: got {', '.join(map(repr, unknown))}, expected the id of a model or a fleet. "
            "`fleetscore models list` shows all."
        )
    versions = catalog.versions([(model.model_id, model.current_version) for model in models.values()])
    specs = {model_id: version.spec for (model_id, _), version in versions.items()}
    for model_id in model_ids:
        spec = specs.get(model_id)
        format_name, size = (spec.format, spec.artifact_bytes) if spec else ("", 0)
        prefix = format_key(format_name, size, "")
        alike = spec is not None and any(key.startswith(prefix) for key in samples.by_kind.get("rows", {}))
        rate = estimates.rows_per_second(model_id, format_name, size, "")
        yield ModelEstimate(model_id, "", rate, "same format" if alike else "default")


def _fleet_ids(table: Any) -> list[str]:
    """Return the ids of all fleets."""
    condition = Key(records.INDEX_PARTITION_KEY).eq(records.FLEETS_COLLECTION)
    items = query_items(table, IndexName=records.INDEX_NAME, KeyConditionExpression=condition)
    return [str(item["fleet_id"]) for item in items]


def _records(catalog: CatalogTable, model_ids: Iterable[str]) -> Iterator[EstimateRecord]:
    keys = [estimate_key("MODEL", model_id) for model_id in model_ids]
    return (records.read_item(EstimateRecord, item) for item in catalog.items(keys))


def _shared(table: Any) -> Iterator[EstimateRecord]:
    """Yield the samples of instance types and formats."""
    for subject in SHARED_PARTITIONS:
        condition = Key(records.PARTITION_KEY).eq(f"{ESTIMATE_PARTITIONS}{subject}")
        for item in query_items(table, KeyConditionExpression=condition):
            yield records.read_item(EstimateRecord, item)
