"""The only code that reaches into ministack's private parts.

ministack is pinned to one version. Each function here depends on one private name of it, and
tests/unit/embedded has a test per function that fails when a new version moves that name. No other
package may import ministack. ministack reads its environment variables at import, so these
functions import it when they are called.
"""

from embedded.seams.identity import Credentials, authorize, may_assume, role_credentials
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
