"""CSV of other programs: escapes, decimal commas, encodings, words for booleans, whole numbers."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from contract.dataset.input_options import InputOptions
from contract.problems import InvalidInputError
from tests.unit.scoring.readers.reading import COMPRESSORS, read_object

MYSQL = {"csv_escape": "\\", "csv_quote": ""}
TYPES = {"age": "double", "plan": "string"}


def test_files_of_mysql_and_hive_are_read(tmp_path: Path) -> None:
    content = b"id\tage\tplan\n1\t\\N\ta\\\tb\n2\t1.5\tC:\\\\temp\n3\t2\ttwo\\\nlines\n\\N\t4\t\\N\n"
    found = read_object(tmp_path, "x.tsv", content * 1, TYPES, **MYSQL)
    assert found.values == {
        "id": ["1", "2", "3", "\\N"],
        "age": [None, 1.5, 2.0, 4.0],
        "plan": ["a\tb", "C:\\temp", "two\nlines", None],
    }
    assert found.rejected == ()
    assert found.counts == {}


def test_escapes_before_letters_stay_and_are_counted(tmp_path: Path) -> None:
    content = b"id,plan\n1,two\\nlines\n2,a\\tb\n3,\\x\n"
    found = read_object(tmp_path, "x.csv", content, TYPES, csv_escape="\\")
    assert found.values["plan"] == ["two\\nlines", "a\\tb", "\\x"]
    [(note, count)] = found.counts.items()
    assert count == 2
    assert note.startswith("escapes before letters, such as \\n, are read as two characters")


def test_files_of_redshift_unload_with_escape_are_read(tmp_path: Path) -> None:
    content = b'1|a\\|b\n2|\\"q\\"\n3|"x\\"y|z"\n4|back\\\\slash\n'
    how: dict[str, Any] = {"csv_header": False, "csv_columns": ("id", "plan"), "csv_delimiter": "|"}
    found = read_object(tmp_path, "x.csv", content, TYPES, csv_escape="\\", **how)
    assert found.values["plan"] == ["a|b", '"q"', 'x"y|z', "back\\slash"]


def test_files_of_spark_have_escapes_in_quotes_only(tmp_path: Path) -> None:
    content = b'id,plan\n1,C:\\new\n2,"say \\"a\\", \\\\ or \\n"\n3,\\\\server\n4,ends\\\n5,"a\\"\nb"\n'
    found = read_object(tmp_path, "x.csv", content, TYPES, csv_escape="\\", csv_escape_unquoted=False)
    assert found.values["plan"] == ["C:\\new", 'say "a", \\ or \\n', "\\\\server", "ends\\", 'a"\nb']
    assert found.counts == {}


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE])
def test_files_of_pythons_writer_with_an_escape_are_read(tmp_path: Path, quoting: Any) -> None:
    cells = ["plain", 'q"q', "a,b", "back\\slash", "two\nlines", "\\", "\\N", "ends\\", '\\"']
    buffer = io.StringIO()
    writer = csv.writer(buffer, escapechar="\\", doublequote=False, quoting=quoting, lineterminator="\n")
    writer.writerows([("id", "plan"), *((str(place), cell) for place, cell in enumerate(cells))] * 50)
    content = buffer.getvalue().replace("id,plan\n", "", 0).encode()
    found = read_object(tmp_path, "x.csv", content, csv_escape="\\")
    assert found.values["plan"] == cells * 50
    # The header repeats, as when files are joined.
    assert len(found.rejected) == 49


def test_a_decimal_comma(tmp_path: Path) -> None:
    content = b"id;age;n\n1;1,5;2\n2;-0,25;3,0\n3;;4\n"
    found = read_object(tmp_path, "x.csv", content, {"age": "double", "n": "int32"}, csv_delimiter=";", csv_decimal=",")
    assert found.values == {"id": ["1", "2", "3"], "age": [1.5, -0.25, None], "n": [2, 3, 4]}


@pytest.mark.parametrize(
    ("cell", "mark"), [("1.234,5", ","), ("1,234.5", "."), ("1.5", ","), ("1,5", "."), ("1 000", ".")]
)
@pytest.mark.parametrize("kind", ["double", "int32"])
def test_thousands_separators_are_bad_rows(tmp_path: Path, cell: str, mark: str, kind: str) -> None:
    content = f"id;age\n1;7\n2;{cell}\n".encode()
    found = read_object(tmp_path, "x.csv", content, {"age": kind}, csv_delimiter=";", csv_decimal=mark)
    [(row, reason)] = found.reasons.items()
    assert row == 1
    assert reason.startswith(f"has a value in column 'age' that is not {kind}")
    assert found.values["age"] == [7]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "Müller"),
        ("cp1252", "5 € ü"),
        ("utf-16", "größe, Ω"),
        ("utf-16-le", "größe"),
        ("utf-32", "größe"),
        ("shift_jis", "表示"),
        ("gb18030", "中文"),
        ("utf-8-sig", "ü"),
    ],
)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_encodings(tmp_path: Path, encoding: str, text: str, end: str) -> None:
    content = f'größe,plan\n1,"{text}"\n2,\n'.replace("größe", "größe" if encoding != "shift_jis" else "大").encode(
        encoding, "replace"
    )
    found = read_object(tmp_path, f"x.csv{end}", COMPRESSORS[end](content), TYPES, csv_encoding=encoding)
    assert found.values["plan"] == [text, None]
    assert found.rejected == ()


def test_bytes_that_the_encoding_lacks_are_a_bad_row_in_a_feature_only(tmp_path: Path) -> None:
    content = "id,plan,note\n1,ü,ü\n".encode("cp1252") + b"2,\x81,x\n3,x,\x81\xff\n"
    found = read_object(tmp_path, "x.csv", content, TYPES, csv_encoding="cp1252")
    assert found.reasons == {1: "is not cp1252 (csv_encoding) in column 'plan'"}
    assert found.rejected[0].raw == "2,\\x81,x"
    assert found.values == {"id": ["1", "3"], "plan": ["ü", "x"], "note": ["ü", "\\x81ÿ"]}
    assert list(found.counts.values()) == [1]


def test_unreadable_bytes_in_other_columns_do_not_cost_the_row(tmp_path: Path) -> None:
    content = b"id,age,note\n" + b"1,2,ok\n" * 30_000 + b"\xff,3,caf\xe9 \xc3\xa9\n5,4,a\0b\n"
    found = read_object(tmp_path, "x.csv", content, TYPES)
    assert found.rejected == ()
    assert found.values["id"][-2:] == ["\\xff", "5"]
    assert found.values["note"][-2:] == ["caf\\xe9 é", "a\\x00b"]
    [(note, count)] = found.counts.items()
    assert (note, count) == (
        "bytes that are not text, in columns that no model reads, are written as escapes such as \\xff",
        3,
    )


WORDS = [
    ("t", "f"),
    ("true", "false"),
    ("1", "0"),
    ("Y", "N"),
    ("yes", "no"),
    ("T", "F"),
    ("tRuE", "FALSE"),
    ("1.0", "0.0"),
]


@pytest.mark.parametrize(("true", "false"), WORDS)
def test_usual_words_for_booleans(tmp_path: Path, true: str, false: str) -> None:
    content = f"id,new\n1,{true}\n2,{false}\n3,\n4,NA\n".encode()
    assert read_object(tmp_path, "x.csv", content, {"new": "bool"}).values["new"] == [True, False, None, None]


def test_the_record_can_replace_the_words_for_booleans(tmp_path: Path) -> None:
    how = {"true_values": ("ja",), "false_values": ("nein",)}
    found = read_object(tmp_path, "x.csv", b"id,new\n1,JA\n2,nein\n3,true\n", {"new": "bool"}, **how)
    assert (found.values["new"], list(found.reasons)) == ([True, False], [2])


WHOLE = [("1.0", 1), ("+5", 5), ("1e3", 1000), ("1.50e1", 15), ("-0.0", 0), ("9007199254740993.0", 9007199254740993)]


@pytest.mark.parametrize(("cell", "value"), WHOLE)
@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_whole_numbers_in_any_form_are_integers(tmp_path: Path, cell: str, value: int, end: str) -> None:
    content = f"id,n\n1,{cell}\n2,7\n" if end == "csv" else f'{{"id":1,"n":{cell}}}\n{{"id":2,"n":7}}\n'
    if end == "jsonl" and cell.startswith("+"):
        pytest.skip("not JSON")
    found = read_object(tmp_path, f"x.{end}", content.encode(), {"n": "int64"})
    assert found.values["n"] == [value, 7]


@pytest.mark.parametrize("cell", ["1.5", "1e-1", "9223372036854775808.0", "1e19", "1e999999999", "x"])
@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_other_numbers_are_bad_rows_of_an_integer(tmp_path: Path, cell: str, end: str) -> None:
    if end == "csv":
        content = f"id,n\n1,1.0\n2,{cell}\n3,3\n"
    else:
        content = f'{{"n":1.0}}\n{{"n":{cell.replace("x", "[1]")}}}\n{{"n":3}}\n'
    found = read_object(tmp_path, f"x.{end}", content.encode(), {"n": "int64"})
    assert (found.values["n"], list(found.reasons)) == ([1, 3], [1])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"csv_escape": '"'}, "A doubled quote is read without csv_escape"),
        ({"csv_escape": ","}, "neither the delimiter nor the quote"),
        ({"csv_decimal": "'"}, "a point (.) or a comma (,)"),
        ({"csv_encoding": "utf-7"}, "the name of a text encoding"),
        ({"csv_encoding": "base64"}, "the name of a text encoding"),
        ({"true_values": ("Y",), "false_values": ("y", "n")}, "words that true_values does not have"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        InputOptions(**options)
    assert problem in str(error.value)
