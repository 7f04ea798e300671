"""What the console shows of an emulator, as plain values: nobody's token is among them."""

from itertools import islice

from ..auth_server import AuthServer
from ..clock import Clock
from ..directory import Grants
from ..faults.queue import Faults
from ..journal import Journal
from ..tokens import rfc3339

__all__ = ["Snapshot"]

Row = dict[str, object]


class Snapshot:
    """The emulator as it is now. Times are RFC 3339 text in UTC, by the emulator's clock."""

    def __init__(self, auth_server: AuthServer, faults: Faults, journal: Journal, clock: Clock) -> None:
        self._auth_server = auth_server
        self._faults = faults
        self._journal = journal
        self._clock = clock

    def state(self) -> Row:
        """Where it is, what time it has, and what is going to fail."""
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
        """The faults in waiting, in the order in which each endpoint gets them."""
        return [
            {"endpoint": endpoint, "times": times, "fault": str(fault)}
            for endpoint, fault, times in self._faults.pending()
        ]

    def tenants(self) -> list[Row]:
        """The project's tenants."""
        project = self._auth_server.project
        return [
            {
                "id": one.id,
                "name": one.name,
                "domains": list(one.domains),
                "users": len(project.members(one.id)),
            }
            for one in project.tenants
        ]

    def users(self) -> list[Row]:
        """The project's users, and what they hold in each tenant."""
        return [
            {
                "user_id": user.user_id,
                "login_id": user.login_id,
                "name": user.name,
                "tenants": {tenant: _held(grants) for tenant, grants in user.tenants.items()},
            }
            for user in self._auth_server.project.users
        ]

    def sessions(self) -> list[Row]:
        """The sessions that are alive, newest first."""
        project = self._auth_server.project
        return [
            {
                "id": family.id,
                "user_id": family.user_id,
                "login_id": user.login_id if (user := project.find_user(family.user_id)) else None,
                "tenant": family.tenant,
                "since": rfc3339(family.started_at),
                "last_used": rfc3339(family.last_used),
                "expires": rfc3339(family.ends_at),
            }
            for family in reversed(self._auth_server.active_sessions())
        ]

    def requests(self, *, endpoint: str = "", limit: int = 100) -> list[Row]:
        """The latest requests to one endpoint, or to all, newest first. ``caller`` stands for a bearer."""
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


def _held(grants: Grants) -> Row:
    return {"roles": list(grants.roles), "permissions": list(grants.permissions)}
