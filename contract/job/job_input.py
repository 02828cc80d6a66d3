"""Input options of a job's models.

Each object is read once for all models, so their input options must agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from contract.catalog.model_spec import ModelSpec
from contract.dataset.input_options import InputOptions


@dataclass(frozen=True)
class JobInput:
    """Options for decoding objects for one or more models.

    `options.csv_columns` is always set if there is no header.
    """

    options: InputOptions = field(default_factory=InputOptions)
    types: Mapping[str, str] = field(default_factory=dict)
    """Declared Arrow type of every feature, by name."""
    partition_columns: tuple[str, ...] = ()
    needed: tuple[frozenset[str], ...] = ()
    """For each model, the columns that it needs from an object."""
    keepers: tuple[frozenset[str], ...] = ()
    """The features of each model whose output keeps all columns."""
    skipped_by: str = ""
    """Column with the routes of a fleet that skips rows. A skipped row may have any value in the others."""
    finds_all_fields: bool = False
    """Whether fields of JSON Lines are searched in the whole object, not only in its head."""
    conflicts: tuple[str, ...] = ()
    """Disagreements of the models. Parquet is affected only if there are partition columns."""

    def is_read_by_all(self, name: str) -> bool:
        """Return whether every model needs the column, so that rows must have its value."""
        if self.skipped_by and name != self.skipped_by:
            return name in self.partition_columns
        return name in self.partition_columns or all(name in columns for columns in self.needed)


def input_of(spec: ModelSpec) -> JobInput:
    """Return how one model reads objects."""
    # Models differ in this option only in the plan.
    options = replace(spec.input, table="refuse")
    if not options.csv_header and not options.csv_columns:
        names = tuple(name for name in spec.input_columns if name not in spec.partition_columns)
        options = replace(options, csv_columns=names)
    types = {feature.name: feature.type for feature in spec.features}
    needed = frozenset(spec.input_columns) - frozenset(spec.partition_columns)
    keepers = (frozenset(types),) if spec.columns == "all" else ()
    return JobInput(options, types, spec.partition_columns, (needed,), keepers)


def shared_input(models: Sequence[ModelSpec]) -> JobInput:
    """Return how several models read the same objects; `conflicts` lists their disagreements."""
    shared, first = input_of(models[0]), models[0].model_id
    conflicts: list[str] = []
    types: dict[str, str] = dict(shared.types)
    declared_by = dict.fromkeys(types, first)
    keepers = list(shared.keepers)
    needed = list(shared.needed)
    for spec in models[1:]:
        other = input_of(spec)
        needed += other.needed
        keepers += other.keepers
        if other.options != shared.options:
            conflicts.append(f"models {first!r} and {spec.model_id!r} read objects in different ways (input)")
        if other.partition_columns != shared.partition_columns:
            conflicts.append(f"models {first!r} and {spec.model_id!r} have different partition_columns")
        for name, kind in other.types.items():
            if types.setdefault(name, kind) != kind:
                conflicts.append(
                    f"column {name!r} is {types[name]} for model {declared_by[name]!r} and {kind} for {spec.model_id!r}"
                )
            declared_by.setdefault(name, spec.model_id)
    return replace(shared, types=types, needed=tuple(needed), keepers=tuple(keepers), conflicts=tuple(conflicts))


def types_agree(ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Tell whether two mappings of columns to types give no column different types.

    >>> types_agree({"age": "double"}, {"plan": "string"}), types_agree({"age": "double"}, {"age": "int64"})
    (True, False)
    """
    return all(theirs.get(name, kind) == kind for name, kind in ours.items())
