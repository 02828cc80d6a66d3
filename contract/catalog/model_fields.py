"""The fields of a model's record, each defined once.

A spec (`ModelSpec`), a version (`ModelVersion`), a recipe (`ModelRecipe`) and the command's
`model.json` inherit these classes. The command's flags, the JSON Schema of `model.json` and the
reference table of a record are generated from them. To add a field, add it here, or to
`compute_fields`, and write the code and the test that use it.
"""

from dataclasses import dataclass, field
from typing import Literal

from contract.catalog.model_formats import (
    Accelerator,
    CustomAccept,
    CustomContentType,
    Framework,
    Method,
    ModelFormat,
    OutputFormat,
)
from contract.checks import Fraction, NotEmpty, Range, UniqueNames
from contract.dataset.feature_types import FEATURE_TYPES_TEXT, feature_type, parse_feature_type, suggested_type
from contract.dataset.input_options import InputOptions
from contract.names import (
    DATASET_NAME,
    FLEET_ID_OR_NONE,
    MODEL_ID,
    OBJECT_KEY,
    SHA256,
    VERSION,
)
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import describe

DEFAULT_OUTPUT_COLUMN = "prediction"
"""Name of a single prediction column. With several, `_` and a label follow it, as in
`prediction_late`."""

MAX_ATTEMPTS_LIMIT = 10
"""Largest `max_attempts` that a record may have."""


@dataclass(frozen=True)
class Feature:
    """One input column of a model."""

    name: str = field(metadata=describe("Name of the column."))
    type: str = field(metadata=describe("Name of its type: " + FEATURE_TYPES_TEXT + "."))
    nullable: bool = field(
        default=True, metadata=describe("Whether the column may hold nulls. If not, rows with a null go to quarantine.")
    )

    def __post_init__(self) -> None:
        if parse_feature_type(self.type) is None:
            expected = f"one of {FEATURE_TYPES_TEXT}"
            raise InvalidInputError("Feature", [Problem("type", self.type, expected, suggested_type(self.type))])

    @property
    def width(self) -> int:
        """The number of inputs of a matrix model: 1, or the length of a list."""
        return feature_type(self.type).length

    @property
    def is_list(self) -> bool:
        return feature_type(self.type).kind == "list"

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a timestamp."""
        return feature_type(self.type).kind in ("date", "timestamp")


@dataclass(frozen=True, kw_only=True)
class PredictionFields:
    """The prediction method and the output columns of a version.

    A recipe sets these fields for the versions that it trains.
    """

    format: ModelFormat = field(
        metadata=describe(
            "File format of the serialized model.",
            see="[How each is made and what it predicts](model-formats.md)",
        )
    )
    method: Method = field(
        metadata=describe(
            "Method that predicts: predict, predict_proba (one column per class), decision_function (scikit-learn) or "
            "margin (raw sums of XGBoost, LightGBM and CatBoost).",
        )
    )
    features: tuple[Feature, ...] = field(
        metadata=describe(
            "Input columns in the model's order, each with its type and whether it may be null.",
            check=NotEmpty("at least one feature column", "array"),
            flag_help="Input columns in the model's order: name:type, or name:type:required for one without nulls. "
            "Types: " + FEATURE_TYPES_TEXT + ".",
            metavar='@file.json|"name:type,…"',
        )
    )
    key_columns: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Columns that identify a row. They stay in the output.",
            check=UniqueNames(),
            group="Output",
            metavar="A,B",
        ),
    )
    output_columns: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Names of the prediction columns. The name of an input column that the output keeps is refused.",
            check=UniqueNames(),
            default="prediction, or prediction_<class> per class",
            group="Output",
            metavar="A,B",
        ),
    )
    output_types: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Arrow types of the prediction columns: one per column, or one for all of them.",
            default="double, int64 or string by kind; double for custom code",
            group="Output",
            metavar="A,B",
            see="([types](model-formats.md#types-of-prediction-columns))",
        ),
    )
    columns: Literal["all", "keys"] = field(
        default="all",
        metadata=describe(
            "Input columns that the output keeps: all of them, or the key columns only.",
            group="Output",
            metavar="all|keys",
        ),
    )
    tolerated_quarantine_fraction: float = field(
        default=0.0,
        metadata=describe(
            "Share of an object's rows, from 0 to 1, that may go to quarantine before the object fails. "
            "With 0, one bad row fails it. A request can override the fraction.",
            check=Fraction(),
            group="Output",
            metavar="FRACTION",
        ),
    )
    output_format: OutputFormat = field(
        default="parquet",
        metadata=describe("File format of the output: parquet, csv or jsonl.", group="Output", metavar="NAME"),
    )
    csv_formulas: Literal["keep", "escape"] = field(
        default="keep",
        metadata=describe(
            "Texts in CSV output that a spreadsheet would run as formulas: keep them as they are, or "
            "escape them with a leading apostrophe. For output_format csv only.",
            group="Output",
            metavar="keep|escape",
            see="([formulas](../containers/scoring-container.md#formulas-in-csv-output))",
        ),
    )
    row_number_column: str = field(
        default="",
        metadata=describe(
            "Name of an output column with each row's number in its input object, counted from 0.",
            default="no such column",
            group="Output",
            metavar="NAME",
        ),
    )
    input: InputOptions = field(
        default_factory=InputOptions,
        metadata=describe(
            "Options for reading objects: their format, the dialect of CSV, and tables.",
            see="([options](../data/input-formats.md#options))",
        ),
    )
    missing: float | None = field(
        default=None,
        metadata=describe(
            "Number that XGBoost takes as missing, besides nulls and NaN: `missing` of XGBClassifier, XGBRegressor or "
            "DMatrix in training, and 0 for a model that was trained on sparse matrices. The model's file does not "
            "hold it. For formats xgboost-* only.",
            check=Range(-3.4e38, 3.4e38, "a 32-bit float"),
            default="only nulls and NaN",
            group="Loading and custom code",
            metavar="NUMBER",
            see="([missing values](model-formats.md#missing-values))",
        ),
    )
    accelerator: Accelerator = field(
        default="",
        metadata=describe(
            "Library that predicts in place of the model's own, compared with it on the first batch: daal4py for "
            "XGBoost and LightGBM trees.",
            default="none",
            group="Loading and custom code",
            see="([accelerated trees](model-formats.md#accelerated-trees))",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ScoringFields(PredictionFields):
    """Every field that describes how the container scores with a version."""

    model_file: str = field(
        metadata=describe("Path of the serialized model inside model.tar.gz.", check=OBJECT_KEY, metavar="NAME"),
    )
    framework_version: str = field(
        default="",
        metadata=describe(
            "Version of the framework that the model was trained with. The container refuses a version that it "
            "cannot read, and reports one that its library warns about.",
            default="not checked",
            group="Loading and custom code",
            metavar="VERSION",
            see="([versions](model-formats.md#versions))",
        ),
    )
    partition_columns: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Columns that the model reads from name=value/ parts of the objects' keys.",
            check=UniqueNames(),
            group="Input",
            metavar="A,B",
            see="([columns in the keys](../data/input-formats.md#columns-in-the-keys))",
        ),
    )
    custom_code: bool = field(
        default=False,
        metadata=describe(
            "Run the artifact's code/inference.py (model_fn, input_fn, predict_fn, output_fn). The file is ignored "
            "unless this is set.",
            group="Loading and custom code",
            see="([custom code](../../learn/custom-code.md))",
        ),
    )
    content_type: CustomContentType = field(
        default="text/csv",
        metadata=describe(
            "Content type of the batches that custom code's input_fn gets: text/csv, application/json or "
            "application/x-npy.",
            group="Loading and custom code",
            metavar="TYPE",
        ),
    )
    accept: CustomAccept = field(
        default="application/json",
        metadata=describe(
            "Content type that custom code's output_fn must return: application/json, text/csv or application/x-npy.",
            group="Loading and custom code",
            metavar="TYPE",
        ),
    )
    trusted_types: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Types that a sklearn-skops file may hold in addition to those that skops trusts.",
            group="Loading and custom code",
            metavar="A,B",
        ),
    )


@dataclass(frozen=True)
class ArtifactFields:
    """A version's model, name and artifact."""

    model_id: str = field(metadata=describe("Identity of the model.", check=MODEL_ID))
    version: str = field(metadata=describe("Name of the version. A version is never overwritten.", check=VERSION))
    artifact_sha256: str = field(
        metadata=describe(
            "Lower-case hex SHA-256 of model.tar.gz. It is checked before anything in the archive is opened.",
            check=SHA256,
        )
    )
    artifact_bytes: int = field(metadata=describe("Size of model.tar.gz, in bytes."))
    framework: Framework = field(metadata=describe("Framework that loads the model; each format has one."))


