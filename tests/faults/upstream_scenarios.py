"""Faults of Descope: fault scenarios F1 to F5 and F13.

They run in the app's own time: ten minutes of outage are a step of its clock.
"""

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import quantiles

from .browsers import Browser, Response
from .checker import Checker, Report
from .testbed import Scale, Testbed, TestbedConfig
from .upstream import EXPIRED, FaultOptions

__all__ = [
    "SHORT_TIMEOUT",
    "flapping",
    "invalid_responses",
    "many_tabs",
    "outage",
    "rate_limits",
    "slow_responses",
]

SHORT_TIMEOUT = TestbedConfig(variables={"DESCOPE_UPSTREAM_TIMEOUT": "2"})
"""A testbed whose timeout for Descope is two seconds."""

_OK, _UNAUTHORIZED, _UNAVAILABLE = 200, 401, 503
_BREAKER_FAILURES = 5
"""Consecutive failures that open the circuit breaker (RF-09)."""
_LONGEST_OPEN = 31.0
_FOREVER = 100_000
_PASS: FaultOptions = {"delay": 1e-9}
"""An entry in the queue of faults without a fault."""


async def _visit(browsers: Iterable[Browser]) -> list[Response]:
    return await asyncio.gather(*(browser.get() for browser in browsers))


async def _succeeds(browser: Browser) -> bool:
    return (await browser.get()).status == _OK


def _is_unavailable(response: Response) -> bool:
    """Return whether a response is a 503 with a Retry-After and without Set-Cookie."""
    retry_after = response.header("retry-after") or ""
    return response.status == _UNAVAILABLE and 1 <= int(retry_after or 0) <= 60 and not response.set_cookies


async def outage(testbed: Testbed, scale: Scale) -> Report:
    """F1. Descope refuses connections, then sends 503; sessions last five minutes.

    Three sessions are revoked during the outage. They get a 503 until Descope is available again.
    """
    checker = await Checker.start(testbed, "F1", "outage: Descope is down for 10 min, sessions last 5 min")
    count = 20 if scale is Scale.SHORT else 200
    await testbed.upstream.project(session_seconds=300)
    live = await testbed.browsers(count)
    expired = await testbed.browsers(count, session_seconds=EXPIRED)
    await _visit(live)

    await testbed.upstream.proxy.cut()
    await testbed.pass_time(30)
    for minute in range(5):
        checker.expect_ok(
            await _visit(live),
            f"a live session failed {minute} min after the start of the outage",
        )
        checker.expect(
            all(map(_is_unavailable, await _visit(expired))), "an expired session did not get a 503"
        )
        await testbed.pass_time(60)
    for browser in expired[:3]:
        await checker.revoke(browser)
    await testbed.upstream.fault("*", times=_FOREVER, status=503)
    await testbed.upstream.proxy.restore()
    slowest = [await _open_round(testbed, checker, live + expired) for _ in range(4)]

    await testbed.recover()
    # The first probe may be a fetch of the keys, and this request the next.
    await checker.expect_soon(lambda: _succeeds(live[0]), "no recovery after the longest delay")
    checker.expect_ok(
        await _visit(live + expired[3:]),
        "a request failed after the outage",
    )
    checker.expect(
        all(response.status == _UNAUTHORIZED and response.clears for response in await _visit(expired[:3])),
        "a revoked session did not end",
    )
    measured = f"503 within {1000 * max(slowest):.0f} ms"
    return await checker.report(live + expired, calls_per_family=6, measured=measured)


async def _open_round(testbed: Testbed, checker: Checker, browsers: Sequence[Browser]) -> float:
    """Check one minute of an outage: with an open breaker nothing is sent. Return the longest duration."""
    await _visit_in_turn(browsers[: _BREAKER_FAILURES + 1])
    before = await testbed.upstream.counts()
    responses = await _visit_in_turn(browsers)
    after = await testbed.upstream.counts()
    checker.expect(all(map(_is_unavailable, responses)), "an expired session did not get a 503")
    checker.expect(after.refreshes == before.refreshes, "Descope was called although the breaker was open")
    await testbed.pass_time(60)
    return max(response.seconds for response in responses)


async def _visit_in_turn(browsers: Iterable[Browser]) -> list[Response]:
    return [await browser.get() for browser in browsers]


