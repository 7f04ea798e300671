"""Many processes and one session: concurrent requests, a long call, disconnects and deploys."""

import asyncio
import signal
from collections import Counter
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from random import Random
from typing import TypeVar

from .browsers import AppClient, Browser, Response
from .checker import Checker, Report
from .fleet import Fleet
from .testbed import Scale, wait_until

__all__ = [
    "client_disconnects",
    "concurrent_requests",
    "deploy",
    "deploy_with_disconnects",
    "long_call",
    "lost_responses",
]

_OK, _UNAUTHORIZED = 200, 401
_GRACE_SECONDS = 30
_QUIET_SECONDS = (20, 31, 60, 180)
"""The times between the requests of a browser that gets no response, in seconds; less than ten minutes."""
_SHUTDOWN_SECONDS = 30.0
"""The limit of a shutdown, after which Kubernetes kills a process."""

T = TypeVar("T")

Request = asyncio.Task[Response]


async def concurrent_requests(fleet: Fleet, scale: Scale) -> Report:
    """RF-03: a thousand requests with one expired session, spread over the workers, cost one call."""
    del scale
    checker = await fleet.start_scenario("RF03", "expired session: 1000 requests, 4 workers")
    await _warm_up(fleet)
    (browser,) = await fleet.expired_browsers(1)
    before = await fleet.requests_per_worker()
    await fleet.testbed.upstream.fault("refresh", delay=1.0)
    await _request_from_many_clients(fleet, browser, clients=5, requests=1000)
    per_worker = [now - before[pid] for pid, now in (await fleet.requests_per_worker()).items()]
    checker.expect(sum(per_worker) == 1000, f"{per_worker} requests reached the workers")
    checker.expect(min(per_worker) > 0, f"{per_worker} requests per worker")
    _expect_one_pair(checker, browser)
    return await checker.report([browser], measured=f"requests per worker {sorted(per_worker)}")


async def long_call(fleet: Fleet, scale: Scale) -> Report:
    """RF-03: the lease is renewed during the call, so no other process acquires it."""
    lease = float(fleet.testbed.config.variables["TESTBED_LEASE_SECONDS"])
    call = 3 * lease
    checker = await fleet.start_scenario("RF03", f"long call: {call} s, with a lease of {lease} s")
    (browser,) = await fleet.expired_browsers(1)
    await fleet.testbed.upstream.fault("refresh", delay=call)
    requests = 60 if scale is Scale.SHORT else 1000
    await _request_from_many_clients(fleet, browser, clients=3, requests=requests)
    _expect_one_pair(checker, browser)
    return await checker.report([browser])


