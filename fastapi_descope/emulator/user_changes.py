"""Changes of users by an administrator, and the audit webhooks about them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from .auth_server import AuthServer
from .directory import Grants, SeedUser
from .webhook import AuditWebhook

__all__ = ["Status", "UserChanges"]

Status = Literal["enabled", "disabled", "invited"]


class UserChanges:
    """Changes the users of a project. Session JWTs that were issued stay as they are, as in Descope.

    Args:
        auth_server: Holds the project.
        webhook: Sends an event about each change.
    """

    def __init__(self, auth_server: AuthServer, webhook: AuditWebhook) -> None:
        self._auth_server = auth_server
        self._webhook = webhook

    async def update(
        self, user: SeedUser, *, status: Status | None, tenants: Mapping[str, Sequence[str]] | None
    ) -> tuple[int, ...]:
        """Change a user, and return the status of each attempt to send the webhook.

        Args:
            user: The user.
            status: The new status, or None to keep it.
            tenants: The tenants from now on, with the roles in each, or None to keep them.

        Raises:
            ValueError: The project has no such tenant.
        """
        grants = (
            user.tenants
            if tenants is None
            else {tenant: Grants(tuple(roles)) for tenant, roles in tenants.items()}
        )
        changed = replace(user, status=status or user.status, tenants=grants)
        self._auth_server.project = self._auth_server.project.with_user(changed)
        return await self._webhook.send(changed, "disabled" if status == "disabled" else "modified")

    async def delete(self, user: SeedUser) -> tuple[int, ...]:
        """Delete a user and end the user's sessions, and return the status of each attempt."""
        self._auth_server.revoke_user(user)
        self._auth_server.project = self._auth_server.project.without_user(user)
        return await self._webhook.send(user, "deleted")
