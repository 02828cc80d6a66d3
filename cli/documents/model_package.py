"""Approved model packages of SageMaker's Model Registry."""

import re
from typing import Any

from botocore.exceptions import ClientError

from contract.problems import InvalidInputError, Problem

_ARN = re.compile(r"arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:model-package/[A-Za-z0-9-]+(/[0-9]+)?")
_FRAMEWORKS = {
    "SAGEMAKER-SCIKIT-LEARN": "sklearn",
    "SCIKIT_LEARN": "sklearn",
    "SKLEARN": "sklearn",
    "XGBOOST": "xgboost",
    "TENSORFLOW": "tensorflow",
    "PYTORCH": "pytorch",
}


def read_model_package(sagemaker: Any, arn: str) -> dict[str, Any]:
    """Return a document's fields: artifact, and the framework and its version if known.

    Raises:
        InvalidInputError: when the package does not exist, is not approved, or has no single
            artifact.
    """
    if not _ARN.fullmatch(arn):
        raise _refused([Problem("--model-package", arn, "the ARN of a model package")])
    try:
        package = sagemaker.describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        problem = error.response.get("Error", {})
        if problem.get("Code") != "ValidationException":
            raise
        why = str(problem.get("Message", ""))
        raise _refused([Problem("--model-package", arn, f"a model package that exists ({why})")]) from error
    problems: list[Problem] = []
    for name, wanted in (("ModelPackageStatus", "Completed"), ("ModelApprovalStatus", "Approved")):
        # A package without a group has no approval status.
        if package.get(name) != wanted:
            remedy = "Approve it in the Model Registry first." if wanted == "Approved" else ""
            problems.append(Problem(name, package.get(name), repr(wanted), remedy))
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        problems.append(Problem("InferenceSpecification.Containers", len(containers), "exactly one container"))
    fields: dict[str, Any] = {"source": arn}
    for container in containers[:1]:
        address = _artifact(container)
        if address is None:
            expected = "the s3:// address of one model.tar.gz"
            problems.append(Problem("InferenceSpecification.Containers[0].ModelDataUrl", None, expected))
        else:
            fields["artifact"] = address
        framework = _FRAMEWORKS.get(str(container.get("Framework", "")).upper())
        if framework is not None:
            fields["framework"] = framework
            fields["framework_version"] = str(container.get("FrameworkVersion", ""))
    if problems:
        raise _refused(problems)
    return fields


def _artifact(container: dict[str, Any]) -> str | None:
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    if source.get("S3DataType") == "S3Object" and source.get("CompressionType") == "Gzip":
        return str(source["S3Uri"])
    address = str(container.get("ModelDataUrl", ""))
    return address if address.startswith("s3://") else None


def _refused(problems: list[Problem]) -> InvalidInputError:
    return InvalidInputError("model package", problems)
