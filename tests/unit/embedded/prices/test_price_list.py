"""The Price List API of the embedded AWS: filters, pages, and refusals by name."""

import json
from typing import Any

import pytest

from embedded.prices.service import PriceList
from embedded.sagemaker.errors import ApiError

PRICES = PriceList("eu-central-1")
SAGEMAKER: dict[str, Any] = {"ServiceCode": "AmazonSageMaker"}


def test_pages_list_each_product_of_the_filters_once() -> None:
    filters = [{"Type": "TERM_MATCH", "Field": "component", "Value": "Training"}]
    found, token = [], None
    while True:
        request = {**SAGEMAKER, "Filters": filters, "MaxResults": 7, **({"NextToken": token} if token else {})}
        page = PRICES.call("GetProducts", request)
        found += [json.loads(text)["product"]["attributes"] for text in page["PriceList"]]
        token = page.get("NextToken")
        if token is None:
            break
    assert {item["component"] for item in found} == {"Training"}
    assert {item["regionCode"] for item in found} == {"eu-central-1"}
    names = [item["instanceName"] for item in found]
    assert len(names) == len(set(names)) > 20
    other = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}]
    assert PRICES.call("GetProducts", {**SAGEMAKER, "Filters": other})["PriceList"] == []


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("GetAttributeValues", SAGEMAKER, "UnknownOperationException"),
        ("GetProducts", {"ServiceCode": "AmazonEC2"}, "NotFoundException"),
        ("GetProducts", {**SAGEMAKER, "NextToken": "x"}, "InvalidNextTokenException"),
        ("GetProducts", {**SAGEMAKER, "Filters": [{"Type": "CONTAINS"}]}, "InvalidParameterException"),
    ],
)
def test_other_requests_are_refused(operation: str, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(ApiError) as refused:
        PRICES.call(operation, request_)
    assert refused.value.code == code
