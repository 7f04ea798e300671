"""A wrong clock: fault scenario F6.

Needs a testbed with ``clock="machine"``: only the time of day is wrong, while ages and delays use the
monotonic clock.
"""

import asyncio
from collections.abc import Iterable

from .browsers import Browser, Response
from .checker import Checker, Report
from .testbed import Scale, Testbed
from .upstream import EXPIRED

__all__ = ["wrong_clock"]

_OK, _UNAUTHORIZED, _UNAVAILABLE = 200, 401, 503
_VISITS = 10


async def wrong_clock(testbed: Testbed, scale: Scale) -> Report:
    """F6. The app's clock is slewed, then steps by ten minutes and by an hour in both directions.

    Sessions last five minutes, so each step is longer than a session.
    """
    del scale
    checker = await Checker.start(testbed, "F6", "clock: -10 min, +10 min, -1 h, +1 h, slewed")
    all_browsers: list[Browser] = []
    await testbed.upstream.project(session_seconds=300)
    all_browsers += await _slewed(testbed, checker)
    for seconds in (-600, 600, -3600, 3600):
        all_browsers += await _stepped(testbed, checker, seconds)
    return await checker.report(all_browsers, calls_per_family=2)


async def _slewed(testbed: Testbed, checker: Checker) -> list[Browser]:
    """Move the clock within the leeway: every request succeeds."""
    browsers = await testbed.browsers(5)
    for seconds in (0.5, 0.5, -0.5, -1.0, -1.5, 2.0):
        testbed.step_clock(seconds)
        statuses = {response.status for response in await _visit(browsers)}
        checker.expect(statuses == {_OK}, f"slewed: {statuses}")
    return browsers


async def _stepped(testbed: Testbed, checker: Checker, seconds: float) -> list[Browser]:
    """Move the clock by more than a session lasts, with known, new and expired sessions.

    A request that fails keeps all cookies, and no session causes a call per request. After the step back
    every request succeeds.
    """
    known, known_to_refresh = await testbed.browsers(3), await testbed.browsers(3)
    new, expired = await testbed.browsers(3), await testbed.browsers(3, session_seconds=EXPIRED)
    await _visit(known + known_to_refresh)
    all_browsers = known + known_to_refresh + new + expired
    before = (await testbed.upstream.counts()).users

    testbed.step_clock(seconds)
    wrong = [response for _ in range(_VISITS) for response in await _visit(all_browsers)]
    after = (await testbed.upstream.counts()).users
    testbed.step_clock(-seconds)

    statuses = {response.status for response in wrong}
    checker.expect(statuses <= {_OK, _UNAUTHORIZED, _UNAVAILABLE}, f"{seconds} s: {statuses}")
    checker.expect(not any(response.clears for response in wrong), f"{seconds} s: cookies were cleared")
    most = max(after.get(b.user.user_id, 0) - before.get(b.user.user_id, 0) for b in all_browsers)
    checker.expect(most <= 1, f"{seconds} s: {most} refreshes of one session in {_VISITS} visits")
    right = [response.status for response in await _visit(all_browsers)]
    checker.expect(set(right) == {_OK}, f"{seconds} s: {right} when the clock was right again")
    return all_browsers


async def _visit(browsers: Iterable[Browser]) -> list[Response]:
    return await asyncio.gather(*(browser.get() for browser in browsers))
