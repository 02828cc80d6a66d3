"""The parameters read from an HTTP request equal those that botocore wrote."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from botocore.serialize import create_serializer

from embedded.requests.operations import HttpRequest, find_operation, service_model
from embedded.requests.parameters import UnreadableRequestError, reads_body, request_parameters

SCALARS = {
    "integer": 7,
    "long": 7,
    "float": 1.5,
    "double": 1.5,
    "boolean": True,
    "blob": b"bytes",
    "timestamp": datetime(2030, 1, 2, tzinfo=UTC),
}
NOT_COMPARED = {
    # Its requests look like ListBuckets, but go to another host.
    "ListDirectoryBuckets",
    # botocore derives the host from a parameter that this example lacks.
    "WriteGetObjectResponse",
}


def example(shape: Any, depth: int = 0) -> Any:
    """Return a value of a shape, with every member down to some depth."""
    match shape.type_name:
        case "structure":
            members = shape.members.items() if depth < 4 else ()
            return {name: example(member, depth + 1) for name, member in members if not is_document(member)}
        case "list":
            return [example(shape.member, depth + 1)] * (1 if depth > 2 else 2)
        case "map":
            return {"name": example(shape.value, depth + 1)}
    if shape.type_name in SCALARS:
        return SCALARS[shape.type_name]
    return f"text of {shape.name}" if not shape.metadata.get("enum") else shape.metadata["enum"][0]


def is_document(shape: Any) -> bool:
    return bool(getattr(shape, "is_document_type", False))


def comparable(value: Any, shape: Any) -> Any:
    """Remove timestamps (which have no constraints), streams of data and empty values."""
    if shape.type_name == "structure":
        named = {name: comparable(item, shape.members[name]) for name, item in value.items()}
        return {name: item for name, item in named.items() if item not in (None, {}, [], "")}
    if shape.type_name == "list":
        return [comparable(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {key: comparable(item, shape.value) for key, item in value.items()}
    return None if shape.type_name == "timestamp" else value


def sent(model: Any, parameters: dict[str, Any]) -> tuple[HttpRequest, bytes]:
    protocol = model.service_model.metadata["protocol"]
    written = create_serializer(protocol, include_validation=False).serialize_to_request(parameters, model)
    path, _, query = written["url_path"].partition("?")
    # Headers of a map begin with the prefix.
    named = {name.lower(): value for name, value in written["headers"].items()}
    given = written["query_string"]
    text = query if not given else f"{query}&{urlencode(given, doseq=True)}"
    body = written["body"]
    body = urlencode(body).encode() if isinstance(body, dict) else body
    body = body.encode() if isinstance(body, str) else body
    return HttpRequest(written["method"], path, parse_qs(text, keep_blank_values=True), named), body


@pytest.mark.parametrize("service", ["s3", "lambda", "scheduler", "iam", "cloudformation", "stepfunctions", "dynamodb"])
def test_every_request_of_a_service_is_read_as_it_was_written(service: str) -> None:
    model = service_model(service)
    for name in model.operation_names:
        operation = model.operation_model(name)
        shape = operation.input_shape
        if shape is None or operation.deprecated or name in NOT_COMPARED:
            continue
        parameters = example(shape)
        request, body = sent(operation, parameters)
        found = find_operation(model, request, body)
        assert found is not None, name
        assert found.model.name == name
        read = request_parameters(found, request, body if reads_body(found) else b"")
        payload = shape.serialization.get("payload")
        if payload and shape.members[payload].type_name != "structure":
            parameters.pop(payload)
        assert comparable(read, shape) == comparable(parameters, shape), name


def test_a_body_of_another_protocol_is_refused() -> None:
    model = service_model("dynamodb")
    request = HttpRequest("POST", "/", {}, {"x-amz-target": "DynamoDB_20120810.GetItem"})
    found = find_operation(model, request, b"")
    assert found is not None
    with pytest.raises(UnreadableRequestError, match="GetItem: the body cannot be read"):
        request_parameters(found, request, b"<xml/>")
