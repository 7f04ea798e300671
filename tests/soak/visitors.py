"""The load of the soak: visitors who sign in, send requests, switch tenants, hold WebSockets and sign out."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Origin

from tests.faults.browsers import Response
from tests.faults.upstream import Member, Upstream
from tests.helpers.cookie_jar import StandardJar

from .balancer import Balancer, Headers

__all__ = ["Site", "Tally", "Violation", "Visitor"]

_OK, _SEE_OTHER, _UNAUTHORIZED = 200, 303, 401
_SIGNED_OUT = 204
_UNAVAILABLE = frozenset({0, 502, 503})
"""Broken connections, and what an app says while Descope is unavailable. The visitor tries again."""
_TENANTS = ("acme", "globex")
_TABS = 3
_PAUSE_SECONDS = 0.5
_ACTIONS_PER_SESSION = 60
_SOCKET_SECONDS = 8.0
_SPREAD_SECONDS = 1.0
"""How long a revocation may take to reach every process, while nothing fails."""
_RETURN_SECONDS = 60.0


class Violation(Enum):
    """A failure that no fault excuses. The values are the texts of the report."""

    LOGGED_OUT = "users wrongly logged out"
    FOREIGN = "foreign identities"
    LOST = "lost tenant switches"
    UNDEAD = "sessions after their logout"
    UNEXPECTED = "unexpected responses"


@dataclass(slots=True)
class Tally:
    """Counts of the events so far.

    Attributes:
        requests: requests, without WebSockets.
        refreshes: responses with new tokens that no login or switch asked for.
        sign_ins: successful logins.
        switches: successful tenant switches.
        sign_outs: logouts.
        sockets: WebSockets that were accepted.
        unavailable: requests without a success because something fails.
        violations: how often each violation occurred.
        notes: what is known about the violations, without a token.
    """

    requests: int = 0
    refreshes: int = 0
    sign_ins: int = 0
    switches: int = 0
    sign_outs: int = 0
    sockets: int = 0
    unavailable: int = 0
    violations: Counter[Violation] = field(default_factory=Counter[Violation])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Site:
    """What all visitors share.

    Attributes:
        url: the public URL of the app.
        state: returns the fault that lasts, for notes.
        is_calm: whether no fault has an effect.
        is_open: cleared when visitors have to stop.
    """

    url: str
    balancer: Balancer
    upstream: Upstream
    tally: Tally
    state: Callable[[], str]
    is_calm: Callable[[], bool]
    closing: asyncio.Event


class Visitor:
    """One user with one browser, who signs in again and again until the site closes."""

    def __init__(self, member: Member, site: Site, random: Random) -> None:
        self._member = member
        self._site = site
        self._tally = site.tally
        self._random = random
        self._jar = StandardJar(site.url + "/")
        self._tenants: set[str] = set()
        self._is_signed_in = False

    async def run(self) -> None:
        """Visit the site until it closes. The session then stays."""
        while not self._site.closing.is_set():
            if not self._is_signed_in:
                await self._sign_in()
            elif self._random.random() * _ACTIONS_PER_SESSION < 1:
                await self._sign_out()
            else:
                await self._act()
            with suppress(TimeoutError):
                pause = self._random.expovariate(1 / _PAUSE_SECONDS)
                await asyncio.wait_for(self._site.closing.wait(), pause)

    async def return_later(self) -> None:
        """Send a request when all faults are over: the session must still be there."""
        if not self._is_signed_in:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETURN_SECONDS):
                while (await self._get()).status in _UNAVAILABLE:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_PAUSE_SECONDS)
                return
        self._note(Violation.UNEXPECTED, "no response after all faults")

    async def _act(self) -> None:
        match self._random.random():
            case chance if chance < 0.1:
                await asyncio.gather(*(self._get() for _ in range(_TABS)))
            case chance if chance < 0.15:
                await self._switch_tenant()
            case chance if chance < 0.2:
                await self._hold_socket()
            case _:
                await self._get()

    async def _sign_in(self) -> None:
        """Go through a login. A step that fails ends it; the next action begins another one."""
        tenant = self._random.choice(_TENANTS)
        started = await self._send("GET", f"/login/sso?tenant={tenant}&return_to=/me")
        page = started.header("location")
        if started.status != _SEE_OTHER or page is None:
            self._expect_unavailable(started, "login")
            return
        try:
            callback = await self._site.upstream.choose_user(page, self._member.login_id)
        except httpx.TransportError:  # Descope is cut off from the browser, too
            self._tally.unavailable += 1
            return
        finished = await self._send("GET", callback.removeprefix(self._site.url))
        if finished.status != _SEE_OTHER:
            self._expect_unavailable(finished, "callback")
            return
        self._is_signed_in, self._tenants = True, {tenant}
        self._tally.sign_ins += 1

    async def _get(self) -> Response:
        response = await self._send("GET", "/me")
        self._tally.refreshes += bool(response.written.get("DS"))
        if response.status == _OK:
            self._check_identity(response.json["user"], response.json["tenant"])
        elif response.status == _UNAUTHORIZED or response.clears:
            self._lose_session(response)
        else:
            self._expect_unavailable(response, "page")
        return response

    async def _switch_tenant(self) -> None:
        tenant = self._random.choice(_TENANTS)
        body = f"tenant={tenant}".encode()
        response = await self._post("/tenant/select", body)
        if response.status == _OK:
            self._tenants = {tenant}
            self._tally.switches += 1
        elif response.status == _UNAUTHORIZED or response.clears:
            self._lose_session(response)
        else:
            self._tenants.add(tenant)  # Descope may have switched
            self._expect_unavailable(response, "switch")

    async def _sign_out(self) -> None:
        headers = self._jar.headers
        response = await self._post("/logout")
        if response.status == _SIGNED_OUT:
            self._tally.sign_outs += 1
            await self._expect_ended(headers)
        else:
            self._expect_unavailable(response, "logout")
        self._jar, self._is_signed_in = StandardJar(self._site.url + "/"), False

    async def _expect_ended(self, headers: Headers) -> None:
        """Use the cookies of the ended session at every worker, unless a fault has an effect."""
        if not self._site.is_calm():
            return
        await asyncio.sleep(_SPREAD_SECONDS)
        for _ in range(len(self._site.balancer.urls)):
            response = await self._site.balancer.send("GET", "/me", headers)
            if response.status == _OK and self._site.is_calm():
                self._note(Violation.UNDEAD, "a session works after its logout")

    async def _hold_socket(self) -> None:
        """Open a WebSocket of a fresh session, hold it for a while, and send requests in the meantime."""
        if (await self._get()).status != _OK:
            return
        url = self._site.balancer.urls[0].replace("http", "ws", 1) + "/ws"
        cookies = {name.decode(): value.decode() for name, value in self._jar.headers}
        origin, held = Origin(self._site.url), self._random.uniform(0, _SOCKET_SECONDS)
        try:
            async with connect(url, origin=origin, additional_headers=cookies, proxy=None) as socket:
                self._check_user(str(await socket.recv()))
                self._tally.sockets += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(socket.wait_closed(), held)
        except InvalidStatus as refused:
            self._expect_unavailable(Response("/ws", {}, 0.0, refused.response.status_code), "WebSocket")
        except (OSError, InvalidHandshake, ConnectionClosed):
            self._tally.unavailable += 1

    async def _post(self, path: str, body: bytes = b"") -> Response:
        headers = [
            (b"origin", self._site.url.encode()),
            (b"sec-fetch-site", b"same-origin"),
            (b"accept", b"application/json"),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ]
        return await self._send("POST", path, headers, body)

    async def _send(
        self, method: str, path: str, headers: Headers | None = None, body: bytes = b""
    ) -> Response:
        sent = [*self._jar.headers, *(headers or [])]
        response = await self._site.balancer.send(method, path, sent, body)
        self._tally.requests += 1
        self._jar.receive(response.set_cookies)
        for name in ("DS", "DSR"):
            if token := response.written.get(name):
                self._check_user(_subject(token))
        return response

    def _check_user(self, user: str) -> None:
        if user != self._member.user_id:
            self._note(Violation.FOREIGN, f"{user} instead of {self._member.user_id}")

    def _check_identity(self, user: str, tenant: str) -> None:
        self._check_user(user)
        if tenant not in self._tenants:
            self._note(Violation.LOST, f"{tenant} instead of {sorted(self._tenants)}")

    def _expect_unavailable(self, response: Response, action: str) -> None:
        if response.status in _UNAVAILABLE and not response.clears:
            self._tally.unavailable += 1
        else:
            self._note(Violation.UNEXPECTED, f"{action}: {response.status}")

    def _lose_session(self, response: Response) -> None:
        if self._is_signed_in:  # one tab of several finds out first
            self._note(Violation.LOGGED_OUT, f"{self._member.login_id}: {response.status}")
        self._jar, self._is_signed_in = StandardJar(self._site.url + "/"), False

    def _note(self, violation: Violation, text: str) -> None:
        self._tally.violations[violation] += 1
        fault = self._site.state() or "none"
        self._tally.notes.append(f"{violation.name.lower()}: {text} (fault: {fault})")


def _subject(token: str) -> str:
    """Return the subject of a token, without verification."""
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return str(claims["sub"])
