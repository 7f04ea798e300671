"""What Descope may do to the app: fault scenarios F1 to F5 and F13.

Each is told in the app's own time: ten minutes of outage are a jump of the clock.
"""

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import quantiles

from .browsers import Answer, Browser
from .observer import Observer, Report
from .rig import Rig, Scale, Setup
from .upstream import DEAD, FaultOptions

__all__ = ["IMPATIENT", "flapping", "garbage", "many_tabs", "outage", "rate_limits", "slowness"]

IMPATIENT = Setup(variables={"DESCOPE_UPSTREAM_TIMEOUT": "2"})
"""A rig that gives Descope two seconds."""

_OK, _ENDED, _LATER = 200, 401, 503
_BREAKS_AFTER = 5
"""Failures in a row after which Descope is left alone (RF-09)."""
_LONGEST_OPEN = 31.0
_FOREVER = 100_000
_PASS: FaultOptions = {"delay": 1e-9}
"""No fault at all, but one that takes the place of one in the queue."""


async def _visit(browsers: Iterable[Browser]) -> list[Answer]:
    return await asyncio.gather(*(browser.get() for browser in browsers))


async def _is_let_in(browser: Browser) -> bool:
    return (await browser.get()).status == _OK


def _is_kept(answer: Answer) -> bool:
    """Whether an answer says "later" as it should: when to come back, and not a word about cookies."""
    later = answer.header("retry-after") or ""
    return answer.status == _LATER and 1 <= int(later or 0) <= 60 and not answer.set_cookies


async def outage(rig: Rig, scale: Scale) -> Report:
    """F1. First nobody takes connections, then somebody answers 503; sessions last five minutes.

    Three are revoked meanwhile: the outage is no reason to let them in, and none to keep them out before
    anybody could know.
    """
    observer = await Observer.watching(rig, "F1", "outage: Descope is down for 10 min, sessions last 5 min")
    people = 20 if scale is Scale.SHORT else 200
    await rig.upstream.project(session_seconds=300)
    live = await rig.browsers(people)
    dead = await rig.browsers(people, session_seconds=DEAD)
    await _visit(live)

    await rig.upstream.relay.cut()
    await rig.pass_time(30)
    for minute in range(5):
        observer.expect(
            all(answer.status == _OK for answer in await _visit(live)),
            f"a live session was not let in {minute} min after Descope had gone",
        )
        observer.expect(all(map(_is_kept, await _visit(dead))), "a dead session got more than a 503")
        await rig.pass_time(60)
    for browser in dead[:3]:
        await observer.revoke(browser)
    await rig.upstream.fault("*", times=_FOREVER, status=503)
    await rig.upstream.relay.mend()
    quickest = [await _open_round(rig, observer, live + dead) for _ in range(4)]

    await rig.heal()
    # The first trial may be for the keys, and this browser's the next.
    await observer.expect_soon(lambda: _is_let_in(live[0]), "no recovery after the longest pause")
    observer.expect(
        all(answer.status == _OK for answer in await _visit(live + dead[3:])), "somebody was not let in again"
    )
    observer.expect(
        all(answer.status == _ENDED and answer.clears for answer in await _visit(dead[:3])),
        "a revoked session was not ended",
    )
    measured = f"503 in {1000 * max(quickest):.0f} ms at most"
    return await observer.report(live + dead, calls_per_family=6, measured=measured)


async def _open_round(rig: Rig, observer: Observer, browsers: Sequence[Browser]) -> float:
    """A minute of an outage: once it is known, nobody waits and nothing is sent. The longest wait then."""
    await _visit_in_turn(browsers[: _BREAKS_AFTER + 1])
    before = await rig.upstream.counts()
    answers = await _visit_in_turn(browsers)
    after = await rig.upstream.counts()
    observer.expect(all(map(_is_kept, answers)), "a dead session got more than a 503")
    observer.expect(after.refreshes == before.refreshes, "Descope was called though known to be down")
    await rig.pass_time(60)
    return max(answer.seconds for answer in answers)


async def _visit_in_turn(browsers: Iterable[Browser]) -> list[Answer]:
    return [await browser.get() for browser in browsers]


