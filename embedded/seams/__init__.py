"""Everything that touches ministack's inside.

ministack is pinned to one version; each function here leans on one private thing of it, and tests/unit/embedded has
a test for each that fails loudly when a new version moves that thing. Nothing else in this project may import
ministack. ministack reads its switches from the environment at import, so these functions import it when called.
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
