"""The refresh token of a request, for what only it can do: tenant switch, logout, profile (KD-05, LO-06)."""

from dataclasses import replace

import pytest

from fastapi_descope._auth.authenticator import Credentials
from fastapi_descope.errors import (
    BadRequest,
    ConflictingCookies,
    NotAuthenticated,
    SessionEnded,
    UpstreamUnavailable,
)
from fastapi_descope.events import TokenPairMismatch, TokenRejected
from tests.helpers.auth_harness import HANK, NOW, AuthHarness, cookies

pytestmark = pytest.mark.anyio

FOUR_WEEKS = 28 * 86400


async def test_the_refresh_token_of_a_request_is_verified() -> None:
    """For what only it can do; the session cookie may be missing, dead or bad."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    for session in (None, pair.session_jwt, "garbage"):
        held = await core.authenticator.require_refresh_token(
            Credentials(session=session, refresh=pair.refresh_jwt)
        )
        assert held.text == pair.refresh_jwt
        assert held.expires_at == NOW + FOUR_WEEKS
    assert core.recorded_events(TokenRejected) == []


async def test_lo06_a_bearer_has_no_refresh_token() -> None:
    """Even if cookies are there too."""
    core = AuthHarness()
    pair = core.issue()
    with pytest.raises(BadRequest):
        await core.authenticator.require_refresh_token(replace(cookies(pair), bearer=pair.session_jwt))


async def test_a_request_without_a_good_refresh_token_is_told_so() -> None:
    """None, a session token, garbage: nobody is signed in. Two, or an expired one: it says so."""
    core = AuthHarness()
    pair = core.issue()
    without = [
        Credentials(session=pair.session_jwt),
        Credentials(refresh=pair.session_jwt),
        Credentials(refresh="garbage"),
    ]
    for presented in without:
        with pytest.raises(NotAuthenticated) as caught:
            await core.authenticator.require_refresh_token(presented)
        assert type(caught.value) is NotAuthenticated
    with pytest.raises(ConflictingCookies):
        await core.authenticator.require_refresh_token(replace(cookies(pair), ambiguous=True))
    core.clock.advance(FOUR_WEEKS + 10)
    with pytest.raises(SessionEnded):
        await core.authenticator.require_refresh_token(cookies(pair))


async def test_a_refresh_token_that_cannot_be_checked_has_no_verdict() -> None:
    """There are no keys right now."""
    core = AuthHarness()
    core.emulator.faults.add("keys", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.authenticator.require_refresh_token(cookies(core.issue()))


async def test_kd05_a_planted_refresh_token_does_nothing_for_the_owner_of_the_session() -> None:
    """A switch with it would sign the user in as the one who planted it (CK-11)."""
    core = AuthHarness()
    planted = Credentials(session=core.issue().session_jwt, refresh=core.issue(HANK, "globex").refresh_jwt)

    with pytest.raises(NotAuthenticated):
        await core.authenticator.require_refresh_token(planted)
    assert core.recorded_events(TokenPairMismatch) == [TokenPairMismatch()]
