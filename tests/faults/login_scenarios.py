"""Callbacks that are requested again: fault scenario F18.

Descope exchanges a code once. Browsers have the login cookie, and their requests reach any process.
"""

import asyncio
from collections.abc import Sequence

import httpx

from .browsers import AppClient, Browser, Response
from .checker import Checker, Report
from .fleet import Fleet
from .testbed import ProcessStats, Scale, wait_until

__all__ = ["lost_callbacks", "reloaded_callbacks"]

_SEE_OTHER, _BAD_REQUEST = 303, 400

_Logins = dict[Browser, str]
"""The path of the callback of each browser, with its query."""


async def lost_callbacks(fleet: Fleet, scale: Scale) -> Report:
    """F18: the response to the callback never arrives, and the browser requests it again, in every worker.

    A client that has the URL without the cookie gets nothing, before and after that.
    """
    checker, logins = await _start(fleet, scale, "callbacks whose responses get lost")
    responses = [await _request_all(fleet, logins)]
    await _expect_worthless_urls(fleet, checker, logins)
    before = await fleet.testbed.app.stats()

    async def have_all_workers_repeated() -> bool:
        responses.append(await _request_all(fleet, logins))
        return await _have_all_received(fleet, before)

    await wait_until(have_all_workers_repeated)
    await _expect_worthless_urls(fleet, checker, logins)
    return await _report(fleet, checker, logins, responses)


async def reloaded_callbacks(fleet: Fleet, scale: Scale) -> Report:
    """F18: the browser reloads the callback while ``on_login`` runs, and reaches another worker."""
    checker, logins = await _start(fleet, scale, "callbacks are reloaded while on_login runs")
    reloads: list[asyncio.Task[list[Response]]] = []

    async def do_all_hooks_run() -> bool:
        stats = (await fleet.testbed.app.stats()).values()
        return sum(each.held for each in stats) == len(logins)

    async def do_reloads_wait_in_another_worker() -> bool:
        reloads.append(asyncio.create_task(_request_all(fleet, logins)))
        in_flight = len(logins) * (1 + len(reloads))
        await wait_until(lambda: _are_in_flight(fleet, in_flight))
        return await _has_any_crossed(fleet, before, rounds=len(reloads))

    with fleet.testbed.holding():
        first = asyncio.create_task(_request_all(fleet, logins))
        await wait_until(do_all_hooks_run)
        before = await fleet.testbed.app.stats()
        first.cancel()  # the browser closes its connection
        await wait_until(do_reloads_wait_in_another_worker)
    return await _report(fleet, checker, logins, await asyncio.gather(*reloads))


async def _start(fleet: Fleet, scale: Scale, fault: str) -> tuple[Checker, _Logins]:
    """Start a scenario in which browsers without a session go through a login up to the callback."""
    count = 6 if scale is Scale.SHORT else 40
    checker = await fleet.start_scenario("F18", f"{fault}: {count}")
    users = await fleet.testbed.upstream.issue(count)
    browsers = [Browser(user, fleet.testbed.client, signed_in=False) for user in users]
    paths = await asyncio.gather(*(_open_callback(fleet, browser) for browser in browsers))
    return checker, dict(zip(browsers, paths, strict=True))


async def _open_callback(fleet: Fleet, browser: Browser) -> str:
    """Go through a login up to Descope's redirect, and return the path of the callback."""
    user = browser.user
    path = f"/login/sso?tenant={user.tenant}&return_to=/me"
    started = await browser.send_over(fleet.testbed.client, path)
    browser.receive(started)
    page = started.header("location") or ""
    url = await fleet.testbed.upstream.choose_user(page, user.login_id)
    return url.removeprefix(fleet.testbed.app.url)


async def _request(fleet: Fleet, browser: Browser, path: str) -> Response:
    """Send a request over a new connection, which reaches any worker. The response is not received."""
    async with AppClient(fleet.testbed.app.url, fleet.testbed.clock) as client:
        return await browser.send_over(client, path)


async def _request_all(fleet: Fleet, logins: _Logins) -> list[Response]:
    """Request the callback of every login."""
    return await asyncio.gather(*(_request(fleet, browser, path) for browser, path in logins.items()))


async def _are_in_flight(fleet: Fleet, count: int) -> bool:
    return sum(each.in_flight for each in (await fleet.testbed.app.stats()).values()) == count


async def _have_all_received(fleet: Fleet, before: dict[int, ProcessStats]) -> bool:
    """Return whether every worker has received a request since ``before``."""
    after = await fleet.testbed.app.stats()
    return all(pid in after and after[pid].received > stats.received for pid, stats in before.items())


async def _has_any_crossed(fleet: Fleet, before: dict[int, ProcessStats], *, rounds: int) -> bool:
    """Return whether a callback was reloaded in another worker than the one that holds its login.

    Otherwise no worker can have received more reloads than there are of the logins that it holds.
    """
    after = await fleet.testbed.app.stats()
    return any(
        pid in after and after[pid].received - stats.received > rounds * stats.held
        for pid, stats in before.items()
    )


async def _expect_worthless_urls(fleet: Fleet, checker: Checker, logins: _Logins) -> None:
    """Another browser gets no tokens for the URL of a callback, in any worker."""
    strangers = [Browser(browser.user, fleet.testbed.client, signed_in=False) for browser in logins]
    for stranger, path in zip(strangers, logins.values(), strict=True):
        response = await _request(fleet, stranger, path)
        checker.expect(response.status == _BAD_REQUEST, f"the URL alone got {response.status}")
        checker.expect(not response.written.get("DS"), "the URL alone got tokens")


async def _report(
    fleet: Fleet, checker: Checker, logins: _Logins, responses: Sequence[Sequence[Response]]
) -> Report:
    """Check the responses to several requests of each callback, and use the cookies of the last ones."""
    counts = await fleet.testbed.upstream.counts()
    checker.expect(counts.endpoints["exchange"] == len(logins), f"{counts.endpoints} calls")
    for browser, answers in zip(logins, zip(*responses, strict=True), strict=True):
        _expect_one_pair(checker, browser, answers)
        browser.receive(answers[-1])
    queries = [httpx.URL(path).params for path in logins.values()]
    logged = fleet.testbed.app.logged
    leaked = [name for query in queries for name in ("code", "state") if query[name] in logged]
    checker.expect(not leaked, f"{leaked} in the log")
    return await checker.report(logins, measured=f"requests per login {len(responses)}")


def _expect_one_pair(checker: Checker, browser: Browser, answers: Sequence[Response]) -> None:
    """Every response is a redirect to the page, with the tokens of the only exchange."""
    user = browser.user.user_id
    statuses = {(answer.status, answer.header("location")) for answer in answers}
    checker.expect(statuses == {(_SEE_OTHER, "/me")}, f"{user} got {statuses}")
    pairs = {(answer.written.get("DS"), answer.written.get("DSR")) for answer in answers}
    checker.expect(len(pairs) == 1 and all(pairs.pop()), f"{user} got other tokens, or none")
