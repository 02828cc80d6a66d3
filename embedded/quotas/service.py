"""Service Quotas: the quotas of SageMaker's jobs, which clients can read and change.

Nothing in the embedded AWS enforces them. By default they suffice for a stage;
`request_service_quota_increase` takes effect at once. It may also lower a quota, to imitate a small
account.
"""

import hashlib
import threading
import uuid
from typing import Any

from embedded.ministack.http.services import Response
from embedded.requests.json_protocol import answer_json
from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.requests.validation import service_model

NAME = "servicequotas"
"""The service's prefix in IAM actions, and in the credential scope of signatures."""
TARGET_PREFIX = "ServiceQuotasV20190624."

_SAGEMAKER = "sagemaker"
_PAGE = 100
_INSTANCES = 1_000.0
_OTHERS = {
    "Number of instances across all processing jobs": 10_000.0,
    "Number of instances across all training jobs": 10_000.0,
    "Longest run time for a processing job": 432_000.0,
    "Longest run time for a training job": 432_000.0,
    "Size of EBS volume for a processing job instance": 16_384.0,
    "Size of EBS volume for a training job instance": 16_384.0,
}
_KINDS = {
    "processing job": "ProcessingInstanceType",
    "training job": "TrainingInstanceType",
    "spot training job": "TrainingInstanceType",
}
"""Enum in botocore's model with the instance types of each kind of job."""


class ServiceQuotas:
    """The quotas of one account and Region, as AWS names them."""

    def __init__(self, region: str, account_id: str) -> None:
        self._place = f"{region}:{account_id}"
        self._lock = threading.Lock()
        self._quotas: dict[str, dict[str, Any]] = {}
        self._defaults: dict[str, float] = {}

    def saved(self) -> dict[str, float]:
        """Return the values that are not the defaults, by code."""
        with self._lock:
            return {
                code: quota["Value"] for code, quota in self._quotas.items() if quota["Value"] != self._defaults[code]
            }

    def restore(self, saved: dict[str, float]) -> None:
        with self._lock:
            self._create()
            for code, value in saved.items():
                self._quotas[code]["Value"] = value

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
        with self._lock:
            if not self._quotas:
                self._create()
            if operation == "ListServiceQuotas":
                return self._page(request, {})
            if operation == "ListAWSDefaultServiceQuotas":
                return self._page(request, self._defaults)
            if operation == "GetServiceQuota":
                return {"Quota": self._find(request)}
            if operation == "RequestServiceQuotaIncrease":
                quota = self._find(request)
                quota["Value"] = float(request["DesiredValue"])
                return {"RequestedQuota": {"Id": uuid.uuid4().hex, "Status": "APPROVED", **_named(quota)}}
        raise ApiError("UnknownOperationException", f"{operation!r} is not supported by the embedded AWS: run on AWS")

    def _create(self) -> None:
        for kind, enum in _KINDS.items():
            for instance_type in service_model().shape_for(enum).enum:
                self._add(f"{instance_type} for {kind} usage", _INSTANCES)
        for name, value in _OTHERS.items():
            self._add(name, value)

    def _add(self, name: str, value: float) -> None:
        code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
        self._defaults[code] = value
        self._quotas[code] = {
            "ServiceCode": _SAGEMAKER,
            "ServiceName": "Amazon SageMaker",
            "QuotaArn": f"arn:aws:servicequotas:{self._place}:{_SAGEMAKER}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

    def _page(self, request: dict[str, Any], values: dict[str, float]) -> dict[str, Any]:
        self._check_service(request)
        quotas = [{**quota, "Value": values.get(code, quota["Value"])} for code, quota in self._quotas.items()]
        begin, size = int(request.get("NextToken") or 0), int(request.get("MaxResults") or _PAGE)
        end = begin + size
        return {"Quotas": quotas[begin:end], **({"NextToken": str(end)} if end < len(quotas) else {})}

    def _find(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check_service(request)
        found = self._quotas.get(str(request.get("QuotaCode")))
        if found is None:
            raise ApiError("NoSuchResourceException", "The request failed because the specified quota does not exist.")
        return found

    def _check_service(self, request: dict[str, Any]) -> None:
        if request.get("ServiceCode") != _SAGEMAKER:
            raise ApiError(
                "NoSuchResourceException",
                f"The embedded AWS has quotas of {_SAGEMAKER!r} only, not of {request.get('ServiceCode')!r}",
            )


def _named(quota: dict[str, Any]) -> dict[str, Any]:
    names = ("ServiceCode", "ServiceName", "QuotaCode", "QuotaName", "QuotaArn", "Unit", "GlobalQuota")
    return {**{name: quota[name] for name in names}, "DesiredValue": quota["Value"]}
