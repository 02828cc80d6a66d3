"""JSON of others is refused by name where it is too large, too deep or ambiguous."""

import json
import sys
from pathlib import Path

import pytest

from contract import codec
from contract.json_text import MAX_BYTES, MAX_DEPTH, JsonError, parse_json
from contract.problems import InvalidInputError, Problem
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.messages import JobResult
from tests.unit.hostile_text import HOSTILE, is_printable

ROOT = Path(__file__).parents[3]
REFUSED = {
    "not JSON": (b"{", "it is not JSON (Expecting property name"),
    "empty": (b"", "it is not JSON (Expecting value"),
    "deep lists": (b"[" * 100_000, "it nests deeper than 100 levels"),
    "deep objects": (b'{"a":' * 101 + b"1" + b"}" * 101, "it nests deeper than 100 levels"),
    "deep after a text": (b'["\\"]",' + b"[" * 100_000, "it nests deeper than 100 levels"),
    "large exponent": (b"1e999999", "the number 1e999999 is too large"),
    "negative large exponent": (b"-1e400", "the number -1e400 is too large"),
    "many digits": (b"1" * 1_000_000, "a number has 1,000,000 digits, at most 400 are read"),
    "many decimals": (b"0." + b"1" * 1_000_000, "a number has 1,000,002 digits"),
    "NaN": (b"[NaN]", "NaN is not a JSON number"),
    "infinity": (b"[-Infinity]", "-Infinity is not a JSON number"),
    "name twice": (b'[{"a": 1, "b": 2, "a": 3}]', "an object has the name 'a' twice"),
    "half a surrogate pair": (b'{"a": "\\ud800"}', "it has half of a surrogate pair"),
    "half a surrogate pair in a name": (b'{"\\udc00": 1}', "it has half of a surrogate pair"),
    "not UTF-8": (b'["\xff"]', "it is not UTF-8 (at byte 2)"),
    "UTF-16": ('["a"]'.encode("utf-16"), "it is not UTF-8 (at byte 0)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_text_is_refused_by_name(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(JsonError) as refused:
        parse_json(text)
    assert str(refused.value).startswith(reason)
    with pytest.raises(InvalidInputError) as invalid:
        codec.loads(JobResult, text)
    assert reason in str(invalid.value)
    assert len(str(invalid.value)) < 600


OWN_JSON = {
    "cli/doctor/stage.py": "written by our own templates",
    "contract/dataset/text_head.py": "lines of the data, of which unreadable ones are bad rows",
    "contract/job/snapshot.py": "written by the plan, as the digest of each file proves",
    "cli/sandbox/visible_files.py": "printed by our own program before it runs the model",
}
"""Modules outside the container that parse JSON in another way, each with the reason."""


def test_json_from_outside_is_parsed_by_one_parser() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("contract", "lambdas", "cli")
        for path in (ROOT / folder).rglob("*.py")
        if "json.loads(" in path.read_text(encoding="utf-8") or "json.load(" in path.read_text(encoding="utf-8")
    }
    assert found == OWN_JSON.keys()


def test_a_message_lists_a_limited_number_of_problems() -> None:
    error = InvalidInputError("request", [Problem(f"models[{number}]", 1, "a string") for number in range(100_000)])
    assert str(error).startswith("request has 100,000 problems: models[0]: got 1, expected a string; models[1]")
    assert str(error).endswith("models[49]: got 1, expected a string; and 99,950 more")


def test_text_that_python_cannot_encode_is_refused() -> None:
    with pytest.raises(JsonError, match="half of a surrogate pair"):
        parse_json('"\ud800"')


def test_a_manifest_of_as_many_objects_as_a_job_may_have_is_within_the_limit() -> None:
    longest = ObjectVersion("k" * 1_024, "", "e" * 40, 5 << 40)
    manifest = UploadManifest("d" * 63, "marker", (longest,), marker="m" * 1_024)
    entry = len(json.dumps(codec.to_json(longest))) + 2
    assert len(json.dumps(codec.to_json(manifest))) + entry * 100_000 < MAX_BYTES


def test_a_text_is_read_up_to_its_limit() -> None:
    assert parse_json(b"[1, 2]", max_bytes=6) == [1, 2]
    with pytest.raises(JsonError, match="it has more than 6 bytes"):
        parse_json(b"[1, 23]", max_bytes=6)


def test_everything_within_the_limits_is_read_as_it_is() -> None:
    value = {"text": '[{"\\' * 200, "pair": "\U0001f600", "float": sys.float_info.max, "int": 10**399, "none": None}
    assert parse_json(json.dumps(value)) == value
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None


def test_a_problem_with_a_long_name_still_says_what_was_expected() -> None:
    shown = str(Problem("x" * 200_000, 1, "no such field", "Remove it."))
    assert shown == f"{'x' * 300}…: got 1, expected no such field. Remove it."


def test_a_problem_is_printable_whatever_the_name_of_the_field() -> None:
    shown = str(InvalidInputError("request", [Problem(f"tags.{HOSTILE}\ud800", HOSTILE, "other text")]))
    assert is_printable(shown)
    assert "tags.a\\x1b]52" in shown


def test_a_problem_can_show_any_value() -> None:
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit() + 1_000):
        deep = [deep]
    assert str(Problem("field", deep, "less")).startswith("field: got list, too deep or too long to show, expected")
    assert str(Problem("field", 10**5_000, "less")).startswith("field: got int, too deep or too long to show")
