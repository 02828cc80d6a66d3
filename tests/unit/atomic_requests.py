"""Requests to moto one at a time, as they are on the services: each happens as a whole.

moto's transactions copy the tables while requests of other threads change them, and fail of it now and then.
"""

import threading
from typing import Any

import pytest
from botocore.client import BaseClient


def one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of threads still come in any order; only none begins within another."""
    lock = threading.RLock()
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def alone(client: BaseClient, *words: Any) -> Any:
        with lock:
            return call(client, *words)

    monkeypatch.setattr(BaseClient, "_make_api_call", alone)