async def slow_responses(testbed: Testbed, scale: Scale) -> Report:
    """F2. A response within the timeout succeeds; later, or byte by byte, is a 503. No other user waits.

    Needs a ``SHORT_TIMEOUT`` testbed for the short form, and the default of 5 seconds for the long one.
    """
    quick, slow = (1.0, 3.0) if scale is Scale.SHORT else (4.9, 5.1)
    checker = await Checker.start(testbed, "F2", f"slow: {quick} s succeeds; {slow} s and a drip do not")
    live = await testbed.browsers(10)
    in_time, too_late, held = [await testbed.browsers(n, session_seconds=EXPIRED) for n in (10, 4, 15)]
    await _p99(live, scale)

    await testbed.upstream.fault("refresh", times=len(in_time), delay=quick)
    started = asyncio.get_running_loop().time()
    statuses = {response.status for response in await _visit(in_time)}
    took = asyncio.get_running_loop().time() - started
    checker.expect(statuses == {_OK}, f"a response within the timeout led to {statuses} after {took:.1f} s")
    await testbed.upstream.fault("refresh", times=2, delay=slow)
    await testbed.upstream.fault("refresh", times=2, drip=0.4)
    started = asyncio.get_running_loop().time()
    checker.expect(
        all(map(_is_unavailable, await _visit(too_late))),
        "a response after the timeout did not lead to a 503",
    )
    took = asyncio.get_running_loop().time() - started
    checker.expect(took < 2 * slow, f"a drip was given up after {took:.1f} s, not at the timeout")
    await testbed.recover()

    await testbed.upstream.fault("refresh", times=len(held), hold=True)
    waiting = [asyncio.create_task(browser.get()) for browser in held]
    await testbed.upstream.wait_until_held(len(held))
    other = await testbed.browser(session_seconds=EXPIRED)
    checker.expect((await other.get()).status == _OK, "a slow refresh delayed another user")
    busy = await _p99(live, scale)
    await testbed.upstream.release()
    checker.expect(
        {response.status for response in await asyncio.gather(*waiting)} <= {_OK, _UNAVAILABLE},
        "a held call was lost",
    )
    lag = max(stats.lag for stats in (await testbed.app.stats()).values())
    calm = await _p99(live, scale)
    measured = f"p99 of live {busy:.1f} ms, then {calm:.1f} ms; loop blocked for {1000 * lag:.0f} ms"
    return await checker.report(
        [*live, *in_time, *too_late, *held, other], calls_per_family=1, measured=measured
    )


async def _p99(browsers: Sequence[Browser], scale: Scale) -> float:
    """Return the 99th percentile of the duration of requests with live sessions, in milliseconds."""
    rounds = 5 if scale is Scale.SHORT else 100
    seconds = [response.seconds for _ in range(rounds) for response in await _visit_in_turn(browsers)]
    return 1000 * quantiles(seconds, n=100)[-1]


async def flapping(testbed: Testbed, scale: Scale) -> Report:
    """F3. Half of the refreshes fail, in one of four ways, while sessions last six seconds."""
    workers = testbed.config.workers
    fault = f"flapping: 50 % of refreshes fail for 30 s, {_workers(workers)}"
    checker = await Checker.start(testbed, "F3", fault)
    count, seconds = (10, 30) if scale is Scale.SHORT else (100, 30)
    await testbed.upstream.project(session_seconds=6)
    browsers = await testbed.browsers(count, session_seconds=EXPIRED)
    await _flap(testbed, count * seconds)
    statuses = Counter[int]()
    for _ in range(seconds):
        # Two tabs each. They share a call, unless they reach two workers without a shared store.
        statuses.update(response.status for response in await _visit(browsers + browsers))
        await testbed.pass_time(1)
    checker.expect(set(statuses) == {_OK, _UNAVAILABLE}, f"statuses were {statuses}")
    served = f"{100 * statuses[_OK] / statuses.total():.0f} % of requests served"
    return await checker.report(browsers, calls_per_family=seconds * min(workers, 2), measured=served)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


async def _flap(testbed: Testbed, calls: int) -> None:
    chance = random.Random(3)
    failures: list[FaultOptions] = [{"status": 500}, {"status": 502}, {"status": 503}, {"cut": "reset"}]
    rows = [chance.choice(failures) if chance.random() < 0.5 else _PASS for _ in range(calls)]
    await testbed.upstream.faults("refresh", rows)


_HTML = b"<!doctype html><title>Bad gateway</title>"
_BACKOFF_SECONDS = 5.1
"""A little longer than the backoff after a response that is not Descope's."""

