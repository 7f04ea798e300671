"""Authentication: which token counts where, and the fate of the cookies.

Requirements 2.2, CK-02, CK-11, RF-11 and RF-12.
"""

from dataclasses import FrozenInstanceError, replace
from typing import Literal

import pytest

from fastapi_descope._auth.auth_result import AuthResult
from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope.errors import (
    ConflictingCookies,
    NotAuthenticated,
    TokenError,
    TokenReason,
    UpstreamUnavailable,
)
from fastapi_descope.events import TokenPairMismatch, TokenRejected
from tests.helpers.auth_harness import HANK, AuthHarness, cookies, tokens_of_another_project
from tests.helpers.tampering import segment, twin, with_segment

pytestmark = pytest.mark.anyio

FOUR_WEEKS = 28 * 86400


def tampered(token: str) -> str:
    """Return the token with the last character of its payload changed."""
    payload = segment(token, 1)
    return with_segment(token, 1, payload[:-1] + ("A" if payload[-1] != "A" else "E"))


def reason(result: AuthResult) -> TokenReason:
    """Return the reason for which the token was rejected."""
    assert isinstance(result.error, TokenError)
    return result.error.reason


class Tokens:
    """One valid token of each kind, all of the same user."""

    def __init__(self, core: AuthHarness) -> None:
        pair = core.issue()
        access_key = core.emulator.issue("ada@acme.example", "acme", claims={"drn": "DAK"})
        stranger = tokens_of_another_project()
        self.session = pair.session_jwt
        self.refresh = pair.refresh_jwt
        self.access_key = access_key.session_jwt
        self.foreign_session = stranger.session_jwt
        self.foreign_refresh = stranger.refresh_jwt


@pytest.mark.parametrize(
    ("sort", "refused"),
    [
        ("session", None),
        ("refresh", TokenReason.KIND),
        ("access_key", TokenReason.KIND),
        ("foreign_session", TokenReason.UNKNOWN_KEY),
        ("foreign_refresh", TokenReason.UNKNOWN_KEY),
    ],
)
@pytest.mark.parametrize("place", ["cookie", "bearer"])
async def test_kd01_only_a_session_token_authenticates(
    place: Literal["cookie", "bearer"], sort: str, refused: TokenReason | None
) -> None:
    """In the session cookie and as a bearer, any other token is rejected, and the cookies stay."""
    core = AuthHarness()
    token: str = getattr(Tokens(core), sort)
    credentials = Credentials(session=token) if place == "cookie" else Credentials(bearer=token)

    result = await core.authenticator.authenticate(credentials)

    assert (result.session is None) is (refused is not None)
    assert result.cookies is CookieAction.KEEP
    assert result.source == place
    if refused is not None:
        assert reason(result) is refused
    assert core.recorded_events(TokenRejected) == ([] if refused is None else [TokenRejected(refused, place)])
    assert core.calls("refresh") == 0


@pytest.mark.parametrize(
    ("sort", "change", "refreshes"),
    [
        ("refresh", CookieAction.WRITE, 1),
        ("session", CookieAction.CLEAR_REFRESH, 0),
        ("access_key", CookieAction.CLEAR_REFRESH, 0),
        ("foreign_refresh", CookieAction.KEEP, 0),
        ("foreign_session", CookieAction.KEEP, 0),
    ],
)
async def test_kd02_only_a_refresh_token_refreshes(sort: str, change: CookieAction, refreshes: int) -> None:
    """No other token is sent to Descope, and a session token in the refresh cookie is deleted."""
    core = AuthHarness()
    token: str = getattr(Tokens(core), sort)

    result = await core.authenticator.authenticate(Credentials(refresh=token))

    assert result.cookies is change
    assert core.calls("refresh") == refreshes
    assert (result.session is not None) is (refreshes == 1)
    assert type(result.error) is (type(None) if refreshes else NotAuthenticated)


@pytest.mark.parametrize(
    ("sort", "change"),
    [
        ("refresh", CookieAction.KEEP),
        ("session", CookieAction.CLEAR_REFRESH),
        ("access_key", CookieAction.CLEAR_REFRESH),
        ("foreign_refresh", CookieAction.KEEP),
        ("foreign_session", CookieAction.KEEP),
    ],
)
async def test_kd02_live_session_continues_with_any_token_in_the_refresh_cookie(
    sort: str, change: CookieAction
) -> None:
    """A token in the wrong cookie logs no user out."""
    core = AuthHarness()
    tokens = Tokens(core)
    credentials = Credentials(session=tokens.session, refresh=getattr(tokens, sort))

    result = await core.authenticator.authenticate(credentials)

    assert result.session is not None
    assert result.cookies is change
    assert result.error is None
    assert core.calls("refresh") == 0


