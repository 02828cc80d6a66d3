"""What an output begins with, its input's bytes up to the footer: copied beforehand where a core is free for it."""

from concurrent.futures import CancelledError, Executor, Future
from io import FileIO
from pathlib import Path

from scoring.splice.ranges import append_range, begin_to_store
from scoring.splice.source import SpliceSource

_STEP_BYTES = 64 << 20
"""Between two looks at whether the copy is still wanted."""


class Beginning:
    """The first bytes of an output's file."""

    def __init__(self, path: Path, source: SpliceSource) -> None:
        self._path = path
        self._source = source
        self._copying: Future[FileIO] | None = None
        self._unwanted = False

    def start_copying(self, executor: Executor) -> None:
        """Let a thread of the executor copy it, and another one hash it."""
        self._source.hash_on(executor)
        self._copying = executor.submit(self._copy, beforehand=True)

    def take(self) -> FileIO:
        """The unbuffered file, standing behind the copied bytes; the caller closes it.

        Raises OSError where they cannot be written, and EOFError where the input has become shorter.
        """
        if self._copying is not None:
            try:
                return self._copying.result()
            except CancelledError:
                pass
        return self._copy(beforehand=False)

    def discard(self) -> None:
        """Stop copying. Returns when nothing is written any more."""
        self._unwanted = True
        if self._copying is not None and not self._copying.cancel() and self._copying.exception() is None:
            self._copying.result().close()

    def _copy(self, *, beforehand: bool) -> FileIO:
        size = self._source.footer.start
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(self._path, "w")
        try:
            for start in range(0, size, _STEP_BYTES):
                if self._unwanted:
                    # Nobody may take half of it for the whole.
                    raise CancelledError
                count = min(_STEP_BYTES, size - start)
                append_range(self._source.file.fileno(), file.fileno(), start, count)
                if beforehand:
                    begin_to_store(file, start, count)
        except BaseException:
            file.close()
            raise
        return file
