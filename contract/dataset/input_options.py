"""How a model's record says that objects of text are read."""

from dataclasses import dataclass

from contract.checks import check_unique
from contract.problems import InvalidInputError, Problem


@dataclass(frozen=True)
class InputOptions:
    """How the text objects of a dataset are read, as a model's record says; Parquet needs none of it.

    Text is UTF-8 always. In CSV a quote in a quoted cell is doubled; there is no other escape.
    """

    csv_delimiter: str = ","
    """One ASCII character. Objects that end in .tsv are read with a tab whatever this says."""
    csv_header: bool = True
    """Whether the first line names the columns."""
    csv_columns: tuple[str, ...] = ()
    """Names of the columns where there is no header; empty: the model's features, then its other key columns."""
    csv_quote: str = '"'
    """One ASCII character; empty: nothing is quoted."""
    null_values: tuple[str, ...] = ("", "NA", "N/A", "NULL", "NaN", "nan", "null")
    """Cells of CSV, quoted or not, that are null where a feature is expected. Other columns keep their text."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if not _is_mark(self.csv_delimiter):
            expected = "one ASCII character that ends no line"
            remedy = "A tab is $'\\t' in a shell and \"\\t\" in JSON." if "t" in self.csv_delimiter else ""
            problems.append(Problem("csv_delimiter", self.csv_delimiter, expected, remedy))
        if self.csv_quote and not (_is_mark(self.csv_quote) and self.csv_quote != self.csv_delimiter):
            expected = "one ASCII character that is not the delimiter, or nothing"
            problems.append(Problem("csv_quote", self.csv_quote, expected))
        if self.csv_header and self.csv_columns:
            expected = "no names, because the header names the columns"
            remedy = "Say csv_header: false if there is no header."
            problems.append(Problem("csv_columns", list(self.csv_columns), expected, remedy))
        problems.extend(check_unique("csv_columns", list(self.csv_columns)))
        problems.extend(check_unique("null_values", list(self.null_values)))
        if problems:
            raise InvalidInputError("InputOptions", problems)


def _is_mark(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text not in "\0\r\n"