@pytest.mark.parametrize("sort", ["refresh", "access_key", "foreign_session", "foreign_refresh"])
async def test_rf11_valid_refresh_token_heals_an_invalid_session_cookie(sort: str) -> None:
    """A planted token does not log the user out: an event is emitted, and both tokens are renewed."""
    core = AuthHarness()
    tokens = Tokens(core)

    result = await core.authenticator.authenticate(
        Credentials(session=getattr(tokens, sort), refresh=tokens.refresh)
    )

    assert result.session is not None
    assert result.cookies is CookieAction.WRITE
    assert len(core.recorded_events(TokenRejected)) == 1
    assert core.calls("refresh") == 1


async def test_rf11_forged_session_of_another_user_is_healed_too() -> None:
    """The claims of an unverified token count for nothing, so they do not make a mismatch."""
    core = AuthHarness()
    forged = tampered(core.issue(HANK, "globex").session_jwt)

    result = await core.authenticator.authenticate(
        Credentials(session=forged, refresh=core.issue().refresh_jwt)
    )

    assert result.session is not None
    assert result.session.tenant_id == "acme"
    assert core.recorded_events(TokenRejected) == [TokenRejected("signature", "cookie")]


@pytest.mark.parametrize("session_seconds", [600, -60], ids=["live", "dead"])
@pytest.mark.parametrize("refresh_age", [0, FOUR_WEEKS], ids=["good", "expired"])
async def test_kd05_cookies_of_two_users_authenticate_no_user(session_seconds: int, refresh_age: int) -> None:
    """One of them was planted, whichever is valid: nothing is refreshed, and both stay.

    A response can only delete the cookie of its own host, which would leave the planted one alone.
    """
    core = AuthHarness()
    old = core.issue()
    core.clock.advance(refresh_age + 10)
    planted = core.issue(HANK, "globex", session_seconds=session_seconds)

    result = await core.authenticator.authenticate(
        Credentials(session=planted.session_jwt, refresh=old.refresh_jwt)
    )

    assert result.session is None
    assert type(result.error) is ConflictingCookies
    assert result.cookies is CookieAction.KEEP
    assert core.recorded_events(TokenPairMismatch) == [TokenPairMismatch()]
    assert core.calls("refresh") == 0


async def test_kd08_with_a_bearer_the_cookies_do_not_count() -> None:
    """An invalid bearer is rejected with valid cookies, and a valid one counts with invalid cookies."""
    core = AuthHarness()
    pair = core.issue()

    refused = await core.authenticator.authenticate(replace(cookies(pair), bearer=tampered(pair.session_jwt)))
    empty = await core.authenticator.authenticate(replace(cookies(pair), bearer=""))
    good = await core.authenticator.authenticate(
        Credentials(bearer=pair.session_jwt, session="x", refresh="y")
    )

    assert reason(refused) is TokenReason.SIGNATURE
    assert reason(empty) is TokenReason.MALFORMED
    assert [r.source for r in (refused, empty, good)] == ["bearer"] * 3
    assert [r.cookies for r in (refused, empty, good)] == [CookieAction.KEEP] * 3
    assert good.session is not None
    assert good.is_final


