"""Why roles have permissions that no call of the end-to-end tests uses.

A reason must cover a permission that a role has. It may also cover one that calls use in some runs.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.recorded_calls.recorded_permissions import Permission


@dataclass(frozen=True)
class Reason:
    """Patterns of permissions, and why roles have them.

    `roles` and `actions` are patterns, separated by spaces. Roles have the logical ids of their
    templates, which end with eight digits that the CDK adds. `resource` is a pattern of an ARN.
    """

    roles: str
    actions: str
    resource: str
    why: str

    def covers(self, permission: Permission) -> bool:
        return (
            any(fnmatchcase(permission.role, pattern) for pattern in self.roles.split())
            and any(fnmatchcase(permission.action, pattern) for pattern in self.actions.split())
            and fnmatchcase(permission.resource, self.resource)
        )

    def __str__(self) -> str:
        return f"{self.roles}: {self.actions} on {self.resource} ({self.why})"