_BOMB = gzip.compress(b"0" * 50_000_000)

_INVALID_RESPONSES: dict[str, tuple[bytes | None, FaultOptions]] = {
    "HTML 200": (_HTML, {"status": 200, "headers": {"content-type": "text/html"}}),
    "HTML 401": (_HTML, {"status": 401, "headers": {"content-type": "text/html"}}),
    "HTML 403": (_HTML, {"status": 403}),
    "empty 401": (b"", {"status": 401}),
    "401 without error code": (b'{"error": "no"}', {"status": 401}),
    "empty object": (b"{}", {}),
    "list": (b"[]", {}),
    "truncated": (b'{"sessionJwt": "eyJhbGciOiJSUzI1NiJ9.e30', {}),
    "byte order mark": (b'\xef\xbb\xbf{"sessionJwt": ""}', {}),
    "token of a wrong type": (b'{"sessionJwt": 7, "refreshJwt": null}', {}),
    "compressed bomb": (_BOMB, {"headers": {"content-encoding": "gzip"}}),
    "redirect": (b"", {"status": 302, "headers": {"location": "http://127.0.0.1:9/"}}),
    "cookie": (b"{}", {"headers": {"set-cookie": "DS=a.b.c; Path=/"}}),
    "reset": (None, {"cut": "reset"}),
    "half a body": (None, {"cut": "close"}),
}
"""Invalid responses to a refresh, except those that need a user's tokens."""


async def invalid_responses(testbed: Testbed, scale: Scale) -> Report:
    """F4. An expired session gets a 503 and keeps its cookies, a live one continues; later both succeed."""
    fault = f"invalid responses: {len(_INVALID_RESPONSES) + 2} kinds"
    checker = await Checker.start(testbed, "F4", fault)
    all_browsers: list[Browser] = []
    size = 5_000_000 if scale is Scale.SHORT else 300_000_000
    other = await testbed.browser(session_seconds=EXPIRED)
    others_tokens = {"sessionJwt": other.user.session, "refreshJwt": other.user.refresh}
    rows = dict(_INVALID_RESPONSES)
    rows["another user's tokens"] = (
        json.dumps(await _with_live_session(testbed, others_tokens)).encode(),
        {},
    )
    for name, (body, options) in rows.items():
        all_browsers += await _invalid_response(testbed, checker, name, body, options)
    all_browsers += await _oversize(testbed, checker, size)
    all_browsers.append(await _wrong_content_type(testbed, checker))
    return await checker.report([*all_browsers, other], calls_per_family=2)


async def _with_live_session(testbed: Testbed, tokens: dict[str, str]) -> dict[str, str]:
    """Return the pair with a live session: it is valid, but of another user."""
    response = await testbed.upstream.refreshed(tokens["refreshJwt"])
    return tokens | {"sessionJwt": response["sessionJwt"]}


async def _due_for_refresh(testbed: Testbed) -> Browser:
    """Create a browser whose live session is refreshed concurrently with its next request."""
    now = int(testbed.clock())
    return await testbed.browser(iat=now - 560, exp=now + 40)


async def _invalid_response(
    testbed: Testbed, checker: Checker, name: str, body: bytes | None, options: FaultOptions
) -> list[Browser]:
    expired, live = await testbed.browser(session_seconds=EXPIRED), await _due_for_refresh(testbed)
    for browser in (expired, live):
        await testbed.upstream.fault("refresh", body, **options)
        response = await browser.get()
        valid = (
            _is_unavailable(response)
            if browser is expired
            else response.status == _OK and not response.set_cookies
        )
        checker.expect(valid, f"{name}: {response.status} with {len(response.set_cookies)} cookies")
        await testbed.pass_time(_BACKOFF_SECONDS)
        again = await browser.get()
        checker.expect(again.status == _OK and bool(again.written.get("DS")), f"{name}: then {again.status}")
    return [expired, live]


async def _oversize(testbed: Testbed, checker: Checker, size: int) -> list[Browser]:
    """Send an oversized response, which must not be read completely."""
    browser = await testbed.browser(session_seconds=EXPIRED)
    await testbed.upstream.flood(size)
    checker.expect(_is_unavailable(await browser.get()), "oversize: not a 503")
    await testbed.pass_time(_BACKOFF_SECONDS)
    checker.expect((await browser.get()).status == _OK, "oversize: no recovery")
    return [browser]


