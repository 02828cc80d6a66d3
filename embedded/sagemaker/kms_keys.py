"""The KMS keys that jobs name for their volumes and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from contract.catalog.instance_types import has_local_storage
from embedded.sagemaker.clients import ClientFactory
from embedded.sagemaker.errors import ApiError
from embedded.server.endpoint import Endpoint

Authorize = Callable[[str, str, str, dict[str, Any]], bool]
"""Returns whether a role's policies allow an action: `(role ARN, action, resource, context)`."""


class KmsKeys:
    """Finds keys, and checks whether roles may use them."""

    def __init__(self, endpoint: Endpoint, clients: ClientFactory, authorize: Authorize) -> None:
        self._endpoint = endpoint
        self._clients = clients
        self._authorize = authorize
        self._arns: dict[str, str] = {}

    def arn(self, key_id: str) -> str:
        """Return the ARN of a key, which is looked up once.

        Raises:
            ApiError: The key does not exist.
        """
        if key_id not in self._arns:
            client = self._clients.for_account("kms")
            try:
                self._arns[key_id] = client.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
            except ClientError as error:
                message = error.response["Error"].get("Message", "")
                raise ApiError("ValidationException", f"KMS key {key_id!r} cannot be used: {message}") from error
            finally:
                client.close()
        return self._arns[key_id]

    def check_volume_key(self, role_arn: str, keys: Mapping[str, Any]) -> None:
        """Check that the instances accept a volume key, and that the role may create its grant.

        Args:
            keys: Condition keys of the request.

        Raises:
            ApiError: The type has local storage, or the role lacks kms:CreateGrant.
        """
        key_id = keys.get("sagemaker:VolumeKmsKey")
        if not key_id:
            return
        local = [name for name in keys.get("sagemaker:InstanceTypes", ()) if has_local_storage(name)]
        if local:
            raise ApiError("ValidationException", f"VolumeKmsKeyId is not supported for instance type {local[0]}")
        via = {
            "kms:ViaService": f"sagemaker.{self._endpoint.region}.amazonaws.com",
            "kms:GrantIsForAWSResource": "true",
        }
        if not self._authorize(role_arn, "kms:CreateGrant", self.arn(key_id), via):
            message = f"The role {role_arn} is not authorized to perform: kms:CreateGrant on the key {key_id}"
            raise ApiError("ValidationException", message)

    def may_be_used(self, role_arn: str, key_id: str) -> bool:
        """Return whether a role may encrypt objects with a key."""
        via = {"kms:ViaService": f"s3.{self._endpoint.region}.amazonaws.com"}
        return self._authorize(role_arn, "kms:GenerateDataKey", self.arn(key_id), via)
