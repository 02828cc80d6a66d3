"""The rule for what counts as scored already, so that it is not scored again.

A commit counts if the output would be the same: the same object (key, size and ETag), the same
model with the same options, the same layout of the output, and the same scoring contract. The
model's version may have another name. The size of batches, the instances and the other models of
the job do not matter, unless the models share the output.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from contract.catalog.model_spec import ModelSpec, tolerated_rows
from contract.codec import to_value
from contract.job.fleet import FleetSpec
from contract.job.ledger import Commit
from contract.job.scoring_spec import SCORING_CONTRACT, JobSpec
from contract.json_text import dump_json
from contract.layout import OutputLayout

_NOT_IN_OUTPUT = ("version", "tolerated_quarantine_fraction")
"""Fields of a model that do not change its predictions. `keeps_commit` compares them where they matter."""


def output_digests(
    models: Sequence[ModelSpec],
    output_layout: OutputLayout,
    *,
    joined_nulls: bool = False,
    fleet: FleetSpec | None = None,
    scoring_contract: int = SCORING_CONTRACT,
) -> dict[str, str]:
    """Return, for each committing model of a job, a digest of all that decides about its output of an object."""
    shared: dict[str, Any] = {"contract": scoring_contract, "layout": output_layout}
    if fleet is not None:
        # The output names the version that scored each row.
        members = [{**_fields_of(model), "version": model.version} for model in models]
        return {fleet.fleet_id: _digest({**shared, "fleet": to_value(fleet), "models": members})}
    if output_layout == "joined":
        shared |= {"nulls": joined_nulls, "models": [_fields_of(model) for model in models]}
    return {model.model_id: _digest({**shared, "model": _fields_of(model)}) for model in models}


def digests_of(spec: JobSpec) -> dict[str, str]:
    """Return the `output_digests` of a job."""
    return output_digests(
        spec.models,
        spec.output_layout,
        joined_nulls=spec.joined_nulls,
        fleet=spec.fleet,
        scoring_contract=spec.scoring_contract,
    )


def keeps_commit(commit: Commit, version: str, now: ModelSpec) -> bool:
    """Return whether a commit of a version counts for a job whose output digests are the same.

    The quarantine file names the model's version, and the job may tolerate fewer rows in it.
    """
    if not commit.rows_quarantined:
        return True
    tolerated = tolerated_rows(now.tolerated_quarantine_fraction, commit.rows_in - commit.rows_skipped)
    return version == now.version and commit.rows_quarantined <= tolerated


def changed_fields(before: ModelSpec, now: ModelSpec) -> list[str]:
    """Return the names of the fields in which two versions score differently."""
    names = [item.name for item in fields(ModelSpec) if item.name not in _NOT_IN_OUTPUT]
    return [name for name in names if getattr(before, name) != getattr(now, name)]


def _fields_of(spec: ModelSpec) -> Mapping[str, Any]:
    return {name: value for name, value in to_value(spec).items() if name not in _NOT_IN_OUTPUT}


def _digest(value: Any) -> str:
    return hashlib.sha256(dump_json(value, sort_keys=True).encode()).hexdigest()
