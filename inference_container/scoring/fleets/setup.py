"""What a worker needs to know of a fleet's members.

A fleet may have thousands, so a member is described by what it does not share with the first one.
"""

import copy
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from contract.catalog.model_spec import ModelSpec
from contract.codec import from_value, to_value
from contract.job.fleet import FleetSpec
from contract.json_text import dump_json, parse_json
from scoring.protocol import FleetSetup, MemberSetup

_MEMBERS_PER_BATCH = 64
_MAX_BATCHES = 16


def batches_for_members(members: int) -> int:
    """Return how many default batches one batch of a fleet is as large as, which is up to 128 MB.

    A member gets few rows of a batch, and each call has a cost of its own.

    >>> [batches_for_members(members) for members in (3, 200, 10_000)]
    [1, 3, 16]
    """
    return max(1, min(members // _MEMBERS_PER_BATCH, _MAX_BATCHES))


def fleet_setup(
    fleet: FleetSpec, models: Sequence[ModelSpec], files: Sequence[Path | None], cache_bytes: int
) -> FleetSetup:
    """Describe a fleet; `files` has the local path of each model, or None if the shard does not need it."""
    first = models[0]
    members = tuple(
        MemberSetup(spec.model_id, spec.version, "" if file is None else str(file), _changes(first, spec))
        for spec, file in zip(models, files, strict=True)
    )
    has_several_formats = any(spec.format != first.format for spec in models)
    return FleetSetup(fleet, first, members, cache_bytes, has_several_formats)


def member_spec(first: ModelSpec, member: MemberSetup) -> ModelSpec:
    """Return the spec of a member."""
    changes = parse_json(member.changes)
    if not all(isinstance(value, (str, int, float)) for value in changes.values()):
        return from_value(ModelSpec, {**to_value(first), **changes})
    # The supervisor has checked these fields, and a check of thousands of features takes time.
    spec = copy.copy(first)
    for name, value in changes.items():
        object.__setattr__(spec, name, value)
    return spec


def _changes(first: ModelSpec, spec: ModelSpec) -> str:
    """Return the fields in which a model differs from the first one, as JSON."""
    names = [field.name for field in fields(spec) if getattr(spec, field.name) != getattr(first, field.name)]
    return dump_json({name: to_value(getattr(spec, name)) for name in names})