@dataclass(frozen=True, kw_only=True)
class MembershipFields:
    """The fleet that a version belongs to, and its routes.

    A recipe sets them for the versions that it trains.
    """

    fleet: str = field(
        default="",
        metadata=describe(
            "Fleet that the model belongs to. The fleet's models together score the fleet's dataset, each row by the "
            "model that its route names, and the dataset, compute and max_attempts of this record do not count.",
            check=FLEET_ID_OR_NONE,
            default="none",
            group="Fleet",
            metavar="FLEET_ID",
            see="([fleets](../../learn/fleets.md))",
        ),
    )
    route: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Values of the fleet's route column whose rows this model scores. Only the fleet's model for unmatched "
            "rows may have none.",
            check=UniqueNames(),
            group="Fleet",
            metavar="A,B",
        ),
    )


def check_membership(record: MembershipFields) -> list[Problem]:
    """Return the problem of routes without a fleet."""
    if record.fleet or not record.route:
        return []
    remedy = "Set fleet, or leave route out."
    return [Problem("route", list(record.route), "no routes, because fleet is not set", remedy)]


@dataclass(frozen=True, kw_only=True)
class RegistrationFields(MembershipFields):
    """A version's default dataset, its jobs' attempt limit, its fleet, and its origin."""

    dataset: str = field(
        metadata=describe("Dataset that the model scores by default.", check=DATASET_NAME, metavar="NAME")
    )
    max_attempts: int = field(
        default=3,
        metadata=describe(
            "Maximum attempts per job.",
            check=Range(1, MAX_ATTEMPTS_LIMIT, "attempts"),
            group="Compute",
            metavar="N",
        ),
    )
    source: str = field(
        default="",
        metadata=describe(
            "Origin of the version, such as the ARN of a model package, or the training execution that "
            "made it. Empty when it was registered by hand.",
        ),
    )
