"""Detection of an object's format by its content, where neither the record nor the key says it.

The plan, the container and the command share the rule.
"""

from collections.abc import Collection, Set

from contract.dataset.formats import UTF16, ObjectFormat, looks_like
from contract.dataset.input_options import InputOptions
from contract.dataset.text_encoding import is_utf8
from contract.dataset.text_head import HeadError, is_blank, read_header, without_mark

_REMEDY = (
    "set input.format in the model's record (parquet, csv, tsv or jsonl), or give the object a name with the extension "
    "of its format"
)


class FormatUnknownError(ValueError):
    """Neither name nor content show the format; the text is the reason and what to do."""

    def __init__(self, reason: str, remedy: str = _REMEDY) -> None:
        super().__init__(f"its name says no format, {reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


def stored_format(first: bytes, encoding: str = "utf-8") -> ObjectFormat | None:
    """Return Parquet if the first stored bytes show it; None if they may be text.

    `encoding` is the record's encoding of CSV.

    Raises:
        FormatUnknownError: The bytes show another format.
    """
    found = looks_like(first)
    if found in ("Parquet", "encrypted Parquet"):
        return ObjectFormat("parquet")
    if found not in ("", "gzip", "zstd") and not (found == UTF16 and not is_utf8(encoding)):
        raise FormatUnknownError(f"and it looks like {found}", "convert or remove it")
    return None


def text_format(
    head: bytes, options: InputOptions, needed: Collection[Set[str]], *, whole: bool
) -> ObjectFormat | None:
    """Return the format of the text that begins with `head`; None if it holds no data.

    JSON Lines begin with a brace. Other text is CSV only if its header proves it, by holding all
    the columns that at least one model needs.

    Args:
        head: The beginning of the decompressed text, in UTF-8.
        options: The options of the models that read it.
        needed: The columns that each model needs from the object.
        whole: Whether `head` is the whole text.

    Raises:
        FormatUnknownError: The text does not show its format.
    """
    if is_blank(head):
        if whole:
            return None
        raise FormatUnknownError("and its beginning is blank")
    text = without_mark(head)
    if found := looks_like(text):
        raise FormatUnknownError(f"and it is {found} in gzip or zstd", "store it without this compression")
    if text.lstrip().startswith(b"{"):
        return ObjectFormat("jsonl")
    if not options.csv_header:
        why = "text without a header (csv_header: false) cannot be recognized"
    else:
        try:
            names = set(read_header(text, options.csv_delimiter, options, whole=whole)[0])
        except HeadError as error:
            why = str(error)
        else:
            if any(columns and columns <= names for columns in needed):
                return ObjectFormat("csv")
            why = "its first line is not a header with all features and key columns of a model"
    raise FormatUnknownError(f"and its content does not show one, because {why}")


def format_note(kind: ObjectFormat) -> str:
    """Return the note about objects whose format was found by their content.

    >>> format_note(ObjectFormat("jsonl", "gzip"))
    'objects whose names say no format were read as JSON Lines in gzip, which their content shows'
    """
    return f"objects whose names say no format were read as {kind}, which their content shows"


NO_DATA_NOTE = "some objects hold no data (0 bytes or only blank lines): they have 0 rows and no output"
"""The note about objects without any data."""
