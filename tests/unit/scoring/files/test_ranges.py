"""Byte ranges are copied completely with each of the copy functions."""

import errno
import os
from pathlib import Path

import pytest

from scoring.files import ranges
from scoring.files.ranges import append_range

CONTENT = bytes(range(256)) * 5_000


def copied(tmp_path: Path, start: int, count: int) -> bytes:
    (tmp_path / "source").write_bytes(CONTENT)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb", buffering=0) as target:
        target.write(b"before ")
        append_range(source.fileno(), target.fileno(), start, count)
        target.write(b" behind")
    return (tmp_path / "target").read_bytes()


def failing_with(code: int) -> object:
    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("without", [(), ("copy_file_range",), ("copy_file_range", "sendfile")])
@pytest.mark.parametrize(("start", "count"), [(0, len(CONTENT)), (7, 1_111_111), (5, 0)])
def test_a_range_is_copied(
    without: tuple[str, ...], start: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in without:
        monkeypatch.setattr(ranges.os, name, failing_with(errno.EXDEV))
    assert copied(tmp_path, start, count) == b"before " + CONTENT[start : start + count] + b" behind"


def test_a_copy_function_that_returns_zero_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some kernels return 0 when they cannot copy."""
    monkeypatch.setattr(ranges.os, "copy_file_range", lambda *_, **__: 0)
    assert copied(tmp_path, 3, 1_000_000) == b"before " + CONTENT[3:1_000_003] + b" behind"


def test_a_partial_copy_is_continued_by_the_next_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.copy_file_range, []

    def once(source: int, target: int, count: int, *, offset_src: int) -> int:
        calls.append(offset_src)
        if len(calls) > 1:
            raise OSError(errno.EINVAL, "no more")
        return real(source, target, 1_000, offset_src=offset_src)

    monkeypatch.setattr(ranges.os, "copy_file_range", once)
    assert copied(tmp_path, 10, 500_000) == b"before " + CONTENT[10:500_010] + b" behind"


def test_other_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges.os, "copy_file_range", failing_with(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        copied(tmp_path, 0, 100)


def test_a_file_that_is_too_short_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(EOFError, match="the file ends 10 bytes before"):
        copied(tmp_path, 0, len(CONTENT) + 10)
