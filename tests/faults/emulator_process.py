"""``python -m tests.faults.emulator_process``: the emulator in its own process, controlled over HTTP.

In addition to Descope's API it serves ``POST /testbed/<command>``: the arguments of a command are JSON in the
body, the response is JSON. ``tests.faults.upstream`` is the client. Each browser of the testbed is a separate
user, so the subject of a refresh token identifies its token family.
"""

import json
import sys
from base64 import b64decode, urlsafe_b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from fastapi_descope.emulator import Clock, Emulator, Grants, Project, SeedUser
from fastapi_descope.emulator.server import serve

__all__ = ["ControlledEmulator", "main"]

_CHUNK = b" " * 65_536
_TENANTS = ("acme", "globex")

Command = Callable[..., Awaitable[object]]


class ControlledEmulator(Emulator):
    """An emulator that is controlled over HTTP and counts refreshes by user."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(Project(users=()), clock=clock)
        self._user_count = 0
        self._refreshes: Counter[str] = Counter()
        self._floods: list[int] = []
        self._commands: dict[str, Command] = {
            "reset": self._reset,
            "issue": self._issue,
            "members": self._create_members,
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
        """Handle a command or a request to Descope's API."""
        if scope["path"].startswith("/testbed/"):
            await self._run_command(scope, receive, send)
            return
        is_refresh = scope["path"] == "/v1/auth/refresh"
        if is_refresh:
            self._refreshes[_subject(Headers(scope=scope).get("authorization", ""))] += 1
        if is_refresh and self._floods:
            await _send_flood(self._floods.pop(0), send)
        else:
            await super().__call__(scope, receive, send)

    async def _run_command(self, scope: Scope, receive: Receive, send: Send) -> None:
        keywords: dict[str, Any] = await Request(scope, receive).json()
        response = await self._commands[scope["path"].removeprefix("/testbed/")](**keywords)
        await JSONResponse(response)(scope, receive, send)

    async def _reset(self) -> None:
        """Remove the faults, counts and users of the last scenario."""
        self.faults.clear()
        self._floods.clear()
        self.requests.clear()
        self._refreshes.clear()
        self.project = Project(users=())

    async def _issue(
        self, count: int, session_seconds: int | None, claims: dict[str, object]
    ) -> list[dict[str, str]]:
        """Create users, each in one tenant, and issue a pair of tokens to each."""
        users = [self._new_user() for _ in range(count)]
        self.project = replace(self.project, users=(*self.project.users, *users))
        return [self._issued(user, session_seconds, claims) for user in users]

    async def _create_members(self, count: int) -> list[dict[str, str]]:
        """Create users who are in every tenant, without a session."""
        users = [self._new_user(*_TENANTS) for _ in range(count)]
        self.project = replace(self.project, users=(*self.project.users, *users))
        return [{"user_id": user.user_id, "login_id": user.login_id} for user in users]

    def _new_user(self, *tenants: str) -> SeedUser:
        self._user_count += 1
        of_user = tenants or (_TENANTS[self._user_count % len(_TENANTS)],)
        grants = dict.fromkeys(of_user, Grants(("viewer",)))
        return SeedUser(f"user{self._user_count}@testbed.example", tenants=grants)

    def _issued(
        self, user: SeedUser, session_seconds: int | None, claims: dict[str, object]
    ) -> dict[str, str]:
        (tenant,) = user.tenants
        pair = self.issue(user.user_id, tenant, session_seconds=session_seconds, claims=claims)
        return {
            "user_id": user.user_id,
            "login_id": user.login_id,
            "tenant": tenant,
            "session": pair.session_jwt,
            "refresh": pair.refresh_jwt,
        }

    async def _add_faults(self, endpoint: str, body: str | None, rows: list[dict[str, Any]]) -> None:
        """Call ``Faults.add`` for each row. They share the body, which is in Base64."""
        content = None if body is None else b64decode(body)
        for keywords in rows:
            self.faults.add(endpoint, body=content, **keywords)

    async def _flood(self, size: int) -> None:
        """Make the next refresh return ``size`` bytes, in chunks and without a content length."""
        self._floods.append(size)

    async def _clear(self) -> None:
        self.faults.clear()
        self._floods.clear()

    async def _release(self) -> None:
        self.faults.release()

    async def _arrived(self, count: int) -> None:
        """Return once this many calls are held."""
        await self.faults.wait_until_held(count)

    async def _counts(self) -> dict[str, object]:
        """Return the number of calls by endpoint, and of refreshes by user."""
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


async def _send_flood(size: int, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(0, size, len(_CHUNK)):
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _subject(authorization: str) -> str:
    """Return the subject of the refresh token in an Authorization header, without verification."""
    payload = authorization.split(":")[1].split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=="))["sub"])


def main() -> None:
    """Serve until killed. The first line of output is the base URL.

    The argument is the time at which the clock stands until a command moves it; without one it is real time.
    """
    clock = Clock(partial(float, sys.argv[1])) if len(sys.argv) > 1 else Clock()
    serve(ControlledEmulator(clock), ready=lambda url: print(url, flush=True))  # noqa: T201 - for the testbed


if __name__ == "__main__":
    main()
