"""ARNs are parsed once, with ministack's results."""

import sys

import pytest
from ministack.core import arn
from ministack.services import lambda_svc

from embedded.ministack.arns import install_arn_cache

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f:1"


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("ministack.") and hasattr(module, "parse_arn"):
            monkeypatch.setattr(module, "parse_arn", module.parse_arn)
    name = "_lambda_function_account_region_from_arn"
    monkeypatch.setattr(lambda_svc, name, getattr(lambda_svc, name))


def test_an_arn_is_parsed_once_for_all_services() -> None:
    parsed = arn.parse_arn(ARN)
    install_arn_cache()
    assert arn.parse_arn(ARN) == parsed
    assert lambda_svc.parse_arn(ARN) is arn.parse_arn(ARN)
    with pytest.raises(AttributeError):
        arn.parse_arn(ARN).service = "s3"


def test_account_and_region_of_a_function_are_ministacks() -> None:
    install_arn_cache()
    for _ in range(2):
        assert lambda_svc._account_region_from_function_config({"FunctionArn": ARN}) == ("123456789012", "us-east-1")
        with pytest.raises(arn.ArnParseError, match="expected lambda service"):
            lambda_svc._account_region_from_function_config({"FunctionArn": ARN.replace("lambda", "sqs")})


@pytest.mark.parametrize("value", ["", "arn:aws:s3", None, ["arn"], {"Ref": "x"}])
def test_what_is_no_arn_is_refused(value: object) -> None:
    install_arn_cache()
    for _ in range(2):
        with pytest.raises(arn.ArnParseError):
            lambda_svc.parse_arn(value)
