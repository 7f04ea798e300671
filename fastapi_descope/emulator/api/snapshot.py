"""The state of an emulator for the console, as plain values. Only links of e-mails contain tokens."""

from itertools import islice

from ..access_keys import bound_user, key_status
from ..auth_server import AuthServer
from ..clock import Clock
from ..directory import AccessKey, SeedUser
from ..faults.queue import Faults
from ..inbound_server import InboundServer
from ..journal import Journal
from ..outbox import Outbox
from ..tokens import rfc3339

__all__ = ["Snapshot"]

Row = dict[str, object]


class Snapshot:
    """Reads the current state of an emulator. Times are RFC 3339 text in UTC, by the emulator's clock."""

    def __init__(
        self,
        auth_server: AuthServer,
        inbound_server: InboundServer,
        faults: Faults,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._auth_server = auth_server
        self._inbound_server = inbound_server
        self._faults = faults
        self._journal = journal
        self._outbox = outbox
        self._clock = clock

    def state(self) -> Row:
        """Return the project, the URL, the time, the keys and the pending faults."""
        return {
            "project_id": self._auth_server.project.project_id,
            "base_url": self._auth_server.base_url,
            "now": rfc3339(self._clock()),
            "clock_offset": round(self._clock.offset, 3),
            "keys": [key["kid"] for key in self._auth_server.keys.public_keys],
            "endpoints": list(self._faults.endpoints),
            "faults": self.faults(),
            "sessions": len(self._auth_server.active_sessions()),
            "requests": len(self._journal),
        }

    def faults(self) -> list[Row]:
        """Return the pending faults, in the order in which they will happen at each endpoint."""
        return [
            {"endpoint": endpoint, "times": times, "fault": str(fault)}
            for endpoint, fault, times in self._faults.pending()
        ]

    def emails(self) -> list[Row]:
        """Return the e-mails, the newest first. Their links are what a developer needs to sign in."""
        return [
            {"to": email.to, "link": email.link, "sent_at": rfc3339(email.sent_at)}
            for email in self._outbox.newest_first()
        ]

    def tenants(self) -> list[Row]:
        """Return the tenants."""
        project = self._auth_server.project
        return [
            {
                "id": tenant.id,
                "name": tenant.name,
                "domains": list(tenant.domains),
                "users": len(project.members(tenant.id)),
            }
            for tenant in project.tenants
        ]

    def users(self) -> list[Row]:
        """Return the users with their roles in the project and in each tenant."""
        return [
            {
                "user_id": user.user_id,
                "login_id": user.login_id,
                "name": user.name,
                **_grants_json(user),
            }
            for user in self._auth_server.project.users
        ]

    def sessions(self) -> list[Row]:
        """Return the active sessions, newest first."""
        return [
            {
                "id": family.id,
                "user_id": family.user_id,
                "login_id": self._login_id(family.user_id),
                "tenant": family.tenant,
                "actor": family.actor,
                "actor_login_id": self._login_id(family.actor),
                "since": rfc3339(family.started_at),
                "last_used": rfc3339(family.last_used),
                "expires": rfc3339(family.ends_at),
            }
            for family in reversed(self._auth_server.active_sessions())
        ]

    # Never the secret: it is all that a machine needs.
    def access_keys(self) -> list[Row]:
        """Return the access keys, without the secrets. The grants of a bound key are those of its user."""
        project, now = self._auth_server.project, int(self._clock())
        return [
            {
                "id": key.id,
                "name": key.name,
                "status": key_status(project, key, now),
                "expires": rfc3339(key.expires_at) if key.expires_at else None,
                "bound_user": user.login_id if (user := bound_user(project, key)) else None,
                **_grants_json(user or key),
            }
            for key in project.access_keys
        ]

    def inbound_apps(self) -> list[Row]:
        """Return the inbound apps, with those that have registered themselves."""
        return [
            {
                "client_id": app.client_id,
                "name": app.name,
                "public": app.is_public,
                "mcp_server": app.mcp_server or None,
                "redirect_uris": list(app.redirect_uris),
                "scopes": list(app.scopes),
            }
            for app in self._auth_server.project.inbound_apps
        ]

    def consents(self) -> list[Row]:
        """Return the consents of users to inbound apps, newest first."""
        project = self._auth_server.project
        return [
            {
                "client_id": consent.client_id,
                "app": app.name if (app := project.find_inbound_app(consent.client_id)) else None,
                "user_id": consent.user_id,
                "login_id": self._login_id(consent.user_id),
                "scopes": list(consent.scopes),
                "granted": rfc3339(consent.granted_at),
            }
            for consent in reversed(self._inbound_server.consents())
        ]

    def requests(self, *, endpoint: str = "", limit: int = 100) -> list[Row]:
        """Return the latest requests to one endpoint, or to all, newest first."""
        calls = (call for call in reversed(tuple(self._journal)) if endpoint in {"", call.endpoint})
        return [
            {
                "time": rfc3339(call.at),
                "method": call.method,
                "path": call.path,
                "endpoint": call.endpoint,
                "status": call.status,
                "caller": call.caller,
            }
            for call in islice(calls, limit)
        ]

    def _login_id(self, user_id: str | None) -> str | None:
        """Return the login id of a user, or None if the project has no such user."""
        user = self._auth_server.project.find_user(user_id) if user_id is not None else None
        return user.login_id if user is not None else None


def _grants_json(holder: SeedUser | AccessKey) -> Row:
    return {
        "roles": list(holder.roles),
        "permissions": list(holder.permissions),
        "tenants": {
            tenant: {"roles": list(grants.roles), "permissions": list(grants.permissions)}
            for tenant, grants in holder.tenants.items()
        },
    }
