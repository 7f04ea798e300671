"""``python -m tests.faults.emulator_process``: the emulator in a process of its own, and how to bait it.

Beside Descope's API it answers ``POST /rig/<command>`` with JSON, the keywords of a command in the body;
``tests.faults.upstream`` is the other end. Each browser of the rig is a user of its own, so the subject
of a refresh token tells which family a call is about.
"""

import json
from base64 import b64decode, urlsafe_b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from fastapi_descope.emulator import Emulator, Grants, Project, SeedUser
from fastapi_descope.emulator.server import serve

__all__ = ["RiggedEmulator", "main"]

_CHUNK = b" " * 65_536
_TENANTS = ("acme", "globex")

Command = Callable[..., Awaitable[object]]


class RiggedEmulator(Emulator):
    """An emulator that is told over HTTP what to do, and counts refreshes by user."""

    def __init__(self) -> None:
        super().__init__(Project(users=()))
        self._numbered = 0
        self._refreshes: Counter[str] = Counter()
        self._floods: list[int] = []
        self._commands: dict[str, Command] = {
            "reset": self._reset,
            "issue": self._issue,
            "faults": self._add_faults,
            "flood": self._flood,
            "clear": self._clear,
            "release": self._release,
            "arrived": self._arrived,
            "counts": self._counts,
            "clock": self._clock,
            "keys": self._keys,
            "drop_keys": self._drop_keys,
            "revoke": self._revoke,
            "project": self._change_project,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: a command, or one that Descope would get."""
        if scope["path"].startswith("/rig/"):
            await self._obey(scope, receive, send)
            return
        refreshing = scope["path"] == "/v1/auth/refresh"
        if refreshing:
            self._refreshes[_subject(Headers(scope=scope).get("authorization", ""))] += 1
        if refreshing and self._floods:
            await _pour(self._floods.pop(0), send)
        else:
            await super().__call__(scope, receive, send)

    async def _obey(self, scope: Scope, receive: Receive, send: Send) -> None:
        keywords: dict[str, Any] = await Request(scope, receive).json()
        answer = await self._commands[scope["path"].removeprefix("/rig/")](**keywords)
        await JSONResponse(answer)(scope, receive, send)

    async def _reset(self) -> None:
        """Forget faults, counts and users: those of one scenario are not those of the next."""
        self.faults.clear()
        self._floods.clear()
        self.requests.clear()
        self._refreshes.clear()
        self.project = Project(users=())

    async def _issue(
        self, count: int, session_seconds: int | None, claims: dict[str, object]
    ) -> list[dict[str, str]]:
        """A pair each for new users, who are in one tenant each."""
        users = [self._new_user() for _ in range(count)]
        self.project = replace(self.project, users=(*self.project.users, *users))
        return [self._issued(user, session_seconds, claims) for user in users]

    def _new_user(self) -> SeedUser:
        self._numbered += 1
        tenant = _TENANTS[self._numbered % len(_TENANTS)]
        return SeedUser(f"guest{self._numbered}@rig.example", tenants={tenant: Grants(("viewer",))})

    def _issued(
        self, user: SeedUser, session_seconds: int | None, claims: dict[str, object]
    ) -> dict[str, str]:
        (tenant,) = user.tenants
        pair = self.issue(user.user_id, tenant, session_seconds=session_seconds, claims=claims)
        return {
            "user": user.user_id,
            "tenant": tenant,
            "session": pair.session_jwt,
            "refresh": pair.refresh_jwt,
        }

    async def _add_faults(self, endpoint: str, body: str | None, rows: list[dict[str, Any]]) -> None:
        """``Faults.add`` for each of the rows; the body, which they share, in Base64."""
        content = None if body is None else b64decode(body)
        for keywords in rows:
            self.faults.add(endpoint, body=content, **keywords)

    async def _flood(self, size: int) -> None:
        """Let the next refresh be answered with this many bytes, in chunks and without a length."""
        self._floods.append(size)

    async def _clear(self) -> None:
        self.faults.clear()
        self._floods.clear()

    async def _release(self) -> None:
        self.faults.release()

    async def _arrived(self, count: int) -> None:
        """Answer once this many calls are held."""
        await self.faults.wait_until_held(count)

    async def _counts(self) -> dict[str, object]:
        """The calls so far, by endpoint, and the refreshes by user."""
        endpoints = Counter(call.endpoint for call in self.requests)
        return {"endpoints": endpoints | {"refresh": self._refreshes.total()}, "users": self._refreshes}

    async def _clock(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def _keys(self, *, keep_old: bool) -> None:
        self.rotate_keys(keep_old=keep_old)

    async def _drop_keys(self) -> None:
        self.drop_old_keys()

    async def _revoke(self, user: str) -> None:
        self.revoke_sessions(user)

    async def _change_project(self, **changes: Any) -> None:
        self.project = replace(self.project, **changes)


async def _pour(size: int, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(0, size, len(_CHUNK)):
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _subject(authorization: str) -> str:
    """Whom the refresh token in a bearer is about, unverified."""
    payload = authorization.split(":")[1].split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=="))["sub"])


def main() -> None:
    """Serve until ended; the first line out is the base URL."""
    serve(RiggedEmulator(), ready=lambda url: print(url, flush=True))  # noqa: T201 - how the rig finds it


if __name__ == "__main__":
    main()
