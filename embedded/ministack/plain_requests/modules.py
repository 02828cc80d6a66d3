"""ministack's modules, imported once: an import statement in a function takes ten times as long as a call."""

# ministack reads its environment at import.
# ruff: noqa: PLC0415

import functools
from typing import Any


@functools.cache
def application() -> Any:
    import ministack.app

    return ministack.app


@functools.cache
def actions() -> Any:
    from ministack.core import iam_actions

    return iam_actions


@functools.cache
def evaluator() -> Any:
    from ministack.core import iam_evaluator

    return iam_evaluator


@functools.cache
def signing() -> Any:
    from ministack.core import sigv4

    return sigv4


@functools.cache
def objects() -> Any:
    from ministack.services import s3

    return s3


@functools.cache
def identities() -> Any:
    from ministack.services import iam

    return iam


@functools.cache
def sessions() -> Any:
    from ministack.services import sts

    return sts


@functools.cache
def request_scopes() -> Any:
    from ministack.core import responses

    return responses
