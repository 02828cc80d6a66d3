"""Snapshots of all of ministack's services, as bytes that another process can restore."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import io
import pickle
from typing import Any

from embedded.ministack.events.stream_records import continue_with_next_records
from embedded.ministack.monitoring.packed_events import PackedEvents
from embedded.ministack.s3.listing import Objects
from embedded.ministack.s3.object_contents import Content, ContentFile, ContentStore
from embedded.ministack.step_functions.packed_history import PackedHistory

_OWN = "fleetscore"
_S3_STORES = ("_object_versions", "_object_tags", "_object_acl", "_object_retention", "_object_legal_hold")
_ALLOWED = frozenset(
    {
        *(("builtins", name) for name in ("dict", "list", "set", "frozenset", "bytearray")),
        *(("collections", name) for name in ("defaultdict", "deque", "OrderedDict")),
        *(("datetime", name) for name in ("datetime", "timedelta", "timezone")),
        *(("ministack.core.responses", name) for name in ("AccountScopedDict", "AccountRegionScopedDict")),
        ("embedded.ministack.dynamodb.rows", "Rows"),
    }
)
"""Types that a snapshot may contain besides those with pickle instructions of their own."""
_ATTEMPTS = 20


def is_deploying() -> bool:
    """Return whether a stack is being deployed. A restart cannot continue a deployment."""
    from ministack.services.cloudformation import _stacks

    stacks = list(_stacks._data.values())
    return any(str(stack.get("StackStatus", "")).endswith("_IN_PROGRESS") for stack in stacks)


def keep_function_code(code_folder: str) -> None:
    """Store the code of functions in a folder, and never remove a file that a snapshot may name."""
    from ministack.services import lambda_svc

    lambda_svc.CODE_BLOB_DIR = code_folder
    lambda_svc._prune_orphan_code_blobs = lambda _needed: None


def take_snapshot(own: dict[str, Any]) -> bytes:
    """Return a snapshot of ministack's services and of `own`, the state of our services."""
    import ministack.app
    from ministack.services import s3

    for attempt in range(_ATTEMPTS):
        try:
            services = {name: read() for name, read in ministack.app._build_persistence_save_dict().items()}
            (services.get("cloudwatch_logs") or {}).pop("log_records", None)  # a cache
            objects = {scope: dict(bucket["objects"]) for scope, bucket in s3._buckets._data.items()}
            stores = {name: getattr(s3, name)._data for name in _S3_STORES}
            file = io.BytesIO()
            _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(
                {"services": services, "objects": objects, "stores": stores, _OWN: own}
            )
            return file.getvalue()
        except RuntimeError:  # another thread changed a dictionary meanwhile
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError


def restore(snapshot: bytes, store: ContentStore) -> dict[str, Any]:
    """Restore ministack's services, delete unused contents, and return the state of our services.

    Raises:
        pickle.UnpicklingError: The snapshot is damaged or contains a type that is not allowed.
    """
    import ministack.app
    from ministack.services import s3

    unpickler = _Unpickler(io.BytesIO(snapshot), store)
    held = unpickler.load()
    for name, state in held["services"].items():
        if state is not None:
            ministack.app._get_module(ministack.app._state_map[name]).load_persisted_state(state)
    continue_with_next_records()
    for scope, objects in held["objects"].items():
        s3._buckets._data[scope]["objects"] = Objects(objects)
    for name, records in held["stores"].items():
        getattr(s3, name)._data.update(records)
    unneeded = {file.name for file in store.folder.iterdir()} - unpickler.files.keys()
    store.delete(sorted(unneeded))
    own: dict[str, Any] = held[_OWN]
    return own


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> tuple[str, tuple[int, int] | None] | None:
        return (value.file.name, value.part) if isinstance(value, Content) else None

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, PackedHistory | PackedEvents):
            return list, (list(value),)
        kind = value if isinstance(value, type) else type(value)
        if (kind.__module__, kind.__qualname__) not in _ALLOWED:
            name = f"{kind.__module__}.{kind.__qualname__}"
            raise pickle.PicklingError(f"ministack holds a {name}, which is not a type of a snapshot")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, store: ContentStore) -> None:
        super().__init__(file)
        self._store = store
        self.files: dict[str, ContentFile] = {}
        self._contents: dict[tuple[str, tuple[int, int] | None], Content] = {}

    def persistent_load(self, content: tuple[str, tuple[int, int] | None]) -> Content:
        if content not in self._contents:
            name, part = content
            # One ContentFile per file, because the file is deleted with it.
            if name not in self.files:
                self.files[name] = ContentFile(self._store, name)
            self._contents[content] = Content(self.files[name], part)
        return self._contents[content]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not a type of a snapshot")
        return super().find_class(module, name)
