"""What a program prints becomes lines: nothing is lost, and nothing piles up."""

from hypothesis import given
from hypothesis import strategies as st

from scoring.job_log.printed_lines import PrintedLine, PrintedLines

LONGEST = 32 << 10


def lines_of(*chunks: bytes, seconds: float = 0.0) -> list[tuple[str, bool]]:
    """Return all lines of chunks that arrive `seconds` apart."""
    now = [0.0]
    lines = PrintedLines(lambda: now[0])
    found: list[PrintedLine] = []
    for chunk in chunks:
        found += lines.add(chunk)
        now[0] += seconds
    return [tuple(line) for line in found + lines.end()]


def texts(*chunks: bytes, seconds: float = 0.0) -> list[str]:
    return [text for text, _ in lines_of(*chunks, seconds=seconds)]


def test_lines_end_with_either_line_end_or_none() -> None:
    assert texts(b"one\ntwo\r\n\n  thr", b"ee\r", b"\nfour") == ["one", "two", "  three", "four"]


def test_bytes_that_are_not_utf8_stay_visible() -> None:
    assert texts(b"caf\xe9 \xff\n") == ["caf\\xe9 \\xff"]


def test_a_long_line_becomes_pieces_that_say_so() -> None:
    line = "é" * LONGEST
    pieces = lines_of(line.encode() + b"\nnext\n")
    assert [continues for _, continues in pieces] == [True, False, False]
    assert "".join(text for text, _ in pieces[:-1]) == line


def test_a_line_without_an_end_is_returned_piece_by_piece() -> None:
    lines = PrintedLines()
    for _ in range(100):
        pieces = lines.add(b"x" * LONGEST)
        assert all(len(piece.text) == LONGEST and piece.continues for piece in pieces)
        assert len(pieces) <= 1


def test_a_progress_bar_is_shown_now_and_then_and_at_its_end() -> None:
    updates = [f"\r{percent}%".encode() for percent in range(101)]
    assert texts(*updates, b"\n", seconds=0.5) == ["0%", "20%", "40%", "60%", "80%", "100%"]


def test_an_erased_progress_bar_hides_no_later_line() -> None:
    assert texts(b"\r10%\r20%", b"\r    \rfitted\n") == ["10%", "fitted"]


def test_a_progress_bar_that_ends_with_a_return_shows_its_last_update() -> None:
    assert texts(b"10%\r20%\r", b"30%\r", b"\n") == ["10%", "30%"]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_the_lines_do_not_depend_on_how_the_bytes_arrive(chunks: list[bytes]) -> None:
    whole = b"".join(chunks).replace(b"\r", b"")
    expected = [line.decode("utf-8", "backslashreplace") for line in whole.split(b"\n") if line]
    assert texts(*(chunk.replace(b"\r", b"") for chunk in chunks)) == expected
