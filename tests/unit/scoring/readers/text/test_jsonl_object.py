"""JSON Lines: declared fields are typed, others keep their text, bad lines are reported."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from contract.dataset.text_encoding import readable
from contract.job.job_input import JobInput
from scoring.errors import DataError, LateFieldsError
from scoring.readers import open_object
from scoring.readers.text import jsonl_object, text_object
from tests.unit.scoring.readers.reading import COMPRESSORS, read_object

TYPES = {"age": "double", "visits": "int64", "plan": "string", "new": "bool"}
GOOD = b'{"id":"%d","age":%d.5,"visits":%d,"plan":"p","new":true}\n'


def test_features_are_typed_and_missing_fields_are_null(tmp_path: Path) -> None:
    content = b'{"plan":"a","visits":3,"age":2,"new":false}\n{"age":null}\n'
    found = read_object(tmp_path, "x.jsonl", content, TYPES)
    assert found.schema.names == ["plan", "visits", "age", "new"]
    assert found.values == {"plan": ["a", None], "visits": [3, None], "age": [2.0, None], "new": [False, None]}


def test_other_fields_are_text_with_all_digits(tmp_path: Path) -> None:
    values = ['"x"', "12345678901234567890123", "1.10", "true", "null", '{"a": [1.0, "é"]}', "[]"]
    lines = "".join(f'{{"v":{value},"age":1}}\n' for value in values)
    found = read_object(tmp_path, "x.jsonl", lines.encode(), TYPES)
    assert found.values["v"] == ["x", *values[1:4], None, *values[5:]]


@pytest.mark.parametrize("values", [["1", "2"], ["true", "false"], ['"a"', '"b"']], ids=["int", "bool", "text"])
def test_fields_of_one_kind_have_the_same_text_on_the_fast_path(tmp_path: Path, values: list[str]) -> None:
    lines = "".join(f'{{"v":{value},"age":1}}\n' for value in values)
    found = read_object(tmp_path, "x.jsonl", lines.encode(), TYPES)
    assert found.values["v"] == [value.strip('"') for value in values]


WRITTEN = ["1.50", "15e-1", "-0.0", "1E+5", "7", "null", "true", '"1.5"', '{"a": [1.0, "\\"v\\":"]}', "[]", '"ä"']


@pytest.mark.parametrize("others", ["", ',"w":2.50'], ids=["one", "several"])
def test_numbers_keep_their_text_on_the_fast_path(tmp_path: Path, others: str) -> None:
    """Unread fractional numbers are frequent, and the slow path would take eight times as long."""
    lines = "".join(f'{{"age":1,"v":{value}{others}}}\n{{"age":2}}\n' for value in WRITTEN)
    with patch.object(jsonl_object.JsonLinesObject, "_by_line", side_effect=AssertionError("line by line")):
        found = read_object(tmp_path, "x.jsonl", lines.encode(), TYPES)
        few = read_object(tmp_path, "x.jsonl", lines.encode(), TYPES, columns=["v", "age"])
    texts = [None if value == "null" else value.strip('"') for value in WRITTEN]
    assert found.values["v"] == [text for value in texts for text in (value, None)]
    assert found.values["age"] == [1.0, 2.0] * len(WRITTEN)
    assert few.values == {name: found.values[name] for name in ("v", "age")}
    if others:
        assert found.values["w"] == ["2.50", None] * len(WRITTEN)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"v":1.50,"age":1,"v":2.5}', "has the field 'v' more than once"),
        ('{"v":1.50,"age":1,"\\u0076":2.5}', "has the field 'v' more than once"),
        ('{"v":1.50,"age":1,"z":1}', "1.50"),
        ('{"v":1.50,"age":1,"d":{"v":2.5}}', "1.50"),
        ('{"d":{"v":2.5},"age":1}', None),
        ('{"v": 1.50 ,"age":1,"d":"\\"v\\":7"}', "1.50"),
        ('{"v":"v","age":1,"d":"v"}', "v"),
        ('{"v" :1.50,"age":1,"d":{"v\\":":1}}', "1.50"),
    ],
)
def test_an_ambiguous_line_is_read_as_by_pythons_parser(tmp_path: Path, line: str, expected: str | None) -> None:
    # The line comes after the beginning of the object, from which the fields are determined.
    head_bytes = 4_000
    rows = head_bytes // 20
    head = '{"v":0.5,"age":0,"d":"x"}\n' * rows
    with patch.object(text_object, "HEAD_BYTES", head_bytes):
        found = read_object(tmp_path, "x.jsonl", f"{head}{line}\n{head}".encode(), TYPES)
    if found.rejected:
        assert list(found.reasons) == [rows]
        assert str(expected) in found.reasons[rows]
    else:
        assert found.values["v"] == ["0.5"] * rows + [expected] + ["0.5"] * rows


@pytest.mark.parametrize("end", sorted(COMPRESSORS))
@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson"])
def test_compressed_objects_read_the_same(tmp_path: Path, name: str, end: str) -> None:
    content = b"".join(GOOD % (row, row, row) for row in range(1_000))
    found = read_object(tmp_path, name + end, COMPRESSORS[end](content), TYPES, rows=64)
    assert found.values["visits"] == list(range(1_000))


def test_blank_lines_and_surrounding_blanks_are_ignored(tmp_path: Path) -> None:
    found = read_object(tmp_path, "x.jsonl", b'\xef\xbb\xbf\n {"age":1} \r\n\n\r\n\t{"age":2}', TYPES)
    assert (found.values["age"], found.rows) == ([1.0, 2.0], 2)


BAD_LINES = [
    (b"nope", "is not JSON (at character 1): Expecting value: line 1 column 1 (char 0)"),
    (b'{"age":1', "is not JSON (at character 9): Expecting ',' delimiter: line 1 column 9 (char 8)"),
    (b'{"age":1}{"age":2}', "is not JSON (at character 10): Extra data: line 1 column 10 (char 9)"),
    (b"[1]", "is not a JSON object"),
    (b'{"age":"1"}', "has a value in field 'age' that is not double: '1'"),
    (b'{"age":true}', "has a value in field 'age' that is not double: true"),
    (b'{"age":1e999}', "has a value in field 'age' that is not double: 1e999"),
    (b'{"visits":1.5}', "has a value in field 'visits' that is not int64: 1.5"),
    (b'{"visits":99999999999999999999}', "has a value in field 'visits' that is not int64: 99999999999999999999"),
    (b'{"plan":{"a":1}}', "has a value in field 'plan' that is not string: {\"a\": 1}"),
    (b'{"plan":5}', "has a value in field 'plan' that is not string: 5"),
    (b'{"new":1}', "has a value in field 'new' that is not bool: 1"),
    (b'{"age":1,"age":2}', "has the field 'age' more than once"),
    (b'{"plan":"\\ud800"}', "has half of a surrogate pair, which is not a character"),
    (b'{"plan":"\xff"}', "is not UTF-8, in field 'plan'"),
    (b'{"plan":"a\0"}', "is not JSON (at character 11): Invalid control character at: line 1 column 11 (char 10)"),
    (b'{"id":' + b"[" * 501 + b"]" * 501 + b"}", "is nested too deeply"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason[:40] for _, reason in BAD_LINES])
@pytest.mark.parametrize("around", [3, 30_000])
def test_a_bad_line_is_reported_and_all_others_are_read(tmp_path: Path, line: bytes, reason: str, around: int) -> None:
    good = b"".join(GOOD % (row, row, row) for row in range(around))
    found = read_object(tmp_path, "x.jsonl", good + line + b"\n" + good, TYPES)
    [row] = found.rejected
    assert row.row == around
    assert f"{row.reason}: {row.detail}".startswith(reason)
    assert row.raw[:900] == readable(line)[:900]
    assert found.values["visits"] == [*range(around), *range(around)]


def test_brackets_in_text_do_not_count_as_nesting(tmp_path: Path) -> None:
    text = "[" * 600 + '\\"{'
    bad = b'{"plan":5}\n'  # makes its block take the slow path
    found = read_object(tmp_path, "x.jsonl", bad + GOOD % (1, 1, 1) + b'{"plan":"' + text.encode() + b'"}\n', TYPES)
    assert [row.row for row in found.rejected] == [0]
    assert found.values["plan"][-1] == "[" * 600 + '"{'


def test_a_field_outside_of_the_output_may_occur_later(tmp_path: Path) -> None:
    good = b"".join(GOOD % (row, row, row) for row in range(30_000))
    found = read_object(tmp_path, "x.jsonl", good + b'{"later":1}\n', TYPES, columns=["age"])
    assert (found.rows, found.rejected) == (30_001, ())


def test_nulls_are_counted_if_they_decide_a_dtype(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"age":1,"visits":1,"new":true}\n{"new":null}\n{}\n')
    with open_object("x.jsonl", tmp_path / "x.jsonl", JobInput(types=TYPES)) as source:
        assert source.null_counts(["age", "visits", "new", "plan"]) == {"visits": 2, "new": 2}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'[{"a":1},\n{"a":2}]', "the first begins like a JSON array: write one object per line"),
        (b'{"a":1}{"a":2}', "several JSON objects: write one object per line .Amazon Data Firehose"),
        (b'{"a":1}' * 200_000, "longer than 1,048,576 bytes; the first begins with several JSON objects"),
        (b'{\n "a": 1\n}\n', "written on several lines: write each object on one line"),
        (b"{}\n{}\n", "its first JSON objects have no fields, so there is no column to score"),
        (b"a,b\n1,2\n", "none of its first lines is a JSON object; write it again"),
        (b"PAR1....", "is not JSON Lines as its name says, it looks like Parquet"),
    ],
)
def test_unreadable_objects_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_object(tmp_path, "x.jsonl", content)


def test_an_endless_line_is_refused_with_little_memory(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"age":1}\n{"age":' + b" " * 60_000)
    with (
        patch.object(jsonl_object, "MAX_RECORD_BYTES", 20_000),
        patch.object(text_object, "MAX_RECORD_BYTES", 20_000),
        patch.object(jsonl_object, "BLOCK_BYTES", 1_000),
        open_object("x.jsonl", tmp_path / "x.jsonl") as source,
        pytest.raises(DataError, match=r"row 1 is longer than 20,000 bytes, the most that a row may have"),
    ):
        list(source.batches(10, frozenset({"age"}), use_threads=False))


@pytest.mark.parametrize("around", [1, 3_000])
def test_numbers_that_json_lacks_are_read_from_text_and_as_python_writes_them(tmp_path: Path, around: int) -> None:
    lines = '{"age":"NaN"}\n{"age":"Infinity"}\n{"age":"-Infinity"}\n{"age":NaN}\n{"age":Infinity}\n{"age":-Infinity}\n'
    good = '{"age":1,"visits":1.0}\n' * around
    found = read_object(tmp_path, "x.jsonl", (good + lines + good).encode(), TYPES)
    assert found.rejected == ()
    assert repr(found.values["age"][around:-around]) == "[nan, inf, -inf, nan, inf, -inf]"
    assert found.values["visits"] == [1] * around + [None] * 6 + [1] * around


@pytest.mark.parametrize(
    "line", ['{"visits":"NaN"}', '{"age":"nan"}', '{"age":"1.5"}', '{"age":1e999}', '{"visits":1.5}']
)
def test_other_texts_and_numbers_are_bad_rows(tmp_path: Path, line: str) -> None:
    found = read_object(tmp_path, "x.jsonl", f'{{"age":1,"visits":1.0}}\n{line}\n'.encode(), TYPES)
    assert list(found.reasons) == [1]


def test_numbers_beyond_the_range_of_float_are_bad_rows(tmp_path: Path) -> None:
    """Arrow reads them as infinities."""
    lines = b'{"x":1e38}\n{"x":1e39}\n{"x":-1e39}\n{"x":3}\n'
    assert list(read_object(tmp_path, "x.jsonl", lines, {"x": "float"}).reasons) == [1, 2]
    found = read_object(tmp_path, "x.jsonl", lines + b'{"x":"Infinity"}\n', {"x": "float"})
    assert list(found.reasons) == [1, 2]
    assert found.values["x"][-1] == float("inf")


def test_whole_doubles_and_nan_are_read_by_the_fast_path(tmp_path: Path) -> None:
    """pandas makes doubles of integers with nulls; line by line would take eight times as long."""
    lines = '{"id":1.50,"age":"NaN","visits":9007199254740993.0,"plan":"p"}\n{"age":1.5,"visits":null,"new":true}\n'
    with patch.object(jsonl_object.JsonLinesObject, "_by_line", side_effect=AssertionError("line by line")):
        found = read_object(tmp_path, "x.jsonl", lines.encode(), TYPES)
    assert repr(found.values) == repr(
        {
            "id": ["1.50", None],
            "age": [float("nan"), 1.5],
            "visits": [9007199254740993, None],
            "plan": ["p", None],
            "new": [None, True],
        }
    )


def test_unreadable_bytes_in_other_fields_do_not_cost_the_row(tmp_path: Path) -> None:
    lines = (
        b'{"age":1,"id":"a"}\n{"age":2,"id":"caf\xe9 \xc3\xa9"}\n{"age":3,"id":["\xff"]}\n{"age":4,"id":"\\ud800"}\n'
    )
    found = read_object(tmp_path, "x.jsonl", lines + b'{"age":5,"\xff":1}\n', TYPES)
    assert found.values["id"] == ["a", "caf\\xe9 é", '["\\xff"]', "\\ud800"]
    assert found.reasons == {4: "is not UTF-8, in the name of a field"}
    assert [count for note, count in found.counts.items() if note.startswith("bytes")] == [3]
    # Also when each line has one.
    assert read_object(tmp_path, "x.jsonl", b'{"id":"\xff"}\n', {}).values["id"] == ["\\xff"]


def test_unreadable_texts_in_a_feature_that_is_a_list_are_bad_rows(tmp_path: Path) -> None:
    lines = b'{"e":[1,2]}\n{"e":["\xff",1]}\n{"e":["\\ud800",1]}\n'
    found = read_object(tmp_path, "x.jsonl", lines, {"e": "list<float>[2]"})
    assert found.values["e"] == [[1.0, 2.0]]
    assert found.reasons == {
        1: "is not UTF-8, in field 'e'",
        2: "has half of a surrogate pair, which is not a character, in field 'e'",
    }


def test_fields_that_appear_later_are_columns_too(tmp_path: Path) -> None:
    good = b"".join(GOOD % (row, row, row) for row in range(30_000))
    late = b'{"late":1.50,"b":"x","visits":1}\nnope\n{"visits":2,"later":{"a":[1]},"age":"NaN"}\n'
    found = read_object(tmp_path, "x.jsonl", good + late + good, TYPES)
    assert found.schema.names == ["id", "age", "visits", "plan", "new", "late", "b", "later"]
    assert list(found.reasons) == [30_001]
    middle = slice(29_999, 30_003)
    assert found.values["late"][middle] == [None, "1.50", None, None]
    assert found.values["b"][middle] == [None, "x", None, None]
    assert found.values["later"][middle] == [None, None, '{"a": [1]}', None]


def test_a_feature_of_another_model_is_kept_if_a_line_has_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    wanted = JobInput(types=TYPES, keepers=(frozenset({"age"}), frozenset(TYPES)))
    path.write_bytes(b'{"age":1}\n')
    with open_object("x.jsonl", path, wanted) as source:
        assert source.absent == {"visits", "plan", "new"}
        assert [item.batch.num_rows for item in source.batches(9, frozenset(TYPES), use_threads=False)] == [1]
    path.write_bytes(b'{"age":1}\n' * 200_000 + b'{"visits":1}\n')
    with open_object("x.jsonl", path, wanted) as source, pytest.raises(LateFieldsError):
        list(source.batches(9_000, frozenset(TYPES), use_threads=False))
    with open_object("x.jsonl", path, replace(wanted, finds_all_fields=True)) as source:
        assert source.schema.names == ["age", "visits", "plan", "new"]
        assert source.absent == {"plan", "new"}
