"""States of moto's S3 and DynamoDB that many tests begin with, made once per process.

Dozens of requests make such a state. To restore it takes as long as one.
"""

import pickle
import time
from collections.abc import Callable
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends

_SECONDS_TO_KEEP = 30

_SAVED: dict[tuple[bytes, str, str], bytes] = {}
"""States by what they were made from: the state before, the name, and the settings with the time."""


def made_once_in_moto(name: str, region: str, make: Callable[[], object], settings: object = None) -> None:
    """Bring S3 and DynamoDB into the state that `make` makes of the present one.

    `make` is called unless this name's state was made of an equal one before, with equal settings. A state is
    restored for half a minute only, because its records have times that tests compare with the clock.
    """
    backends = (s3_backends[DEFAULT_ACCOUNT_ID]["aws"], dynamodb_backends[DEFAULT_ACCOUNT_ID][region])
    period = int(time.monotonic() / _SECONDS_TO_KEEP)
    key = _dump(backends), name, f"{settings} {period}"
    if key not in _SAVED:
        make()
        _SAVED[key] = _dump(backends)
    # Also after `make`: states that were restored are equal to the byte.
    for backend, state in zip(backends, pickle.loads(_SAVED[key]), strict=True):  # noqa: S301 - our own bytes
        vars(backend).clear()
        vars(backend).update(state)


def _dump(backends: tuple[Any, ...]) -> bytes:
    return pickle.dumps([vars(backend) for backend in backends])
