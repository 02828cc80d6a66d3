"""Joined outputs: one per object, with the prediction columns of all models of a job."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from contract.catalog.model_fields import DEFAULT_OUTPUT_COLUMN
from contract.catalog.model_spec import ModelSpec
from contract.layout import is_output_partition
from contract.problems import Problem

_SHARED_FIELDS = ("output_format", "columns", "key_columns", "row_number_column", "csv_formulas")
"""Fields of the record in which the models of a joined output must agree."""


def joined_names(model_id: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a model's prediction columns have in a joined output.

    >>> joined_names("delays-ua", ["prediction"]), joined_names("churn", ["prediction_0", "prediction_1"])
    (('delays-ua',), ('churn_0', 'churn_1'))
    >>> joined_names("upsell", ["score", "margin"])
    ('upsell_score', 'upsell_margin')
    """
    if len(columns) == 1:
        return (model_id,)
    start = f"{DEFAULT_OUTPUT_COLUMN}_"
    return tuple(f"{model_id}_{column.removeprefix(start)}" for column in columns)


def known_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return `joined_names` of a model; empty if its record omits the number of columns."""
    if not spec.output_columns and spec.is_labelled:
        return ()
    return joined_names(spec.model_id, spec.output_columns or (DEFAULT_OUTPUT_COLUMN,))


def repeated_names(names: Mapping[str, Iterable[str]], row_number_column: str = "") -> dict[str, list[str]]:
    """Return each name that several added columns of a joined output have, with their models.

    `names` has the columns per model. The row number is a column of all models together.

    >>> repeated_names({"a": ["a_b_c"], "a_b": ["a_b_c", "a_b_d"]})
    {'a_b_c': ['a', 'a_b']}
    """
    owners = [(name, model_id) for model_id, found in names.items() for name in found]
    counts = Counter([name for name, _ in owners])
    counts.update([row_number_column] if row_number_column else [])
    return {name: [owner for own, owner in owners if own == name] for name, count in counts.items() if count > 1}


def check_joined(job_id: str, models: Sequence[ModelSpec]) -> list[Problem]:
    """Return the problems of models whose records do not permit a joined output."""
    first = models[0]
    problems = []
    for field in _SHARED_FIELDS:
        for spec in models[1:]:
            ours, theirs = getattr(first, field), getattr(spec, field)
            if ours != theirs:
                expected = f"{_shown(ours)} as for model {first.model_id!r}, because output_layout is 'joined'"
                remedy = "Register versions that agree, or score the models in different executions."
                problems.append(Problem(f"model {spec.model_id!r}: {field}", _shown(theirs), expected, remedy))
    for name, owners in repeated_names({spec.model_id: known_names(spec) for spec in models}).items():
        found = f"{name!r} of {', '.join(map(repr, dict.fromkeys(owners)))}"
        expected = "different names of the prediction columns, because output_layout is 'joined'"
        remedy = "Set other output_columns in the models' records, or leave a model out."
        problems.append(Problem(f"job {job_id!r}: output_columns", found, expected, remedy))
    for spec in models:
        if folders := [name for name in known_names(spec) if is_output_partition(name)]:
            expected = "no name of a folder in the output's key, because output_layout is 'joined'"
            problems.append(Problem(f"model {spec.model_id!r}: prediction columns", folders, expected))
        problems += check_input_names(spec, spec.passed_columns(), f"model {spec.model_id!r}")
    return problems


def check_input_names(spec: ModelSpec, columns: Iterable[str], field: str) -> list[Problem]:
    """Return a problem if prediction columns are named like kept input columns."""
    taken = set(columns) | set(spec.partition_columns)
    clashes = sorted(taken & {*known_names(spec), spec.row_number_column})
    if not clashes:
        return []
    expected = "input columns with other names than the prediction columns, because output_layout is 'joined'"
    remedy = "Rename the columns in the dataset, or score with output_layout 'per_model'."
    return [Problem(f"{field}: columns", clashes, expected, remedy)]


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
