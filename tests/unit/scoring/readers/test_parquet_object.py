import base64
import gc
import weakref
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from scoring.errors import DataError
from scoring.readers.parquet_object import ParquetObject

TABLE = pa.table(
    {"x": pa.array([1, None, 3, None] * 25), "text": ["a"] * 100, "many": [["a"], None] * 50, "solid": range(100)}
)


@pytest.mark.parametrize("statistics", [True, False])
def test_nulls_are_counted_with_and_without_statistics(tmp_path: Path, statistics: bool) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=10, write_statistics=statistics)
    with ParquetObject("a.parquet", tmp_path / "a.parquet") as source:
        assert source.null_counts(["x", "solid", "absent"]) == {"x": 50, "solid": 0}


def test_only_the_requested_columns_are_decoded(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=10)
    with ParquetObject("a.parquet", tmp_path / "a.parquet") as source:
        read = list(source.batches(30, frozenset({"x", "solid"}), use_threads=False))
        assert [item.batch.num_rows for item in read] == [30, 30, 30, 10]
        assert set(read[0].batch.schema.names) == {"x", "solid"}
        assert source.text_columns() == ["text", "many.list.element"]


def test_an_object_in_memory_is_freed_at_once(tmp_path: Path) -> None:
    """Python frees reference cycles late; by then, a worker would hold the content of many objects."""
    pq.write_table(TABLE, tmp_path / "a.parquet")
    names = frozenset(TABLE.column_names)
    gc.disable()
    try:
        with ParquetObject("a.parquet", tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes) as source:
            assert source.choose_types(names) is False
            assert source.null_counts(["x"]) == {"x": 50}
            assert sum(item.batch.num_rows for item in source.batches(30, names, use_threads=False)) == 100
        freed = weakref.ref(source)
        del source
        assert freed() is None
    finally:
        gc.enable()


def test_a_damaged_page_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    start = content.index((97).to_bytes(8, "little") + (98).to_bytes(8, "little"))
    content[start] ^= 0xFF
    path.write_bytes(content)
    with (
        ParquetObject("a.parquet", path) as source,
        pytest.raises(DataError, match=r"object 'a\.parquet' cannot be read as Parquet"),
    ):
        list(source.batches(100, frozenset(TABLE.column_names), use_threads=False))


class _KmsClient(pe.KmsClient):
    def __init__(self, _: pe.KmsConnectionConfig) -> None:
        pe.KmsClient.__init__(self)

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
        return base64.b64decode(wrapped)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_encrypted_columns_are_refused_by_name(tmp_path: Path, plaintext_footer: bool) -> None:
    configuration = pe.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["x"]}, plaintext_footer=plaintext_footer
    )
    properties = pe.CryptoFactory(_KmsClient).file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, encryption_properties=properties)
    with pytest.raises(DataError, match=r"object 'a\.parquet' is encrypted Parquet, expected columns that can be read"):
        ParquetObject("a.parquet", path)
