"""What a wrong clock may do: fault scenario F6.

Wants a rig whose workers take the clock for the machine's: nothing but the time of day is wrong, and ages
and pauses go by a clock that nobody can set.
"""

import asyncio
from collections.abc import Iterable

from .browsers import Answer, Browser
from .observer import Observer, Report
from .rig import Rig, Scale
from .upstream import DEAD

__all__ = ["wrong_clock"]

_OK, _REFUSED, _LATER = 200, 401, 503
_VISITS = 10


async def wrong_clock(rig: Rig, scale: Scale) -> Report:
    """F6. The app's clock is slewed, and steps by ten minutes and by an hour, back and forth.

    Sessions last five minutes, so each step is more than the life of one.
    """
    del scale
    observer = await Observer.watching(rig, "F6", "clock: -10 min, +10 min, -1 h, +1 h, slewed")
    everybody: list[Browser] = []
    await rig.upstream.project(session_seconds=300)
    everybody += await _slewed(rig, observer)
    for seconds in (-600, 600, -3600, 3600):
        everybody += await _stepped(rig, observer, seconds)
    return await observer.report(everybody, calls_per_family=2)


async def _slewed(rig: Rig, observer: Observer) -> list[Browser]:
    """Within the leeway nothing is noticed."""
    browsers = await rig.browsers(5)
    for seconds in (0.5, 0.5, -0.5, -1.0, -1.5, 2.0):
        rig.step_clock(seconds)
        statuses = {answer.status for answer in await _visit(browsers)}
        observer.expect(statuses == {_OK}, f"slewed: {statuses}")
    return browsers


async def _stepped(rig: Rig, observer: Observer, seconds: float) -> list[Browser]:
    """Some have been here before the step, some have not, some come to renew; all are well after it.

    Whoever does not get in keeps all cookies, and nobody causes a call at every visit.
    """
    known, dead_and_known = await rig.browsers(3), await rig.browsers(3)
    unseen, dead = await rig.browsers(3), await rig.browsers(3, session_seconds=DEAD)
    await _visit(known + dead_and_known)
    everybody = known + dead_and_known + unseen + dead
    before = (await rig.upstream.counts()).users

    rig.step_clock(seconds)
    wrong = [answer for _ in range(_VISITS) for answer in await _visit(everybody)]
    after = (await rig.upstream.counts()).users
    rig.step_clock(-seconds)

    statuses = {answer.status for answer in wrong}
    observer.expect(statuses <= {_OK, _REFUSED, _LATER}, f"{seconds} s: {statuses}")
    observer.expect(not any(answer.clears for answer in wrong), f"{seconds} s: cookies were cleared")
    most = max(after.get(b.guest.user, 0) - before.get(b.guest.user, 0) for b in everybody)
    observer.expect(most <= 1, f"{seconds} s: {most} refreshes of one session in {_VISITS} visits")
    right = [answer.status for answer in await _visit(everybody)]
    observer.expect(set(right) == {_OK}, f"{seconds} s: {right} when the clock was right again")
    return everybody


async def _visit(browsers: Iterable[Browser]) -> list[Answer]:
    return await asyncio.gather(*(browser.get() for browser in browsers))
