"""Parsing of HTTP requests into botocore's parameters: the reverse of botocore's serializers."""

import base64
import binascii
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

from embedded.requests.operations import HttpRequest, Operation

_IN_ANY_CASE = ("ChecksumMode",)
"""Shapes whose enum S3 reads in any case: the SDK for C++, which pyarrow uses, sends `enabled`."""


class UnreadableRequestError(ValueError):
    """The body does not have the format of the service's protocol."""


def reads_body(operation: Operation) -> bool:
    """Return whether parameters are in the body, and not only a stream of data."""
    shape = operation.model.input_shape
    if shape is None:
        return False
    payload = shape.serialization.get("payload")
    if payload is not None:
        return bool(shape.members[payload].type_name == "structure")
    return any("location" not in member.serialization for member in shape.members.values())


def request_parameters(operation: Operation, request: HttpRequest, body: bytes) -> dict[str, Any]:
    """Return the parameters of a request. Members that the model does not have are left out.

    Raises:
        UnreadableRequestError: The body does not have the format of the service's protocol.
    """
    shape = operation.model.input_shape
    if shape is None:
        return {}
    try:
        if operation.is_rest:
            return _rest_parameters(operation, request, body)
        if "x-amz-target" in request.headers:
            return dict(_from_json(shape, json.loads(body or b"{}")))
        return _form_parameters(shape, request, body)
    except (ValueError, TypeError, AttributeError, KeyError, ET.ParseError) as failure:
        raise UnreadableRequestError(f"{operation.model.name}: the body cannot be read: {failure}") from failure


def _rest_parameters(operation: Operation, request: HttpRequest, body: bytes) -> dict[str, Any]:
    shape = operation.model.input_shape
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        location = member.serialization.get("location")
        if location == "uri" and key in operation.labels:
            found[name] = _scalar(member, unquote(operation.labels[key]))
        elif location == "querystring" and member.type_name == "map":
            found[name] = {one: values[0] for one, values in request.query.items()}
        elif location == "querystring" and key in request.query:
            values = request.query[key]
            is_list = member.type_name == "list"
            found[name] = [_scalar(member.member, one) for one in values] if is_list else _scalar(member, values[0])
        elif location == "header" and key.lower() in request.headers:
            found[name] = _header(member, request.headers[key.lower()])
        elif location == "headers":
            prefix = key.lower()
            named = {name: value for name, value in request.headers.items() if name.startswith(prefix)}
            found[name] = {name.removeprefix(prefix): value for name, value in named.items()}
    return {**found, **_rest_body(operation, body)} if body and reads_body(operation) else found


def _rest_body(operation: Operation, body: bytes) -> dict[str, Any]:
    shape = operation.model.input_shape
    is_xml = operation.model.metadata["protocol"] == "rest-xml"
    payload = shape.serialization.get("payload")
    content = shape if payload is None else shape.members[payload]
    parsed = _from_xml(content, ET.fromstring(body)) if is_xml else _from_json(content, json.loads(body))  # noqa: S314 - the client is a test's own
    return parsed if payload is None else {payload: parsed}


def _header(shape: Any, text: str) -> Any:
    if shape.name in _IN_ANY_CASE:
        return text.upper()
    if shape.type_name == "list":
        return [_scalar(shape.member, part.strip()) for part in text.split(",")]
    return _scalar(shape, text)


def _scalar(shape: Any, text: str) -> Any:
    """Return the value of a text in a path, query, header, form or XML document."""
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name in ("float", "double"):
        return float(text)
    if shape.type_name == "boolean":
        return text.lower() == "true"
    return _bytes(text) if shape.type_name == "blob" else text


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()


@functools.cache
def _json_names(shape: Any) -> dict[str, str]:
    """Return the names of the members in a JSON body, by their names there."""
    return {
        member.serialization.get("name", name): name
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }


def _from_json(shape: Any, value: Any) -> Any:
    """Return a JSON value under the names of the shape's members."""
    if value is None:
        return None
    if shape.type_name == "structure":
        names = _json_names(shape)
        return {names[key]: _from_json(shape.members[names[key]], item) for key, item in value.items() if key in names}
    if shape.type_name == "list":
        return [_from_json(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: _from_json(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob":
        return _bytes(value)
    # The values "NaN", "Infinity" and "-Infinity" are texts in JSON.
    return float(value) if shape.type_name in ("float", "double") else value


def _from_xml(shape: Any, element: ET.Element) -> Any:
    if shape.type_name == "structure":
        return dict(_xml_members(shape, element))
    if shape.type_name == "list":
        return [_from_xml(shape.member, child) for child in element]
    if shape.type_name == "map":
        return {str(child[0].text): _from_xml(shape.value, child[1]) for child in element}
    return _scalar(shape, element.text or "")


def _xml_members(shape: Any, element: ET.Element) -> Iterator[tuple[str, Any]]:
    for name, member in shape.members.items():
        if "location" in member.serialization:
            continue
        is_flat = member.type_name == "list" and member.serialization.get("flattened")
        key = member.serialization.get("name", name)
        if is_flat:
            key = member.member.serialization.get("name", key)
        children = [child for child in element if child.tag.rpartition("}")[2] == key]
        if is_flat and children:
            yield name, [_from_xml(member.member, child) for child in children]
        elif children:
            yield name, _from_xml(member, children[0])


def _form_parameters(shape: Any, request: HttpRequest, body: bytes) -> dict[str, Any]:
    sent = {**request.query, **parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)}
    return dict(_form_members(shape, {name: values[0] for name, values in sent.items()}, ""))


def _form_members(shape: Any, fields: Mapping[str, str], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, member in shape.members.items():
        key = prefix + _form_name(member, name)
        below = {field: text for field, text in fields.items() if field == key or field.startswith(f"{key}.")}
        if below:
            yield name, _form_value(member, below, key)


def _form_name(shape: Any, name: str) -> str:
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        return str(shape.member.serialization.get("name", name))
    return str(shape.serialization.get("name", name))


def _form_value(shape: Any, fields: Mapping[str, str], key: str) -> Any:
    if shape.type_name == "structure":
        return dict(_form_members(shape, fields, f"{key}."))
    is_flat = shape.serialization.get("flattened")
    if shape.type_name == "list":
        start = f"{key}." if is_flat else f"{key}.{shape.member.serialization.get('name', 'member')}."
        return [_form_value(shape.member, fields, f"{start}{number}") for number in _numbers(fields, start)]
    if shape.type_name == "map":
        start = f"{key}." if is_flat else f"{key}.entry."
        name, value = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
        return {
            fields[f"{start}{number}.{name}"]: _form_value(shape.value, fields, f"{start}{number}.{value}")
            for number in _numbers(fields, start)
        }
    return _scalar(shape, fields[key]) if key in fields else None


def _numbers(fields: Mapping[str, str], start: str) -> list[int]:
    pattern = re.compile(re.escape(start) + r"(\d+)(?:\.|$)")
    return sorted({int(found[1]) for field in fields if (found := pattern.match(field))})
