"""Key rotation at Descope: fault scenario F9."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from fastapi_descope.emulator import DEFAULT_PROJECT_ID
from tests.helpers.tampering import Forge

from .browsers import Browser, Response
from .checker import Checker, Report
from .testbed import Scale, Testbed
from .upstream import EXPIRED, SignedInUser

__all__ = ["key_rotation"]

_OK, _UNAUTHORIZED, _UNAVAILABLE = 200, 401, 503
_ALL_DAY = 36_000
_REFETCH_SECONDS = 31.0
"""An unknown key id triggers a fetch of the JWKS at most every 30 seconds (JW-02)."""
_EXPIRY_SECONDS = 601.0
"""A cached JWKS is not used for longer without a new fetch (JW-13)."""
_FOREVER = 100_000


async def key_rotation(testbed: Testbed, scale: Scale) -> Report:
    """F9. Keys overlap, change at once, change while the endpoint is down, and change under the same kid.

    During the first three, browsers with sessions of the current key send requests all the time.
    """
    checker = await Checker.start(testbed, "F9", "keys: overlapping, abrupt, endpoint down, same kid")
    traffic = _Traffic(3 if scale is Scale.SHORT else 200)
    all_browsers: list[Browser] = []
    old = await testbed.upstream.issue(5, session_seconds=_ALL_DAY)
    for change in (_overlapping, partial(_abrupt, old), _unreachable):
        signed_in = await testbed.browsers(10 if scale is Scale.SHORT else 40, session_seconds=_ALL_DAY)
        async with traffic.of(signed_in):
            all_browsers += [*signed_in, *await change(testbed, checker)]
    checker.expect(traffic.statuses == {_OK}, f"signed-in browsers got {traffic.statuses}")
    all_browsers.append(await _same_kid(testbed, checker))
    return await checker.report(all_browsers, calls_per_family=2, measured=f"{traffic.rate:.0f} requests/s")


@dataclass
class _Traffic:
    """Browsers that send requests one after the other, each at least ``least``."""

    least: int
    statuses: set[int] = field(default_factory=set[int])
    requests: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @asynccontextmanager
    async def of(self, browsers: Iterable[Browser]) -> AsyncGenerator[None]:
        """Send requests during the block."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        started = loop.time()
        tasks = [asyncio.create_task(self._send(browser, done)) for browser in browsers]
        try:
            yield
        finally:
            done.set()
            await asyncio.gather(*tasks)
            self.seconds += loop.time() - started

    async def _send(self, browser: Browser, done: asyncio.Event) -> None:
        count = 0
        while count < self.least or not done.is_set():
            self.statuses.add((await browser.get()).status)
            count += 1
        self.requests += count


async def _visit(browsers: Iterable[Browser]) -> list[Response]:
    return await asyncio.gather(*(browser.get() for browser in browsers))


async def _fetches(testbed: Testbed) -> int:
    return (await testbed.upstream.counts()).endpoints.get("keys", 0)


async def _overlapping(testbed: Testbed, checker: Checker) -> Sequence[Browser]:
    """From key A to A and B: sessions of both keys are accepted at once (JW-01)."""
    await testbed.pass_time(_REFETCH_SECONDS)
    await testbed.upstream.rotate_keys(keep_old=True)
    new_browsers = [
        *await testbed.browsers(10, session_seconds=_ALL_DAY),
        *await testbed.browsers(5, session_seconds=EXPIRED),
    ]
    before = await _fetches(testbed)
    statuses = {response.status for response in await _visit(new_browsers)}
    fetches = await _fetches(testbed) - before
    checker.expect(statuses == {_OK}, f"overlap: new sessions got {statuses}")
    # 0 if the set was fetched recently.
    checker.expect(fetches <= 1, f"overlap: {fetches} fetches of the keys")
    return new_browsers


