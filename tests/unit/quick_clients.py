"""boto3 clients at a third of their CPU time, for tests that make thousands of them.

What clients of one service have in common is computed once per process.
"""

import inspect
from collections.abc import Callable
from typing import Any

import botocore.hooks
import botocore.regions
from botocore.client import ClientCreator
from botocore.endpoint_provider import EndpointProvider
from botocore.hooks import EVENT_ALIASES, EventAliaser

from embedded.ministack.functions.fork_server import share_models

share_models()

_ENDPOINTS: dict[tuple[int, Any], tuple[Any, EndpointProvider]] = {}
"""Providers by the identity of their rules, which are kept so that no other rules get the identity."""
_METHODS: dict[int, tuple[Any, dict[str, Any]]] = {}
"""Clients' methods by the identity of the service's description, which is kept as well."""
_EVENT_NAMES: dict[str, str] = {}
"""Names of events by their older names."""

_create_methods = ClientCreator._create_methods
_initialize_aliaser = EventAliaser.__init__
_accepts_kwargs = botocore.hooks.accepts_kwargs


def _endpoint_provider(ruleset_data: Any, partition_data: Any, excluded_params: Any = None) -> EndpointProvider:
    key = id(ruleset_data), tuple(sorted(excluded_params or ()))
    if key not in _ENDPOINTS:
        _ENDPOINTS[key] = ruleset_data, EndpointProvider(ruleset_data, partition_data, excluded_params)
    return _ENDPOINTS[key][1]


def _methods(self: Any, service_model: Any) -> dict[str, Any]:
    description = service_model._service_description
    if id(description) not in _METHODS:
        _METHODS[id(description)] = description, _create_methods(self, service_model)
    return dict(_METHODS[id(description)][1])


def _with_known_names(self: Any, event_emitter: Any, event_aliases: Any = None) -> None:
    _initialize_aliaser(self, event_emitter, event_aliases)
    if self._event_aliases == EVENT_ALIASES:
        self._alias_name_cache = _EVENT_NAMES


def _takes_any_keyword(function: Callable[..., Any]) -> Any:
    code = getattr(function, "__code__", None)
    return _accepts_kwargs(function) if code is None else code.co_flags & inspect.CO_VARKEYWORDS


botocore.regions.EndpointProvider = _endpoint_provider
botocore.hooks.accepts_kwargs = _takes_any_keyword
ClientCreator._create_methods = _methods
EventAliaser.__init__ = _with_known_names
