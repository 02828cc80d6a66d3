import doctest

from lambdas import shown_text
from lambdas.shown_text import list_first, shorten


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(shown_text).failed == 0


def test_short_texts_and_lists_are_unchanged() -> None:
    assert (shorten("abcd", 4), shorten("abcde", 4)) == ("abcd", "abc…")
    assert list_first(["a", "b"], 2) == "a, b"
