"""Descope as the rig sees it: what it is told to do, and what it knows."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

import httpx

from .relay import Relay

__all__ = ["DEAD", "Counts", "FaultOptions", "Guest", "Upstream"]

DEAD = -60
"""The ``session_seconds`` of a session that is over, by more than any leeway."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A user of the emulator's, and the tokens made for it."""

    user: str
    tenant: str
    session: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls since the last reset: by endpoint, and refreshes by user."""

    endpoints: dict[str, int]
    users: dict[str, int]

    @property
    def refreshes(self) -> int:
        """How many refreshes arrived in all."""
        return self.endpoints["refresh"]


class FaultOptions(TypedDict, total=False):
    """The keywords of ``Faults.add`` but its endpoint and body."""

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
    """The emulator's process, reached directly; the app reaches it through ``relay``."""

    def __init__(self, url: str, project_id: str, relay: Relay) -> None:
        self.relay = relay
        self._project_id = project_id
        # Longer than any call that waits for others to be held.
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def aclose(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def reset(self) -> None:
        """Forget faults, counts, users, and what was changed of the project."""
        await self._tell("reset")

    async def issue(
        self, count: int = 1, *, session_seconds: int | None = None, **claims: object
    ) -> list[Guest]:
        """New users with a pair each; ``session_seconds=DEAD`` makes session JWTs that are over."""
        answer = await self._tell("issue", count=count, session_seconds=session_seconds, claims=claims)
        return [Guest(**one) for one in answer]

    async def fault(
        self, endpoint: str, body: bytes | None = None, /, **options: Unpack[FaultOptions]
    ) -> None:
        """Let the next calls of an endpoint fail."""
        content = None if body is None else b64encode(body).decode()
        await self._tell("faults", endpoint=endpoint, body=content, rows=[options])

    async def faults(self, endpoint: str, rows: Sequence[FaultOptions]) -> None:
        """Let the next calls of an endpoint fail, one after the other."""
        await self._tell("faults", endpoint=endpoint, body=None, rows=list(rows))

    async def flood(self, size: int) -> None:
        """Let the next refresh be answered with ``size`` bytes."""
        await self._tell("flood", size=size)

    async def clear(self) -> None:
        """Be well again: no faults, nobody held, the wire whole."""
        await self.relay.mend()
        await self._tell("clear")

    async def release(self) -> None:
        """Let every held call go on."""
        await self._tell("release")

    async def arrived(self, count: int) -> None:
        """Wait until this many calls are held."""
        await self._tell("arrived", count=count)

    async def counts(self) -> Counts:
        """How often it was called."""
        return Counts(**await self._tell("counts"))

    async def advance(self, seconds: float) -> None:
        """Move its clock alone."""
        await self._tell("clock", seconds=seconds)

    async def rotate_keys(self, *, keep_old: bool) -> None:
        """Sign with a new key; without ``keep_old`` the old ones are gone at once."""
        await self._tell("keys", keep_old=keep_old)

    async def drop_old_keys(self) -> None:
        """Have the newest key be the only one."""
        await self._tell("drop_keys")

    async def renewed(self, refresh: str) -> dict[str, Any]:
        """What Descope answers to a refresh, asked directly."""
        answer = await self._http.post("/v1/auth/refresh", json={}, headers=self._bearer(refresh))
        content: dict[str, Any] = answer.json()
        return content

    async def key_set(self) -> bytes:
        """The key set as published now."""
        answer = await self._http.get(f"/v2/keys/{self._project_id}")
        return answer.content

    async def revoke(self, user: str) -> None:
        """End every session of a user."""
        await self._tell("revoke", user=user)

    async def project(self, **changes: object) -> None:
        """Change settings of the project: ``rotate_refresh``, ``reuse_grace``, ``session_seconds``."""
        await self._tell("project", **changes)

    async def is_valid(self, refresh: str) -> bool:
        """Whether a refresh token would be accepted now; asking changes nothing."""
        answer = await self._http.get("/v1/auth/me", headers=self._bearer(refresh))
        return answer.is_success

    def _bearer(self, refresh: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._project_id}:{refresh}"}

    async def _tell(self, command: str, **keywords: object) -> Any:
        answer = await self._http.post(f"/rig/{command}", json=keywords)
        assert answer.is_success, (command, answer.text)
        return answer.json()
