"""Read a Dockerfile and its .dockerignore: instructions, words, forms, and what the build context leaves out.

`embedded/images/image_build.py` follows the instructions.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<operator>[-+])(?P<word>[^}]*))?\})")
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")


class DockerfileError(Exception):
    """The Dockerfile uses something that cannot be run without Docker; holds one problem a line."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{path.name} cannot be run without Docker:\n" + "\n".join(f"  {p}" for p in problems))


class Refusal(Exception):  # noqa: N818 - becomes one of the problems of a DockerfileError
    """One instruction cannot be read or followed; says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Instruction:
    line: int
    keyword: str
    flags: Mapping[str, str]
    text: str

    @property
    def has_here_document(self) -> bool:
        return _HEREDOC.search(self.text) is not None


def read_instructions(text: str) -> list[Instruction]:
    """Split a Dockerfile into instructions: comments dropped, continued lines joined, flags taken off."""
    instructions = []
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        first = -1
        joined = ""
        while index < len(lines):
            line = lines[index].strip() if not joined else lines[index].rstrip()
            index += 1
            if line.lstrip().startswith("#") or (joined and not line.strip()):
                continue
            first = index if first < 0 and line else first
            continued = line.endswith("\\")
            joined += line[:-1] if continued else line
            if not continued:
                break
            joined = joined or " "
        if not joined.strip():
            continue
        keyword, _, rest = joined.strip().partition(" ")
        keyword = keyword.upper()
        if keyword in {"RUN", "COPY", "ADD"}:
            for terminator in _HEREDOC.findall(rest):
                while index < len(lines) and lines[index].strip() != terminator:
                    index += 1
                index += 1
        flags, rest = _take_flags(rest.strip())
        instructions.append(Instruction(first, keyword, flags, rest))
    return instructions


def _take_flags(text: str) -> tuple[dict[str, str], str]:
    flags = {}
    while match := re.match(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)", text):
        flags[match[1]] = match[2] or ""
        text = text[match.end() :]
    return flags, text


def split_words(text: str, variables: Mapping[str, str]) -> list[str]:
    """Split on blanks outside quotes and put variables in, except within single quotes. Unknown ones are empty."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'" and position + 1 < len(text):
            word = (word or "") + text[position + 1]
            position += 2
            continue
        if char == "$" and quote != "'" and (match := _VARIABLE.match(text, position)):
            word = (word or "") + _value(match, variables)
            position = match.end()
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                word = (word or "") + char
        elif char in "\"'":
            quote = char
            word = word or ""
        elif char.isspace():
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + char
        position += 1
    if quote:
        raise Refusal(f"the quote {quote} is never closed: close it")
    return words if word is None else [*words, word]


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    value = variables.get(match["plain"] or match["name"], "")
    if match["operator"] == "-":
        return value or match["word"]
    if match["operator"] == "+":
        return match["word"] if value else ""
    return value


def read_pairs(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """The names and values of an ENV or LABEL."""
    first, _, rest = instruction.text.partition(" ")
    if "=" not in first:  # the old form: KEY and everything after it
        return {first: " ".join(split_words(rest, variables))}
    pairs = [word.partition("=") for word in split_words(instruction.text, variables)]
    wrong = [name for name, equals, _ in pairs if not equals or not name]
    if wrong:
        raise Refusal(f"{wrong[0]!r} is not of the form KEY=VALUE: quote values that hold blanks")
    return {name: value for name, _, value in pairs}


def exec_form(instruction: Instruction) -> list[str]:
    """The words of an ENTRYPOINT or CMD."""
    words = json_list(instruction.text)
    if words is None:
        raise Refusal(
            f"{instruction.text!r} is in shell form, which swallows SIGTERM: "
            f'write it in exec form, such as {instruction.keyword} ["python", "-m", "scoring"]'
        )
    return words


def json_list(text: str) -> list[str] | None:
    """The texts of a JSON list; None: it is something else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def ignore_rule(path: Path) -> Callable[[str], bool]:
    """The predicate of a .dockerignore file on paths relative to the build context; the last rule that fits wins."""
    rules: list[tuple[re.Pattern[str], bool]] = []
    for raw in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        excludes = not line.startswith("!")
        pattern = posixpath.normpath(line.lstrip("!").strip()).lstrip("/")
        rules.append((_pattern(pattern), excludes))

    def ignored(relative: str) -> bool:
        result = False
        for pattern, excludes in rules:
            if pattern.match(relative):
                result = excludes
        return result

    return ignored


def _pattern(text: str) -> re.Pattern[str]:
    expression = ""
    position = 0
    while position < len(text):
        for token, meaning in (("**/", "(?:.*/)?"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            if text.startswith(token, position):
                expression += meaning
                position += len(token)
                break
        else:
            expression += re.escape(text[position])
            position += 1
    return re.compile(f"{expression}(?:/.*)?$")
