"""Tables as objects of each format, and outputs of each format as tables."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq


def object_content(table: pa.Table, extension: str) -> bytes:
    """Return an object with small row groups if it is Parquet."""
    buffer = io.BytesIO()
    if extension == "parquet":
        pq.write_table(table, buffer, row_group_size=16)
    elif extension == "csv":
        table.to_pandas().to_csv(buffer, index=False)
    else:
        table.to_pandas().to_json(buffer, orient="records", lines=True)
    return buffer.getvalue()


def read_output(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return file.read()
    return pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.json.read_json(path)
