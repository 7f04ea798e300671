"""The table of requirement 2.9, cell by cell: Descope's answer by whether the old session lives (RF-01)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fastapi_descope._auth.authenticator import CookieAction
from fastapi_descope.errors import SessionEnded, UpstreamUnavailable
from fastapi_descope.events import RefreshFailed, UpstreamTokenRejected
from tests.helpers.auth_harness import HANK, STRICT, AuthHarness, foreign

pytestmark = pytest.mark.anyio

LIFETIME = 600
AHEAD = LIFETIME - 50
"""An age at which a session is still good, and due for its refresh."""

DEAD = LIFETIME + 10


def refused(status: int) -> Callable[[AuthHarness], None]:
    """Descope says no, in its own words."""
    return lambda core: core.emulator.faults.add("refresh", status=status)


def unsigned(status: int) -> Callable[[AuthHarness], None]:
    """Somebody between us and Descope says no."""
    return lambda core: core.next_answer("refresh", b"<h1>Blocked by policy</h1>", status)


def limited(retry_after: str) -> Callable[[AuthHarness], None]:
    """Descope asks to wait."""
    return lambda core: core.emulator.faults.add("refresh", status=429, retry_after=retry_after)


def body(text: bytes) -> Callable[[AuthHarness], None]:
    """A yes with something in it."""
    return lambda core: core.next_answer("refresh", text)


def somebody_elses(*, session: bool, refresh: bool) -> Callable[[AuthHarness], None]:
    """A yes with a genuine token of another user in one place, or in both."""

    def response(core: AuthHarness) -> None:
        mine, theirs = core.issue(), core.issue(HANK, "globex")
        core.next_tokens(
            "refresh",
            (theirs if session else mine).session_jwt,
            (theirs if refresh else mine).refresh_jwt,
        )

    return response


def swapped(core: AuthHarness) -> None:
    """A yes with the two tokens in each other's place."""
    mine = core.issue()
    core.next_tokens("refresh", mine.refresh_jwt, mine.session_jwt)


def halved(core: AuthHarness) -> None:
    """A yes without a session."""
    core.next_tokens("refresh", None, core.issue().refresh_jwt)


def mistyped(session_jwt: object) -> Callable[[AuthHarness], None]:
    """A yes with something for a session that is none."""
    return lambda core: core.next_tokens("refresh", session_jwt, core.issue().refresh_jwt)


def of_another_project(core: AuthHarness) -> None:
    """A yes with a pair that is genuine elsewhere."""
    core.next_tokens("refresh", *foreign())


NO_VERDICT: dict[str, tuple[Callable[[AuthHarness], None], int]] = {
    "a firewall's 401": (unsigned(401), 5),
    "a firewall's 403": (unsigned(403), 5),
    "a redirect": (unsigned(302), 5),
    "404": (refused(404), 5),
    "409": (refused(409), 5),
    "422": (refused(422), 5),
    "500": (refused(500), 5),
    "503": (refused(503), 5),
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
    "another user's tokens": (somebody_elses(session=True, refresh=True), 5),
    "another user's session": (somebody_elses(session=True, refresh=False), 5),
    "another user's refresh token": (somebody_elses(session=False, refresh=True), 5),
    "another project's tokens": (of_another_project, 5),
}


async def test_rf01_a_verified_answer_renews_a_dead_session() -> None:
    """New identity, both cookies."""
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


async def test_rf01_a_verified_answer_renews_a_live_session_beside_the_handler() -> None:
    """The handler runs at once with the old identity; the response carries the new pair."""
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
async def test_rf01_a_well_formed_no_ends_the_session(status: int) -> None:
    """Dead: 401 and both cookies go. Alive: the same, but this request keeps its identity."""
    core = AuthHarness()
    dead, live = core.issue(session_seconds=-60), core.issue()
    refused(status)(core)
    ended = await core.finish(dead)
    core.clock.advance(AHEAD)
    refused(status)(core)
    alive = await core.finish(live)

    assert isinstance(ended.error, SessionEnded)
    assert (ended.session, ended.cookies) == (None, CookieAction.CLEAR)
    assert alive.session is not None
    assert (alive.error, alive.cookies) == (None, CookieAction.CLEAR)


@pytest.mark.parametrize("response", NO_VERDICT)
async def test_rf01_anything_else_keeps_a_dead_session_waiting(response: str) -> None:
    """503 with the time to wait; the cookies stay, and after that time a request may succeed."""
    core = AuthHarness(replace(STRICT, rotate_refresh=False))
    pair = core.issue()
    core.clock.advance(DEAD)
    answer_next, retry_after = NO_VERDICT[response]
    answer_next(core)

    waiting = await core.finish(pair)

    assert waiting.session is None
    assert isinstance(waiting.error, UpstreamUnavailable)
    assert waiting.error.retry_after == retry_after
    assert (waiting.cookies, waiting.pair) == (CookieAction.KEEP, None)
    core.clock.advance(retry_after)
    assert (await core.authenticate(pair)).cookies is CookieAction.WRITE


@pytest.mark.parametrize("response", NO_VERDICT)
async def test_rf01_anything_else_leaves_a_live_session_as_it_was(response: str) -> None:
    """The old identity goes on, and no cookie is touched."""
    core = AuthHarness()
    pair = core.issue()
    core.clock.advance(AHEAD)
    NO_VERDICT[response][0](core)

    result = await core.finish(pair)

    assert result.session is not None
    assert (result.error, result.pair) == (None, None)
    assert result.cookies is CookieAction.KEEP
    assert len(core.recorded_events(RefreshFailed)) == 1


async def test_kd06_an_answer_with_another_users_tokens_is_told_of() -> None:
    """A security event, beside the refresh that failed."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    somebody_elses(session=True, refresh=True)(core)
    await core.authenticate(pair)
    assert core.recorded_events(UpstreamTokenRejected, RefreshFailed) == [
        UpstreamTokenRejected("subject"),
        RefreshFailed("subject"),
    ]
