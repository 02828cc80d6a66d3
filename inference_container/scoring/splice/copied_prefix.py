"""Copies the input's bytes up to the footer, in the background if a core is free."""

from concurrent.futures import CancelledError, Executor, Future
from io import FileIO
from pathlib import Path

from scoring.files.ranges import append_range
from scoring.splice.source import SpliceSource

_STEP_BYTES = 64 << 20
"""Bytes copied between two checks for cancellation."""


class CopiedPrefix:
    """The copied beginning of an output file."""

    def __init__(self, path: Path, source: SpliceSource) -> None:
        self._path = path
        self._source = source
        self._copying: Future[FileIO] | None = None
        self._cancelled = False

    @property
    def is_copying(self) -> bool:
        return self._copying is not None

    def start_copying(self, executor: Executor) -> None:
        """Copy on one thread of the executor and hash on another."""
        self._source.start_hashing(executor)
        self._copying = executor.submit(self._copy)

    def take(self) -> FileIO:
        """Return the unbuffered file, positioned after the copied bytes; the caller closes it.

        Raises:
            OSError: The bytes cannot be written.
            EOFError: The input has become shorter.
        """
        if self._copying is not None:
            try:
                return self._copying.result()
            except CancelledError:
                pass
        return self._copy()

    def discard(self) -> None:
        """Cancel the copy and wait for its end."""
        self._cancelled = True
        if self._copying is not None and not self._copying.cancel() and self._copying.exception() is None:
            self._copying.result().close()

    def _copy(self) -> FileIO:
        size = self._source.footer.start
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(self._path, "w")
        try:
            for start in range(0, size, _STEP_BYTES):
                if self._cancelled:
                    # A partial copy must not be taken for a complete one.
                    raise CancelledError
                count = min(_STEP_BYTES, size - start)
                append_range(self._source.file.fileno(), file.fileno(), start, count)
        except BaseException:
            file.close()
            raise
        return file
