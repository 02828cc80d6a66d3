"""moto at a fraction of its CPU time, for tests that reach it with boto3 in this process only."""

import functools
from typing import Any

import moto.core.models
import moto.core.responses
from moto import mock_aws
from moto.core.base_backend import BaseBackend
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict

from tests.unit import quick_clients  # noqa: F401 - each test makes clients

__all__ = ["mock_aws"]

# moto lists the methods of a service's class at each request.
moto.core.responses.method_names_from_class = functools.cache(moto.core.responses.method_names_from_class)
# Each start of moto registers a thousand patterns with `responses`, for requests of other libraries than boto3.
moto.core.models.RESPONSES_METHODS = []

_urls: Any = BaseBackend.urls
_URLS: dict[type[BaseBackend], Any] = {}


def _urls_of_class(self: BaseBackend) -> Any:
    if type(self) not in _URLS:
        _URLS[type(self)] = _urls.fget(self)
    return _URLS[type(self)]


# moto makes the URLs of a service from patterns at each request.
BaseBackend.urls = property(_urls_of_class)

_LARGEST_ITEM_BYTES = 405_000
"""moto's limit."""

_serialize_structure = BaseJSONSerializer._serialize_type_structure


def _serialize_present_members(self: Any, serialized: dict[str, Any], value: Any, shape: Any, key: str) -> None:
    """Serialize a structure; of a DynamoDB value only the one member that it has.

    moto looks for all ten members of each value, by several names.
    """
    if shape.name != "AttributeValue" or type(value) is not dict:
        _serialize_structure(self, serialized, value, shape, key)
        return
    members: dict[str, Any] = self.MAP_TYPE()
    for member, content in value.items():
        self._serialize(members, content, shape.members[member], member)
    self._default_serialize(serialized, members, shape, key)


BaseJSONSerializer._serialize_type_structure = _serialize_present_members


def _initialize_item(self: Item, hash_key: DynamoType, range_key: DynamoType | None, attrs: dict[str, Any]) -> None:
    """Make an item and check its size. moto computes the size of all attributes again for each one."""
    self.hash_key, self.range_key, self.attrs = hash_key, range_key, LimitedSizeDict()
    for name, value in attrs.items():
        dict.__setitem__(self.attrs, name, DynamoType(value))
    if self.size() > _LARGEST_ITEM_BYTES:
        raise ItemSizeTooLarge


Item.__init__ = _initialize_item