async def slowness(rig: Rig, scale: Scale) -> Report:
    """F2. Almost too slow is served; too slow, and byte by byte, is a 503; nobody else waits for any of it.

    Wants an ``IMPATIENT`` rig for the short run, and for the long one the default, which is 5 seconds.
    """
    quick, slow = (1.0, 3.0) if scale is Scale.SHORT else (4.9, 5.1)
    observer = await Observer.watching(rig, "F2", f"slow: {quick} s works, {slow} s and a drip do not")
    live = await rig.browsers(10)
    patient, unlucky, held = [await rig.browsers(n, session_seconds=DEAD) for n in (10, 4, 15)]
    await _pages(live, scale)

    await rig.upstream.fault("refresh", times=len(patient), delay=quick)
    begun = asyncio.get_running_loop().time()
    statuses = {answer.status for answer in await _visit(patient)}
    took = asyncio.get_running_loop().time() - begun
    observer.expect(statuses == {_OK}, f"an answer that was in time led to {statuses} after {took:.1f} s")
    await rig.upstream.fault("refresh", times=2, delay=slow)
    await rig.upstream.fault("refresh", times=2, drip=0.4)
    observer.expect(all(map(_is_kept, await _visit(unlucky))), "an answer that was too late was not a 503")
    await rig.heal()

    await rig.upstream.fault("refresh", times=len(held), hold=True)
    waiting = [asyncio.create_task(browser.get()) for browser in held]
    await rig.upstream.arrived(len(held))
    other = await rig.browser(session_seconds=DEAD)
    observer.expect((await other.get()).status == _OK, "a slow refresh kept another user waiting")
    busy = await _pages(live, scale)
    await rig.upstream.release()
    observer.expect(
        {answer.status for answer in await asyncio.gather(*waiting)} <= {_OK, _LATER}, "a held call was lost"
    )
    lag = max(vitals.lag for vitals in (await rig.app.vitals()).values())
    calm = await _pages(live, scale)
    measured = f"p99 of live {busy:.1f} ms, else {calm:.1f} ms; loop blocked {1000 * lag:.0f} ms at most"
    return await observer.report(
        [*live, *patient, *unlucky, *held, other], calls_per_family=1, measured=measured
    )


async def _pages(browsers: Sequence[Browser], scale: Scale) -> float:
    """The 99th percentile of answers to live sessions, in milliseconds."""
    rounds = 5 if scale is Scale.SHORT else 100
    seconds = [answer.seconds for _ in range(rounds) for answer in await _visit_in_turn(browsers)]
    return 1000 * quantiles(seconds, n=100)[-1]


async def flapping(rig: Rig, scale: Scale) -> Report:
    """F3. Every other refresh fails, in one of four ways, while sessions last six seconds."""
    workers = rig.setup.workers
    thrown = f"flapping: 50 % of refreshes fail for 30 s, {_workers(workers)}"
    observer = await Observer.watching(rig, "F3", thrown)
    people, seconds = (10, 30) if scale is Scale.SHORT else (100, 30)
    await rig.upstream.project(session_seconds=6)
    browsers = await rig.browsers(people, session_seconds=DEAD)
    await _flap(rig, people * seconds)
    statuses = Counter[int]()
    for _ in range(seconds):
        # Two tabs each, which share a call, unless two workers that share nothing serve them.
        statuses.update(answer.status for answer in await _visit(browsers + browsers))
        await rig.pass_time(1)
    observer.expect(set(statuses) == {_OK, _LATER}, f"answers were {statuses}")
    served = f"{100 * statuses[_OK] / statuses.total():.0f} % of requests served"
    return await observer.report(browsers, calls_per_family=seconds * min(workers, 2), measured=served)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


async def _flap(rig: Rig, calls: int) -> None:
    chance = random.Random(3)  # noqa: S311 - the same for every run
    failures: list[FaultOptions] = [{"status": 500}, {"status": 502}, {"status": 503}, {"cut": "reset"}]
    rows = [chance.choice(failures) if chance.random() < 0.5 else _PASS for _ in range(calls)]
    await rig.upstream.faults("refresh", rows)


_HTML = b"<!doctype html><title>Bad gateway</title>"
_PAUSE_SECONDS = 5.1
"""For so long, less a little, an answer without a verdict keeps its session from asking again."""

_BOMB = gzip.compress(b"0" * 50_000_000)