async def _wrong_content_type(testbed: Testbed, checker: Checker) -> Browser:
    """Send valid tokens with a wrong content type, which must be ignored."""
    browser = await testbed.browser(session_seconds=EXPIRED)
    response = await testbed.upstream.refreshed(browser.user.refresh)
    headers = {"content-type": "text/html; charset=utf-16"}
    await testbed.upstream.fault("refresh", json.dumps(response).encode(), headers=headers)
    checker.expect((await browser.get()).status == _OK, "wrong content type: rejected")
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
"""Values of Retry-After, and the seconds of backoff that follow."""


async def rate_limits(testbed: Testbed, scale: Scale) -> Report:
    """F5. A 429 causes a backoff of one to sixty seconds for the session that got it.

    If the next session gets one too, the backoff applies to all sessions (RF-09).
    """
    del scale
    checker = await Checker.start(testbed, "F5", f"429: Retry-After in {len(_WAITS)} forms")
    all_browsers: list[Browser] = []
    for value, seconds in _WAITS.items():
        limited, other = await testbed.browsers(2, session_seconds=EXPIRED)
        all_browsers += [limited, other]
        limit: FaultOptions = {"status": 429} if value is None else {"status": 429, "retry_after": value}
        await testbed.upstream.fault("refresh", **limit)
        first = await limited.get()
        checker.expect(_is_unavailable(first), f"Retry-After {value}: got {first.status}")
        checker.expect(
            first.header("retry-after") == str(seconds), f"{value} was sent as {first.header('retry-after')}"
        )
        checker.expect((await other.get()).status == _OK, f"{value}: another user had to wait too")
        await testbed.pass_time(seconds - 0.9)
        checker.expect(_is_unavailable(await limited.get()), f"{value}: no backoff")
        calls = (await testbed.upstream.counts()).users[limited.user.user_id]
        checker.expect(calls == 1, f"{value}: {calls} calls during the backoff")
        await testbed.pass_time(1.5)
        checker.expect((await limited.get()).status == _OK, f"{value}: still a backoff after {seconds} s")
    all_browsers += await _limit_for_all(testbed, checker)
    return await checker.report(all_browsers, calls_per_family=2)


async def _limit_for_all(testbed: Testbed, checker: Checker) -> list[Browser]:
    """Send a 429 to two sessions in a row: the limit then applies to all sessions."""
    first, second, third = await testbed.browsers(3, session_seconds=EXPIRED)
    await testbed.upstream.fault("refresh", times=2, status=429, retry_after=20)
    before = (await testbed.upstream.counts()).refreshes
    responses = await _visit_in_turn((first, second, third))
    calls = (await testbed.upstream.counts()).refreshes - before
    checker.expect(all(map(_is_unavailable, responses)), "a limit for all: a session did not have to wait")
    checker.expect(calls == 2, f"a limit for all: {calls} calls")
    await testbed.pass_time(21)
    statuses = {response.status for response in await _visit_in_turn((first, second, third))}
    checker.expect(statuses == {_OK}, f"a limit for all: {statuses} after it")
    return [first, second, third]


async def many_tabs(testbed: Testbed, scale: Scale) -> Report:
    """F13. Fifty tabs send an expired session; responses arrive in any order, and some are lost.

    Refresh tokens rotate. One process refreshes once, without a reuse grace. Several processes without a
    shared store refresh at most once each, and need a grace (RF-03).
    """
    workers = testbed.config.workers
    fault = f"tabs: 50 at once, out of order, some lost, {_workers(workers)}"
    checker = await Checker.start(testbed, "F13", fault)
    await testbed.upstream.project(rotate_refresh=True, reuse_grace=0 if workers == 1 else 30)
    rounds = 4 if scale is Scale.SHORT else 100
    browsers = await testbed.browsers(rounds, session_seconds=EXPIRED)
    for number, browser in enumerate(browsers):
        responses = list(await asyncio.gather(*(browser.send() for _ in range(50))))
        statuses = {response.status for response in responses}
        checker.expect(statuses == {_OK}, f"tabs got {statuses}")
        chance = random.Random(number)
        chance.shuffle(responses)
        for response in responses[: chance.choice((0, 1, 25, 50))]:
            browser.receive(response)
        checker.expect((await browser.get()).status == _OK, "the next request failed")
        checker.expect(
            await testbed.upstream.is_valid(browser.cookies["DSR"]), "the cookie jar has a spent token"
        )
    return await checker.report(browsers, calls_per_family=workers)
