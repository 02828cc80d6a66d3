"""Files of many models: JSON Lines with one document per line, or CSV with one column per field."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from cli.documents.model_document import Draft, ModelDocument, read_features, read_json_fields, read_tags
from cli.documents.record_flags import Kind, kind_of
from contract.json_text import MAX_DIGITS, JsonError, parse_json
from contract.problems import InvalidInputError, Problem

_BOOLEANS = {"true": True, "false": False}
_SHOWN_LINES = 5
"""Most lines that a message names for one problem or note."""


@dataclass(frozen=True)
class BulkLine:
    """One model of the file."""

    number: int
    """Number of the line, from 1."""
    document: ModelDocument


@dataclass(frozen=True)
class LineProblem:
    """A problem of one line."""

    number: int
    problem: Problem
    model_id: str = ""
    """The line's model; empty if it cannot be read."""


def read_bulk(path: Path, complete: Callable[[Draft], Draft] = lambda draft: draft) -> list[BulkLine]:
    """Return the documents of a .jsonl or .csv file.

    Artifact paths are relative to the file's folder. `complete` adds to each line what the catalog
    knows.

    Raises:
        InvalidInputError: with every problem of every line.
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("bulk", [Problem("--bulk", str(path), f"a file that can be read ({error})")]) from error
    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise InvalidInputError("bulk", [Problem("--bulk", str(path), "a file that ends in .jsonl or .csv")])
    drafts = _csv_drafts(text, path.parent) if path.suffix.lower() == ".csv" else _json_drafts(text, path.parent)
    found: list[LineProblem] = []
    lines: list[BulkLine] = []
    numbers: dict[str, int] = {}
    for number, draft in drafts:
        read = complete(draft).read()
        found += [LineProblem(number, problem) for problem in read.problems]
        if read.document is None:
            continue
        first = numbers.setdefault(read.document.model_id, number)
        if first != number:
            expected = f"each model once; it is also in line {first}"
            found.append(LineProblem(number, Problem("model_id", read.document.model_id, expected)))
        lines.append(BulkLine(number, read.document))
    problems = merge_lines(found)
    if not problems and not lines:
        problems.append(Problem("--bulk", str(path), "at least one model"))
    if problems:
        raise InvalidInputError(path.name, problems)
    return lines


def merge_lines(found: Iterable[LineProblem]) -> list[Problem]:
    """Return each problem once, with the lines that have it before its field.

    >>> field = Problem("dataset", None, "a value")
    >>> [str(problem) for problem in merge_lines([LineProblem(1, field), LineProblem(2, field)])]
    ['lines 1 and 2: dataset: got nothing, expected a value']
    """
    groups: dict[str, list[LineProblem]] = {}
    for item in found:
        groups.setdefault(str(item.problem), []).append(item)
    return [
        replace(
            group[0].problem,
            field=f"{describe_lines([item.number for item in group])}{_model(group)}: {group[0].problem.field}",
        )
        for group in groups.values()
    ]


def describe_lines(numbers: Sequence[int]) -> str:
    """Return the lines that a problem or note is about.

    >>> describe_lines([2]), describe_lines([2, 4]), describe_lines(range(2, 1000))
    ('line 2', 'lines 2 and 4', 'lines 2, 3, 4, 5, 6 and 993 more')
    """
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    shown = [str(number) for number in numbers[:_SHOWN_LINES]]
    last = f"{len(numbers) - _SHOWN_LINES:,} more" if len(numbers) > _SHOWN_LINES else shown.pop()
    return f"lines {', '.join(shown)} and {last}"


def _model(group: Sequence[LineProblem]) -> str:
    return f", model {group[0].model_id}" if len(group) == 1 and group[0].model_id else ""


def _json_drafts(text: str, folder: Path) -> Iterator[tuple[int, Draft]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line, keep_surrogates=True)
        except JsonError as error:
            yield number, _refused(Problem("model", line, f"JSON text, but {error}"))
            continue
        if isinstance(value, dict):
            yield number, read_json_fields(value, folder)
        else:
            yield number, _refused(Problem("model", value, "a JSON object"))


def _csv_drafts(text: str, folder: Path) -> Iterator[tuple[int, Draft]]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    known = {item.name for item in fields(ModelDocument)}
    header: list[str] = []
    before = 0
    try:
        for row in reader:
            number, before = before + 1, reader.line_num
            if not any(row):
                continue
            if not header:
                header = [name.strip() for name in row]
                wrong = [name for name in header if name not in known or header.count(name) > 1]
                if wrong:
                    expected = f"a header of fields, each once, out of {', '.join(sorted(known))}"
                    raise InvalidInputError("bulk", [Problem(f"line {number}", wrong, expected)])
            elif len(row) != len(header):
                yield number, _refused(Problem("model", row, f"{len(header)} cells, as the header has"))
            else:
                yield number, _csv_draft(dict(zip(header, row, strict=True)), folder)
    except csv.Error as error:
        raise InvalidInputError("bulk", [Problem(f"line {reader.line_num}", "", f"CSV ({error})")]) from error


def _read_cell(kind: Kind, text: str) -> Any:
    """Return a cell's value; return invalid text unchanged, so that the document refuses it."""
    if kind == "words":
        return [word.strip() for word in text.split(",") if word.strip()]
    if kind == "integer":
        return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else text
    if kind == "number":
        return _number(text)
    return _BOOLEANS.get(text.lower(), text) if kind == "switch" else text


def _csv_draft(cells: Mapping[str, str], folder: Path) -> Draft:
    hints = get_type_hints(ModelDocument)
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, cell in cells.items():
        value: Any = cell.strip()
        if not value:
            continue
        more: list[Problem] = []
        if name == "features":
            try:
                value, more = read_features(value, folder)
            except InvalidInputError as error:
                more = list(error.problems)
        elif name == "tags":
            value, more = read_tags([pair.strip() for pair in value.split(",")])
        elif name == "input":
            value, more = _read_input(value)
        else:
            value = _read_cell(kind_of(hints[name]), value)
        found[name] = value
        problems += more
    return Draft(found, tuple(problems))


def _number(text: str) -> float | str:
    """Return the number, or invalid text unchanged, so that the document refuses it."""
    try:
        return float(text)
    except ValueError:
        return text


def _read_input(cell: str) -> tuple[Any, list[Problem]]:
    try:
        return parse_json(cell, keep_surrogates=True), []
    except JsonError as error:
        return {}, [Problem("input", cell, f"a JSON object, but {error}")]


def _refused(problem: Problem) -> Draft:
    # Fields of a line that cannot be read must not be reported as missing.
    return _Unreadable({}, (problem,))


class _Unreadable(Draft):
    """Draft of a line that cannot be read. It has only the problem of the line."""

    def read(self) -> Any:
        return replace(super().read(), problems=self.problems)
