"""Files of many models: JSON Lines with one document per line, or CSV with one column per field."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from cli.documents.model_document import Draft, ModelDocument, read_features, read_json_fields, read_tags
from cli.documents.record_flags import Kind, kind_of
from contract.json_text import MAX_DIGITS, JsonError, parse_json
from contract.problems import InvalidInputError, Problem

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class BulkLine:
    """One model of the file."""

    number: int
    """Number of the line, from 1."""
    document: ModelDocument


def read_bulk(path: Path) -> list[BulkLine]:
    """Return the documents of a .jsonl or .csv file.

    Artifact paths are relative to the file's folder.

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
    problems: list[Problem] = []
    lines: list[BulkLine] = []
    numbers: dict[str, int] = {}
    for number, draft in drafts:
        read = draft.read()
        problems += at_line(number, read.problems)
        if read.document is None:
            continue
        first = numbers.setdefault(read.document.model_id, number)
        if first != number:
            expected = f"each model once; it is also in line {first}"
            problems.append(Problem(f"line {number}: model_id", read.document.model_id, expected))
        lines.append(BulkLine(number, read.document))
    if not problems and not lines:
        problems.append(Problem("--bulk", str(path), "at least one model"))
    if problems:
        raise InvalidInputError(path.name, problems)
    return lines


def at_line(number: int, problems: Sequence[Problem], model_id: str = "") -> list[Problem]:
    """Return the problems with the line number and, if known, the model before each field."""
    place = f"line {number}, model {model_id}" if model_id else f"line {number}"
    return [replace(problem, field=f"{place}: {problem.field}") for problem in problems]


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
