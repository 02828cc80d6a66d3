import asyncio
import json
from typing import Any

import ministack.app
import pytest
from ministack.core import iam_actions, router
from ministack.core.router import detect_service
from ministack.services import ecr

from embedded.ministack.http.services import add_service, ecr_resource_arn, name_resources
from embedded.ministack.images import install_missing_image_error
from tests.unit.embedded.ministack.conftest import Call

HEADERS = {"x-amz-target": "Weather.DescribeSky", "host": "localhost"}


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (
        router.SERVICE_PATTERNS, iam_actions.SERVICE_TO_IAM_NAMESPACE, ministack.app.SERVICE_REGISTRY,
        ministack.app.SERVICE_HANDLERS,
    ):  # fmt: skip
        monkeypatch.setitem(table, "weather", {})
    monkeypatch.setattr(iam_actions, "extract_resource_arn", iam_actions.extract_resource_arn)


async def sky(_method: str, _path: str, _headers: dict[str, str], body: bytes, _query: dict[str, Any]) -> Any:
    return 200, {}, b"seen " + body


def test_service_is_routed_by_its_target_prefix() -> None:
    add_service("weather", "Weather.", sky)

    assert detect_service("POST", "/", HEADERS, {}) == "weather"
    handler = ministack.app.SERVICE_HANDLERS["weather"]
    assert asyncio.run(handler("POST", "/", HEADERS, b"x", {})) == (200, {}, b"seen x")


def test_request_is_authorized_against_the_named_resource() -> None:
    def arn(operation: str, body: bytes, region: str, account_id: str) -> str:
        return f"arn:aws:weather:{region}:{account_id}:{operation}/{json.loads(body)['name']}"

    add_service("weather", "Weather.", sky, arn)
    assert iam_actions.extract_iam_action("weather", "POST", "/", HEADERS, b"{}", {}) == "weather:DescribeSky"
    named = iam_actions.extract_resource_arn(
        "weather", "POST", "/", HEADERS, b'{"name": "n"}', {}, "us-east-1", "000000000000"
    )
    assert named == "arn:aws:weather:us-east-1:000000000000:DescribeSky/n"


def test_other_services_keep_their_resource() -> None:
    add_service("weather", "Weather.", sky, lambda *_arguments: "arn:weather")
    arn = iam_actions.extract_resource_arn("s3", "GET", "/bucket/key", {}, b"", {}, "us-east-1", "000000000000")
    assert arn == "arn:aws:s3:::bucket/key"


def test_ecr_list_is_authorized_against_its_repository() -> None:
    def named(body: str) -> str:
        arguments: tuple[Any, ...] = (
            "ecr",
            "POST",
            "/",
            {"x-amz-target": "X.DescribeRepositories"},
            body.encode(),
            {},
            "r",
            "1",
        )
        return str(iam_actions.extract_resource_arn(*arguments))

    assert named('{"repositoryNames": ["images"]}') == "*", "ministack names it itself now: remove ecr_resource_arn"
    name_resources("ecr", ecr_resource_arn)
    assert named('{"repositoryNames": ["images"]}') == "arn:aws:ecr:r:1:repository/images"
    assert named('{"repositoryName": "one"}') == "arn:aws:ecr:r:1:repository/one"
    assert named("{}") == "*"


def test_describing_a_missing_image_fails(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setattr(ecr, "_describe_images", ecr._describe_images)
    call(ecr, "CreateRepository", repositoryName="images")
    asked = {"repositoryName": "images", "imageIds": [{"imageTag": "missing"}]}
    assert call(ecr, "DescribeImages", **asked) == {"imageDetails": []}, "ministack refuses it itself now"
    install_missing_image_error()
    assert "ImageNotFoundException" in str(call(ecr, "DescribeImages", **asked))
    ecr.reset()
