"""An object without any data, and so without columns."""

from collections.abc import Iterator

import pyarrow as pa

from contract.dataset.detection import NO_DATA_NOTE
from contract.dataset.formats import ObjectFormat
from scoring.readers.input_object import InputBatch


class EmptyObject:
    """An object of no bytes, or of text that has only blank lines: it has 0 rows and no columns."""

    kind = ObjectFormat("csv")
    notes: tuple[str, ...] = (NO_DATA_NOTE,)
    absent: frozenset[str] = frozenset()

    def __init__(self, key: str) -> None:
        self.key = key
        self.schema: pa.Schema = pa.schema([])
        self.rows: int | None = 0

    def __enter__(self) -> "EmptyObject":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Yield nothing."""
        return iter(())

    def group_rows(self) -> list[int]:
        return []

    def null_counts(self, names: list[str]) -> dict[str, int]:
        return {}

    def text_columns(self) -> list[str]:
        return []

    def choose_types(self, columns: frozenset[str]) -> bool:
        return False

    def stored_bytes(self) -> dict[str, int]:
        return {}
