"""The options of `models register` and `import`: one per field of a model's record, in groups."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import rich_click as click

from cli.options import cells, words
from contract.catalog.model_fields import ARROW_TYPES
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT, METHODS_OF_FORMAT

F = TypeVar("F", bound=Callable[..., Any])

REQUIRED = "Required fields, unless the document has them"
ROWS = "Columns and predictions"
TEXT = "Text input"
LOADING = "Loading and predicting"
JOBS = "Jobs"
VERSION = "Version"


@dataclass(frozen=True)
class RecordFlag:
    """An option for one field of a model's record."""

    flag: str
    field: str
    group: str
    help: str
    metavar: str | None = None
    type: Any = str
    sets: bool | None = None
    """Value that the flag stands for when it takes none."""
    repeatable: bool = False

    def option(self) -> Callable[[F], F]:
        settings: dict[str, Any] = {"help": self.help, "panel": self.group, "default": None}
        if self.sets is not None:
            settings |= {"is_flag": True, "flag_value": self.sets}
        else:
            settings |= {"metavar": self.metavar, "type": self.type, "multiple": self.repeatable}
        return click.option(self.flag, self.field, **settings)


_METHODS = sorted(set().union(*METHODS_OF_FORMAT.values()))

RECORD_FLAGS = (
    RecordFlag("--artifact", "artifact", REQUIRED, "The model.tar.gz, as SageMaker training writes it.", "PATH|s3://…"),
    RecordFlag("--dataset", "dataset", REQUIRED, "Dataset that the model scores.", "NAME"),
    RecordFlag("--format", "format", REQUIRED, f"Format of the file: {', '.join(FRAMEWORK_OF_FORMAT)}.", "FORMAT"),
    RecordFlag("--model-file", "model_file", REQUIRED, "Path of the model's file in the artifact.", "PATH"),
    RecordFlag("--method", "method", REQUIRED, f"Method that predicts: {', '.join(_METHODS)}.", "METHOD"),
    RecordFlag(
        "--features", "features", REQUIRED,
        "Input columns in the model's order. `name:type:required` is a column without nulls. "
        f"Types: {', '.join(sorted(ARROW_TYPES))}.",
        '@FILE.JSON|"NAME:TYPE,…"',
    ),
    RecordFlag("--key-columns", "key_columns", ROWS, "Columns that identify a row.", "A,B", words),
    RecordFlag("--output-columns", "output_columns", ROWS, "Names of the prediction columns.", "A,B", words),
    RecordFlag(
        "--columns", "columns", ROWS,
        "all (default): predictions beside every input column; keys: beside the key columns only.", "all|keys",
    ),
    RecordFlag("--output-format", "output_format", ROWS, "parquet (default), csv or jsonl.", "FORMAT"),
    RecordFlag(
        "--row-number-column", "row_number_column", ROWS, "Output column for the row's number, counted from 0.", "NAME"
    ),
    RecordFlag(
        "--tolerated-quarantine-fraction", "tolerated_quarantine_fraction", ROWS,
        "Fraction of an object's rows that may go to quarantine before the object fails (default 0).",
        "FRACTION", float,
    ),
    RecordFlag(
        "--partition-columns", "partition_columns", TEXT,
        "Columns whose values come from `name=value/` parts of the objects' keys.", "A,B", words,
    ),
    RecordFlag("--csv-delimiter", "csv_delimiter", TEXT, "Delimiter of CSV (default a comma; a tab is $'\\t').", "C"),
    RecordFlag("--csv-quote", "csv_quote", TEXT, 'Quote of CSV (default "); empty when nothing is quoted.', "C"),
    RecordFlag(
        "--no-csv-header", "csv_header", TEXT,
        "The first line of CSV is a row. The columns are those of --csv-columns, else the features and then the keys.",
        sets=False,
    ),
    RecordFlag("--csv-columns", "csv_columns", TEXT, "Columns of CSV without a header, in order.", "A,B", words),
    RecordFlag(
        "--null-values", "null_values", TEXT,
        "Cells of CSV that are null (default: the empty one, NA, N/A, NULL, NaN, nan, null).", "A,B", cells,
    ),
    RecordFlag("--framework", "framework", LOADING, "Framework (default: the format's).", "NAME"),
    RecordFlag("--framework-version", "framework_version", LOADING, "Its version at training.", "VERSION"),
    RecordFlag(
        "--custom-code", "custom_code", LOADING,
        "Run the artifact's code/inference.py (model_fn, input_fn, predict_fn, output_fn).", sets=True,
    ),
    RecordFlag(
        "--content-type", "content_type", LOADING,
        "Content type for its input_fn: text/csv, application/json or application/x-npy.", "TYPE",
    ),
    RecordFlag(
        "--accept", "accept", LOADING,
        "Content type for its output_fn: application/json, text/csv or application/x-npy.", "TYPE",
    ),
    RecordFlag("--output-types", "output_types", LOADING, "Types of its predictions (default double).", "A,B", words),
    RecordFlag(
        "--accelerator", "accelerator", LOADING,
        "daal4py: predict trees of XGBoost or LightGBM with it, and check the predictions.", "NAME",
    ),
    RecordFlag("--trusted-types", "trusted_types", LOADING, "Types that a skops file may hold.", "A,B", words),
    RecordFlag("--instance-type", "instance_type", JOBS, "SageMaker instance type, such as ml.m5.xlarge.", "TYPE"),
    RecordFlag("--instance-count", "instance_count", JOBS, "Instances per job.", "N", int),
    RecordFlag("--volume-size-gb", "volume_size_gb", JOBS, "Volume per instance, in GB.", "GB", int),
    RecordFlag("--max-runtime-seconds", "max_runtime_seconds", JOBS, "Time limit of an attempt, in seconds.", "S", int),
    RecordFlag("--max-attempts", "max_attempts", JOBS, "Attempts per job (default 3).", "N", int),
    RecordFlag("--version", "version", VERSION, "The version's name (default: the next whole number).", "V"),
    RecordFlag("--tag", "tag", VERSION, "A tag of the model; repeatable.", "KEY=VALUE", repeatable=True),
    RecordFlag("--disabled", "enabled", VERSION, "Exclude the model from executions.", sets=False),
)  # fmt: skip


def record_options(*, artifact: bool) -> Callable[[F], F]:
    """Add an option for every field of a model's record, with or without the artifact."""

    def add(handler: F) -> F:
        for flag in reversed(RECORD_FLAGS):
            if artifact or flag.field != "artifact":
                handler = flag.option()(handler)
        return handler

    return add


def given_fields(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record's fields that the command line gives, out of all parameters of a command."""
    fields = {flag.field: parameters.get(flag.field) for flag in RECORD_FLAGS}
    return {name: value for name, value in fields.items() if value is not None and value != ()}


def given_flags(fields: Mapping[str, Any]) -> list[str]:
    """Return the flags of these fields, as people write them."""
    return [flag.flag for flag in RECORD_FLAGS if flag.field in fields]
