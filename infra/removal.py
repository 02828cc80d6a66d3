"""The removal policy of resources that hold data."""

from aws_cdk import RemovalPolicy

from infra.settings import AppSettings


def removal_policy(settings: AppSettings) -> RemovalPolicy:
    """Return the policy of a resource that holds data.

    With `removal: retain` it outlives its stack and its own replacement. But a first deployment
    that fails leaves nothing behind: what it had created is deleted when it is rolled back.
    """
    if settings.removal == "destroy":
        return RemovalPolicy.DESTROY
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
