"""Price List API: invented prices of SageMaker's jobs, as products that clients can filter and page through.

The embedded AWS has no access to those of AWS. Its prices were "published" in the year 2000, so that
nobody takes them for real ones.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from contract.planner.instances import size_of
from embedded.ministack.http.services import Response
from embedded.requests.json_protocol import answer_json
from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.requests.validation import service_model

NAME = "pricing"
"""The service's prefix in IAM actions, and in the credential scope of signatures."""
TARGET_PREFIX = "AWSPriceListService."

_SERVICE_CODE = "AmazonSageMaker"
_LARGEST_PAGE = 100
_COMPONENTS = {"Processing": ("ProcessingInstanceType", "Processing"), "Training": ("TrainingInstanceType", "Train")}
"""For each attribute `component`, the enum in botocore's model with its types, and the word in usage types."""
_PUBLISHED = "2000-01-01"
_USD_PER_VCPU, _USD_PER_GPU = 0.05, 0.5
"""Invented prices per hour."""


class PriceList:
    """The products of SageMaker's jobs in one Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def handle(
        self, _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
    ) -> Response:
        """Handle a request of the JSON 1.1 protocol and return status, headers and body."""
        return answer_json(self.call, TARGET_PREFIX, headers, body)

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run one operation and return its response.

        Raises:
            ApiError: The request was refused.
        """
        if operation != "GetProducts":
            message = f"{operation!r} is not supported by the embedded AWS: run on AWS"
            raise ApiError("UnknownOperationException", message)
        if request.get("ServiceCode") != _SERVICE_CODE:
            message = f"The embedded AWS has prices of {_SERVICE_CODE!r} only, not of {request.get('ServiceCode')!r}"
            raise ApiError("NotFoundException", message)
        found = [product for product in _products(self._region) if _matches(product, request.get("Filters", []))]
        try:
            begin = int(request.get("NextToken") or 0)
        except ValueError:
            raise ApiError("InvalidNextTokenException", "The pagination token is invalid.") from None
        end = begin + int(request.get("MaxResults") or _LARGEST_PAGE)
        more = {"NextToken": str(end)} if end < len(found) else {}
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(item) for item in found[begin:end]], **more}


def _products(region: str) -> Iterator[dict[str, Any]]:
    for component, (enum, _) in _COMPONENTS.items():
        for instance_type in service_model().shape_for(enum).enum:
            if size := size_of(instance_type):
                price = size.vcpus * _USD_PER_VCPU + size.gpus * _USD_PER_GPU
                yield _product(region, component, instance_type, price)


def _product(region: str, component: str, instance_type: str, price: float) -> dict[str, Any]:
    sku = hashlib.sha256(f"{region} {component} {instance_type}".encode()).hexdigest()[:16].upper()
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    return {
        "serviceCode": _SERVICE_CODE,
        "version": _PUBLISHED.replace("-", ""),
        "publicationDate": f"{_PUBLISHED}T00:00:00Z",
        "product": {
            "sku": sku,
            "productFamily": "ML Instance",
            "attributes": {
                "servicecode": _SERVICE_CODE,
                "regionCode": region,
                "component": component,
                "instanceName": instance_type,
                "instanceType": f"{instance_type}-{component}",
                "usagetype": f"{_COMPONENTS[component][1]}:{instance_type}",
            },
        },
        "terms": {
            "OnDemand": {
                term: {
                    "sku": sku,
                    "offerTermCode": "JRTCKXETXF",
                    "effectiveDate": f"{_PUBLISHED}T00:00:00Z",
                    "priceDimensions": {
                        rate: {
                            "rateCode": rate,
                            "unit": "Hrs",
                            "beginRange": "0",
                            "endRange": "Inf",
                            "pricePerUnit": {"USD": f"{price:.10f}"},
                            "description": f"${price} per {component} {instance_type} hour in {region}",
                            "appliesTo": [],
                        }
                    },
                }
            }
        },
    }


def _matches(product: dict[str, Any], filters: list[dict[str, str]]) -> bool:
    """Return whether a product matches all filters, whose type is TERM_MATCH or EQUALS.

    Raises:
        ApiError: for another type.
    """
    for item in filters:
        if item.get("Type") not in ("TERM_MATCH", "EQUALS"):
            message = f"A filter of type {item.get('Type')!r} is not supported by the embedded AWS: run on AWS"
            raise ApiError("InvalidParameterException", message)
        if product["product"]["attributes"].get(item["Field"]) != item["Value"]:
            return False
    return True
