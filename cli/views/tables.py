"""Plain tables, and text and JSON for single values."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from contract import codec
from contract.control_characters import replace_control_characters


def plain_json(record: Any) -> dict[str, Any]:
    """Return a record as JSON without the schema version, which only messages need."""
    return {name: value for name, value in codec.to_json(record).items() if name != codec.SCHEMA_VERSION_FIELD}


class WholeTable:
    """A table whose names and values are never cut: where it is too wide, each row becomes a list of its columns."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._columns = [one_line(column) for column in columns]
        self._rows = [[one_line(cell) for cell in row] for row in rows]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [self._columns, *self._rows]
        widths = [max(cell_len(line[number]) for line in lines) + 2 for number in range(len(self._columns))]
        if sum(widths) <= options.max_width:
            table = plain_table(*self._columns)
            for row in self._rows:
                add_row(table, *row)
            yield table
            return
        for number, row in enumerate(self._rows, start=1):
            table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
            # A name that fits the line is on one line; only values are folded.
            table.add_column(overflow="fold", no_wrap=max(map(cell_len, self._columns)) < options.max_width)
            table.add_column(overflow="fold")
            for name, cell in zip(self._columns, row, strict=True):
                add_row(table, name, cell)
            yield plain_text(f"Row {number}:", "bold")
            yield table


def fields_table(fields: Mapping[str, Any]) -> Table:
    """Return a table with one line per field. Long values are never cut."""
    table = plain_table("field", "value")
    for name, value in fields.items():
        add_row(table, name, cell_text(value))
    return table


def cell_text(value: Any) -> str:
    """Return a value as one line, because a line break in untrusted text could forge output."""
    return one_line(_text(value))


def one_line(text: str) -> str:
    r"""Return the text with its line breaks and tabs as escapes.

    >>> print(one_line("approved\n2 jobs failed"))
    approved\n2 jobs failed
    """
    return text.replace("\n", r"\n").replace("\t", r"\t")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def size_text(size: float) -> str:
    """Return a number of bytes as text.

    >>> size_text(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def add_row(table: Table, *cells: Text | str) -> None:
    """Add a one-line row, without interpreting rich's markup or control characters."""
    table.add_row(*(plain_text(one_line(cell)) if isinstance(cell, str) else cell for cell in cells))


def plain_text(text: str, style: str = "") -> Text:
    """Return text for rich with control characters replaced.

    A plain string could contain rich's markup.
    """
    return Text(replace_control_characters(text), style=style)


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return a table without lines, with these columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        # On a narrow terminal, only these columns wrap. Figures and statuses stay on one line.
        long = column in ("job", "execution", "label", "model", "value", "by", "tags", "request")
        table.add_column(
            plain_text(column), justify="right" if column in right else "left", overflow="fold", no_wrap=not long
        )
    return table


def shown_time(moment: str) -> str:
    """Return a record's time in UTC to the second; other texts unchanged.

    >>> shown_time("2026-07-01T12:30:00.123456+00:00")
    '2026-07-01 12:30:00 UTC'
    """
    try:
        return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return moment


def exact_time(moment: datetime) -> str:
    """Return a time in UTC as ISO 8601 with milliseconds.

    >>> exact_time(datetime(2026, 7, 1, 12, 30, tzinfo=UTC))
    '2026-07-01T12:30:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def exact_duration(seconds: float) -> str:
    """Return a duration as text, with the two largest units that it has.

    >>> exact_duration(0.42), exact_duration(59.6), exact_duration(3_725)
    ('0.4 s', '1 min 0 s', '1 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def counted(number: int, word: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "job"), counted(2000, "job")
    ('1 job', '2,000 jobs')
    """
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
