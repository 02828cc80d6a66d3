"""Serializes requests to moto, so that each is atomic as on AWS.

moto's transactions copy the tables, and sometimes fail if other threads change them meanwhile.
"""

import threading
from typing import Any

import pytest
from botocore.client import BaseClient


def one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only one thread at a time call AWS. Threads still call in any order."""
    lock = threading.RLock()
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def locked_call(client: BaseClient, *arguments: Any) -> Any:
        with lock:
            return call(client, *arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", locked_call)
