"""Workers that die in the middle of a refresh: fault scenario F8.

``docs/crashes.md`` tells what follows from each step.
"""

import asyncio
import os
import signal
from typing import Literal

from .browsers import Browser
from .fleet import Fleet
from .kill_points import Step
from .observer import Observer, Report
from .rig import Scale, until

__all__ = ["crash"]

_OK = 200
_PATIENCE_SECONDS = 6.0
"""How long a request waits for another process, with the plugin's settings as they are by default."""


async def crash(
    fleet: Fleet,
    scale: Scale,
    step: Step,
    *,
    calls: int,
    rotates: bool = True,
    reuse_grace: int = 0,
    unheard: bool = False,
    lost: bool = False,
) -> Report:
    """F8: a worker is killed with SIGKILL at ``step``, and the browser asks again.

    ``calls``: what that costs. ``unheard``: Descope had not acted on the call by then. ``lost``: the
    session is over, because the token that is left to the browser was spent.
    """
    thrown = f"kill -9 when {step}{' and unheard' if unheard else ''}, grace {reuse_grace} s"
    observer = await fleet.watched("F8", thrown, rotate=rotates, reuse_grace=reuse_grace)
    (browser,) = await fleet.returning(1)
    died = await _die(fleet, browser, step, unheard=unheard)
    observer.expect(died == 0, f"the request was answered with {died}")
    answer = await _ask_again(fleet, scale, browser, observer)
    observer.expect(answer == (401 if lost else _OK), f"the next request was answered with {answer}")
    if lost:
        observer.give_up(browser)
    made = (await fleet.rig.upstream.counts()).refreshes
    observer.expect(made == calls, f"{made} refreshes and not {calls}")
    return await observer.report([browser], calls_per_family=calls)


async def _die(fleet: Fleet, browser: Browser, step: Step, *, unheard: bool) -> int:
    """Have the worker die that takes the next request; the status of its answer, which is 0 for none."""
    if step != "sent":
        fleet.points.arm(step)
        return (await browser.send()).status
    # It is frozen until Descope has done as much as it is to do, for there is no telling how far it is.
    fleet.points.arm(step, freeze=True)
    when: Literal["before", "after"] = "before" if unheard else "after"
    if unheard:
        await fleet.rig.upstream.fault("refresh", status=503, hold=True, when=when)
    else:
        await fleet.rig.upstream.fault("refresh", hold=True, when=when)
    asking = asyncio.create_task(browser.send())
    await fleet.rig.upstream.arrived(1)
    await _kill_the_victim(fleet, step)
    await fleet.rig.upstream.clear()
    return (await asking).status


async def _kill_the_victim(fleet: Fleet, step: Step) -> None:
    found: list[int] = []

    async def is_there() -> bool:
        victim = fleet.points.victim(step)
        found.extend([] if victim is None else [victim])
        return bool(found)

    await until(is_there)
    os.kill(found[0], signal.SIGKILL)


async def _ask_again(fleet: Fleet, scale: Scale, browser: Browser, observer: Observer) -> int:
    """The browser comes back at once. If the dead worker's lease stands, it waits until that ends."""
    left = max(fleet.leases().values(), default=0.0)
    observer.expect(left < _PATIENCE_SECONDS, f"the lease lasts for {left} s, longer than requests wait")
    asking = asyncio.create_task(browser.get())
    if scale is Scale.SHORT:
        await fleet.pass_time(left)
    return (await asking).status
