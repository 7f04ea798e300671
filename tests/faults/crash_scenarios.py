"""Workers that are killed during a refresh: fault scenario F8.

``docs/internals/crashes.md`` lists the consequences of each step.
"""

import asyncio
import os
import signal
from typing import Literal

from .browsers import Browser
from .checker import Checker, Report
from .fleet import Fleet
from .kill_points import Step
from .testbed import Scale, wait_until

__all__ = ["crash"]

_OK = 200
_WAIT_SECONDS = 6.0
"""How long a request waits for another process, with default settings."""


async def crash(
    fleet: Fleet,
    scale: Scale,
    step: Step,
    *,
    calls: int,
    rotates: bool = True,
    reuse_grace: int = 0,
    before_descope_acted: bool = False,
    session_lost: bool = False,
) -> Report:
    """F8: a worker is killed with SIGKILL at ``step``, and the browser sends its request again.

    Args:
        fleet: the fleet to run on.
        scale: short or long.
        step: where the worker is killed.
        calls: how many refreshes that costs.
        rotates: whether the project rotates refresh tokens.
        reuse_grace: for how many seconds Descope accepts a spent refresh token.
        before_descope_acted: Descope had received the call but not acted on it.
        session_lost: the session has ended, because the browser's refresh token is spent.
    """
    fault = (
        f"kill -9 when {step}{' before Descope acted' if before_descope_acted else ''}, grace {reuse_grace} s"
    )
    checker = await fleet.start_scenario("F8", fault, rotate=rotates, reuse_grace=reuse_grace)
    (browser,) = await fleet.expired_browsers(1)
    died = await _kill_at(fleet, browser, step, before_descope_acted=before_descope_acted)
    checker.expect(died == 0, f"the request got status {died}")
    response = await _retry(fleet, scale, browser, checker)
    checker.expect(response == (401 if session_lost else _OK), f"the next request got status {response}")
    if session_lost:
        checker.expect_end_of_session(browser)
    made = (await fleet.testbed.upstream.counts()).refreshes
    checker.expect(made == calls, f"{made} refreshes instead of {calls}")
    return await checker.report([browser], calls_per_family=calls)


async def _kill_at(fleet: Fleet, browser: Browser, step: Step, *, before_descope_acted: bool) -> int:
    """Kill the worker that gets the next request, and return the status of that request: 0 if none."""
    if step != "sent":
        fleet.points.arm(step)
        return (await browser.send()).status
    # The worker is frozen until Descope has reached the wanted state, and then killed.
    fleet.points.arm(step, freeze=True)
    when: Literal["before", "after"] = "before" if before_descope_acted else "after"
    if before_descope_acted:
        await fleet.testbed.upstream.fault("refresh", status=503, hold=True, when=when)
    else:
        await fleet.testbed.upstream.fault("refresh", hold=True, when=when)
    request = asyncio.create_task(browser.send())
    await fleet.testbed.upstream.wait_until_held(1)
    await _kill_frozen_worker(fleet, step)
    await fleet.testbed.upstream.clear()
    return (await request).status


async def _kill_frozen_worker(fleet: Fleet, step: Step) -> None:
    found: list[int] = []

    async def is_frozen() -> bool:
        pid = fleet.points.frozen_process(step)
        found.extend([] if pid is None else [pid])
        return bool(found)

    await wait_until(is_frozen)
    os.kill(found[0], signal.SIGKILL)


async def _retry(fleet: Fleet, scale: Scale, browser: Browser, checker: Checker) -> int:
    """Send the request again at once. It waits until a lease of the killed worker expires."""
    left = max(fleet.key_ttls("lease").values(), default=0.0)
    checker.expect(left < _WAIT_SECONDS, f"the lease lasts {left} s, longer than requests wait")
    request = asyncio.create_task(browser.get())
    if scale is Scale.SHORT:
        await fleet.pass_time(left)
    return (await request).status
