"""Reasons for re-encoding a file instead of splicing it."""

import base64
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import encryption

from contract.dataset.thrift_compact import Struct, Value, i64, write_binary, write_list, write_struct
from scoring.errors import ScoringError
from scoring.splice import SplicedWriter, SpliceError, SpliceSource
from scoring.splice.footer.parsed_footer import read_footer
from tests.unit.fuzzing import examples
from tests.unit.scoring.splice.support.footers import (
    changed,
    footer_of,
    in_first_chunk,
    in_first_column,
    in_first_group,
    with_footer,
)
from tests.unit.scoring.splice.support.splicing import PREDICTIONS, predictions, refusal, splice

BINARY, LIST, STRUCT = 8, 9, 12


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.parquet"
    pq.write_table(pa.table({"id": range(20), "text": ["t"] * 20}), path, row_group_size=10, write_page_index=True)
    return path


def refused(path: Path, columns: tuple[pa.Field, ...] = PREDICTIONS) -> str | None:
    """Return the refusal, and check that a writer raises it too and leaves no file."""
    with SpliceSource(path) as source:
        why = source.refusal(columns)
        if why is None:
            return None
        target = path.parent / "out" / "x.parquet"
        with pytest.raises(SpliceError) as raised:
            SplicedWriter(target, source, columns)
        assert why in raised.value.text
        assert not target.parent.exists()
    return why


def drop(field: int) -> Callable[[Struct], None]:
    return lambda struct: struct.pop(field) and None


def put(field: int, value: Value) -> Callable[[Struct], None]:
    return lambda struct: struct.update({field: value})


def text(content: bytes) -> Value:
    return Value(BINARY, write_binary(content))


def test_ordinary_files_are_accepted(source: Path) -> None:
    assert refused(source) is None


def test_existing_prediction_columns_are_refused(source: Path) -> None:
    assert refused(source, (pa.field("text", pa.float64()),)) == "the prediction column 'text' would appear twice"
    twice = (pa.field("p", pa.float64()), pa.field("p", pa.int64()))
    assert refused(source, twice) == "the prediction column 'p' would appear twice"
    assert refused(source, ()) == "there are no prediction columns to add"


def test_nested_columns_may_have_a_prediction_columns_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"s": [{"score": 1}]}), tmp_path / "x.parquet")
    assert refused(tmp_path / "x.parquet") is None


def test_too_many_prediction_columns_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.nulls(1_000_000, pa.int8())}), tmp_path / "x.parquet")
    columns = tuple(pa.field(f"p{number}", pa.float64()) for number in range(500))
    assert refused(tmp_path / "x.parquet", columns) == "its 1,000,000 rows are too many for 500 prediction columns"
    assert refused(tmp_path / "x.parquet", columns[:100]) is None


