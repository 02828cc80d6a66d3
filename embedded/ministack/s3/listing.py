"""Listings of a bucket's objects, which read only the keys that they return."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from embedded.ministack.errors import MinistackChangedError

PAGE_KEYS = 1_000
"""Most keys in an answer."""
_FULL_OBJECT = "FULL_OBJECT"
_MAX_KEYS = 2**31 - 1
"""Largest number of keys that a request may name."""
_CHANGED = ("_collect_list_entries", "_list_objects_v1", "_list_objects_v2")


class Objects(dict[str, Any]):
    """The objects of a bucket by key, with a sorted list of the keys.

    ministack changes it only by assignment and `pop`.
    """

    def __init__(self, objects: Mapping[str, Any] | None = None) -> None:
        super().__init__(objects or {})
        self.keys_in_order = sorted(self)

    def __setitem__(self, key: str, record: Any) -> None:
        if key not in self:
            insort(self.keys_in_order, key)
        super().__setitem__(key, record)

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            del self.keys_in_order[bisect_left(self.keys_in_order, key)]
        return super().pop(key, *default)


def install_listings() -> None:
    """Answer listings from a sorted list of keys.

    ministack sorts all keys of the bucket for each page.
    """
    from ministack.services import s3

    if missing := [name for name in _CHANGED if not callable(getattr(s3, name, None))]:
        raise MinistackChangedError(f"ministack's S3 has no {missing[0]}: install the pinned version")

    class Buckets(type(s3._buckets)):  # type: ignore[misc]
        """ministack's buckets, each with `Objects`."""

        __slots__ = ()

        def __setitem__(self, name: str, bucket: dict[str, Any]) -> None:
            bucket["objects"] = Objects(bucket.get("objects"))
            super().__setitem__(name, bucket)

        def setdefault(self, name: str, bucket: dict[str, Any]) -> Any:
            if name not in self:
                self[name] = bucket
            return self[name]

    s3._buckets.__class__ = Buckets
    s3._collect_list_entries = collect_entries
    s3._list_objects_v1 = _with_checked_query(s3._list_objects_v1)
    s3._list_objects_v2 = _with_checked_query(_list_objects_v2)


def _with_checked_query(list_objects: Callable[[str, dict[str, Any]], Any]) -> Callable[[str, dict[str, Any]], Any]:
    """Let a listing refuse queries as S3 does, and return at most a page."""
    from ministack.services import s3

    def refusal(message: str, bucket: str) -> Any:
        return s3._error("InvalidArgument", message, 400, f"/{bucket}")

    def listed(name: str, query: dict[str, Any]) -> Any:
        if s3._ensure_bucket(name) is None:
            return s3._no_such_bucket(name)
        try:
            most = int(s3._qp(query, "max-keys") or PAGE_KEYS)
        except ValueError:
            return refusal("Provided max-keys not an integer or within integer range", name)
        if not 0 <= most <= _MAX_KEYS:
            return refusal(f"Argument maxKeys must be an integer between 0 and {_MAX_KEYS}", name)
        if "continuation-token" in query and _decoded(s3._qp(query, "continuation-token")) is None:
            return refusal("The continuation token provided is incorrect", name)
        return list_objects(name, {**query, "max-keys": [str(min(most, PAGE_KEYS))]})

    return listed


def _rows(keys: list[str], prefix: str, delimiter: str, after: str) -> Iterator[tuple[str, bool]]:
    """Yield the rows of a listing in order: a key, or a common prefix of several, and whether it is one."""
    position = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    group = ""
    while position < len(keys) and (key := keys[position]).startswith(prefix):
        position += 1
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            yield key, False
        elif (row := key[: end + len(delimiter)]) != group:
            group = row
            if row > after:
                yield row, True


def collect_entries(
    objects: Objects, prefix: str, delimiter: str, max_keys: int, start_after: str
) -> tuple[list[str], list[str], bool, str]:
    """Return keys, common prefixes, whether there are more, and the last of both."""
    found: tuple[list[str], list[str]] = [], []
    last = ""
    if not max_keys:
        return *found, False, last
    for count, (row, is_prefix) in enumerate(_rows(objects.keys_in_order, prefix, delimiter, start_after)):
        if count >= max_keys:
            return *found, True, last
        found[is_prefix].append(row)
        last = row
    return *found, False, last


def _list_objects_v2(name: str, query: dict[str, Any]) -> Any:
    """Answer ListObjectsV2, with the algorithm of each object's checksum, which ministack leaves out."""
    from ministack.services import s3

    bucket = s3._ensure_bucket(name)
    if bucket is None:
        return s3._no_such_bucket(name)

    def given(parameter: str, default: str = "") -> str:
        return str(s3._qp(query, parameter, default))

    prefix, delimiter, token, after = map(given, ("prefix", "delimiter", "continuation-token", "start-after"))
    most, encoding = int(given("max-keys")), given("encoding-type")
    owner = ""
    if given("fetch-owner").lower() == "true":
        owner = f"<Owner><ID>{s3._canonical_owner_id()}</ID><DisplayName>ministack</DisplayName></Owner>"

    def text(value: str) -> str:
        return quote(value, safe="/") if encoding == "url" else escape(value)

    objects = bucket["objects"]
    keys, prefixes, is_truncated, last = collect_entries(objects, prefix, delimiter, most, _decoded(token) or after)
    optional = {
        "Delimiter": text(delimiter),
        "EncodingType": escape(encoding),
        "ContinuationToken": escape(token),
        "StartAfter": text(after),
        "NextContinuationToken": base64.b64encode(last.encode()).decode() if is_truncated else "",
    }
    head = f"<Name>{name}</Name><Prefix>{text(prefix)}</Prefix><MaxKeys>{most}</MaxKeys>"
    head += f"<KeyCount>{len(keys) + len(prefixes)}</KeyCount><IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
    head += "".join(f"<{element}>{value}</{element}>" for element, value in optional.items() if value)
    contents = (f"<Contents><Key>{text(key)}</Key>{_described(objects[key])}{owner}</Contents>" for key in keys)
    common = (f"<CommonPrefixes><Prefix>{text(each)}</Prefix></CommonPrefixes>" for each in prefixes)
    listing = f'<ListBucketResult xmlns="{s3.S3_NS}">{head}{"".join((*contents, *common))}</ListBucketResult>'
    return 200, {"Content-Type": "application/xml"}, s3.XML_DECL + b"\n" + listing.encode()


def _described(record: Mapping[str, Any]) -> str:
    """Return the elements of an object in a listing, without its key and owner."""
    kind = record.get("checksum_type") or _FULL_OBJECT
    checksums = "".join(
        f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
        for algorithm in record.get("checksums") or ()
    )
    return (
        f"<LastModified>{record['last_modified']}</LastModified><ETag>{escape(record['etag'])}</ETag>"
        f"<Size>{record['size']}</Size><StorageClass>{record.get('storage_class') or 'STANDARD'}</StorageClass>"
        f"{checksums}"
    )


def _decoded(token: str) -> str | None:
    """Return the last row of the page before, which the token of a page is; None if it is no such token."""
    try:
        return base64.b64decode(token, validate=True).decode() or None
    except (binascii.Error, ValueError):
        return None
