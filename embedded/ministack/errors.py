"""The error for a version of ministack that is not the pinned one."""


class MinistackChangedError(RuntimeError):
    """A private name of ministack is missing or has changed."""
