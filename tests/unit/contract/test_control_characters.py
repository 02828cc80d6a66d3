"""Texts that control a terminal, hide what they say, or cannot be encoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.control_characters import has_lone_surrogate, replace_control_characters
from contract.json_text import dump_json, parse_json
from tests.unit.hostile_text import CLIPBOARD_WRITE, HOSTILE, is_printable, with_visible_surrogates

ANY_TEXT = st.text(st.characters(categories=["C", "Z", "L"]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CLIPBOARD_WRITE, r"\x1b]52;c;ZXZpbA==\x07"),
        ("\x9b31mred\x9b0m", r"\x9b31mred\x9b0m"),
        ("done\rFAILED", r"done\x0dFAILED"),
        ("invoice\u202efdp.exe", r"invoice\u202efdp.exe"),
        ("\x7f\x00", r"\x7f\x00"),
        ("half \ud800", r"half \ud800"),
        ("chu\u200brn\ufeff\xad\u2060", r"chu\u200brn\ufeff\xad\u2060"),
        ("ok\U000e0072\U000e006d", r"ok\U000e0072\U000e006d"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👩\u200d🔬",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👩\u200d🔬",
        ),
        ("two\nlines\tand 日本語 🙂 é", "two\nlines\tand 日本語 🙂 é"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert replace_control_characters(text) == shown


@given(ANY_TEXT)
def test_every_text_can_be_printed_afterwards(text: str) -> None:
    shown = replace_control_characters(text)
    assert is_printable(shown)
    assert replace_control_characters(shown) == shown
    shown.encode()


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_written_json_has_the_same_value_and_can_be_printed(value: object) -> None:
    text = dump_json(value)
    assert parse_json(text) == with_visible_surrogates(value)
    assert is_printable(text)


def test_lone_surrogates_are_found() -> None:
    assert has_lone_surrogate(HOSTILE + "\udcff")
    assert not has_lone_surrogate("\U0001f642 é")
