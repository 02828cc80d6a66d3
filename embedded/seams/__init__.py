"""The only code that uses private names of ministack, and the only one that imports it.

ministack is pinned to one version. Each function here depends on one of its private names.
tests/unit/embedded has a test per function that fails when a new version renames it. ministack
reads its environment variables at import, so these functions import it when they are called.
"""

from embedded.seams.iam.identity import Credentials, authorize, may_assume, role_credentials
from embedded.seams.services import ServiceHandler, add_service
from embedded.seams.tasks import TaskCall, TaskError, add_task_integration

__all__ = [
    "Credentials",
    "ServiceHandler",
    "TaskCall",
    "TaskError",
    "add_service",
    "add_task_integration",
    "authorize",
    "may_assume",
    "role_credentials",
]
