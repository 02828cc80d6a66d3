"""Files whose footer is not what a writer would write."""

from collections.abc import Callable
from pathlib import Path

from scoring.splice.footer.parsed_footer import FileField, GroupField, read_footer
from scoring.splice.spans import Struct, Value, read_list, read_struct, write_list, write_struct

_LIST, _STRUCT = 9, 12


def footer_of(file: bytes) -> bytes:
    length = int.from_bytes(file[-8:-4], "little")
    return file[-8 - length : -8]


def with_footer(path: Path, footer: bytes, magic: bytes = b"PAR1") -> Path:
    """The same file with another footer."""
    with path.open("rb") as file:
        start = read_footer(file).start
    data = path.read_bytes()[:start]
    path.write_bytes(data + footer + len(footer).to_bytes(4, "little") + magic)
    return path


def changed(path: Path, change: Callable[[Struct], None]) -> Path:
    """The same file with this change in its FileMetaData."""
    struct = read_struct(footer_of(path.read_bytes()))
    change(struct)
    return with_footer(path, write_struct(struct))


def in_first(field: int, change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    """A change in the first struct of a list."""

    def apply(struct: Struct) -> None:
        items = read_list(struct[field], _STRUCT)
        first = read_struct(items[0])
        change(first)
        struct[field] = Value(_LIST, write_list(_STRUCT, [write_struct(first), *items[1:]]))

    return apply


def in_first_group(change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    return in_first(FileField.GROUPS, change)


def in_first_chunk(change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    return in_first_group(in_first(GroupField.CHUNKS, change))


def in_first_column(change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    """A change in the first ColumnMetaData."""

    def apply(chunk: Struct) -> None:
        column = read_struct(chunk[3].raw)
        change(column)
        chunk[3] = Value(_STRUCT, write_struct(column))

    return in_first_chunk(apply)
