"""Options of a model's record for reading text formats."""

from dataclasses import dataclass, field
from typing import Literal

from contract.checks import UniqueNames
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import check_fields, describe


@dataclass(frozen=True)
class InputOptions:
    """How the objects of a dataset are read. All options but `table` are for CSV and JSON Lines.

    Text is always UTF-8. In CSV a quote inside a quoted cell is doubled; there is no other escape.
    """

    csv_delimiter: str = field(
        default=",",
        metadata=describe(
            "Delimiter of CSV, one ASCII character. Objects that end in .tsv are always read with a tab.",
            default="a comma",
            flag_help="Delimiter of CSV; a tab is $'\\t' in most shells. Default: a comma.",
            group="Input",
            metavar="C",
        ),
    )
    csv_header: bool = field(
        default=True,
        metadata=describe(
            "Whether the first line of CSV names the columns.",
            group="Input",
            flag="--no-csv-header",
            flag_help="Read the first line of CSV as a row, because there is no header.",
        ),
    )
    csv_columns: tuple[str, ...] = field(
        default=(),
        metadata=describe(
            "Columns of CSV without a header, in order.",
            check=UniqueNames(),
            default="the features, then the other key columns",
            group="Input",
            metavar="A,B",
        ),
    )
    csv_quote: str = field(
        default='"',
        metadata=describe(
            "Quote of CSV, one ASCII character. Empty: nothing is quoted.",
            default='a double quote (")',
            group="Input",
            metavar="C",
        ),
    )
    null_values: tuple[str, ...] = field(
        default=("", "NA", "N/A", "NULL", "NaN", "nan", "null"),
        metadata=describe(
            "Cells of CSV, quoted or not, that are null in a feature column. Other columns keep their text.",
            check=UniqueNames(),
            group="Input",
            metavar="A,B",
        ),
    )

    table: Literal["refuse", "files"] = field(
        default="refuse",
        metadata=describe(
            "What the plan does with a dataset that is a table of Delta Lake, Iceberg or Hudi, or a part of one: "
            "refuse it, or score every file, also those with deleted or replaced rows.",
            group="Input",
            metavar="refuse|files",
            see="([tables](../operate/tables.md))",
        ),
    )

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if not _is_mark(self.csv_delimiter):
            expected = "one ASCII character other than a line end"
            remedy = "A tab is $'\\t' in a shell and \"\\t\" in JSON." if "t" in self.csv_delimiter else ""
            problems.append(Problem("csv_delimiter", self.csv_delimiter, expected, remedy))
        if self.csv_quote and not (_is_mark(self.csv_quote) and self.csv_quote != self.csv_delimiter):
            expected = "one ASCII character that is not the delimiter, or nothing"
            problems.append(Problem("csv_quote", self.csv_quote, expected))
        if self.csv_header and self.csv_columns:
            expected = "no names, because the header names the columns"
            remedy = "Set csv_header to false if there is no header."
            problems.append(Problem("csv_columns", list(self.csv_columns), expected, remedy))
        problems.extend(check_fields(self))
        if problems:
            raise InvalidInputError("InputOptions", problems)


def _is_mark(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text not in "\0\r\n"
