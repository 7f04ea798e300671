"""Logout and shutdown, without a web framework: they end in time, whatever hangs (2.14)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from fastapi_descope._auth.authenticator import CookieAction, Credentials
from fastapi_descope._refresh.outcome import Ended
from fastapi_descope.errors import SessionEnded, UpstreamUnavailable
from fastapi_descope.events import SignedOut
from tests.helpers.auth_harness import AuthHarness, anybody, cookies
from tests.helpers.event_loop import in_virtual_time, run_ready

pytestmark = pytest.mark.anyio


def elapsed() -> float:
    """Seconds since the test began, in virtual time."""
    return asyncio.get_running_loop().time()


async def test_lo01_a_logout_ends_the_session_here_and_at_descope() -> None:
    """This one only; another device of the user stays signed in."""
    core = AuthHarness()
    issued, elsewhere = core.issue(), core.issue()

    await core.session_service.logout(cookies(issued))

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=True)]
    assert (
        await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    ).cookies is CookieAction.CLEAR
    assert core.calls("refresh") == 0
    assert (
        await core.authenticator.authenticate(Credentials(refresh=elsewhere.refresh_jwt))
    ).session is not None


async def test_a_logout_everywhere_ends_every_session_of_the_user() -> None:
    """Other devices learn of it when they refresh."""
    core = AuthHarness()
    issued, elsewhere = core.issue(), core.issue()

    await core.session_service.logout(cookies(issued), everywhere=True)

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=True, confirmed=True)]
    assert isinstance(
        (await core.authenticator.authenticate(Credentials(refresh=elsewhere.refresh_jwt))).error,
        SessionEnded,
    )


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_logout_revokes_the_newest_token(*, everywhere: bool) -> None:
    """The presented one is spent: Descope would not know what to end."""
    core = AuthHarness()
    issued = core.issue()
    renewed = await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))

    await core.session_service.logout(cookies(issued), everywhere=everywhere)

    assert renewed.pair is not None
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=everywhere, confirmed=True)]
    assert await core.coordinator.refresh(renewed.pair.refresh) == Ended()


FAILURES: dict[str, Callable[[AuthHarness], None]] = {
    "401": lambda core: core.emulator.faults.add("logout", status=401),
    "429": lambda core: core.emulator.faults.add("logout", status=429),
    "500": lambda core: core.emulator.faults.add("logout", status=500),
    "a page": lambda core: core.next_answer("logout", b"<html>", 403),
    "silence": lambda core: core.emulator.faults.add("logout", hold=True),
}


@in_virtual_time
@pytest.mark.parametrize("failure", FAILURES)
async def test_lo01_a_logout_never_fails(failure: str) -> None:
    """Whatever Descope says, within two seconds the session is over here; told of as unconfirmed."""
    core = AuthHarness()
    issued = core.issue()
    FAILURES[failure](core)

    await core.session_service.logout(cookies(issued))

    assert elapsed() <= 2
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False)]
    assert await core.coordinator.refresh(await core.refresh_token(issued)) == Ended()
    assert core.calls("refresh") == 0


@in_virtual_time
async def test_lo01_a_logout_waits_two_seconds_even_if_everything_hangs() -> None:
    """A refresh of the same session under way, and then the logout itself."""
    core = AuthHarness()
    issued = core.issue(session_seconds=-60)
    core.emulator.faults.add("refresh", hold=True)
    core.emulator.faults.add("logout", hold=True)
    request = asyncio.create_task(core.authenticate(issued))
    await core.emulator.faults.wait_until_held()

    await core.session_service.logout(cookies(issued))

    assert elapsed() == pytest.approx(2)
    core.emulator.faults.release()
    assert isinstance((await request).error, SessionEnded)


@in_virtual_time
async def test_lo01_a_logout_waits_two_seconds_even_for_keys() -> None:
    """None are known yet, and Descope does not answer."""
    core = AuthHarness()
    core.emulator.faults.add("keys", hold=True)

    await core.session_service.logout(cookies(core.issue()))

    assert elapsed() == pytest.approx(2)
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False)]
    core.emulator.faults.release()
    await core.verifier.aclose()


@pytest.mark.parametrize("sort", ["nothing", "session only", "garbage", "bearer", "ambiguous"])
async def test_lo02_a_logout_without_a_refresh_token_has_nothing_to_tell(sort: str) -> None:
    """It succeeds all the same, as often as it is asked for."""
    core = AuthHarness()
    issued = core.issue()
    presented = {
        "nothing": Credentials(),
        "session only": Credentials(session=issued.session_jwt),
        "garbage": Credentials(session="x", refresh="y"),
        "bearer": Credentials(bearer=issued.session_jwt),
        "ambiguous": replace(cookies(issued), ambiguous=True),
    }[sort]

    await core.session_service.logout(presented)

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False)]
    assert core.calls("logout") == 0


async def test_lo02_a_second_logout_is_no_error() -> None:
    """The session is over already."""
    core = AuthHarness()
    issued = core.issue()
    for confirmed in (True, False):
        await core.session_service.logout(cookies(issued))
        assert core.recorded_events(SignedOut)[-1] == SignedOut(everywhere=False, confirmed=confirmed)


async def test_a_shutdown_waits_for_what_is_in_flight() -> None:
    """A refresh and an exchange: both land, and nothing is lost."""
    core = AuthHarness()
    issued = core.issue(session_seconds=-60)
    request = asyncio.create_task(core.authenticate(issued))
    await run_ready()
    await core.drain(10)
    assert (await request).cookies is CookieAction.WRITE


@in_virtual_time
async def test_a_shutdown_waits_no_longer_than_it_may() -> None:
    """For all that hangs together."""
    core = AuthHarness(timeout=60)
    issued = core.issue(session_seconds=-60)
    for endpoint in ("refresh", "exchange"):
        core.emulator.faults.add(endpoint, hold=True)
    refresh = asyncio.create_task(core.authenticate(issued))
    login = asyncio.create_task(core.login_flow.complete_login("code", anybody))
    await core.emulator.faults.wait_until_held(2)

    await core.drain(10)

    assert elapsed() == pytest.approx(10)
    assert isinstance((await refresh).error, UpstreamUnavailable)
    await asyncio.wait([login])
    assert login.cancelled()


async def test_lo03_a_logout_that_is_cut_off_is_finished() -> None:
    """At a deploy, say: a shutdown waits for it, Descope is told, and so is who listens."""
    core = AuthHarness()
    issued = core.issue()
    core.emulator.faults.add("logout", hold=True)
    logout = asyncio.create_task(core.session_service.logout(cookies(issued)))
    await core.emulator.faults.wait_until_held()

    logout.cancel()
    await asyncio.wait([logout])
    core.emulator.faults.release()
    await core.drain(10)

    assert logout.cancelled()
    assert core.calls("logout") == 1
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=True)]


async def test_lo03_a_session_token_that_cannot_be_checked_holds_no_logout_up() -> None:
    """Its key cannot be had just now; the refresh token, which is all that it takes, is good."""
    core = AuthHarness()
    old = core.issue()
    await core.refresh_token(old)
    core.emulator.rotate_keys()
    new = core.issue()
    core.emulator.faults.add("keys", status=503, times=9)

    await core.session_service.logout(Credentials(session=new.session_jwt, refresh=old.refresh_jwt))

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=True)]
    assert await core.coordinator.refresh(await core.refresh_token(old)) == Ended()
