"""Loads a fleet from a worker's setup."""

import sys
from functools import partial
from pathlib import Path

from contract.catalog.model_spec import ModelSpec
from scoring.fleets.fleet_model import FleetModel
from scoring.fleets.members import Member
from scoring.fleets.setup import member_spec
from scoring.job_log.events import write_log
from scoring.models import LoadedModel, load_model
from scoring.protocol import FleetSetup, MemberSetup

_BYTES_PER_FILE_BYTE = 4
_BYTES_PER_MEMBER = 64 << 10
"""Estimated memory of a loaded member: so many times the bytes of its file, and this."""


def load_fleet(setup: FleetSetup, spec: ModelSpec) -> FleetModel:
    """Return the fleet as one model, of which one member is loaded. `spec` is that of the fleet.

    Raises ScoringError.
    """
    members = [
        Member(
            member.model_id, member.version, partial(_load_member, setup.first, member), is_extracted=bool(member.file)
        )
        for member in setup.members
    ]
    return FleetModel(
        setup.spec,
        spec,
        members,
        features=len(setup.first.features),
        cache_bytes=setup.cache_bytes,
        has_several_formats=setup.has_several_formats,
    )


def _load_member(first: ModelSpec, member: MemberSetup) -> tuple[LoadedModel, int]:
    path = Path(member.file)
    loaded = load_model(member_spec(first, member), path)
    for note in loaded.notes:
        write_log(sys.stderr, f"model {member.model_id!r}: {note}\n")
    return loaded, path.stat().st_size * _BYTES_PER_FILE_BYTE + _BYTES_PER_MEMBER
