"""Finds CSV headers that a model's record denies, and rows that it takes for a header.

The plan and the container share the rule.
"""

from collections.abc import Collection, Sequence
from itertools import islice

from contract.dataset.columns import similar_name
from contract.dataset.input_options import InputOptions
from contract.dataset.text_head import HeaderEncodingError, HeadError, first_rows, read_header, without_mark

_SHOWN_NAMES = 5
_COMPARED_ROWS = 20
_FEWEST_ROWS = 2


def header_problem(
    head: bytes, delimiter: str, options: InputOptions, features: Collection[str], *, whole: bool
) -> str:
    """Return why the first line is not what `csv_header` says, and what to do; empty if it can be.

    `head` is the beginning of the text in UTF-8, `features` are the features that it should have.

    >>> header_problem(b"7,41\\n", ",", InputOptions(), ["age"], whole=True)[-51:]
    'order (--csv-columns); otherwise, correct the names'
    """
    try:
        cells = read_header(without_mark(head), delimiter, options, whole=whole)[0]
    except HeaderEncodingError as error:
        return str(error) if options.csv_header else ""
    except HeadError:
        # Readers report it, as a row or as a header that cannot be read.
        return ""
    if not options.csv_header:
        if not _are_names(cells, options.csv_columns):
            return ""
        return (
            "its first line has the names of the columns, but the record says that there is no header "
            "(csv_header: false): register the model without --no-csv-header, or remove the line from the object"
        )
    if not features or any(name in cells or similar_name(name, cells) for name in features):
        return ""
    otherwise = "correct the names" if len(cells) > 1 else "set input.csv_delimiter, because the line is one cell"
    listed = sorted(features)
    shown = ", ".join(listed[:_SHOWN_NAMES]) + (", …" if len(listed) > _SHOWN_NAMES else "")
    return (
        f"its first line, which is read as the header, has none of the features {shown}: if the line is a row, "
        f"register the model with --no-csv-header and the columns in order (--csv-columns); otherwise, {otherwise}"
    )


def width_problem(head: bytes, delimiter: str, options: InputOptions, columns: int, *, whole: bool) -> str:
    """Return why the first rows cannot be read, and what to do; empty if one has a cell per column.

    For the plan: a job reports each such row. A single row may be bad, so there must be several.

    >>> width_problem(b"1,2,x\\n3,4,y\\n", ",", InputOptions(csv_header=False), 2, whole=True)[:58]
    'its first rows have 3 cells, and csv_columns of the record'
    """
    # The csv module knows no escapes outside of quotes.
    if options.csv_escape:
        return ""
    try:
        rows = list(islice(first_rows(without_mark(head), delimiter, options, whole=whole), _COMPARED_ROWS + 1))
    except HeadError:
        return ""
    widths = [len(cells) for cells in (rows[1:] if options.csv_header else rows)]
    if len(widths) < _FEWEST_ROWS or columns in widths:
        return ""
    shown = f"{widths[0]:,}" if len(set(widths)) == 1 else f"{min(widths):,} to {max(widths):,}"
    if options.csv_header:
        remedy = "the header has {:,}: write the object again with a name per column, or set input.csv_delimiter"
    else:
        remedy = "csv_columns of the record has {:,}: name all columns in order (--csv-columns)"
    return f"its first rows have {shown} cells, and {remedy.format(columns)}"


def _are_names(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether most cells are the names of their columns, or all are in another order."""
    found, wanted = ([name.strip().casefold() for name in some] for some in (cells, names))
    same = sum(cell == name for cell, name in zip(found, wanted, strict=False))
    return same > len(wanted) / 2 or sorted(found) == sorted(wanted)