_GARBAGE: dict[str, tuple[bytes | None, FaultOptions]] = {
    "HTML 200": (_HTML, {"status": 200, "headers": {"content-type": "text/html"}}),
    "HTML 401": (_HTML, {"status": 401, "headers": {"content-type": "text/html"}}),
    "HTML 403": (_HTML, {"status": 403}),
    "empty 401": (b"", {"status": 401}),
    "unsigned 401": (b'{"error": "no"}', {"status": 401}),
    "empty object": (b"{}", {}),
    "list": (b"[]", {}),
    "truncated": (b'{"sessionJwt": "eyJhbGciOiJSUzI1NiJ9.e30', {}),
    "byte order mark": (b'\xef\xbb\xbf{"sessionJwt": ""}', {}),
    "token of a wrong kind": (b'{"sessionJwt": 7, "refreshJwt": null}', {}),
    "compressed bomb": (_BOMB, {"headers": {"content-encoding": "gzip"}}),
    "redirect": (b"", {"status": 302, "headers": {"location": "http://127.0.0.1:9/"}}),
    "cookie": (b"{}", {"headers": {"set-cookie": "DS=a.b.c; Path=/"}}),
    "reset": (None, {"cut": "reset"}),
    "half a body": (None, {"cut": "close"}),
}
"""Answers to a refresh that are no answer of Descope's, beside those that need a person's tokens."""


async def garbage(rig: Rig, scale: Scale) -> Report:
    """F4. A dead session gets a 503 and keeps its cookies, a live one goes on; soon both are well again."""
    thrown = f"garbage: {len(_GARBAGE) + 2} answers that are none"
    observer = await Observer.watching(rig, "F4", thrown)
    everybody: list[Browser] = []
    size = 5_000_000 if scale is Scale.SHORT else 300_000_000
    stranger = await rig.browser(session_seconds=DEAD)
    others = {"sessionJwt": stranger.guest.session, "refreshJwt": stranger.guest.refresh}
    rows = dict(_GARBAGE)
    rows["another user's tokens"] = (json.dumps(await _renewed(rig, others)).encode(), {})
    for name, (body, options) in rows.items():
        everybody += await _garbage_row(rig, observer, name, body, options)
    everybody += await _oversize(rig, observer, size)
    everybody.append(await _wrong_content_type(rig, observer))
    return await observer.report([*everybody, stranger], calls_per_family=2)


async def _renewed(rig: Rig, tokens: dict[str, str]) -> dict[str, str]:
    """The same pair with a session that lives: whose it is, is all that is wrong with it."""
    answer = await rig.upstream.renewed(tokens["refreshJwt"])
    return tokens | {"sessionJwt": answer["sessionJwt"]}


async def _nearly_dead(rig: Rig) -> Browser:
    """A browser whose session lives, and is due for a refresh beside its next request."""
    now = int(rig.clock())
    return await rig.browser(iat=now - 560, exp=now + 40)


async def _garbage_row(
    rig: Rig, observer: Observer, name: str, body: bytes | None, options: FaultOptions
) -> list[Browser]:
    dead, live = await rig.browser(session_seconds=DEAD), await _nearly_dead(rig)
    for browser in (dead, live):
        await rig.upstream.fault("refresh", body, **options)
        answer = await browser.get()
        fine = _is_kept(answer) if browser is dead else answer.status == _OK and not answer.set_cookies
        observer.expect(fine, f"{name}: {answer.status} with {len(answer.set_cookies)} cookies")
        await rig.pass_time(_PAUSE_SECONDS)
        again = await browser.get()
        observer.expect(again.status == _OK and bool(again.written.get("DS")), f"{name}: then {again.status}")
    return [dead, live]


async def _oversize(rig: Rig, observer: Observer, size: int) -> list[Browser]:
    """An answer without end is not read to its end."""
    browser = await rig.browser(session_seconds=DEAD)
    await rig.upstream.flood(size)
    observer.expect(_is_kept(await browser.get()), "oversize: not a 503")
    await rig.pass_time(_PAUSE_SECONDS)
    observer.expect((await browser.get()).status == _OK, "oversize: not well again")
    return [browser]


async def _wrong_content_type(rig: Rig, observer: Observer) -> Browser:
    """Good tokens are good whatever their wrapping says of itself."""
    browser = await rig.browser(session_seconds=DEAD)
    answer = await rig.upstream.renewed(browser.guest.refresh)
    headers = {"content-type": "text/html; charset=utf-16"}
    await rig.upstream.fault("refresh", json.dumps(answer).encode(), headers=headers)
    observer.expect((await browser.get()).status == _OK, "wrong content type: not let in")
    return browser


