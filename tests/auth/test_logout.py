"""Logout and shutdown without a web framework: both end in time (requirements 2.14)."""

import asyncio
from collections.abc import Callable

import pytest

from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope._refresh.outcome import Ended
from fastapi_descope.emulator import JwtPair
from fastapi_descope.errors import SessionEnded, UpstreamUnavailable
from fastapi_descope.events import SignedOut
from tests.helpers.auth_harness import ADA_ID, HANK, AuthHarness, admit_all, cookies
from tests.helpers.event_loop import in_virtual_time, run_ready

pytestmark = pytest.mark.anyio


def elapsed() -> float:
    """Return the seconds since the test started, in virtual time."""
    return asyncio.get_running_loop().time()


async def test_lo01_logout_ends_the_session_in_the_app_and_at_descope() -> None:
    """The user stays signed in on another device."""
    core = AuthHarness()
    issued, elsewhere = core.issue(), core.issue()

    await core.session_service.logout(cookies(issued))

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID)]
    assert (
        await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    ).cookies is CookieAction.CLEAR
    assert core.calls("refresh") == 0
    assert (
        await core.authenticator.authenticate(Credentials(refresh=elsewhere.refresh_jwt))
    ).session is not None


async def test_logout_everywhere_ends_every_session_of_the_user() -> None:
    """Other devices notice it when they refresh."""
    core = AuthHarness()
    issued, elsewhere = core.issue(), core.issue()

    await core.session_service.logout(cookies(issued), everywhere=True)

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=True, confirmed=True, user_id=ADA_ID)]
    assert isinstance(
        (await core.authenticator.authenticate(Credentials(refresh=elsewhere.refresh_jwt))).error,
        SessionEnded,
    )


@pytest.mark.parametrize("everywhere", [False, True])
async def test_logout_revokes_the_current_token(*, everywhere: bool) -> None:
    """That of the request has been replaced, and Descope would reject it."""
    core = AuthHarness()
    issued = core.issue()
    renewed = await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))

    await core.session_service.logout(cookies(issued), everywhere=everywhere)

    assert renewed.pair is not None
    assert core.recorded_events(SignedOut) == [
        SignedOut(everywhere=everywhere, confirmed=True, user_id=ADA_ID)
    ]
    assert await core.coordinator.refresh(renewed.pair.refresh) == Ended()


FAILURES: dict[str, Callable[[AuthHarness], None]] = {
    "401": lambda core: core.emulator.faults.add("logout", status=401),
    "429": lambda core: core.emulator.faults.add("logout", status=429),
    "500": lambda core: core.emulator.faults.add("logout", status=500),
    "a page": lambda core: core.set_next_response("logout", b"<html>", 403),
    "silence": lambda core: core.emulator.faults.add("logout", hold=True),
}


@in_virtual_time
@pytest.mark.parametrize("failure", FAILURES)
async def test_lo01_logout_never_fails(failure: str) -> None:
    """The session ends here within two seconds, and the event says that Descope has not confirmed it."""
    core = AuthHarness()
    issued = core.issue()
    FAILURES[failure](core)

    await core.session_service.logout(cookies(issued))

    assert elapsed() <= 2
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False, user_id=ADA_ID)]
    assert await core.coordinator.refresh(await core.refresh_token(issued)) == Ended()
    assert core.calls("refresh") == 0


@in_virtual_time
async def test_lo01_logout_takes_two_seconds_if_descope_hangs() -> None:
    """Both a refresh of the same session and the logout itself hang."""
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
async def test_lo01_logout_takes_two_seconds_if_the_keys_hang() -> None:
    """No keys have been fetched yet."""
    core = AuthHarness()
    core.emulator.faults.add("keys", hold=True)

    await core.session_service.logout(cookies(core.issue()))

    assert elapsed() == pytest.approx(2)
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False)]
    core.emulator.faults.release()
    await core.verifier.aclose()


@pytest.mark.parametrize("kind", ["nothing", "session only", "garbage", "bearer", "ambiguous"])
async def test_lo02_logout_without_a_refresh_token_calls_nothing(kind: str) -> None:
    """It succeeds nevertheless, and can be repeated."""
    core = AuthHarness()
    issued = core.issue()
    credentials = {
        "nothing": Credentials(),
        "session only": Credentials(session=issued.session_jwt),
        "garbage": Credentials(session="x", refresh="y"),
        "bearer": Credentials(bearer=issued.session_jwt),
        "ambiguous": Credentials(ambiguous=True, refresh_rivals=("garbage.of.one", "garbage.of.another")),
    }[kind]

    await core.session_service.logout(credentials)

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False)]
    assert core.calls("logout") == 0


