"""Options of a model's record for reading a dataset."""

from dataclasses import dataclass, field
from typing import Literal

from contract.checks import UniqueNames
from contract.dataset.formats import DeclaredFormat
from contract.dataset.text_encoding import is_supported
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import check_fields, describe


@dataclass(frozen=True)
class InputOptions:
    """Options for reading the objects of a dataset. For Parquet, only `format` and `table` matter.

    JSON Lines are always UTF-8. In CSV a quote inside a quoted cell may be doubled.
    """

    format: DeclaredFormat = field(
        default="",
        metadata=describe(
            "Format of all objects, regardless of their names. Compression of text is found by content.",
            default="by each key's extension, else by the object's content",
            group="Input",
            flag="--input-format",
        ),
    )
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
    csv_escape: str = field(
        default="",
        metadata=describe(
            "Escape of CSV, one ASCII character such as a backslash: the delimiter, quote, line end or escape after "
            "it is part of the cell. Empty: there is none.",
            default="none",
            flag_help="Escape of CSV, as in files of MySQL, Hive, Spark and Redshift: '\\'. Default: none.",
            group="Input",
            metavar="C",
        ),
    )
    csv_escape_unquoted: bool = field(
        default=True,
        metadata=describe(
            "Whether csv_escape also counts outside of quotes, as in files of MySQL, Hive and Redshift. Spark escapes "
            "only quotes and escapes, and only in quoted cells: false.",
            group="Input",
            flag="--no-csv-escape-unquoted",
            flag_help="Read csv_escape in quoted cells only, before a quote or an escape, as Spark writes it.",
        ),
    )
    csv_decimal: Literal[".", ","] = field(
        default=".",
        metadata=describe(
            "Decimal mark of numbers in CSV: a point (.) or a comma (,). Thousands separators are not read.",
            default="a point",
            group="Input",
            metavar="C",
        ),
    )
    csv_encoding: str = field(
        default="utf-8",
        metadata=describe(
            "Encoding of CSV, by its name in Python, such as latin-1, cp1252, shift_jis or utf-16.",
            group="Input",
            metavar="NAME",
        ),
    )
    true_values: tuple[str, ...] = field(
        default=("true", "t", "yes", "y", "on", "1", "1.0"),
        metadata=describe(
            "Cells of CSV that are true in a feature column of booleans, in upper or lower case.",
            check=UniqueNames(),
            group="Input",
            metavar="A,B",
        ),
    )
    false_values: tuple[str, ...] = field(
        default=("false", "f", "no", "n", "off", "0", "0.0"),
        metadata=describe(
            "Cells of CSV that are false in a feature column of booleans, in upper or lower case.",
            check=UniqueNames(),
            group="Input",
            metavar="A,B",
        ),
    )
    null_values: tuple[str, ...] = field(
        default=("", "\\N", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "None", "NaN", "nan"),
        metadata=describe(
            "Cells of CSV, quoted or not, that are null in a feature column of any type but text.",
            check=UniqueNames(),
            group="Input",
            metavar="A,B",
        ),
    )
    text_null_values: tuple[str, ...] = field(
        default=("", "\\N"),
        metadata=describe(
            "Cells of CSV, quoted or not, that are null in a feature column of text. Others, such as NA, are text.",
            check=UniqueNames(),
            group="Input",
            metavar="A,B",
        ),
    )
    table: Literal["refuse", "files"] = field(
        default="refuse",
        metadata=describe(
            "Treatment of a dataset that is a table of Delta Lake, Iceberg or Hudi, or a part of one: "
            "refuse it, or score every file, also those with deleted or replaced rows.",
            group="Input",
            flag="--input-table",
            metavar="refuse|files",
            see="([tables](../../operate/tables.md))",
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
        if self.csv_escape and not (
            _is_mark(self.csv_escape) and self.csv_escape not in (self.csv_delimiter, self.csv_quote)
        ):
            expected = "one ASCII character that is neither the delimiter nor the quote, or nothing"
            remedy = "A doubled quote is read without csv_escape." if self.csv_escape == self.csv_quote else ""
            problems.append(Problem("csv_escape", self.csv_escape, expected, remedy))
        if self.csv_decimal not in (".", ","):
            problems.append(Problem("csv_decimal", self.csv_decimal, "a point (.) or a comma (,)"))
        if not is_supported(self.csv_encoding):
            expected = "the name of a text encoding in Python, such as utf-8, latin-1, cp1252 or utf-16"
            problems.append(Problem("csv_encoding", self.csv_encoding, expected))
        if both := {word.lower() for word in self.true_values} & {word.lower() for word in self.false_values}:
            problems.append(Problem("false_values", sorted(both), "words that true_values does not have"))
        if self.csv_header and self.csv_columns:
            expected = "no names, because the header names the columns"
            remedy = "Set csv_header to false if there is no header."
            problems.append(Problem("csv_columns", list(self.csv_columns), expected, remedy))
        problems.extend(check_fields(self))
        if problems:
            raise InvalidInputError("InputOptions", problems)


def _is_mark(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text not in "\0\r\n"
