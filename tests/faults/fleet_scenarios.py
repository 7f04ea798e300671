"""Many processes, one session: the crowd, the slow call, the clients that hang up, the deploy."""

import asyncio
import signal
from collections import Counter
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from random import Random
from typing import TypeVar

from .browsers import Answer, Browser, Line
from .fleet import Fleet
from .observer import Observer, Report
from .rig import Scale, Vitals, until

__all__ = ["call_longer_than_the_lease", "crowd", "deploy", "hang_ups", "impatient_deploy"]

_OK = 200
_DRAIN_SECONDS = 11.0
"""As long as a shutdown may take: what uvicorn grants requests, and what the plugin grants refreshes."""

T = TypeVar("T")

Asking = asyncio.Task[Answer]


async def crowd(fleet: Fleet, scale: Scale) -> Report:
    """RF-03: a thousand requests with one dead session, spread over the workers: one call."""
    del scale
    observer = await fleet.watched("RF03", "a dead session, 1000 requests, 4 workers")
    await _settle(fleet)
    (browser,) = await fleet.returning(1)
    came = await _came(fleet)
    await fleet.rig.upstream.fault("refresh", delay=1.0)
    await _ask_from_everywhere(fleet, browser, lines=5, requests=1000)
    per_worker = [now - came[pid] for pid, now in (await _came(fleet)).items()]
    observer.expect(sum(per_worker) == 1000, f"{per_worker} requests reached the workers")
    observer.expect(min(per_worker) > 0, f"{per_worker} requests a worker")
    _expect_one_pair(observer, browser)
    return await observer.report([browser], measured=f"requests a worker {sorted(per_worker)}")


async def call_longer_than_the_lease(fleet: Fleet, scale: Scale) -> Report:
    """RF-03: the lease is renewed while the call runs, so that nobody else takes over."""
    lease, call = float(fleet.rig.setup.variables["RIG_LEASE_SECONDS"]), 2.0
    observer = await fleet.watched("RF03", f"a call of {call} s, a lease of {lease} s")
    observer.expect(call >= 3 * lease, "the call is too short to tell")
    (browser,) = await fleet.returning(1)
    await fleet.rig.upstream.fault("refresh", delay=call)
    requests = 60 if scale is Scale.SHORT else 1000
    await _ask_from_everywhere(fleet, browser, lines=3, requests=requests)
    _expect_one_pair(observer, browser)
    return await observer.report([browser])