async def test_kd04_expired_bearer_is_not_refreshed() -> None:
    """A valid refresh cookie in the same request changes nothing (KD-04)."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)

    result = await core.authenticator.authenticate(replace(cookies(pair), bearer=pair.session_jwt))

    assert reason(result) is TokenReason.EXPIRED
    assert core.calls("refresh") == 0


async def test_ck02_ambiguous_cookies_authenticate_no_user() -> None:
    """With two values of one name neither is verified, and both stay."""
    core = AuthHarness()
    result = await core.authenticator.authenticate(replace(cookies(core.issue()), ambiguous=True))

    assert type(result.error) is ConflictingCookies
    assert result.cookies is CookieAction.KEEP
    assert core.events == []


async def test_request_without_credentials_is_unauthenticated() -> None:
    """It costs no call, not even one for the keys."""
    core = AuthHarness()
    result = await core.authenticator.authenticate(Credentials())

    assert result.session is None
    assert type(result.error) is NotAuthenticated
    assert result.source == "none"
    assert len(core.emulator.requests) == 0


@pytest.mark.parametrize("text", ["", "garbage", "a.b.c", "\ud800", "é" * 10, "x" * 100_000])
async def test_rf12_garbage_in_the_cookies_is_never_sent_to_descope(text: str) -> None:
    """The request is unauthenticated, and nothing is refreshed or deleted."""
    core = AuthHarness()
    result = await core.authenticator.authenticate(Credentials(session=text, refresh=text))

    assert isinstance(result.error, TokenError)
    assert result.cookies is CookieAction.KEEP
    assert core.calls("refresh") == 0


async def test_tv03_another_encoding_of_a_known_token_is_rejected() -> None:
    """That the token itself has just been verified does not matter."""
    core = AuthHarness()
    pair = core.issue()
    assert (await core.authenticate(pair)).session is not None

    result = await core.authenticator.authenticate(Credentials(session=twin(pair.session_jwt)))

    assert reason(result) is TokenReason.MALFORMED


async def test_without_keys_the_result_is_unavailable() -> None:
    """Cookies and bearers cannot be verified, so the cookies stay."""
    core = AuthHarness()
    pair = core.issue()
    for credentials, source in ((cookies(pair), "cookie"), (Credentials(bearer=pair.session_jwt), "bearer")):
        core.emulator.faults.add("keys", status=503)
        result = await core.authenticator.authenticate(credentials)

        assert result.session is None
        assert isinstance(result.error, UpstreamUnavailable)
        assert result.cookies is CookieAction.KEEP
        assert result.source == source
    assert core.calls("refresh") == 0


async def test_live_session_continues_while_its_refresh_token_cannot_be_verified() -> None:
    """The refresh token names an unknown key, and no keys can be fetched."""
    core = AuthHarness()
    live = core.issue()
    await core.authenticate(live)
    core.emulator.rotate_keys()
    unknown = core.issue()
    core.emulator.faults.add("keys", status=503)

    result = await core.authenticator.authenticate(
        Credentials(session=live.session_jwt, refresh=unknown.refresh_jwt)
    )

    assert result.session is not None
    assert (result.error, result.is_final) == (None, True)
    assert result.cookies is CookieAction.KEEP


@pytest.mark.parametrize("session", ["dead", "unknown", "none"])
async def test_expired_session_is_unavailable_while_its_refresh_token_cannot_be_verified(
    session: str,
) -> None:
    """The result is a 503 and no logout, and the unverified token is sent nowhere."""
    core = AuthHarness()
    old = core.issue(session_seconds=-60)
    await core.authenticate(core.issue())
    core.emulator.rotate_keys()
    unknown = core.issue()
    texts = {"dead": old.session_jwt, "unknown": unknown.session_jwt, "none": None}
    core.emulator.faults.add("keys", status=503, times=2)

    result = await core.authenticator.authenticate(
        Credentials(session=texts[session], refresh=unknown.refresh_jwt)
    )

    assert isinstance(result.error, UpstreamUnavailable)
    assert result.cookies is CookieAction.KEEP
    assert core.calls("refresh") == 0


async def test_repr_of_credentials_and_results_shows_no_token() -> None:
    """Both may be logged (LG-02), and neither can be changed."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    credentials = replace(cookies(pair), bearer=None)
    result = await core.authenticator.authenticate(credentials)
    assert result.pair is not None
    shown = repr(credentials) + repr(Credentials(bearer=pair.session_jwt)) + repr(result)
    secrets = [*pair, result.pair.session_jwt, result.pair.refresh.text, "ada@acme.example"]

    assert [secret for secret in secrets if secret in shown] == []
    with pytest.raises(FrozenInstanceError):
        credentials.bearer = "x"  # type: ignore[misc] # that this is an error is the promise


async def test_kd10_client_in_the_settings_may_send_its_token() -> None:
    """The token of an inbound app counts if the operator lists the app (KD-10)."""
    for clients in (["TPA2other"], ["TPA2other", "TPA2own"]):
        core = AuthHarness(first_party_clients=clients)
        token = core.emulator.issue("ada@acme.example", "acme", claims={"azp": "TPA2own"}).session_jwt
        result = await core.authenticator.authenticate(Credentials(bearer=token))
        assert (result.session is not None) is ("TPA2own" in clients)
