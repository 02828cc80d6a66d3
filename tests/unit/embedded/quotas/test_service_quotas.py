"""Service Quotas: names as AWS has them, pages, changes, and refusals by name."""

import pytest

from embedded.quotas.service import ServiceQuotas
from embedded.sagemaker.errors import ApiError

SAGEMAKER = {"ServiceCode": "sagemaker"}


@pytest.fixture
def quotas() -> ServiceQuotas:
    return ServiceQuotas("us-east-1", "123456789012")


def test_pages_list_every_quota_once(quotas: ServiceQuotas) -> None:
    found, token = [], None
    while True:
        page = quotas.call("ListServiceQuotas", {**SAGEMAKER, **({"NextToken": token} if token else {})})
        found += [quota["QuotaName"] for quota in page["Quotas"]]
        token = page.get("NextToken")
        if token is None:
            break
    assert len(found) == len(set(found)) > 100
    assert {"ml.m5.xlarge for processing job usage", "ml.m5.xlarge for spot training job usage"} < set(found)


def test_a_change_takes_effect_at_once_and_leaves_the_default(quotas: ServiceQuotas) -> None:
    quota = quotas.call("ListServiceQuotas", {**SAGEMAKER, "MaxResults": 1})["Quotas"][0]
    named = {**SAGEMAKER, "QuotaCode": quota["QuotaCode"]}
    quotas.call("RequestServiceQuotaIncrease", {**named, "DesiredValue": 0})
    assert quotas.call("GetServiceQuota", named)["Quota"]["Value"] == 0
    default = quotas.call("ListAWSDefaultServiceQuotas", {**SAGEMAKER, "MaxResults": 1})["Quotas"][0]
    assert default == quota


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("ListServiceQuotas", {"ServiceCode": "ec2"}, "NoSuchResourceException"),
        ("GetServiceQuota", {**SAGEMAKER, "QuotaCode": "L-0"}, "NoSuchResourceException"),
        ("ListServices", {}, "UnknownOperationException"),
    ],
)
def test_unknown_quotas_are_refused_by_name(
    quotas: ServiceQuotas, operation: str, request_: dict[str, str], code: str
) -> None:
    with pytest.raises(ApiError) as refused:
        quotas.call(operation, request_)
    assert refused.value.code == code
