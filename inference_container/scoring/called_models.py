"""Which models a worker is calling, in a file that the supervisor can read when the worker was killed."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_SLOTS, _SLOT_BYTES = 64, 64
"""Most calls that are noted at a time, and bytes of each note. Ids of models are shorter."""


class CalledModels:
    """The worker's side: notes each call for its duration. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._free = list(range(_SLOTS))

    @contextmanager
    def call(self, model_id: str) -> Iterator[None]:
        """Note a call until the end of the context."""
        try:
            slot = self._free.pop()
        except IndexError:
            yield
            return
        self._write(slot, model_id)
        try:
            yield
        finally:
            self._write(slot, "")
            self._free.append(slot)

    def _write(self, slot: int, model_id: str) -> None:
        os.pwrite(self._descriptor, model_id.encode()[:_SLOT_BYTES].ljust(_SLOT_BYTES, b"\0"), slot * _SLOT_BYTES)


_noted: CalledModels | None = None


def note_calls(descriptor: int) -> None:
    """Note the calls of this process in a file of `open_notes`."""
    global _noted  # noqa: PLW0603 - one per process
    # Programs that model code starts do not need it.
    os.set_inheritable(descriptor, False)
    _noted = CalledModels(descriptor)


@contextmanager
def calling(model_id: str) -> Iterator[None]:
    """Note that a model is called, until the end of the context."""
    if _noted is None:
        yield
        return
    with _noted.call(model_id):
        yield


def open_notes() -> int:
    """Return the descriptor of an empty file, for `note_calls` of another process."""
    if sys.platform == "linux":
        return os.memfd_create("called-models")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def read_notes(descriptor: int) -> list[str]:
    """Return the models that the process was calling, each once.

    The process runs model code, so these are any texts.
    """
    notes = os.pread(descriptor, _SLOTS * _SLOT_BYTES, 0)
    found = (notes[start : start + _SLOT_BYTES].rstrip(b"\0") for start in range(0, len(notes), _SLOT_BYTES))
    return list(dict.fromkeys(note.decode("utf-8", "replace") for note in found if note))
