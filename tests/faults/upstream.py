"""The control client of the emulator process: set up faults, issue tokens, read counts."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

import httpx

from fastapi_descope.emulator.client import submit_login_form

from .tcp_proxy import TcpProxy

__all__ = ["EXPIRED", "Counts", "FaultOptions", "Member", "SignedInUser", "Upstream"]

EXPIRED = -60
"""The ``session_seconds`` of a session that expired longer ago than any leeway."""


@dataclass(frozen=True, slots=True)
class SignedInUser:
    """A user of the emulator and its tokens."""

    user_id: str
    login_id: str
    tenant: str
    session: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Member:
    """A user of the emulator who is in every tenant and has to sign in."""

    user_id: str
    login_id: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls by endpoint and refreshes by user, since the last reset."""

    endpoints: dict[str, int]
    users: dict[str, int]

    @property
    def refreshes(self) -> int:
        """The number of refreshes of all users."""
        return self.endpoints["refresh"]


class FaultOptions(TypedDict, total=False):
    """The keyword arguments of ``Faults.add`` except endpoint and body."""

    times: int
    status: int
    headers: dict[str, str]
    retry_after: int | str
    delay: float
    hold: bool
    drip: float
    cut: Literal["reset", "close"]
    when: Literal["before", "after"]


class Upstream:
    """Controls the emulator process directly. The app connects to it through ``proxy``."""

    def __init__(self, url: str, project_id: str, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self._project_id = project_id
        # Longer than any wait for held calls.
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def reset(self) -> None:
        """Remove faults, counts and users, and restore the project's settings."""
        await self._command("reset")

    async def issue(
        self, count: int = 1, *, session_seconds: int | None = None, **claims: object
    ) -> list[SignedInUser]:
        """Create users with a pair of tokens each. ``session_seconds=EXPIRED`` gives expired sessions."""
        response = await self._command("issue", count=count, session_seconds=session_seconds, claims=claims)
        return [SignedInUser(**row) for row in response]

    async def members(self, count: int) -> list[Member]:
        """Create users who are in every tenant, without a session."""
        return [Member(**row) for row in await self._command("members", count=count)]

    async def fault(
        self, endpoint: str, body: bytes | None = None, /, **options: Unpack[FaultOptions]
    ) -> None:
        """Inject a fault into the next calls of an endpoint."""
        content = None if body is None else b64encode(body).decode()
        await self._command("faults", endpoint=endpoint, body=content, rows=[options])

    async def faults(self, endpoint: str, rows: Sequence[FaultOptions]) -> None:
        """Inject a different fault into each of the next calls of an endpoint."""
        await self._command("faults", endpoint=endpoint, body=None, rows=list(rows))

    async def flood(self, size: int) -> None:
        """Make the next refresh return ``size`` bytes."""
        await self._command("flood", size=size)

    async def close_idle_connections(self) -> None:
        """Close the app's connections, none of which has a call."""
        await self.proxy.cut()
        await self.proxy.restore()

    async def clear(self) -> None:
        """End all faults: none queued, no call held, the connection restored."""
        await self.proxy.restore()
        await self._command("clear")

    async def release(self) -> None:
        """Let all held calls continue."""
        await self._command("release")

    async def wait_until_held(self, count: int) -> None:
        """Wait until this many calls are held."""
        await self._command("arrived", count=count)

    async def counts(self) -> Counts:
        """Return the number of calls."""
        return Counts(**await self._command("counts"))

    async def advance(self, seconds: float) -> None:
        """Advance the clock of the emulator only."""
        await self._command("clock", seconds=seconds)

    async def rotate_keys(self, *, keep_old: bool) -> None:
        """Sign with a new key; without ``keep_old`` the old ones are removed at once."""
        await self._command("keys", keep_old=keep_old)

    async def drop_old_keys(self) -> None:
        """Remove all keys but the newest."""
        await self._command("drop_keys")

    async def refreshed(self, refresh: str) -> dict[str, Any]:
        """Refresh directly and return Descope's response."""
        response = await self._http.post("/v1/auth/refresh", json={}, headers=self._bearer(refresh))
        content: dict[str, Any] = response.json()
        return content

    async def key_set(self) -> bytes:
        """Return the published JWKS."""
        response = await self._http.get(f"/v2/keys/{self._project_id}")
        return response.content

    async def revoke(self, user: str) -> None:
        """End every session of a user."""
        await self._command("revoke", user=user)

    async def project(self, **changes: object) -> None:
        """Change settings of the project: ``rotate_refresh``, ``reuse_grace``, ``session_seconds``."""
        await self._command("project", **changes)

    async def choose_user(self, page: str, login_id: str) -> str:
        """Sign in on the page of a login, and return the URL that it redirects to."""
        form = submit_login_form((await self._http.get(page)).text, login_id)
        redirect = await self._http.post(page, data=form)
        return redirect.headers["location"]

    async def is_valid(self, refresh: str) -> bool:
        """Return whether a refresh token would be accepted now, without using it."""
        response = await self._http.get("/v1/auth/me", headers=self._bearer(refresh))
        return response.is_success

    def _bearer(self, refresh: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._project_id}:{refresh}"}

    async def _command(self, command: str, **keywords: object) -> Any:
        response = await self._http.post(f"/testbed/{command}", json=keywords)
        assert response.is_success, (command, response.text)
        return response.json()
