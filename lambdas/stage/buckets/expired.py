"""Tells whether S3 has an object no more."""

from botocore.exceptions import ClientError

_GONE = frozenset({"NoSuchKey", "404", "403", "AccessDenied"})


def is_gone(error: ClientError) -> bool:
    """Return whether a read failed because the object has expired or was deleted.

    Without permission to list the object, S3 reports it as denied.
    """
    return error.response["Error"]["Code"] in _GONE
