"""Import of model packages from botocore's Stubber; moto and the embedded AWS have no model
packages.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from cli import main as entry
from cli.documents.model_package import read_model_package
from cli.stage.catalog.catalog import Catalog
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.problems import InvalidInputError
from tests.unit.cli.builders import make_archive

ARN = "arn:aws:sagemaker:eu-central-1:123456789012:model-package/churn/3"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/scikit:1"


def package(**changes: Any) -> dict[str, Any]:
    """Return an answer of DescribeModelPackage; the Stubber validates it against the service's
    model.
    """
    return {
        "ModelPackageName": "churn/3",
        "ModelPackageArn": ARN,
        "CreationTime": datetime(2026, 3, 1, tzinfo=UTC),
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {"Containers": [container()]},
        **changes,
    }


def container(**changes: Any) -> dict[str, Any]:
    named = {"Framework": "SAGEMAKER-SCIKIT-LEARN", "FrameworkVersion": "1.9"}
    return {"Image": IMAGE, "ModelDataUrl": "s3://some-results/train/model.tar.gz", **named, **changes}


@pytest.fixture
def stubbed() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("sagemaker")
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def answer(stubbed: tuple[Any, Stubber], response: dict[str, Any]) -> Any:
    client, stubber = stubbed
    stubber.add_response("describe_model_package", response, {"ModelPackageName": ARN})
    return client


def test_approved_package_gives_artifact_framework_and_source(stubbed: tuple[Any, Stubber]) -> None:
    assert read_model_package(answer(stubbed, package()), ARN) == {
        "artifact": "s3://some-results/train/model.tar.gz",
        "framework": "sklearn",
        "framework_version": "1.9",
        "source": ARN,
    }


def test_artifact_in_model_data_source_is_found(stubbed: tuple[Any, Stubber]) -> None:
    source = {"S3Uri": "s3://other/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}
    newer = {"Image": IMAGE, "ModelDataSource": {"S3DataSource": source}}
    client = answer(stubbed, package(InferenceSpecification={"Containers": [newer]}))
    assert read_model_package(client, ARN) == {"artifact": "s3://other/model.tar.gz", "source": ARN}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ModelApprovalStatus": "PendingManualApproval"}, "got 'PendingManualApproval', expected 'Approved'. Approve"),
        ({"ModelApprovalStatus": "Rejected", "ModelPackageStatus": "Failed"}, "2 problems.*got 'Failed'"),
        ({"InferenceSpecification": {"Containers": [container(), container()]}}, "got 2, expected exactly one"),
        ({"InferenceSpecification": {"Containers": [{"Image": IMAGE}]}}, "ModelDataUrl: got nothing"),
    ],
)
def test_unusable_model_package_is_refused(stubbed: tuple[Any, Stubber], changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        read_model_package(answer(stubbed, package(**changes)), ARN)


def test_package_without_approval_is_refused(stubbed: tuple[Any, Stubber]) -> None:
    unapproved = package()
    del unapproved["ModelApprovalStatus"]
    with pytest.raises(InvalidInputError, match="ModelApprovalStatus: got nothing"):
        read_model_package(answer(stubbed, unapproved), ARN)


def test_package_that_does_not_exist_is_named(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    stubber.add_client_error("describe_model_package", "ValidationException", "ModelPackage does not exist")
    with pytest.raises(InvalidInputError, match=r"a model package that exists \(ModelPackage does not exist\)"):
        read_model_package(client, ARN)
    with pytest.raises(InvalidInputError, match="the ARN of a model package"):
        read_model_package(client, "churn/3")


def test_package_is_imported(
    stubbed: tuple[Any, Stubber], account: Connection, *, deployment: Deployment, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path
) -> None:  # fmt: skip
    client = answer(stubbed, package())
    archive = make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"some model"})
    account.client("s3").upload_file(str(archive), "some-results", "train/model.tar.gz")
    others = account.client
    monkeypatch.setattr(Connection, "client", lambda _, name: client if name == "sagemaker" else others(name))
    words = "--format sklearn-joblib --model-file model.joblib --method predict --features age:double --dataset d"
    assert entry.main(["models", "import", "churn", "--model-package", ARN, *words.split()]) == 0
    [(_, version)] = Catalog(account, deployment).models()
    assert version is not None
    assert (version.source, version.spec.framework_version) == (ARN, "1.9")