async def hang_ups(fleet: Fleet, scale: Scale) -> Report:
    """F11: clients that go away at any moment, half of them during a refresh; then they come back."""
    count = 300 if scale is Scale.SHORT else 5000
    observer = await fleet.watched("F11", f"{count} clients hang up after 0 to 200 ms")
    browsers = [*await fleet.returning(count // 2), *await fleet.rig.browsers(count - count // 2)]
    random = Random(11)  # noqa: S311 - the same moments each time
    random.shuffle(browsers)
    await fleet.rig.upstream.fault("refresh", delay=0.1, times=count)
    leaving = [_hang_up(fleet, browser, random.uniform(0, 0.2)) for browser in browsers]
    gone = sum(await _in_crowds(leaving))
    observer.expect(gone > count // 10, f"only {gone} hung up in time")
    await until(lambda: _is_under_way(fleet, 0))
    await fleet.rig.upstream.clear()
    answers = await _in_crowds(browser.get() for browser in browsers)
    observer.expect(all(answer.status == _OK for answer in answers), "one that came back was not let in")
    return await observer.report(browsers, measured=f"hung up {gone}")


async def deploy(fleet: Fleet, scale: Scale) -> Report:
    """F15: SIGTERM with a hundred refreshes in flight, which end soon: all are answered."""
    del scale
    observer, browsers, asking = await _in_flight(fleet, "SIGTERM, refreshes in flight: 100")
    leaving = asyncio.create_task(_leave(fleet))
    await fleet.rig.upstream.clear()
    answers = await asyncio.gather(*asking)
    observer.expect(all(answer.status == _OK for answer in answers), "a request was not answered")
    for browser, answer in zip(browsers, answers, strict=True):
        browser.receive(answer)
    gone = await leaving
    observer.expect(gone < _DRAIN_SECONDS, f"it took {gone:.0f} s to end")
    await fleet.rig.app.start()
    return await observer.report(browsers, measured=f"ended in {gone:.1f} s")


async def impatient_deploy(fleet: Fleet, scale: Scale) -> Report:
    """F15: as above, but the clients are cut off first. Redis has what the next process needs."""
    del scale
    observer, browsers, asking = await _in_flight(fleet, "SIGTERM, clients cut off, refreshes in flight: 100")
    leaving = asyncio.create_task(_leave(fleet))
    cut_off = {answer.status for answer in await asyncio.gather(*asking)}
    observer.expect(cut_off <= {0, 500}, "there was an answer before Descope's")
    for browser in browsers:
        browser.answers.clear()  # what uvicorn says when it cuts off a request is not of ours
    await fleet.rig.upstream.clear()
    gone = await leaving
    observer.expect(gone < _DRAIN_SECONDS, f"it took {gone:.0f} s to end")
    await fleet.rig.app.start()
    answers = await _in_crowds(browser.get() for browser in browsers)
    counts = await fleet.rig.upstream.counts()
    observer.expect(counts.refreshes == len(browsers), f"{counts.refreshes} refreshes")
    observer.expect(all(answer.status == _OK for answer in answers), "a refresh was lost")
    return await observer.report(browsers, measured=f"ended in {gone:.1f} s")


async def _in_flight(fleet: Fleet, thrown: str) -> tuple[Observer, list[Browser], list[Asking]]:
    """A hundred browsers whose refreshes Descope does not answer."""
    observer = await fleet.watched("F15", thrown)
    browsers = await fleet.returning(100)
    await fleet.rig.upstream.fault("refresh", hold=True, times=len(browsers))
    asking = [asyncio.create_task(browser.send()) for browser in browsers]
    await until(lambda: _is_under_way(fleet, len(browsers)))
    return observer, browsers, asking


async def _leave(fleet: Fleet) -> float:
    """End all workers as a deploy does; how many seconds that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await fleet.rig.app.stop(signal.SIGTERM)
    return loop.time() - begun


async def _hang_up(fleet: Fleet, browser: Browser, moment: float) -> int:
    """Ask, and close the connection after so many seconds, at times with a reset; 1 if that was in time."""
    host, _, port = fleet.rig.app.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    writer.write(f"GET /me HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookies}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(moment):
            await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        return 1
    else:
        return 0
    finally:
        if moment * 1000 % 2 < 1:
            writer.transport.abort()
        writer.close()


async def _in_crowds(calls: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """What the calls return, a hundred of them at a time: clients share this machine with the workers."""
    free = asyncio.Semaphore(100)

    async def one(call: Coroutine[None, None, T]) -> T:
        async with free:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))


async def _is_under_way(fleet: Fleet, count: int) -> bool:
    """Whether the workers have just so many requests to answer."""
    return sum(one.under_way for one in (await _vitals(fleet)).values()) == count


async def _vitals(fleet: Fleet) -> dict[int, Vitals]:
    """How each worker is."""
    while len(found := await fleet.rig.app.vitals()) < fleet.workers:
        pass
    return found


async def _ask_from_everywhere(fleet: Fleet, browser: Browser, *, lines: int, requests: int) -> None:
    """Have a browser ask in many windows at the same time, on new connections, and take the answers."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        tabs: list[Browser] = []
        for _ in range(lines):
            line = await stack.enter_async_context(Line(fleet.rig.app.url, fleet.rig.clock))
            tabs.append(Browser(browser.guest, line))
            for _ in range(requests // lines):
                group.create_task(tabs[-1].send())
    browser.answers += [answer for tab in tabs for answer in tab.answers]


def _expect_one_pair(observer: Observer, browser: Browser) -> None:
    """Every answer is a yes, and carries the same new cookies."""
    pairs = Counter((answer.written.get("DS"), answer.written.get("DSR")) for answer in browser.answers)
    statuses = Counter(answer.status for answer in browser.answers)
    observer.expect(statuses.keys() == {_OK}, f"statuses were {dict(statuses)}")
    silent = pairs[None, None]
    observer.expect(len(pairs) == 1 and not silent, f"{len(pairs)} pairs of cookies, none in {silent}")
    browser.receive(browser.answers[-1])


async def _settle(fleet: Fleet) -> None:
    """Have every worker know the keys, and none hold a connection that Descope is about to close as idle.

    In a crowd on a busy machine, the wire through this process is too slow to tell in time.
    """
    visitor = await fleet.rig.browser()

    async def have_all_served() -> bool:
        await _ask_from_everywhere(fleet, visitor, lines=1, requests=4 * fleet.workers)
        return all((await _came(fleet)).values())

    await until(have_all_served)
    await fleet.rig.upstream.relay.cut()
    await fleet.rig.upstream.relay.mend()


async def _came(fleet: Fleet) -> dict[int, int]:
    """How many requests each worker has had so far."""
    return {pid: one.came for pid, one in (await _vitals(fleet)).items()}
