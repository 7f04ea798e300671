"""When a request refreshes, what it waits for, and what its response may still carry (RF-13)."""

import asyncio
from dataclasses import replace

import pytest

from fastapi_descope._auth.auth_result import AuthResult
from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope.emulator import Grants, SeedUser
from fastapi_descope.errors import (
    NotAuthenticated,
    SessionEnded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from tests.helpers.auth_harness import NOW, STRICT, AuthHarness, cookies
from tests.helpers.event_loop import VirtualTimeLoop, run_ready

pytestmark = pytest.mark.anyio

LIFETIME = 600
AHEAD = LIFETIME - 50
"""An age, in seconds, at which a session is still valid and due for its refresh."""

EXPIRED = LIFETIME + 10
FOUR_WEEKS = 28 * 86400


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run in virtual time, so that timeouts pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_expired_session_waits_five_seconds_for_descope() -> None:
    """Then it is unavailable."""
    core = AuthHarness(timeout=5)
    core.emulator.faults.add("refresh", hold=True)
    result = await core.authenticate(core.issue(session_seconds=-60))

    assert isinstance(result.error, UpstreamUnavailable)
    assert result.cookies is CookieAction.KEEP
    assert asyncio.get_running_loop().time() == pytest.approx(5)


async def test_response_waits_one_second_for_a_concurrent_refresh() -> None:
    """It goes out without the result, which the next request gets at no further call."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(AHEAD)
    core.emulator.faults.add("refresh", hold=True)
    result = await core.authenticate(pair)
    assert asyncio.get_running_loop().time() == 0

    assert await result.finish() == result
    assert asyncio.get_running_loop().time() == pytest.approx(1)
    core.emulator.faults.release()

    later = await core.finish(pair)
    assert later.cookies is CookieAction.WRITE
    assert core.calls("refresh") == 1


async def test_expired_refresh_token_ends_the_session_without_a_call() -> None:
    """Both cookies are cleared."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(FOUR_WEEKS + 10)

    for credentials in (cookies(pair), Credentials(refresh=pair.refresh_jwt)):
        result = await core.authenticator.authenticate(credentials)
        assert isinstance(result.error, SessionEnded)
        assert result.cookies is CookieAction.CLEAR
    assert core.calls("refresh") == 0


async def test_session_outlives_its_refresh_token() -> None:
    """It is verified by itself; nothing is refreshed and nothing deleted."""
    core = AuthHarness()
    core.emulator.project = replace(STRICT, refresh_seconds=60)
    short = core.issue()
    long = core.emulator.issue("ada@acme.example", "acme", claims={"exp": int(core.clock()) + LIFETIME})
    core.clock.advance(100)

    result = await core.authenticator.authenticate(
        Credentials(session=long.session_jwt, refresh=short.refresh_jwt)
    )

    assert result.session is not None
    assert (result.is_final, result.cookies) == (True, CookieAction.KEEP)


async def test_expired_session_without_a_refresh_token_is_rejected_and_kept() -> None:
    """Without a refresh token nothing can heal it."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    result = await core.authenticator.authenticate(Credentials(session=pair.session_jwt))
    assert isinstance(result.error, NotAuthenticated)
    assert result.cookies is CookieAction.KEEP


async def test_rf13_prefetch_and_preflight_requests_do_not_refresh() -> None:
    """An expired session is unauthenticated, and a live one is not renewed ahead of time."""
    core = AuthHarness()
    pair = core.issue()
    no_effect = replace(cookies(pair), may_refresh=False)
    core.clock.advance(AHEAD)
    live = await core.authenticator.authenticate(no_effect)
    core.clock.advance(EXPIRED)
    dead = await core.authenticator.authenticate(no_effect)

    assert (live.session is not None, live.is_final) == (True, True)
    assert type(dead.error) is NotAuthenticated
    assert (dead.session, dead.cookies) == (None, CookieAction.KEEP)
    assert core.calls("refresh") == 0


@pytest.mark.parametrize(
    ("lifetime", "ahead", "least", "most"),
    [(600, 60, 54, 66), (100, 60, 22.5, 27.5), (600, 600, 135, 165)],
)
async def test_rf10_sessions_that_started_together_are_not_refreshed_together(
    lifetime: int, ahead: int, least: float, most: float
) -> None:
    """The time before expiry is the configured one, at most a quarter of the lifetime, plus or minus 10 %."""
    users = tuple(SeedUser(f"{number}@acme.example", tenants={"acme": Grants()}) for number in range(40))
    core = AuthHarness(replace(STRICT, session_seconds=lifetime, users=users), refresh_ahead=ahead)
    all_credentials = [cookies(core.issue(user.login_id)) for user in users]

    async def due_before_the_end(seconds: float) -> int:
        core.clock.advance(NOW + lifetime - seconds - core.clock())
        results = [await core.authenticator.authenticate(credentials) for credentials in all_credentials]
        return sum(not result.is_final for result in results)

    assert await due_before_the_end(most + 0.1) == 0
    assert 5 < await due_before_the_end((most + least) / 2) < 35
    assert await due_before_the_end(least - 0.1) == 40
    await core.coordinator.drain(5)


async def test_tn09_tokens_that_a_tenant_switch_replaced_are_not_written() -> None:
    """The response of a slow handler must not bring back the old tenant."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(EXPIRED)
    slow = await core.authenticate(pair)
    switched, _ = await core.session_service.select_tenant(cookies(pair), "globex")

    finished = await slow.finish()

    assert slow.pair != switched
    assert finished.pair == switched
    assert finished.cookies is CookieAction.WRITE


@pytest.mark.parametrize("age", [AHEAD, EXPIRED], ids=["live", "dead"])
async def test_lo03_tokens_that_a_logout_ended_are_not_written(age: int) -> None:
    """The response of a slow handler does not revive the session.

    It does not clear cookies either: the logout has done so, and the user may have logged in again since.
    """
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(age)
    slow = await core.authenticate(pair)
    await core.session_service.logout(cookies(pair))

    finished = await slow.finish()

    assert slow.session is not None
    assert (finished.cookies, finished.pair) == (CookieAction.KEEP, None)
    again = await core.finish(pair)
    assert (again.cookies, again.pair) == (CookieAction.CLEAR, None)


async def test_tokens_that_are_no_longer_cached_are_not_written() -> None:
    """Another response has delivered them, and the browser may have newer ones since."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    slow = await core.authenticate(pair)
    await core.authenticator.authenticate(new_cookies(slow))
    await run_ready()
    core.clock.advance(30)

    finished = await slow.finish()

    assert (finished.cookies, finished.pair) == (CookieAction.KEEP, None)


async def test_rf04_response_delivers_nothing() -> None:
    """It may get lost, so its tokens stay cached until a browser has presented them."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    first = await core.finish(pair)
    core.clock.advance(300)
    assert (await core.finish(pair)).pair == first.pair
    assert core.calls("refresh") == 1


@pytest.mark.parametrize("kind", ["request", "logout", "switch"])
async def test_rf04_any_cookie_request_presents_its_refresh_token(kind: str) -> None:
    """The old token is exchanged after the grace, also if a logout or a switch is the first request."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    credentials = new_cookies(await core.finish(pair))
    if kind == "request":
        await core.authenticator.authenticate(credentials)
    elif kind == "logout":
        await core.browser_tokens.session_to_end(credentials)
    else:
        await core.browser_tokens.require_refresh_token(credentials)
    await run_ready()
    core.clock.advance(29)
    assert (await core.authenticate(pair)).session is not None
    assert core.calls("refresh") == 1
    core.clock.advance(1)
    assert (await core.authenticate(pair)).session is None
    assert core.calls("refresh") == 2


async def test_rf04_bearer_presents_no_refresh_token() -> None:
    """Cookies next to an Authorization header are not read."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    credentials = new_cookies(await core.finish(pair))
    await core.authenticator.authenticate(replace(credentials, bearer=credentials.session))
    await run_ready()
    core.clock.advance(300)
    assert (await core.authenticate(pair)).session is not None


async def test_refresh_that_joined_a_failed_switch_changes_nothing() -> None:
    """The failure of the switch says nothing about the session."""
    core = AuthHarness()
    pair = core.issue()
    await core.authenticate(pair)
    core.clock.advance(AHEAD)
    core.emulator.faults.add("select", status=403, hold=True)
    switch = asyncio.create_task(
        core.coordinator.switch(await core.refresh_token(pair), *core.switch("globex"))
    )
    await core.emulator.faults.wait_until_held()
    result = await core.authenticate(pair)
    core.emulator.faults.release()

    assert await result.finish() == result
    with pytest.raises(UpstreamRejected):
        await switch


async def test_refresh_that_a_shutdown_cancels_changes_nothing() -> None:
    """The response is that of a request without a refresh."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(AHEAD)
    core.emulator.faults.add("refresh", hold=True)
    result = await core.authenticate(pair)
    await core.coordinator.drain(0)

    assert await result.finish() == result


def new_cookies(result: AuthResult) -> Credentials:
    """Return the credentials of a request with the cookies that a response sets."""
    assert result.pair is not None
    return Credentials(session=result.pair.session_jwt, refresh=result.pair.refresh.text)