class _Keys(encryption.KmsClient):  # type: ignore[misc]
    """Does not encrypt keys, which is enough here."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize(
    ("plain_footer", "why"),
    [(False, "its footer is encrypted"), (True, "its footer is signed, and a changed footer would need the key")],
)
def test_encrypted_files_are_refused(plain_footer: bool, why: str, tmp_path: Path) -> None:
    factory = encryption.CryptoFactory(lambda _: _Keys())
    configuration = encryption.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["secret"]}, plaintext_footer=plain_footer
    )
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    table = pa.table({"secret": [1, 2], "open": [3, 4]})
    with pq.ParquetWriter(tmp_path / "x.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    assert refused(tmp_path / "x.parquet") == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put(8, Value(STRUCT, b"\0")), "its footer is signed"),
        (put(9, text(b"key")), "its footer is signed"),
        (in_first_chunk(put(8, Value(STRUCT, b"\0"))), "it has encrypted columns"),
        (in_first_chunk(put(9, text(b"?"))), "it has encrypted columns"),
        (in_first_chunk(put(1, text(b"other.parquet"))), "it has columns that are stored in another file"),
        (put(32767, text(b"extension")), "its footer has a field 32767 that this version does not know"),
        (in_first_group(put(40, i64(1))), "its row groups have a field 40 that this version does not know"),
        (put(3, i64(19)), "the rows of its row groups are not the 19 of the file"),
        (in_first_group(put(3, i64(-1))), "the rows of its row groups are not the 20 of the file"),
        (in_first_group(put(1, Value(LIST, write_list(STRUCT, [])))), "a row group does not have the 2 columns"),
        (put(7, Value(LIST, write_list(STRUCT, []))), "its column orders are not 2, one per column"),
        (in_first_chunk(drop(3)), "a column chunk has no description"),
        (in_first_column(put(9, i64(1 << 40))), "the pages of a column are not before the footer"),
        (in_first_column(put(9, i64(-4))), "the pages of a column are not before the footer"),
        (in_first_column(put(7, i64(1 << 40))), "the pages of a column are not before the footer"),
        (in_first_column(put(14, i64(1 << 40))), "the pages of a column are not before the footer"),
        (in_first_chunk(put(4, i64(1 << 40))), "a page index is not before the footer"),
        (drop(2), "its footer cannot be parsed: it lacks schema"),
        (drop(4), "its footer cannot be parsed: it lacks groups"),
        (in_first_group(drop(3)), "its footer cannot be parsed: a row group without"),
    ],
)
def test_footers_with_unknown_or_contradictory_fields_are_refused(
    change: Callable[[Struct], None], why: str, source: Path
) -> None:
    found = refused(changed(source, change))
    assert found is not None
    assert found.startswith(why)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"not base64!", "the Arrow schema in its footer cannot be read"),
        (base64.b64encode(b"no message"), "the Arrow schema in its footer cannot be read"),
        (
            base64.b64encode(pa.schema([("name", pa.int64())]).serialize().to_pybytes().replace(b"name", b"na\xdce")),
            "the Arrow schema in its footer cannot be read (UnicodeDecodeError)",
        ),
        (
            base64.b64encode(pa.schema([("other", pa.int64())]).serialize().to_pybytes()),
            "the Arrow schema in its footer has other columns than the file",
        ),
    ],
)
def test_arrow_schemas_that_cannot_be_extended_are_refused(value: bytes, why: str, source: Path) -> None:
    pair = write_struct({1: text(b"ARROW:schema"), 2: text(value)})
    found = refused(changed(source, put(5, Value(LIST, write_list(STRUCT, [pair])))))
    assert found is not None
    assert found.startswith(why)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"id,text\n" * 100, b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    found = refused(tmp_path / "x")
    assert found is not None
    assert "it is not a Parquet file" in found or "its footer cannot be parsed" in found


def test_truncated_files_are_refused(source: Path) -> None:
    data = source.read_bytes()
    for end in range(0, len(data), 97):
        source.write_bytes(data[:end])
        assert refusal(source, PREDICTIONS) is not None


def test_unknown_fields_of_columns_are_kept(source: Path, tmp_path: Path) -> None:
    """They describe bytes that do not move."""
    changed(source, in_first_column(put(4242, text(b"from the future"))))
    spliced = splice(source, tmp_path / "out.parquet", predictions(20))
    with spliced.open("rb") as file:
        assert b"from the future" in read_footer(file).groups[0].chunks[0]
    assert pq.read_table(spliced).column_names == ["id", "text", "score", "label", "class"]


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damaged") / "source.parquet"
    pq.write_table(pa.table({"id": range(20), "text": ["t"] * 20}), path, row_group_size=10)
    return path


@examples(quick=60, fuzz=800)
@given(st.data())
def test_damaged_footers_are_refused_or_give_a_clean_error(undamaged: Path, data: st.DataObject) -> None:
    """No crash, endless loop or huge memory; pyarrow reads all rows of a spliced file."""
    footer = bytearray(footer_of(undamaged.read_bytes()))
    places = st.integers(0, len(footer) - 1)
    for at, removed, put_in in data.draw(
        st.lists(st.tuples(places, st.integers(0, 12), st.binary(max_size=6)), min_size=1, max_size=4)
    ):
        footer[at : at + removed] = put_in
    damaged = undamaged.with_name("damaged.parquet")
    damaged.write_bytes(undamaged.read_bytes())
    with_footer(damaged, bytes(footer))
    if refusal(damaged, PREDICTIONS) is not None:
        return
    try:
        spliced = splice(damaged, undamaged.with_name("out.parquet"), predictions(20))
    except ScoringError:
        return
    assert pq.read_metadata(spliced).num_rows == 20
