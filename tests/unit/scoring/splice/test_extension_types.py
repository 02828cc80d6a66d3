"""Columns with a logical type that Arrow reads as an extension type are copied too."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.scoring.splice.support.splicing import predictions, splice


def test_json_and_uuid_columns_are_copied_with_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "json": pa.ExtensionArray.from_storage(pa.json_(pa.utf8()), pa.array(['{"a": 1}', None])),
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16)), None], pa.binary(16))),
        }
    )
    pq.write_table(table, tmp_path / "source.parquet", store_schema=False)
    spliced = splice(tmp_path / "source.parquet", tmp_path / "spliced.parquet", predictions(2))
    assert pq.read_table(spliced).select(["json", "uuid"]).equals(table)
