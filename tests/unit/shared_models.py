"""Lets all AWS sessions of a test process share botocore's descriptions of the services.

Each session would parse megabytes of JSON for its clients, which took most of the time of tests that
create a session each.
"""

import functools
from pathlib import Path
from typing import Any

import boto3
import botocore.session

_create_loader: Any = functools.cache(botocore.session.create_loader)  # type: ignore[attr-defined]
_BOTO3_MODELS = str(Path(boto3.__file__).parent / "data")


def _shared_loader(search_path: str | None = None) -> Any:
    loader = _create_loader(search_path)
    # The loader remembers what it finds, so boto3's folder is there before the first search. Every
    # session of boto3 adds it again.
    loader.search_paths[:] = [*(path for path in loader.search_paths if path != _BOTO3_MODELS), _BOTO3_MODELS]
    return loader


def share_models() -> None:
    """Give all later sessions one loader per search path."""
    botocore.session.create_loader = _shared_loader  # type: ignore[attr-defined]
