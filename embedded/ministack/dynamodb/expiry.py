"""Removal of items whose time to live has passed."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import json
import logging
import re
import threading
import time
from types import SimpleNamespace

from embedded.ministack.dynamodb.ministack_module import check_names, dynamodb
from embedded.ministack.dynamodb.rows import Rows, Table, unpack

_THREAD = "dynamodb-ttl-reaper"
_LOGGER = logging.getLogger(__name__)


def install_expiry() -> None:
    """Look for expired items without reading each item.

    ministack has started a thread that reads all items once a minute. Its next sleep now removes the expired items
    again and again, and never returns.
    """
    check_names("_ttl_reaper", "_ttl_settings", "_remove_item", "time")

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        while threading.current_thread().name == _THREAD:
            try:
                remove_expired()
            except Exception:
                _LOGGER.exception("cannot remove the expired items")
            time.sleep(seconds)

    dynamodb().time = SimpleNamespace(time=time.time, sleep=sleep)


def remove_expired() -> None:
    """Remove the items of all tables whose time to live has passed."""
    module = dynamodb()
    for scope, setting in module._ttl_settings.all_items():
        table, attribute = module._tables.get_scoped(*scope), setting.get("AttributeName")
        if table and attribute and setting.get("TimeToLiveStatus") == "ENABLED":
            _remove_expired(table, attribute, time.time())


def _remove_expired(table: Table, attribute: str, now: float) -> None:
    number = re.compile(re.escape(json.dumps(attribute, ensure_ascii=False)).encode() + rb':\{"N":"([^"]+)"\}')
    for partition, rows in list(table["items"].items()):
        if not isinstance(rows, Rows):  # of an older snapshot, and not written since
            continue
        for sort, packed in rows.packed_items():
            # A map in the item may have an attribute with this name, too.
            if any(float(found) <= now for found in number.findall(packed)):
                expiry = unpack(packed).get(attribute, {}).get("N")
                # A request may have written the item meanwhile, with a later time.
                if expiry is not None and float(expiry) <= now and rows.packed(sort) is packed:
                    dynamodb()._remove_item(table, partition, sort)
