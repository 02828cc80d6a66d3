"""How the models of a job read its objects.

Each object is read once for all models, so they must agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from contract.catalog.model_spec import ModelSpec
from contract.dataset.input_options import InputOptions


@dataclass(frozen=True)
class JobInput:
    """What a reader must know about the models.

    `options.csv_columns` is always set if there is no header.
    """

    options: InputOptions = field(default_factory=InputOptions)
    types: Mapping[str, str] = field(default_factory=dict)
    """Declared Arrow type of every feature, by name."""
    partition_columns: tuple[str, ...] = ()
    disputes: tuple[str, ...] = ()
    """Where the models disagree. Only text formats are affected, except by `partition_columns`."""


def input_of(spec: ModelSpec) -> JobInput:
    """Return how one model reads objects."""
    options = spec.input
    if not options.csv_header and not options.csv_columns:
        names = tuple(name for name in spec.input_columns if name not in spec.partition_columns)
        options = replace(options, csv_columns=names)
    types = {feature.name: feature.type for feature in spec.features}
    return JobInput(options, types, spec.partition_columns)


def shared_input(models: Sequence[ModelSpec]) -> JobInput:
    """Return how several models read the same objects; `disputes` lists what they disagree
    about."""
    shared, first = input_of(models[0]), models[0].model_id
    disputes: list[str] = []
    types: dict[str, str] = dict(shared.types)
    said_by = dict.fromkeys(types, first)
    for spec in models[1:]:
        other = input_of(spec)
        if other.options != shared.options:
            disputes.append(f"models {first!r} and {spec.model_id!r} read text in different ways (input)")
        if other.partition_columns != shared.partition_columns:
            disputes.append(f"models {first!r} and {spec.model_id!r} have different partition_columns")
        for name, kind in other.types.items():
            if types.setdefault(name, kind) != kind:
                disputes.append(
                    f"column {name!r} is {types[name]} for model {said_by[name]!r} and {kind} for {spec.model_id!r}"
                )
            said_by.setdefault(name, spec.model_id)
    return replace(shared, types=types, disputes=tuple(disputes))


def can_share(ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Tell whether no column has different types in two mappings of columns to types.

    >>> can_share({"age": "double"}, {"plan": "string"}), can_share({"age": "double"}, {"age": "int64"})
    (True, False)
    """
    return all(theirs.get(name, kind) == kind for name, kind in ours.items())
