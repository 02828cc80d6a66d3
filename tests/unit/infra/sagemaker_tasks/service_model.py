"""SageMaker's service model, loaded once per process because that takes seconds."""

from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator


@cache
def service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def problems_of(operation: str, request: dict[str, Any]) -> str:
    """Return the errors that the service model finds in a request; empty if there are none."""
    report = ParamValidator().validate(request, service_model().operation_model(operation).input_shape)
    return str(report.generate_report())


def limits(shape: str) -> tuple[Any, Any]:
    """Return minimum and maximum of a shape, None where it has none."""
    found = service_model().shape_for(shape).metadata
    return found.get("min"), found.get("max")
