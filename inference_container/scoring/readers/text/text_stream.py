"""Reads, decompresses and decodes an object's text in steps, so that memory is bounded."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.dataset.formats import ObjectFormat
from contract.dataset.text_encoding import Transcoder, is_utf8
from scoring.errors import IN_LOG, DataError, describe_error


class TextStream:
    """The decompressed text of an object in UTF-8; a context manager."""

    def __init__(self, key: str, path: Path, kind: ObjectFormat, encoding: str = "utf-8") -> None:
        self._key = key
        self._kind = kind
        self.rows = 0
        """Number of rows read so far, set by the caller, for messages."""
        self._transcoder = None if is_utf8(encoding) else Transcoder(encoding)
        self._converted = b""
        try:
            self._file: Any = pa.input_stream(str(path), compression=kind.compression or None)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def __enter__(self) -> "TextStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end.

        Raises:
            DataError: The compressed data is damaged.
        """
        if self._transcoder is None:
            return self._read(size)
        parts = [self._converted]
        length = len(self._converted)
        while length < size:
            data = self._read(size)
            parts.append(self._transcoder.convert(data, is_last=len(data) < size))
            length += len(parts[-1])
            if len(data) < size:
                break
        text = b"".join(parts)
        self._converted = text[size:]
        return text[:size]

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            try:
                part: bytes = self._file.read(size)
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from error
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _damaged(self, error: BaseException) -> DataError:
        place = f" after row {self.rows - 1:,}" if self.rows else ""
        what = self._kind.compression or "text"
        return DataError(
            f"object {self._key!r} cannot be read as {what}{place} ({describe_error(error)}; {IN_LOG}): it is "
            "damaged or was cut off; write it again"
        )
