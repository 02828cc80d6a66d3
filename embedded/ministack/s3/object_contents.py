"""Contents of S3 objects, in files instead of in ministack's memory."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import os
import threading
import uuid
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.s3.checksums import add_checksum
from embedded.ministack.s3.copies import is_mapped, map_file

CONTENT = "content_file"
"""Member of ministack's records of objects and versions that holds the Content."""

_SHARED_MEMBERS = ("metadata", "preserved_headers")
"""Members that are the same for most objects, which share one copy. ministack changes them only in new records."""
_MOST_SHARED = 1_000
"""Largest number of shared members."""
_SMALL_BYTES = 64 << 10
"""Largest content that shares a file, in bytes. Making a file costs more than the rest of a small write."""
_SHARED_FILE_BYTES = 4 << 20
"""Size from which a shared file gets no more contents, in bytes."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class ContentFile:
    """A file with the bytes of one or more contents. It is deleted with the last Content that refers to it."""

    __slots__ = ("__weakref__", "name", "store")

    def __init__(self, store: ContentStore, name: str) -> None:
        self.store, self.name = store, name

    @property
    def path(self) -> Path:
        return self.store.folder / self.name

    def __del__(self) -> None:
        self.store.dropped(self.name)


class Content:
    """The immutable bytes of an object or a version: a whole file, or a part of a shared one.

    Versions and replicas share the Content of their object.
    """

    __slots__ = ("file", "part")

    def __init__(self, file: ContentFile, part: tuple[int, int] | None = None) -> None:
        self.file, self.part = file, part
        """The part is its first byte and its size; None for the whole file."""

    def read(self) -> bytes:
        if self.part is None:
            return self.file.path.read_bytes()
        start, size = self.part
        opened = os.open(self.file.path, os.O_RDONLY)
        try:
            read = os.pread(opened, size, start)
        finally:
            os.close(opened)
        if len(read) != size:
            raise OSError(f"the file {self.file.path} has only {len(read)} of {size} bytes from {start}: it is damaged")
        return read

    def map(self) -> memoryview | bytes:
        """Return the bytes without reading them if they are many, for a request that needs few of them."""
        return map_file(self.file.path) if self.part is None else self.read()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Content:
        return self


class ContentStore:
    """The folder with the contents.

    Small contents share files. A shared file is deleted when no record needs any of its contents,
    so a small object can keep about `_SHARED_FILE_BYTES` in use.

    Args:
        keep_dropped: Keep files that no record needs until `delete` is called, because a stored
            snapshot may still name them.
    """

    def __init__(self, folder: Path, *, keep_dropped: bool = False) -> None:
        self.folder = folder
        self._keep_dropped = keep_dropped
        self._dropped: list[str] = []
        self._lock = threading.Lock()
        self._shared: weakref.ref[ContentFile] | None = None
        """The file that gets the next small content. The reference is weak, so that it is deleted with its contents."""
        self._shared_size = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, body: bytes) -> Content:
        """Write the bytes to a file.

        Raises:
            OSError: The file cannot be written.
        """
        if len(body) <= _SMALL_BYTES:
            with self._lock:
                return self._add_small(body)
        file = ContentFile(self, uuid.uuid4().hex)
        with open(os.open(file.path, _NEW_FILE, 0o600), "wb") as opened:  # noqa: PTH123
            opened.write(body)
        return Content(file)

    def _add_small(self, body: bytes) -> Content:
        file = self._shared() if self._shared is not None else None
        if file is None or self._shared_size >= _SHARED_FILE_BYTES:
            file, flags = ContentFile(self, uuid.uuid4().hex), _NEW_FILE
        else:
            flags = os.O_WRONLY
        start = self._shared_size if flags == os.O_WRONLY else 0
        with open(os.open(file.path, flags, 0o600), "wb", buffering=0) as opened:  # noqa: PTH123
            # After a failure, the next content overwrites the bytes that were written.
            opened.seek(start)
            written = 0
            while written < len(body):
                written += opened.write(body[written:])
        self._shared, self._shared_size = weakref.ref(file), start + len(body)
        return Content(file, (start, len(body)))

    def dropped(self, name: str) -> None:
        if self._keep_dropped:
            self._dropped.append(name)
        else:
            with suppress(OSError):
                os.unlink(self.folder / name)  # noqa: PTH108 - also while the interpreter ends

    def take_dropped(self) -> list[str]:
        """Return the names of the files that no record needs, once each."""
        taken, self._dropped = self._dropped, []
        return taken

    def put_back_dropped(self, names: list[str]) -> None:
        """Return names of `take_dropped` whose files could not be deleted yet."""
        self._dropped.extend(names)

    def delete(self, names: list[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)


def install_objects_on_disk(store: ContentStore) -> None:
    """Keep the contents of objects and versions in files.

    ministack keeps contents in memory. Its own option S3_PERSIST writes content and description one
    after the other, so a kill in between damages the object. Its hooks for that option are used
    here.
    """
    from ministack.services import s3

    hooks = (
        "_persist_object",
        "_persist_displaced_version",
        "_persist_delete_marker",
        "_delete_persisted_object",
        "_delete_persisted_bucket",
        "_delete_version_file",
        "_read_body",
        "_version_body",
        "_version_entry_from_record",
    )
    if missing := [name for name in hooks if not callable(getattr(s3, name, None))]:
        raise MinistackChangedError(f"ministack's S3 has no {missing[0]}: install the pinned version")
    ministack_entry = s3._version_entry_from_record

    kept: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}

    def shared(headers: dict[str, str]) -> dict[str, str]:
        if len(kept) > _MOST_SHARED:
            kept.clear()
        return kept.setdefault(tuple(headers.items()), headers)

    def keep(record: dict[str, Any]) -> None:
        if record.get("body") is not None:
            add_checksum(record)
            record[CONTENT] = store.add(record["body"])
            record["body"] = None
            for name in _SHARED_MEMBERS:
                if name in record:
                    record[name] = shared(record[name])

    def version_entry(record: dict[str, Any], version_id: str, _data: bytes) -> Any:
        keep(record)
        entry: dict[str, Any] = ministack_entry(record, version_id, None)
        entry[CONTENT] = record.get(CONTENT)
        return entry

    def read(_bucket: str, _key: str, record: dict[str, Any]) -> bytes | memoryview:
        if record.get("body") is not None:
            return bytes(record["body"])
        content: Content | None = record.get(CONTENT)
        if content is None:
            raise MinistackChangedError("ministack has stored an object without its content")
        return content.map() if is_mapped() else content.read()

    def read_version(_buckets: Any, _bucket: str, _key: str, version: dict[str, Any]) -> bytes | None:
        content: Content | None = version.get(CONTENT)
        return content.read() if content is not None else None

    def nothing(*_: Any) -> None:
        """Do nothing: the file is deleted with the last record that refers to it."""

    s3._persist_object = lambda _bucket, _key, record: keep(record)
    s3._version_entry_from_record = version_entry
    s3._read_body = read
    s3._version_body = read_version
    for name in hooks[1:6]:
        setattr(s3, name, nothing)
    s3.S3_PERSIST = True
