"""The service and the operation that an HTTP request calls, by botocore's models."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import botocore.loaders
from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel

_SERVICES = {
    "states": "stepfunctions",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}
"""botocore's name of a service by its name in signatures, where they differ."""
_LABEL = re.compile(r"\{(\w+)(\+?)\}")
Query = Mapping[str, list[str]]
_read: set[str] = set()
"""Services whose models `service_model` has read."""


@dataclass(frozen=True)
class HttpRequest:
    """A request without its body. Names of headers are in lower case."""

    method: str
    path: str
    """Path as it was sent, with its percent-encoding."""
    query: Query
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Operation:
    """An operation that a request calls, and the encoded parameters of the path."""

    model: Any
    labels: Mapping[str, str]

    @property
    def is_rest(self) -> bool:
        """Whether parameters are in path, query and headers too."""
        return str(self.model.service_model.metadata["protocol"]).startswith("rest")


@functools.cache
def service_model(service: str) -> Any:
    """Return botocore's model of a service by its name in signatures; None if there is none.

    The models are megabytes of JSON, so they are cached.
    """
    try:
        model = _load_model(_SERVICES.get(service, service))
    except UnknownServiceError:
        model = None
    _read.add(service)
    return model


def is_read(service: str) -> bool:
    """Return whether `service_model` has the model in memory. Reading it takes up to a third of a second."""
    return service in _read


def _load_model(name: str) -> Any:
    # Use a separate loader: clients change the models of the loader that they share.
    return ServiceModel(botocore.loaders.create_loader().load_service_model(name, "service-2"), name)


def find_operation(service: Any, request: HttpRequest, body: bytes) -> Operation | None:
    """Return the operation that a request calls; None if it is not in the service's model.

    Args:
        service: The ServiceModel.
        body: The body of a request whose protocol names the operation there; not read for others.
    """
    if service.metadata["protocol"].startswith("rest"):
        return _rest_operation(service, request)
    if target := request.headers.get("x-amz-target", ""):
        name = target.rpartition(".")[2]
    else:
        name = (request.query.get("Action") or parse_qs(body.decode("utf-8", "replace")).get("Action") or [""])[0]
    return Operation(service.operation_model(name), {}) if name in service.operation_names else None


@dataclass(frozen=True)
class _Route:
    """The method, path, query and headers of an operation's requests."""

    model: Any
    path: re.Pattern[str]
    constants: Query
    """Parameters that the query must have; without a value, any value matches."""
    queries: frozenset[str]
    headers: frozenset[str]
    """Names of the required members in the query and in headers."""
    rank: tuple[int, int]
    """Number of required parts. Of several matching operations, the one with the most is chosen."""

    def labels(self, request: HttpRequest) -> dict[str, str] | None:
        """Return the parameters in the path; None if the request is not for this operation."""
        # Most operations of S3 differ in their queries, which are compared in less time than paths.
        if not self.queries <= request.query.keys() or not self.headers <= request.headers.keys():
            return None
        for name, values in self.constants.items():
            if name not in request.query or (values != [""] and request.query[name] != values):
                return None
        found = self.path.fullmatch(request.path)
        return None if found is None else found.groupdict()


def _rest_operation(service: Any, request: HttpRequest) -> Operation | None:
    for route in _routes(service.service_name).get(request.method, ()):
        if (labels := route.labels(request)) is not None:
            return Operation(route.model, labels)
    return None


@functools.cache
def _routes(service_name: str) -> dict[str, list[_Route]]:
    service = _load_model(service_name)
    routes: dict[str, list[_Route]] = {}
    for name in service.operation_names:
        model = service.operation_model(name)
        # S3 has newer operations at the same addresses.
        if not model.deprecated:
            routes.setdefault(model.http["method"], []).append(_route(model))
    for of_method in routes.values():
        of_method.sort(key=lambda route: route.rank, reverse=True)
    return routes


def _route(model: Any) -> _Route:
    path, _, query = model.http["requestUri"].partition("?")
    constants = parse_qs(query, keep_blank_values=True)
    # Only some clients add this parameter, which distinguishes operations of one address.
    constants.pop("x-id", None)
    required = dict(_required(model.input_shape))
    queries = frozenset(name for name, location in required.items() if location == "querystring")
    headers = frozenset(name.lower() for name, location in required.items() if location == "header")
    literal = len(_LABEL.sub("", path))
    rank = (literal, len(_LABEL.findall(path)) + len(constants) + len(queries) + len(headers))
    return _Route(model, re.compile(_pattern(path)), constants, queries, headers, rank)


def _required(shape: Any) -> Iterator[tuple[str, str]]:
    """Yield name and location of the required members outside path and body."""
    for member in shape.required_members if shape is not None else ():
        serialization = shape.members[member].serialization
        yield serialization.get("name", member), serialization.get("location", "")


def _pattern(path: str) -> str:
    """Return the regular expression for a path of a model, such as `/{Bucket}/{Key+}`."""
    parts, end = [], 0
    for label in _LABEL.finditer(path):
        parts.append(re.escape(path[end : label.start()]))
        parts.append(f"(?P<{label[1]}>{'.+' if label[2] else '[^/]+'})")
        end = label.end()
    parts.append(re.escape(path[end:]))
    # Some clients add a trailing slash.
    return "".join(parts).rstrip("/") + "/?"