CONFLICTS: dict[str, Callable[[JwtPair, JwtPair], Credentials]] = {
    "planted session": lambda own, planted: Credentials(session=planted.session_jwt, refresh=own.refresh_jwt),
    "planted refresh token": lambda own, planted: Credentials(
        ambiguous=True, refresh_rivals=(planted.refresh_jwt, own.refresh_jwt)
    ),
    "planted refresh token first": lambda own, planted: Credentials(
        ambiguous=True, refresh_rivals=(own.refresh_jwt, planted.refresh_jwt)
    ),
    "planted garbage": lambda own, _planted: Credentials(
        ambiguous=True, refresh_rivals=("x.y.z", own.refresh_jwt)
    ),
}


@pytest.mark.parametrize("conflict", CONFLICTS.values(), ids=CONFLICTS)
@pytest.mark.parametrize("everywhere", [False, True])
async def test_lo01_logout_with_conflicting_cookies_revokes_our_own_refresh_token(
    conflict: Callable[[JwtPair, JwtPair], Credentials], *, everywhere: bool
) -> None:
    """Whichever it is: each valid refresh token is revoked, because any of them can be the user's own."""
    core = AuthHarness()
    own, planted = core.issue(), core.issue(HANK, "globex")

    await core.session_service.logout(conflict(own, planted), everywhere=everywhere)

    (event,) = core.recorded_events(SignedOut)
    assert event in [
        SignedOut(everywhere=everywhere, confirmed=True, user_id=user) for user in (ADA_ID, None)
    ]
    assert await core.coordinator.refresh(await core.refresh_token(own)) == Ended()
    assert core.calls("refresh") == 0


async def test_lo01_logout_is_confirmed_if_descope_confirmed_each_token() -> None:
    """One of two calls fails."""
    core = AuthHarness()
    tokens = (core.issue().refresh_jwt, core.issue(HANK, "globex").refresh_jwt)
    core.emulator.faults.add("logout", status=500, times=1)

    await core.session_service.logout(Credentials(ambiguous=True, refresh_rivals=tokens))

    assert core.calls("logout") == 2
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=False)]


@in_virtual_time
async def test_lo01_conflict_is_not_waited_for_if_the_keys_hang() -> None:
    """A login, a callback and a logout ask for it."""
    core = AuthHarness()
    core.emulator.faults.add("keys", hold=True)

    assert await core.browser_tokens.has_conflict(cookies(core.issue())) is False

    assert elapsed() == pytest.approx(1)
    core.emulator.faults.release()
    await core.verifier.aclose()


async def test_lo01_cookies_that_cannot_be_verified_do_not_conflict() -> None:
    """No keys can be fetched."""
    core = AuthHarness()
    core.emulator.faults.add("keys", status=503)

    assert await core.browser_tokens.has_conflict(cookies(core.issue())) is False


async def test_lo02_second_logout_is_no_error() -> None:
    """The session has ended already."""
    core = AuthHarness()
    issued = core.issue()
    for confirmed in (True, False):
        await core.session_service.logout(cookies(issued))
        assert core.recorded_events(SignedOut)[-1] == SignedOut(
            everywhere=False, confirmed=confirmed, user_id=ADA_ID
        )


async def test_shutdown_waits_for_a_refresh_in_flight() -> None:
    """Its result is not lost."""
    core = AuthHarness()
    issued = core.issue(session_seconds=-60)
    request = asyncio.create_task(core.authenticate(issued))
    await run_ready()
    await core.drain(10)
    assert (await request).cookies is CookieAction.WRITE


@in_virtual_time
async def test_shutdown_waits_no_longer_than_its_timeout() -> None:
    """The timeout is for all operations together."""
    core = AuthHarness(timeout=60)
    issued = core.issue(session_seconds=-60)
    for endpoint in ("refresh", "exchange"):
        core.emulator.faults.add(endpoint, hold=True)
    refresh = asyncio.create_task(core.authenticate(issued))
    login = asyncio.create_task(core.login_flow.complete_login("code", admit_all, secret="secret"))
    await core.emulator.faults.wait_until_held(2)

    await core.drain(10)

    assert elapsed() == pytest.approx(10)
    assert isinstance((await refresh).error, UpstreamUnavailable)
    await asyncio.wait([login])
    assert login.cancelled()


async def test_lo03_cancelled_logout_is_completed() -> None:
    """A shutdown waits for it, Descope is called, and the event is emitted."""
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
    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID)]


async def test_lo03_logout_works_with_a_session_token_that_cannot_be_verified() -> None:
    """Its key cannot be fetched, but the refresh token is valid, which is enough."""
    core = AuthHarness()
    old = core.issue()
    await core.refresh_token(old)
    core.emulator.rotate_keys()
    new = core.issue()
    core.emulator.faults.add("keys", status=503, times=9)

    await core.session_service.logout(Credentials(session=new.session_jwt, refresh=old.refresh_jwt))

    assert core.recorded_events(SignedOut) == [SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID)]
    assert await core.coordinator.refresh(await core.refresh_token(old)) == Ended()
