"""A model version as the container needs it: the record's part in a job spec."""

import math
from dataclasses import dataclass

from contract.catalog.model_fields import DEFAULT_OUTPUT_COLUMN, ArtifactFields, ScoringFields
from contract.catalog.model_formats import (
    ACCELERATED_FRAMEWORKS,
    FRAMEWORK_OF_FORMAT,
    METHODS_OF_FORMAT,
    MISSING_FORMATS,
)
from contract.checks import check_unique
from contract.dataset.feature_types import ARROW_TYPES
from contract.layout import OUTPUT_PARTITIONS, is_output_partition
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import check_fields


@dataclass(frozen=True)
class ModelSpec(ScoringFields, ArtifactFields):
    """One model version as the container needs it."""

    def __post_init__(self) -> None:
        problems = check_fields(self)
        if FRAMEWORK_OF_FORMAT.get(self.format) != self.framework:
            expected = f"{FRAMEWORK_OF_FORMAT.get(self.format)!r}, the framework of format {self.format!r}"
            problems.append(Problem("framework", self.framework, expected))
        allowed = METHODS_OF_FORMAT.get(self.format, frozenset())
        if self.method not in allowed:
            expected = f"one of {', '.join(sorted(allowed))} for format {self.format!r}"
            problems.append(Problem("method", self.method, expected, _other_format(self.format, self.method)))
        problems.extend(check_unique("features", [feature.name for feature in self.features]))
        problems.extend(self._check_input())
        if self.row_number_column and self.row_number_column in {*self.output_columns, *self.passed_columns()}:
            expected = "a name that no other output column has"
            problems.append(Problem("row_number_column", self.row_number_column, expected))
        if self.columns == "keys" and not self.key_columns:
            problems.append(Problem("key_columns", [], "at least one key column, because columns is 'keys'"))
        if self.csv_formulas == "escape" and self.output_format != "csv":
            problems.append(Problem("csv_formulas", "escape", "'keep', because output_format is not 'csv'"))
        problems.extend(_custom_code_problems(self))
        problems.extend(_output_types_problems(self))
        problems.extend(_accelerator_problems(self))
        problems.extend(_missing_problems(self))
        if self.trusted_types and self.format != "sklearn-skops":
            remedy = "Leave it out: other formats hold no types, or like joblib any type."
            problems.append(Problem("trusted_types", list(self.trusted_types), "format 'sklearn-skops'", remedy))
        if problems:
            raise InvalidInputError("ModelSpec", [*problems, *self.check_output_columns()])

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Columns that the model needs: its features in order, then its other key columns."""
        return tuple(dict.fromkeys((*(feature.name for feature in self.features), *self.key_columns)))

    def check_output_columns(self) -> list[Problem]:
        """Check that no added column has the name of an input column that the output keeps.

        Only for writers of records. Readers skip the check: a record older than it must not hide
        the others.
        """
        passed = self.passed_columns()
        carried: set[str] = set()
        """Columns that the output keeps though the model does not read them."""
        if self.columns == "all":
            carried = set(self.input.csv_columns) - passed
        problems = self._check_prediction_columns(passed | carried)
        if self.row_number_column in carried:
            expected = "a name that is not in input.csv_columns, which columns 'all' keeps"
            problems.append(Problem("row_number_column", self.row_number_column, expected))
        return [*problems, *self._check_folder_names(carried)]

    def _check_folder_names(self, carried: set[str]) -> list[Problem]:
        """Check that no output column has the name of a folder `name=value/` in the output's key.

        Readers of the output take such a folder as a column.
        """
        kept = self.passed_columns()
        not_keys = kept - set(self.key_columns)
        features = [feature.name for feature in self.features if feature.name in not_keys]
        rename = "Rename it in the dataset."
        rename_or_drop = "Rename it in the dataset, or set columns to 'keys'."
        named = [
            ("key_columns", self.key_columns, rename),
            ("features", features, rename_or_drop),
            ("input.csv_columns", sorted(carried), rename_or_drop),
            ("partition_columns", self.partition_columns, "Rename the folders of the dataset."),
            ("output_columns", self.output_columns, "Choose another name."),
            ("row_number_column", (self.row_number_column,), "Choose another name."),
        ]
        expected = f"no {', '.join(OUTPUT_PARTITIONS)} in any case: they are folders in the output's key"
        problems = [
            Problem(field, taken, expected, remedy)
            for field, names, remedy in named
            if (taken := [name for name in names if is_output_partition(name)])
        ]
        folders = {name.lower() for name in self.partition_columns}
        # Names of kept columns are refused already.
        added = self.output_columns or (() if self.is_labelled else (DEFAULT_OUTPUT_COLUMN,))
        for field, names in (("output_columns", added), ("row_number_column", (self.row_number_column,))):
            if taken := [name for name in names if name.lower() in folders and name not in kept | carried]:
                expected = "other names than partition_columns, which are folders in the output's key"
                problems.append(Problem(field, taken, expected, "Choose another name."))
        return problems

    @property
    def is_labelled(self) -> bool:
        """Whether the default name of each prediction column ends with a label."""
        return self.method == "predict_proba" and not self.custom_code

    def _check_prediction_columns(self, passed: set[str]) -> list[Problem]:
        kept = "every one" if self.columns == "all" else "the key columns"
        taken = f"input columns of the output (columns {self.columns!r} keeps {kept})"
        if not self.output_columns:
            # Only the model knows how many columns it has.
            if self.is_labelled or DEFAULT_OUTPUT_COLUMN not in passed:
                return []
            expected = f"names, because the default, {DEFAULT_OUTPUT_COLUMN!r}, is one of the {taken}"
            return [Problem("output_columns", [], expected, "Name every prediction column.")]
        clashes = [name for name in self.output_columns if name in passed]
        if not clashes:
            return []
        can_drop = self.columns == "all" and not set(clashes) & set(self.key_columns)
        remedy = "Choose others, or set columns to 'keys'." if can_drop else "Choose others."
        return [Problem("output_columns", clashes, f"other names than those of the {taken}", remedy)]

    def passed_columns(self) -> set[str]:
        """Return the input columns that the output keeps, according to the record.

        Only the job sees the other columns of an object.
        """
        features = (feature.name for feature in self.features if feature.name not in self.partition_columns)
        return {*self.key_columns, *(features if self.columns == "all" else ())}

    def _check_input(self) -> list[Problem]:
        problems = []
        wrong = [name for name in self.partition_columns if not name or "=" in name or "/" in name]
        if wrong:
            problems.append(
                Problem("partition_columns", wrong, "names without '=' and '/', as in the key 'name=value/'")
            )
        if self.input.csv_columns:
            known = {*self.input.csv_columns, *self.partition_columns}
            missing = [name for name in self.input_columns if name not in known]
            if missing:
                expected = f"every column that the model needs; these are missing: {', '.join(missing)}"
                problems.append(Problem("input.csv_columns", list(self.input.csv_columns), expected))
        return problems


def assumptions(spec: ModelSpec) -> tuple[str, ...]:
    """Return the assumptions of scoring about facts that neither the record nor the file states."""
    if spec.format not in MISSING_FORMATS or spec.missing is not None or spec.custom_code:
        return ()
    note = (
        "missing is not set, so only nulls and NaN count as missing values. A file of XGBoost does not say what did "
        "in training: set missing if it was a number such as -999, or 0 after training on sparse matrices"
    )
    return (note,)


def tolerated_rows(fraction: float, rows: int) -> int:
    """Return how many of an object's rows may be quarantined. `rows` are those that are not skipped.

    The container and VerifyOutput share this rule.

    >>> tolerated_rows(0.07, 100), tolerated_rows(0.0, 100)
    (7, 0)
    """
    # The small addend corrects products such as 0.07 * 100, which floating point can put just below
    # the whole number.
    return min(rows, math.floor(fraction * rows + 1e-6))


def _other_format(declared: str, method: str) -> str:
    """Return advice if the file of this format may be one of another format, which has the method.

    >>> _other_format("xgboost-ubj", "predict_proba")
    "Set format to 'xgboost-sklearn-ubj' if XGBClassifier or XGBRegressor saved the file."
    """
    other = declared.replace("xgboost-", "xgboost-sklearn-")
    if other == declared or method not in METHODS_OF_FORMAT.get(other, ()):
        return ""
    return f"Set format to {other!r} if XGBClassifier or XGBRegressor saved the file."


def _custom_code_problems(spec: ModelSpec) -> list[Problem]:
    problems: list[Problem] = []
    if spec.format == "custom" and not spec.custom_code:
        remedy = "Set custom_code if you trust the artifact's code/inference.py, which the format runs."
        problems.append(Problem("custom_code", spec.custom_code, "true for format 'custom'", remedy))
    return problems


def _output_types_problems(spec: ModelSpec) -> list[Problem]:
    problems: list[Problem] = []
    unknown = sorted(set(spec.output_types) - ARROW_TYPES)
    if unknown:
        problems.append(Problem("output_types", unknown, "Arrow types out of " + ", ".join(sorted(ARROW_TYPES))))
    # Only the model knows how many columns it has, unless the record names them.
    columns = len(spec.output_columns) or (1 if spec.custom_code else 0)
    if columns and len(spec.output_types) not in (0, 1, columns):
        expected = f"{columns}, one per output column" if columns == 1 else f"{columns}, one per output column, or one"
        problems.append(Problem("output_types", f"{len(spec.output_types)} types", expected))
    return problems


def _missing_problems(spec: ModelSpec) -> list[Problem]:
    if spec.missing is None:
        return []
    if spec.format not in MISSING_FORMATS:
        remedy = "Leave it out: only files of XGBoost lack the model's missing value."
        return [Problem("missing", spec.missing, f"none for format {spec.format!r}; it is for xgboost-*", remedy)]
    if spec.custom_code:
        remedy = "Leave it out, and pass the number to DMatrix or inplace_predict in predict_fn."
        return [Problem("missing", spec.missing, "none for a model with custom_code", remedy)]
    return []


def _accelerator_problems(spec: ModelSpec) -> list[Problem]:
    if not spec.accelerator:
        return []
    problems: list[Problem] = []
    if spec.framework not in ACCELERATED_FRAMEWORKS:
        expected = f"none for framework {spec.framework!r}; it is for {', '.join(sorted(ACCELERATED_FRAMEWORKS))}"
        problems.append(Problem("accelerator", spec.accelerator, expected))
    if spec.method == "margin":
        problems.append(Problem("accelerator", spec.accelerator, "none for method 'margin'"))
    if spec.custom_code:
        problems.append(Problem("accelerator", spec.accelerator, "none for a model with custom_code"))
    return problems
