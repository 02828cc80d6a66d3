"""What Fleetscore reads of the Glue Data Catalog, and what it refuses because it would read other rows or values."""

from collections.abc import Iterable, Mapping
from typing import Any

from cli.tables.snapshot import FileKind
from contract.problems import Problem

_OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
_OPENX_JSON = "org.openx.data.jsonserde.JsonSerDe"
_KINDS: dict[str, FileKind] = {
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe": "parquet",
    "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe": "csv",
    _OPEN_CSV: "csv",
    _OPENX_JSON: "jsonl",
    "org.apache.hive.hcatalog.data.JsonSerDe": "jsonl",
    "org.apache.hadoop.hive.serde2.JsonSerDe": "jsonl",
}
"""Format of a table's files by its SerDe, the class with which Hive and Athena read them."""
_PLAIN_INPUTS = (
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.mapred.TextInputFormat",
)
_CTRL_A = "\x01"
"""Delimiter of LazySimpleSerDe where a table names none."""
_VIEWS = ("VIRTUAL_VIEW", "MATERIALIZED_VIEW")
_EXPORT = "Write its rows to Parquet below the dataset, as with `UNLOAD` in Athena, and score those."


def column_names(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of a table's columns or partition columns, in order."""
    return [str(column["Name"]) for column in columns]


def file_kind(descriptor: Mapping[str, Any]) -> FileKind:
    """Return the format of the files; the SerDe must be known."""
    return _KINDS[_serde(descriptor)]


def header_delimiter(descriptor: Mapping[str, Any]) -> str:
    """Return the character between the cells of CSV files."""
    options = _serde_options(descriptor)
    if _serde(descriptor) == _OPEN_CSV:
        return options.get("separatorChar", ",")
    text = options.get("field.delim") or options.get("serialization.format") or _CTRL_A
    # Hive reads a number as the code of the character.
    return chr(int(text)) if text.isascii() and text.isdigit() and int(text) < 128 else text


def table_problems(table: Mapping[str, Any], dataset: str) -> list[Problem]:
    """Return why the table's rows cannot be read from the files below its locations alone."""
    if other := _other_kind(table, dataset):
        return [other]
    descriptor, parameters = table.get("StorageDescriptor", {}), _parameters(table)
    problems = descriptor_problems("table", descriptor)
    if parameters.get("projection.enabled", "").lower() == "true":
        remedy = "Add the partitions to the catalog with `ALTER TABLE … ADD PARTITION`, and drop the property."
        expected = "partitions in the catalog, because Athena computes projected ones"
        problems.append(Problem("Parameters.projection.enabled", "true", expected, remedy))
    if _KINDS.get(_serde(descriptor)) == "csv":
        problems += _csv_problems({**_serde_options(descriptor), **parameters})
    repeated = sorted(
        set(column_names(descriptor.get("Columns", ()))) & set(column_names(table.get("PartitionKeys", ())))
    )
    if repeated:
        problems.append(Problem("PartitionKeys", repeated, "columns that are not in the files too", _EXPORT))
    return problems


def descriptor_problems(
    where: str, descriptor: Mapping[str, Any], of_table: Mapping[str, Any] | None = None
) -> list[Problem]:
    """Return what is unknown about how a table or a partition is stored, and how a partition differs."""
    serde, reader = _serde(descriptor), str(descriptor.get("InputFormat", ""))
    if serde not in _KINDS:
        expected = "a SerDe of Parquet, CSV (LazySimpleSerDe, OpenCSVSerde) or JSON"
        return [Problem(f"{where}: SerializationLibrary", serde, expected, _EXPORT)]
    if of_table is not None and (
        _KINDS[serde] != _KINDS[_serde(of_table)] or header_delimiter(descriptor) != header_delimiter(of_table)
    ):
        return [Problem(f"{where}: SerializationLibrary", serde, f"{_serde(of_table)}, as the table has", _EXPORT)]
    problems = []
    if reader and reader not in _PLAIN_INPUTS:
        expected = " or ".join(name.rpartition(".")[2] for name in _PLAIN_INPUTS)
        problems.append(Problem(f"{where}: InputFormat", reader, expected, _EXPORT))
    options = {**_serde_options(descriptor), **_parameters(descriptor)}
    if options.get("parquet.column.index.access", "").lower() == "true":
        expected = "false, because Fleetscore reads columns by name"
        problems.append(Problem(f"{where}: parquet.column.index.access", "true", expected, _EXPORT))
    renamed = sorted(name for name in options if serde == _OPENX_JSON and name.startswith("mapping."))
    if renamed:
        expected = "columns with the names that the objects have"
        remedy = "Name the columns as the fields are, or write the rows to Parquet with `UNLOAD`."
        problems.append(Problem(f"{where}: SerDe parameters", renamed, expected, remedy))
    if not str(descriptor.get("Location", "")).startswith(("s3://", "s3a://", "s3n://")):
        problems.append(Problem(f"{where}: Location", descriptor.get("Location"), "an address that begins with s3://"))
    return problems


def _csv_problems(options: Mapping[str, str]) -> list[Problem]:
    problems = []
    if options.get("skip.header.line.count", "0") != "1":
        remedy = (
            "If the files have a header, set the property. If not, write the rows to Parquet with `UNLOAD`, or score "
            "the dataset without --table by models with csv_header false and csv_columns."
        )
        expected = "1: Athena names cells by their position, Fleetscore by the header"
        value = options.get("skip.header.line.count")
        problems.append(Problem("Parameters.skip.header.line.count", value, expected, remedy))
    if options.get("skip.footer.line.count", "0") != "0":
        value = options["skip.footer.line.count"]
        expected = "0, because Fleetscore reads every line"
        problems.append(Problem("Parameters.skip.footer.line.count", value, expected, _EXPORT))
    return problems


def _other_kind(table: Mapping[str, Any], dataset: str) -> Problem | None:
    """Return the problem of a link, a view, or a table whose own metadata says which files count."""
    parameters = _parameters(table)
    formats = {parameters.get("table_type", "").lower(), parameters.get("spark.sql.sources.provider", "").lower()}
    kind = str(table.get("TableType", ""))
    request = f'--input \'{{"dataset": "{dataset}"}}\''
    files_count = "a table whose files all count"
    found: Problem | None = None
    if target := table.get("TargetTable"):
        named = f"{target.get('DatabaseName')}.{target.get('Name')}"
        found = Problem("TargetTable", named, "a table, not a link", "Name the table in its own account.")
    elif "iceberg" in formats:
        address = parameters.get("metadata_location", "its metadata_location")
        remedy = f"Run `fleetscore run --table iceberg {request} --table-metadata {address}`."
        found = Problem("Parameters.table_type", "ICEBERG", files_count, remedy)
    elif "delta" in formats:
        found = Problem("Parameters", "delta", files_count, f"Run `fleetscore run --table delta {request}`.")
    elif "hudi" in formats or "hudi" in str(table.get("StorageDescriptor", {}).get("InputFormat", "")).lower():
        found = Problem("Parameters", "hudi", files_count, _EXPORT)
    elif kind.upper() in _VIEWS:
        found = Problem("TableType", kind, "EXTERNAL_TABLE, because a view has no files", _EXPORT)
    elif table.get("FederatedTable"):
        found = Problem("FederatedTable", True, "a table in S3", _EXPORT)
    return found


def _serde(descriptor: Mapping[str, Any]) -> str:
    return str(descriptor.get("SerdeInfo", {}).get("SerializationLibrary", ""))


def _serde_options(descriptor: Mapping[str, Any]) -> Mapping[str, str]:
    return descriptor.get("SerdeInfo", {}).get("Parameters") or {}


def _parameters(described: Mapping[str, Any]) -> Mapping[str, str]:
    return described.get("Parameters") or {}
