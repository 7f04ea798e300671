"""The table of requirement 2.9: Descope's response by whether the old session is still valid (RF-01)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fastapi_descope._auth.credentials import CookieAction
from fastapi_descope.errors import SessionEnded, UpstreamUnavailable
from fastapi_descope.events import RefreshFailed, UpstreamTokenRejected
from tests.helpers.auth_harness import HANK, STRICT, AuthHarness, tokens_of_another_project

pytestmark = pytest.mark.anyio

LIFETIME = 600
AHEAD = LIFETIME - 50
"""An age at which a session is still good, and due for its refresh."""

DEAD = LIFETIME + 10


def rejected(status: int) -> Callable[[AuthHarness], None]:
    """Make the next refresh fail with a well-formed error of Descope."""
    return lambda core: core.emulator.faults.add("refresh", status=status)


def blocked(status: int) -> Callable[[AuthHarness], None]:
    """Make the next refresh fail with a page of a proxy or a firewall."""
    return lambda core: core.set_next_response("refresh", b"<h1>Blocked by policy</h1>", status)


def limited(retry_after: str) -> Callable[[AuthHarness], None]:
    """Make the next refresh fail with a rate limit."""
    return lambda core: core.emulator.faults.add("refresh", status=429, retry_after=retry_after)


def body(text: bytes) -> Callable[[AuthHarness], None]:
    """Make the next refresh succeed with this body."""
    return lambda core: core.set_next_response("refresh", text)


def another_users(*, session: bool, refresh: bool) -> Callable[[AuthHarness], None]:
    """Make the next refresh return a valid token of another user, as one token or as both."""

    def response(core: AuthHarness) -> None:
        mine, theirs = core.issue(), core.issue(HANK, "globex")
        core.set_next_tokens(
            "refresh",
            (theirs if session else mine).session_jwt,
            (theirs if refresh else mine).refresh_jwt,
        )

    return response


def swapped(core: AuthHarness) -> None:
    """Make the next refresh return the two tokens swapped."""
    mine = core.issue()
    core.set_next_tokens("refresh", mine.refresh_jwt, mine.session_jwt)


def halved(core: AuthHarness) -> None:
    """Make the next refresh return no session token."""
    core.set_next_tokens("refresh", None, core.issue().refresh_jwt)


def mistyped(session_jwt: object) -> Callable[[AuthHarness], None]:
    """Make the next refresh return something that is not a session token."""
    return lambda core: core.set_next_tokens("refresh", session_jwt, core.issue().refresh_jwt)


def of_another_project(core: AuthHarness) -> None:
    """Make the next refresh return tokens that are valid in another project."""
    core.set_next_tokens("refresh", *tokens_of_another_project())


UNAVAILABLE: dict[str, tuple[Callable[[AuthHarness], None], int]] = {
    "a firewall's 401": (blocked(401), 5),
    "a firewall's 403": (blocked(403), 5),
    "a redirect": (blocked(302), 5),
    "404": (rejected(404), 5),
    "409": (rejected(409), 5),
    "422": (rejected(422), 5),
    "500": (rejected(500), 5),
    "503": (rejected(503), 5),
    "429 for 17 seconds": (limited("17"), 17),
    "429 for an hour": (limited("3600"), 60),
    "429 for a while": (limited("soon"), 5),
    "an empty body": (body(b""), 5),
    "an empty object": (body(b"{}"), 5),
    "half an object": (body(b'{"sessionJwt": "'), 5),
    "a page": (body(b"<html>"), 5),
    "no session": (halved, 5),
    "a number for a session": (mistyped(17), 5),
    "no token for a session": (mistyped("a.b.c"), 5),
    "swapped tokens": (swapped, 5),
    "another user's tokens": (another_users(session=True, refresh=True), 5),
    "another user's session": (another_users(session=True, refresh=False), 5),
    "another user's refresh token": (another_users(session=False, refresh=True), 5),
    "another project's tokens": (of_another_project, 5),
}


async def test_rf01_verified_tokens_renew_an_expired_session() -> None:
    """The request has the new session, and both cookies are written."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(DEAD)

    result = await core.finish(pair)

    assert result.cookies is CookieAction.WRITE
    assert result.pair is not None
    assert result.session == result.pair.session
    assert result.pair.session.issued_at == int(core.clock())
    assert result.pair.refresh.text not in pair
    assert result.error is None


async def test_rf01_verified_tokens_renew_a_live_session_concurrently_with_the_handler() -> None:
    """The handler runs at once with the old session; the response carries the new tokens."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(AHEAD)

    at_once = await core.authenticate(pair)
    finished = await at_once.finish()

    assert at_once.session is not None
    assert at_once.session.expires_at == core.clock() + 50
    assert (at_once.cookies, at_once.pair) == (CookieAction.KEEP, None)
    assert finished.cookies is CookieAction.WRITE
    assert finished.pair is not None
    assert finished.session == finished.pair.session
    assert finished.pair.session.expires_at == core.clock() + LIFETIME


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_rf01_well_formed_rejection_ends_the_session(status: int) -> None:
    """Both cookies are cleared. A request with a live session keeps its session."""
    core = AuthHarness()
    dead, live = core.issue(session_seconds=-60), core.issue()
    rejected(status)(core)
    ended = await core.finish(dead)
    core.clock.advance(AHEAD)
    rejected(status)(core)
    alive = await core.finish(live)

    assert isinstance(ended.error, SessionEnded)
    assert (ended.session, ended.cookies) == (None, CookieAction.CLEAR)
    assert alive.session is not None
    assert (alive.error, alive.cookies) == (None, CookieAction.CLEAR)


@pytest.mark.parametrize("response", UNAVAILABLE)
async def test_rf01_any_other_response_makes_an_expired_session_unavailable(response: str) -> None:
    """A 503 with the time to wait; the cookies stay, and after that time a request succeeds."""
    core = AuthHarness(replace(STRICT, rotate_refresh=False))
    pair = core.issue()
    core.clock.advance(DEAD)
    prepare, retry_after = UNAVAILABLE[response]
    prepare(core)

    waiting = await core.finish(pair)

    assert waiting.session is None
    assert isinstance(waiting.error, UpstreamUnavailable)
    assert waiting.error.retry_after == retry_after
    assert (waiting.cookies, waiting.pair) == (CookieAction.KEEP, None)
    core.clock.advance(retry_after)
    assert (await core.authenticate(pair)).cookies is CookieAction.WRITE


@pytest.mark.parametrize("response", UNAVAILABLE)
async def test_rf01_any_other_response_leaves_a_live_session_unchanged(response: str) -> None:
    """The request keeps its session, and the cookies stay."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(AHEAD)
    UNAVAILABLE[response][0](core)

    result = await core.finish(pair)

    assert result.session is not None
    assert (result.error, result.pair) == (None, None)
    assert result.cookies is CookieAction.KEEP
    assert len(core.recorded_events(RefreshFailed)) == 1


async def test_kd06_response_with_another_users_tokens_emits_a_security_event() -> None:
    """It comes in addition to that of the failed refresh."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    another_users(session=True, refresh=True)(core)
    await core.authenticate(pair)
    assert core.recorded_events(UpstreamTokenRejected, RefreshFailed) == [
        UpstreamTokenRejected("subject"),
        RefreshFailed("subject"),
    ]