async def client_disconnects(fleet: Fleet, scale: Scale) -> Report:
    """F11: clients disconnect at any moment, half of them during a refresh, and send a new request later."""
    count = 300 if scale is Scale.SHORT else 5000
    checker = await fleet.start_scenario("F11", f"disconnects: {count} clients, after 0 to 200 ms")
    browsers = [*await fleet.expired_browsers(count // 2), *await fleet.testbed.browsers(count - count // 2)]
    random = Random(11)
    random.shuffle(browsers)
    await fleet.testbed.upstream.fault("refresh", delay=0.1, times=count)
    disconnects = [_disconnect_after(fleet, browser, random.uniform(0, 0.2)) for browser in browsers]
    gone = sum(await _limit_concurrency(disconnects))
    checker.expect(gone > count // 10, f"only {gone} disconnected in time")
    await wait_until(lambda: _are_in_flight(fleet, 0))
    await fleet.testbed.upstream.clear()
    responses = await _limit_concurrency(browser.get() for browser in browsers)
    checker.expect_ok(responses, "a request after the disconnect failed")
    return await checker.report(browsers, measured=f"disconnected {gone}")


async def lost_responses(fleet: Fleet, scale: Scale) -> Report:
    """F17: responses with new cookies never arrive, and the browsers return later. No grace at Descope.

    Then the browsers receive a response and use its cookies. Copies of the old cookies are refused after the
    plugin's grace.
    """
    count = 8 if scale is Scale.SHORT else 100
    checker = await fleet.start_scenario("F17", f"responses get lost: {count} browsers, no grace")
    earlier = fleet.key_ttls("refresh").keys()
    browsers = await fleet.expired_browsers(count)
    pairs = [response.written for response in await _send_all(browsers)]
    for seconds in _QUIET_SECONDS:
        await fleet.pass_time(seconds)
        responses = await _send_all(browsers)
        checker.expect_ok(responses, f"refused after {seconds} s")
        checker.expect([response.written for response in responses] == pairs, "other cookies than before")
    copies = [Browser(browser.user, fleet.testbed.client) for browser in browsers[: count // 2]]
    for browser in browsers:
        browser.receive(browser.responses[-1])
    responses = await _send_all(browsers)
    checker.expect_ok(responses, "the new cookies were refused")

    async def are_all_delivered() -> bool:
        ttls = {key: ttl for key, ttl in fleet.key_ttls("refresh").items() if key not in earlier}
        return max(ttls.values()) <= _GRACE_SECONDS

    await checker.expect_soon(are_all_delivered, "results are cached for longer than the grace")
    await fleet.pass_time(_GRACE_SECONDS + 1)
    statuses = Counter(response.status for response in await _send_all(copies))
    checker.expect(statuses == {_UNAUTHORIZED: len(copies)}, f"old cookies got {dict(statuses)}")
    return await checker.report(browsers, calls_per_family=2)


async def deploy(fleet: Fleet, scale: Scale) -> Report:
    """F15: SIGTERM during a hundred refreshes that end soon: every request gets its response."""
    del scale
    checker, browsers, requests = await _in_flight(fleet, "SIGTERM: 100 refreshes in flight")
    shutdown = asyncio.create_task(_terminate(fleet))
    await fleet.testbed.upstream.clear()
    responses = await asyncio.gather(*requests)
    checker.expect_ok(responses, "a request got no response")
    for browser, response in zip(browsers, responses, strict=True):
        browser.receive(response)
    gone = await shutdown
    checker.expect(gone < _SHUTDOWN_SECONDS, f"the shutdown took {gone:.0f} s")
    await fleet.testbed.app.start()
    return await checker.report(browsers, measured=f"shutdown in {gone:.1f} s")


async def deploy_with_disconnects(fleet: Fleet, scale: Scale) -> Report:
    """F15: like ``deploy``, but uvicorn disconnects the clients first. Redis has the results for later."""
    del scale
    checker, browsers, requests = await _in_flight(
        fleet, "SIGTERM: 100 refreshes in flight, clients disconnected"
    )
    shutdown = asyncio.create_task(_terminate(fleet))
    disconnected = {response.status for response in await asyncio.gather(*requests)}
    checker.expect(disconnected <= {0, 500}, "a request got a response before Descope's")
    for browser in browsers:
        browser.responses.clear()  # uvicorn's response to a request that it cancels is not ours
    await fleet.testbed.upstream.clear()
    gone = await shutdown
    checker.expect(gone < _SHUTDOWN_SECONDS, f"the shutdown took {gone:.0f} s")
    await fleet.testbed.app.start()
    responses = await _limit_concurrency(browser.get() for browser in browsers)
    counts = await fleet.testbed.upstream.counts()
    checker.expect(counts.refreshes == len(browsers), f"{counts.refreshes} refreshes")
    checker.expect_ok(responses, "a refresh was lost")
    return await checker.report(browsers, measured=f"shutdown in {gone:.1f} s")


async def _send_all(browsers: Iterable[Browser]) -> list[Response]:
    """Send a request of each browser, and keep the cookies of its jar."""
    return await _limit_concurrency(browser.send() for browser in browsers)


async def _in_flight(fleet: Fleet, fault: str) -> tuple[Checker, list[Browser], list[Request]]:
    """Start refreshes of a hundred browsers, which Descope holds."""
    checker = await fleet.start_scenario("F15", fault)
    browsers = await fleet.expired_browsers(100)
    await fleet.testbed.upstream.fault("refresh", hold=True, times=len(browsers))
    requests = [asyncio.create_task(browser.send()) for browser in browsers]
    await wait_until(lambda: _are_in_flight(fleet, len(browsers)))
    return checker, browsers, requests


async def _terminate(fleet: Fleet) -> float:
    """Terminate all workers like a deploy, and return how many seconds that took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await fleet.testbed.app.stop(signal.SIGTERM)
    return loop.time() - started


async def _disconnect_after(fleet: Fleet, browser: Browser, moment: float) -> int:
    """Send a request, close or reset the connection after ``moment`` seconds; 0 if it was too late."""
    host, _, port = fleet.testbed.app.url.removeprefix("http://").partition(":")
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


async def _limit_concurrency(calls: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run the calls, a hundred at a time: clients and workers share one machine."""
    free = asyncio.Semaphore(100)

    async def one(call: Coroutine[None, None, T]) -> T:
        async with free:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))


async def _are_in_flight(fleet: Fleet, count: int) -> bool:
    """Return whether the workers have exactly ``count`` requests in flight."""
    return sum(one.in_flight for one in (await fleet.stats()).values()) == count


async def _request_from_many_clients(fleet: Fleet, browser: Browser, *, clients: int, requests: int) -> None:
    """Send requests of one browser concurrently over new connections, and record the responses."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        tabs: list[Browser] = []
        for _ in range(clients):
            client = await stack.enter_async_context(AppClient(fleet.testbed.app.url, fleet.testbed.clock))
            tabs.append(Browser(browser.user, client))
            for _ in range(requests // clients):
                group.create_task(tabs[-1].send())
    browser.responses += [response for tab in tabs for response in tab.responses]


def _expect_one_pair(checker: Checker, browser: Browser) -> None:
    """Every response is a 200 with the same new cookies."""
    pairs = Counter(
        (response.written.get("DS"), response.written.get("DSR")) for response in browser.responses
    )
    statuses = Counter(response.status for response in browser.responses)
    checker.expect(statuses.keys() == {_OK}, f"statuses were {dict(statuses)}")
    without_cookies = pairs[None, None]
    checker.expect(
        len(pairs) == 1 and not without_cookies,
        f"{len(pairs)} pairs of cookies, none in {without_cookies} responses",
    )
    browser.receive(browser.responses[-1])


async def _warm_up(fleet: Fleet) -> None:
    """Make every worker fetch the keys, and close idle connections to Descope.

    On a busy machine, the proxy in this process would forward the close of an idle connection too late.
    """
    visitor = await fleet.testbed.browser()

    async def have_all_served() -> bool:
        await _request_from_many_clients(fleet, visitor, clients=1, requests=4 * fleet.workers)
        return all((await fleet.requests_per_worker()).values())

    await wait_until(have_all_served)
    await fleet.testbed.upstream.close_idle_connections()
