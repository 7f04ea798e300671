"""The refresh token of a request, which tenant switch, logout and profile require (KD-05, LO-06)."""

from dataclasses import replace

import pytest

from fastapi_descope._auth.credentials import Credentials
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
    """The session cookie may be missing, expired or invalid."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    for session in (None, pair.session_jwt, "garbage"):
        refresh_token = await core.browser_tokens.require_refresh_token(
            Credentials(session=session, refresh=pair.refresh_jwt)
        )
        assert refresh_token.text == pair.refresh_jwt
        assert refresh_token.expires_at == NOW + FOUR_WEEKS
    assert core.recorded_events(TokenRejected) == []


async def test_lo06_request_with_a_bearer_has_no_refresh_token() -> None:
    """Its cookies do not count."""
    core = AuthHarness()
    pair = core.issue()
    with pytest.raises(BadRequest):
        await core.browser_tokens.require_refresh_token(replace(cookies(pair), bearer=pair.session_jwt))


async def test_each_kind_of_missing_refresh_token_has_its_own_error() -> None:
    """Missing or invalid is NotAuthenticated; ambiguous and expired tokens have errors of their own."""
    core = AuthHarness()
    pair = core.issue()
    without = [
        Credentials(session=pair.session_jwt),
        Credentials(refresh=pair.session_jwt),
        Credentials(refresh="garbage"),
    ]
    for credentials in without:
        with pytest.raises(NotAuthenticated) as caught:
            await core.browser_tokens.require_refresh_token(credentials)
        assert type(caught.value) is NotAuthenticated
    with pytest.raises(ConflictingCookies):
        await core.browser_tokens.require_refresh_token(replace(cookies(pair), ambiguous=True))
    core.clock.advance(FOUR_WEEKS + 10)
    with pytest.raises(SessionEnded):
        await core.browser_tokens.require_refresh_token(cookies(pair))


async def test_refresh_token_that_cannot_be_verified_is_unavailable() -> None:
    """No keys can be fetched."""
    core = AuthHarness()
    core.emulator.faults.add("keys", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.browser_tokens.require_refresh_token(cookies(core.issue()))


async def test_kd05_planted_refresh_token_is_not_used_for_the_user_of_the_session() -> None:
    """A tenant switch with it would sign the user in as the attacker (CK-11)."""
    core = AuthHarness()
    planted = Credentials(session=core.issue().session_jwt, refresh=core.issue(HANK, "globex").refresh_jwt)

    with pytest.raises(ConflictingCookies):
        await core.browser_tokens.require_refresh_token(planted)
    assert core.recorded_events(TokenPairMismatch) == [TokenPairMismatch()]
