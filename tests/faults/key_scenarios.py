"""What happens as Descope changes its keys: fault scenario F9."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from fastapi_descope.emulator import DEFAULT_PROJECT_ID
from tests.helpers.tampering import Forge

from .browsers import Answer, Browser
from .observer import Observer, Report
from .rig import Rig, Scale
from .upstream import DEAD, Guest

__all__ = ["key_rotation"]

_OK, _REFUSED, _LATER = 200, 401, 503
_ALL_DAY = 36_000
_BETWEEN_LOOKS = 31.0
"""An unknown key has the set fetched again, half a minute apart at the least (JW-02)."""
_FRESH = 601.0
"""No set is taken for fresh any longer (JW-13)."""
_FOREVER = 100_000


async def key_rotation(rig: Rig, scale: Scale) -> Report:
    """F9. Keys overlap, change at once, change while nobody can fetch them, and change under an old name.

    In the first three, whoever signed in under the key of the moment asks for pages all the time.
    """
    observer = await Observer.watching(rig, "F9", "keys: overlapping, abrupt, endpoint down, same kid")
    traffic = _Traffic(3 if scale is Scale.SHORT else 200)
    everybody: list[Browser] = []
    old = await rig.upstream.issue(5, session_seconds=_ALL_DAY)
    for play in (_overlapping, partial(_abrupt, old), _unreachable):
        regulars = await rig.browsers(10 if scale is Scale.SHORT else 40, session_seconds=_ALL_DAY)
        async with traffic.of(regulars):
            everybody += [*regulars, *await play(rig, observer)]
    observer.expect(traffic.statuses == {_OK}, f"regulars got {traffic.statuses}")
    everybody.append(await _same_kid(rig, observer))
    return await observer.report(everybody, calls_per_family=2, measured=f"{traffic.rate:.0f} pages/s")


@dataclass
class _Traffic:
    """Browsers that ask for one page after the other, each ``least`` times or more."""

    least: int
    statuses: set[int] = field(default_factory=set[int])
    asked: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Pages in a second."""
        return self.asked / self.seconds

    @asynccontextmanager
    async def of(self, browsers: Iterable[Browser]) -> AsyncGenerator[None]:
        """Ask for as long as the block takes."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        begun = loop.time()
        readers = [asyncio.create_task(self._read(browser, over)) for browser in browsers]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*readers)
            self.seconds += loop.time() - begun

    async def _read(self, browser: Browser, over: asyncio.Event) -> None:
        pages = 0
        while pages < self.least or not over.is_set():
            self.statuses.add((await browser.get()).status)
            pages += 1
        self.asked += pages


async def _visit(browsers: Iterable[Browser]) -> list[Answer]:
    return await asyncio.gather(*(browser.get() for browser in browsers))


async def _fetches(rig: Rig) -> int:
    return (await rig.upstream.counts()).endpoints.get("keys", 0)


async def _overlapping(rig: Rig, observer: Observer) -> Sequence[Browser]:
    """From A to A and B: whoever signs in under B is let in at once, and so is everybody else (JW-01)."""
    await rig.pass_time(_BETWEEN_LOOKS)
    await rig.upstream.rotate_keys(keep_old=True)
    newcomers = [
        *await rig.browsers(10, session_seconds=_ALL_DAY),
        *await rig.browsers(5, session_seconds=DEAD),
    ]
    before = await _fetches(rig)
    statuses = {answer.status for answer in await _visit(newcomers)}
    fetches = await _fetches(rig) - before
    observer.expect(statuses == {_OK}, f"overlap: newcomers got {statuses}")
    # None, if the set was due for renewal anyway.
    observer.expect(fetches <= 1, f"overlap: {fetches} fetches of the keys")
    return newcomers


async def _abrupt(old: Sequence[Guest], rig: Rig, observer: Observer) -> Sequence[Browser]:
    """From A and B to B alone: a session under A whose refresh token is under B is renewed.

    A refresh token under A is worth nothing at Descope either.
    """
    await rig.upstream.project(rotate_refresh=True)
    newer = [(await rig.upstream.renewed(guest.refresh))["refreshJwt"] for guest in old]
    await rig.upstream.project(rotate_refresh=False)
    behind = [Browser(replace(g, refresh=text), rig.line) for g, text in zip(old, newer, strict=True)]
    observer.expect(
        {answer.status for answer in await _visit(behind)} == {_OK}, "abrupt: A was gone too soon"
    )
    await rig.upstream.drop_old_keys()
    await rig.pass_time(_FRESH)

    async def is_known() -> bool:
        return bool((await behind[0].get()).written.get("DS"))

    await observer.expect_soon(is_known, "abrupt: a session under the old key was not renewed")
    answers = await _visit(behind[1:])
    renewed = all(answer.status == _OK and answer.written.get("DS") for answer in answers)
    observer.expect(renewed, f"abrupt: {[answer.status for answer in answers]}")
    return behind


async def _unreachable(rig: Rig, observer: Observer) -> Sequence[Browser]:
    """A new key while no set can be had: "later" to whoever has a token under it, and nobody else notices."""
    await rig.pass_time(_BETWEEN_LOOKS)
    dead = await rig.browsers(5, session_seconds=DEAD)
    await rig.upstream.fault("keys", times=_FOREVER, status=503)
    await rig.upstream.rotate_keys(keep_old=True)
    newcomers = [*dead, *await rig.browsers(10, session_seconds=_ALL_DAY)]
    answers = await _visit(newcomers)
    kept = all(answer.status == _LATER and not answer.set_cookies for answer in answers)
    observer.expect(kept, f"keys down: newcomers got {[answer.status for answer in answers]}")
    await rig.heal()
    statuses = {answer.status for answer in await _visit(newcomers)}
    observer.expect(statuses == {_OK}, f"keys back: newcomers got {statuses}")
    calls = (await rig.upstream.counts()).users
    observer.expect(all(calls[b.guest.user] == 1 for b in dead), "a pair without keys was thrown away")
    return newcomers


async def _same_kid(rig: Rig, observer: Observer) -> Browser:
    """Another key under the name of the one before: believed once the set is fetched again, not sooner."""
    browser, forge = await rig.browser(session_seconds=_ALL_DAY), Forge()
    await browser.get()
    kid = json.loads(await rig.upstream.key_set())["keys"][0]["kid"]
    member = forge.jwk("S", kid=kid)
    await rig.upstream.fault("keys", json.dumps({"keys": [member]}).encode(), times=_FOREVER)
    token = _signed(forge, browser, kid, int(rig.clock()))

    async def is_believed() -> bool:
        return (await browser.bearer(token)).status == _OK

    async def is_doubted() -> bool:
        return not await is_believed()

    observer.expect(await is_doubted(), "same kid: believed before anybody could know")
    await rig.pass_time(_FRESH)
    await observer.expect_soon(is_believed, "same kid: the new key is never believed")
    answer = await browser.get()
    observer.expect(
        answer.status == _REFUSED and not answer.set_cookies, "same kid: the old key still counts"
    )
    await rig.upstream.clear()
    await rig.pass_time(_FRESH)
    await observer.expect_soon(is_doubted, "same kid: the first key never came back")
    return browser


def _signed(forge: Forge, browser: Browser, kid: str, now: int) -> str:
    guest = browser.guest
    claims = forge.claims(
        iss=DEFAULT_PROJECT_ID,
        sub=guest.user,
        dct=guest.tenant,
        tenants={guest.tenant: {"roles": [], "permissions": []}},
        iat=now,
        exp=now + _ALL_DAY,
    )
    return forge.token(claims, header={"alg": "RS256", "kid": kid, "typ": "JWT"}, key="S")