async def _abrupt(old: Sequence[SignedInUser], testbed: Testbed, checker: Checker) -> Sequence[Browser]:
    """From keys A and B to B alone: a session of key A with a refresh token of key B is refreshed.

    Descope does not accept a refresh token of key A either.
    """
    await testbed.upstream.project(rotate_refresh=True)
    refresh_tokens = [(await testbed.upstream.refreshed(user.refresh))["refreshJwt"] for user in old]
    await testbed.upstream.project(rotate_refresh=False)
    old_sessions = [
        Browser(replace(g, refresh=text), testbed.client) for g, text in zip(old, refresh_tokens, strict=True)
    ]
    checker.expect(
        {response.status for response in await _visit(old_sessions)} == {_OK},
        "abrupt: key A was removed too soon",
    )
    await testbed.upstream.drop_old_keys()
    await testbed.pass_time(_EXPIRY_SECONDS)

    async def is_refreshed() -> bool:
        return bool((await old_sessions[0].get()).written.get("DS"))

    await checker.expect_soon(is_refreshed, "abrupt: a session of the old key was not refreshed")
    responses = await _visit(old_sessions[1:])
    renewed = all(response.status == _OK and response.written.get("DS") for response in responses)
    checker.expect(renewed, f"abrupt: {[response.status for response in responses]}")
    return old_sessions


async def _unreachable(testbed: Testbed, checker: Checker) -> Sequence[Browser]:
    """A new key while the JWKS cannot be fetched: 503 for its tokens only."""
    await testbed.pass_time(_REFETCH_SECONDS)
    expired = await testbed.browsers(5, session_seconds=EXPIRED)
    await testbed.upstream.fault("keys", times=_FOREVER, status=503)
    await testbed.upstream.rotate_keys(keep_old=True)
    new_browsers = [*expired, *await testbed.browsers(10, session_seconds=_ALL_DAY)]
    responses = await _visit(new_browsers)
    kept = all(response.status == _UNAVAILABLE and not response.set_cookies for response in responses)
    checker.expect(kept, f"keys down: new sessions got {[response.status for response in responses]}")
    await testbed.recover()
    statuses = {response.status for response in await _visit(new_browsers)}
    checker.expect(statuses == {_OK}, f"keys back: new sessions got {statuses}")
    calls = (await testbed.upstream.counts()).users
    checker.expect(
        all(calls[b.user.user_id] == 1 for b in expired), "a pair was lost because the keys were unavailable"
    )
    return new_browsers


async def _same_kid(testbed: Testbed, checker: Checker) -> Browser:
    """A new key with the kid of the old one: accepted after the JWKS is fetched again, not sooner."""
    browser, forge = await testbed.browser(session_seconds=_ALL_DAY), Forge()
    await browser.get()
    kid = json.loads(await testbed.upstream.key_set())["keys"][0]["kid"]
    member = forge.jwk("S", kid=kid)
    await testbed.upstream.fault("keys", json.dumps({"keys": [member]}).encode(), times=_FOREVER)
    token = _signed(forge, browser, kid, int(testbed.clock()))

    async def is_accepted() -> bool:
        return (await browser.bearer(token)).status == _OK

    async def is_rejected() -> bool:
        return not await is_accepted()

    checker.expect(await is_rejected(), "same kid: accepted before the JWKS was fetched")
    await testbed.pass_time(_EXPIRY_SECONDS)
    await checker.expect_soon(is_accepted, "same kid: the new key is never accepted")
    response = await browser.get()
    checker.expect(
        response.status == _UNAUTHORIZED and not response.set_cookies,
        "same kid: the old key is still accepted",
    )
    await testbed.upstream.clear()
    await testbed.pass_time(_EXPIRY_SECONDS)
    await checker.expect_soon(is_rejected, "same kid: the first key is not accepted again")
    return browser


def _signed(forge: Forge, browser: Browser, kid: str, now: int) -> str:
    user = browser.user
    claims = forge.claims(
        iss=DEFAULT_PROJECT_ID,
        sub=user.user_id,
        dct=user.tenant,
        tenants={user.tenant: {"roles": [], "permissions": []}},
        iat=now,
        exp=now + _ALL_DAY,
    )
    return forge.token(claims, header={"alg": "RS256", "kid": kid, "typ": "JWT"}, key="S")
