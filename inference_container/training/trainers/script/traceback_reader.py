"""Finds the type and the place of a script's last exception in what it prints.

A message may hold values of the data, so only the class name and the script's own line are used.
"""

import re
from pathlib import Path

_START = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line (?P<line>\d+), in .*')
_TYPE = re.compile(r"(?:[A-Za-z_]\w*\.)*(?P<type>[A-Za-z_]\w{0,80})(?::.*)?")


class ScriptTraceback:
    """Reads what a script prints line by line, and keeps the place of the last traceback."""

    def __init__(self, code: Path) -> None:
        self.described = ""
        """Such as `ValueError at train.py:12`; empty if no exception was written."""
        self._code = code
        self._is_open = False
        self._place = ""

    def add(self, line: str) -> None:
        """Read one line. The first line after the indented ones of a traceback begins with the type."""
        text = line.rstrip("\r\n")
        if text == _START:
            self._is_open, self._place = True, ""
        elif self._is_open and (frame := _FRAME.fullmatch(text)):
            self._place = self._own_place(Path(frame["file"]), frame["line"]) or self._place
        elif self._is_open and not text.startswith(" "):
            self._is_open = False
            found = _TYPE.fullmatch(text)
            self.described = f"{found['type']}{self._place}" if found else ""

    def _own_place(self, file: Path, line: str) -> str:
        path = self._code / file
        is_own = path.is_relative_to(self._code) and path.is_file()
        return f" at {path.relative_to(self._code).as_posix()}:{line}" if is_own else ""
