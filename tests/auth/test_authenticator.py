"""Who is calling: which token counts in which place, and what becomes of the cookies.

Requirements 2.2, CK-02, CK-11, RF-11 and RF-12.
"""

from dataclasses import FrozenInstanceError, replace
from typing import Literal

import pytest

from fastapi_descope._auth.authenticator import AuthResult, CookieAction, Credentials
from fastapi_descope.errors import (
    ConflictingCookies,
    NotAuthenticated,
    TokenError,
    TokenReason,
    UpstreamUnavailable,
)
from fastapi_descope.events import TokenPairMismatch, TokenRejected
from tests.helpers.auth_harness import HANK, AuthHarness, cookies, foreign
from tests.helpers.tampering import segment, twin, with_segment

pytestmark = pytest.mark.anyio

FOUR_WEEKS = 28 * 86400


def tampered(token: str) -> str:
    """The token with its payload's last character changed."""
    payload = segment(token, 1)
    return with_segment(token, 1, payload[:-1] + ("A" if payload[-1] != "A" else "E"))


def reason(result: AuthResult) -> TokenReason:
    """Why the token was refused."""
    assert isinstance(result.error, TokenError)
    return result.error.reason


class Tokens:
    """One token of every sort, all of the same user and all alive."""

    def __init__(self, core: AuthHarness) -> None:
        pair = core.issue()
        access_key = core.emulator.issue("ada@acme.example", "acme", claims={"drn": "DAK"})
        stranger = foreign()
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
async def test_kd01_only_a_session_is_a_session(
    place: Literal["cookie", "bearer"], sort: str, refused: TokenReason | None
) -> None:
    """Alone in the session cookie or as a bearer: everything else is refused, and the cookies stay."""
    core = AuthHarness()
    token: str = getattr(Tokens(core), sort)
    presented = Credentials(session=token) if place == "cookie" else Credentials(bearer=token)

    result = await core.authenticator.authenticate(presented)

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
    """Alone in the refresh cookie: nothing else goes to Descope, and a session token there goes for good."""
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
async def test_kd02_a_live_session_goes_on_whatever_is_in_the_refresh_cookie(
    sort: str, change: CookieAction
) -> None:
    """A token in the wrong place logs nobody out."""
    core = AuthHarness()
    tokens = Tokens(core)
    presented = Credentials(session=tokens.session, refresh=getattr(tokens, sort))

    result = await core.authenticator.authenticate(presented)

    assert result.session is not None
    assert result.cookies is change
    assert result.error is None
    assert core.calls("refresh") == 0


@pytest.mark.parametrize("sort", ["refresh", "access_key", "foreign_session", "foreign_refresh"])
async def test_rf11_a_good_refresh_token_heals_a_bad_session_cookie(sort: str) -> None:
    """A token that somebody planted there does not log out; it is told of, and the pair is renewed."""
    core = AuthHarness()
    tokens = Tokens(core)

    result = await core.authenticator.authenticate(
        Credentials(session=getattr(tokens, sort), refresh=tokens.refresh)
    )

    assert result.session is not None
    assert result.cookies is CookieAction.WRITE
    assert len(core.recorded_events(TokenRejected)) == 1
    assert core.calls("refresh") == 1


async def test_rf11_a_forged_session_of_somebody_else_is_healed_too() -> None:
    """What an unsigned token claims counts for nothing, not even against the refresh token."""
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
async def test_kd05_cookies_of_two_users_are_nobody(session_seconds: int, refresh_age: int) -> None:
    """One of them was planted, whichever is alive: both go, and nothing is refreshed."""
    core = AuthHarness()
    old = core.issue()
    core.clock.advance(refresh_age + 10)
    planted = core.issue(HANK, "globex", session_seconds=session_seconds)

    result = await core.authenticator.authenticate(
        Credentials(session=planted.session_jwt, refresh=old.refresh_jwt)
    )

    assert result.session is None
    assert type(result.error) is NotAuthenticated
    assert result.cookies is CookieAction.CLEAR
    assert core.recorded_events(TokenPairMismatch) == [TokenPairMismatch()]
    assert core.calls("refresh") == 0