_WAITS: dict[str | None, int] = {
    "3": 3,
    "Wed, 21 Oct 2099 07:28:00 GMT": 5,
    "-1": 5,
    "1000000000": 60,
    None: 5,
    "x": 5,
    "0": 1,
}
"""What Descope may say of when to come back, and for how many seconds it is left alone."""


async def rate_limits(rig: Rig, scale: Scale) -> Report:
    """F5. A 429 is a pause of one to sixty seconds, in which nothing is sent, for whoever met it.

    Where the next one meets it too, it is for everybody (RF-09).
    """
    del scale
    observer = await Observer.watching(rig, "F5", f"429: Retry-After in {len(_WAITS)} spellings")
    everybody: list[Browser] = []
    for spelt, seconds in _WAITS.items():
        met, other = await rig.browsers(2, session_seconds=DEAD)
        everybody += [met, other]
        limit: FaultOptions = {"status": 429} if spelt is None else {"status": 429, "retry_after": spelt}
        await rig.upstream.fault("refresh", **limit)
        first = await met.get()
        observer.expect(_is_kept(first), f"Retry-After {spelt}: answered {first.status}")
        observer.expect(
            first.header("retry-after") == str(seconds), f"{spelt} was told as {first.header('retry-after')}"
        )
        observer.expect((await other.get()).status == _OK, f"{spelt}: another user was paused too")
        await rig.pass_time(seconds - 0.9)
        observer.expect(_is_kept(await met.get()), f"{spelt}: no pause")
        calls = (await rig.upstream.counts()).users[met.guest.user]
        observer.expect(calls == 1, f"{spelt}: {calls} calls during the pause")
        await rig.pass_time(1.5)
        observer.expect((await met.get()).status == _OK, f"{spelt}: still paused after {seconds} s")
    everybody += await _limit_for_all(rig, observer)
    return await observer.report(everybody, calls_per_family=2)


async def _limit_for_all(rig: Rig, observer: Observer) -> list[Browser]:
    """Two who meet a 429 in a row, and nobody is answered in between: then it is not about one user."""
    first, second, third = await rig.browsers(3, session_seconds=DEAD)
    await rig.upstream.fault("refresh", times=2, status=429, retry_after=20)
    before = (await rig.upstream.counts()).refreshes
    answers = await _visit_in_turn((first, second, third))
    calls = (await rig.upstream.counts()).refreshes - before
    observer.expect(all(map(_is_kept, answers)), "a limit for all: not everybody was told to wait")
    observer.expect(calls == 2, f"a limit for all: {calls} calls")
    await rig.pass_time(21)
    statuses = {answer.status for answer in await _visit_in_turn((first, second, third))}
    observer.expect(statuses == {_OK}, f"a limit for all: {statuses} after it")
    return [first, second, third]


async def many_tabs(rig: Rig, scale: Scale) -> Report:
    """F13. Fifty tabs come back with a session that is over; answers arrive in any order, some never.

    Refresh tokens rotate. One process refreshes once, with no grace upstream; several that share nothing
    once each at most, and need one (RF-03).
    """
    workers = rig.setup.workers
    thrown = f"tabs: 50 at once, out of order, some lost, {_workers(workers)}"
    observer = await Observer.watching(rig, "F13", thrown)
    await rig.upstream.project(rotate_refresh=True, reuse_grace=0 if workers == 1 else 30)
    rounds = 4 if scale is Scale.SHORT else 100
    browsers = await rig.browsers(rounds, session_seconds=DEAD)
    for number, browser in enumerate(browsers):
        answers = list(await asyncio.gather(*(browser.send() for _ in range(50))))
        statuses = {answer.status for answer in answers}
        observer.expect(statuses == {_OK}, f"tabs were answered {statuses}")
        chance = random.Random(number)  # noqa: S311 - the same for every run
        chance.shuffle(answers)
        for answer in answers[: chance.choice((0, 1, 25, 50))]:
            browser.receive(answer)
        observer.expect((await browser.get()).status == _OK, "the jar is no good after that")
        observer.expect(await rig.upstream.is_valid(browser.cookies["DSR"]), "the jar holds a spent token")
    return await observer.report(browsers, calls_per_family=workers)
