"""What models say of how objects are read: which of them can share a job, and whether the objects' keys suit."""

from collections.abc import Iterable, Mapping, Sequence

from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import ModelVersion
from contract.dataset.formats import format_of
from contract.dataset.partitions import partition_values
from contract.job.job_input import can_share, input_of
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem

_SHOWN_KEYS = 10


def has_text(objects: Iterable[PinnedObject]) -> bool:
    return any((kind := format_of(item.key)) is not None and kind.name != "parquet" for item in objects)


def groups_of_one_reading(models: Sequence[ModelSpec], size: int, *, is_typed: bool) -> list[tuple[ModelSpec, ...]]:
    """The models of one job each, at most `size`.

    Columns of text, and those that come from keys, get their types from the models, which must agree then.
    """
    groups: list[list[ModelSpec]] = []
    not_full: list[tuple[list[ModelSpec], dict[str, str]]] = []
    for spec in models:
        own = input_of(spec).types if is_typed else {}
        found = next((entry for entry in not_full if can_share(own, entry[1])), None)
        if found is None:
            found = ([], {})
            groups.append(found[0])
            not_full.append(found)
        found[0].append(spec)
        found[1].update(own)
        if len(found[0]) == size:
            not_full.remove(found)
    return [tuple(group) for group in groups]


def without_partitions(objects: Iterable[PinnedObject], names: Sequence[str]) -> dict[str, str]:
    """The objects whose keys do not say these columns, and why not, by key."""
    reasons: dict[str, str] = {}
    for item in objects if names else ():
        try:
            partition_values(item.key, names)
        except ValueError as error:
            reasons[item.key] = str(error)
    return reasons


def check_partitions(version: ModelVersion, dataset: str, reasons: Mapping[str, str]) -> list[Problem]:
    """Refuse a model that takes columns from keys which do not say them, for the reasons of `without_partitions`."""
    if not reasons:
        return []
    spec = version.spec
    field = f"model {spec.model_id!r} version {spec.version!r} on dataset {dataset!r}: partition_columns"
    shown = ", ".join(list(reasons)[:_SHOWN_KEYS])
    names = ", ".join(f"'{name}=…/'" for name in spec.partition_columns)
    first = next(iter(reasons.values()))
    found = f"{len(reasons):,} objects whose keys do not say them: {shown}"
    return [Problem(field, found, f"only objects whose keys have the parts {names}", f"Of the first, {first}.")]