async def test_kd08_a_bearer_decides_alone() -> None:
    """A bad one is refused though the cookies are good; a good one counts though they are bad (KD-08)."""
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


async def test_kd04_an_expired_bearer_is_not_refreshed() -> None:
    """Not even with a good refresh cookie beside it (KD-04)."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)

    result = await core.authenticator.authenticate(replace(cookies(pair), bearer=pair.session_jwt))

    assert reason(result) is TokenReason.EXPIRED
    assert core.calls("refresh") == 0


async def test_ck02_ambiguous_cookies_are_nobody() -> None:
    """Two values of one name: neither is looked at, and both stay."""
    core = AuthHarness()
    result = await core.authenticator.authenticate(replace(cookies(core.issue()), ambiguous=True))

    assert type(result.error) is ConflictingCookies
    assert result.cookies is CookieAction.KEEP
    assert core.events == []


async def test_without_credentials_nobody_is_calling() -> None:
    """That costs nothing: not even the keys are asked for."""
    core = AuthHarness()
    result = await core.authenticator.authenticate(Credentials())

    assert result.session is None
    assert type(result.error) is NotAuthenticated
    assert result.source == "none"
    assert len(core.emulator.requests) == 0


@pytest.mark.parametrize("text", ["", "garbage", "a.b.c", "\ud800", "é" * 10, "x" * 100_000])
async def test_rf12_garbage_in_the_cookies_goes_nowhere(text: str) -> None:
    """Whatever was in them, nobody is calling; nothing is refreshed and nothing deleted."""
    core = AuthHarness()
    result = await core.authenticator.authenticate(Credentials(session=text, refresh=text))

    assert isinstance(result.error, TokenError)
    assert result.cookies is CookieAction.KEEP
    assert core.calls("refresh") == 0


async def test_tv03_another_spelling_of_a_known_token_is_refused() -> None:
    """It was just verified; that is no reason to take its twin for it."""
    core = AuthHarness()
    pair = core.issue()
    assert (await core.authenticate(pair)).session is not None

    result = await core.authenticator.authenticate(Credentials(session=twin(pair.session_jwt)))

    assert reason(result) is TokenReason.MALFORMED


async def test_without_keys_nobody_can_tell() -> None:
    """No verdict: the cookies stay, by cookie and by bearer."""
    core = AuthHarness()
    pair = core.issue()
    for presented, source in ((cookies(pair), "cookie"), (Credentials(bearer=pair.session_jwt), "bearer")):
        core.emulator.faults.add("keys", status=503)
        result = await core.authenticator.authenticate(presented)

        assert result.session is None
        assert isinstance(result.error, UpstreamUnavailable)
        assert result.cookies is CookieAction.KEEP
        assert result.source == source
    assert core.calls("refresh") == 0


async def test_a_live_session_goes_on_while_its_refresh_token_cannot_be_checked() -> None:
    """It names a key that we do not know, and Descope's keys cannot be had: that is for later."""
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
async def test_a_dead_session_waits_while_its_refresh_token_cannot_be_checked(session: str) -> None:
    """503 rather than a logout, and the token is not sent anywhere unchecked."""
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


async def test_neither_credentials_nor_resolutions_show_a_token() -> None:
    """They may be logged (LG-02), and cannot be changed."""
    core = AuthHarness()
    pair = core.issue(session_seconds=-60)
    presented = replace(cookies(pair), bearer=None)
    result = await core.authenticator.authenticate(presented)
    assert result.pair is not None
    shown = repr(presented) + repr(Credentials(bearer=pair.session_jwt)) + repr(result)
    secrets = [*pair, result.pair.session_jwt, result.pair.refresh.text, "ada@acme.example"]

    assert [secret for secret in secrets if secret in shown] == []
    with pytest.raises(FrozenInstanceError):
        presented.bearer = "x"  # type: ignore[misc] # that this is an error is the promise
