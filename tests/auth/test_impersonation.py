"""Impersonated sessions in the core: the actor of both tokens, and responses that lose it (IM-02, IM-03)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.emulator import Assumptions, JwtPair, Project
from fastapi_descope.errors import Forbidden, InvalidUpstreamResponse, UpstreamUnavailable
from fastapi_descope.events import (
    RefreshFailed,
    SessionRefused,
    SignedIn,
    SignedOut,
    TenantSwitched,
    UpstreamTokenRejected,
)
from fastapi_descope.session import UNKNOWN_ACTOR, AuthSession
from tests.helpers.auth_harness import ADA, ADA_ID, HANK, STRICT, AuthHarness, admit_all, cookies

pytestmark = pytest.mark.anyio

GRACE = "grace@acme.example"
DEAD = 660
REFRESH_ONLY = replace(STRICT, assumptions=Assumptions(actor_claim="refresh_only"))


def impersonated(core: AuthHarness, actor: str = GRACE) -> JwtPair:
    """Return the tokens of Ada's session in which another user acts."""
    return core.emulator.issue(ADA, "acme", actor=actor)


def user_id(core: AuthHarness, login_id: str = GRACE) -> str:
    """Return the user id of a user of the project."""
    user = core.emulator.project.find_user(login_id)
    assert user is not None
    return user.user_id


def mixed(session: JwtPair, refresh: JwtPair) -> tuple[str, str]:
    """Return the session token of one pair and the refresh token of another one."""
    return session.session_jwt, refresh.refresh_jwt


LOST: dict[str, Callable[[AuthHarness], tuple[str, str]]] = {
    "the user's own tokens": lambda core: mixed(core.issue(), core.issue()),
    "the user's own refresh token": lambda core: mixed(impersonated(core), core.issue()),
    "tokens of another actor": lambda core: mixed(impersonated(core, HANK), impersonated(core, HANK)),
    "a session of another actor": lambda core: mixed(impersonated(core, HANK), impersonated(core)),
    "a refresh token of another actor": lambda core: mixed(impersonated(core), impersonated(core, HANK)),
}
LOSSES = pytest.mark.parametrize("lost", LOST.values(), ids=LOST)


@LOSSES
async def test_im03_refresh_that_loses_the_actor_is_refused(
    lost: Callable[[AuthHarness], tuple[str, str]],
) -> None:
    """It gives no session, and the cookies are kept: 503, like tokens of another user (IM-03)."""
    core = AuthHarness()
    pair = impersonated(core)
    core.clock.advance(DEAD)
    core.set_next_tokens("refresh", *lost(core))

    result = await core.finish(pair)

    assert result.session is None
    assert isinstance(result.error, UpstreamUnavailable)
    assert result.cookies is CookieAction.KEEP
    assert core.recorded_events(UpstreamTokenRejected, RefreshFailed) == [
        UpstreamTokenRejected("actor"),
        RefreshFailed("actor"),
    ]


@LOSSES
async def test_im03_tenant_switch_that_loses_the_actor_is_refused(
    lost: Callable[[AuthHarness], tuple[str, str]],
) -> None:
    """The error is that of an invalid response (IM-03)."""
    core = AuthHarness()
    pair = impersonated(core)
    core.set_next_tokens("select", *lost(core))

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.session_service.select_tenant(cookies(pair), "acme")

    assert caught.value.reason == "actor"
    assert core.recorded_events(TenantSwitched) == []


async def test_im02_refresh_token_speaks_for_a_session_token_without_the_claim() -> None:
    """Both in one response, as after a refresh (IM-02)."""
    core = AuthHarness()
    pair = impersonated(core)
    core.clock.advance(DEAD)
    core.set_next_tokens("refresh", *mixed(core.issue(), impersonated(core)))

    result = await core.finish(pair)

    assert result.session is not None
    assert result.session.actor == user_id(core)
    assert result.pair is not None
    assert result.pair.session == result.session


async def test_im02_claim_of_the_session_token_precedes_that_of_the_refresh_token() -> None:
    """A live session keeps its own actor until its next refresh (IM-02)."""
    core = AuthHarness()
    session, refresh = mixed(impersonated(core, HANK), impersonated(core))

    result = await core.authenticator.authenticate(Credentials(session=session, refresh=refresh))

    assert result.session is not None
    assert result.session.actor == user_id(core, HANK)


async def test_session_token_alone_has_its_own_claim_only() -> None:
    """As a bearer, or without the refresh cookie. Nothing else in such a request names the actor."""
    core = AuthHarness(REFRESH_ONLY)
    pair = impersonated(core)

    for credentials in (Credentials(bearer=pair.session_jwt), Credentials(session=pair.session_jwt)):
        result = await core.authenticator.authenticate(credentials)
        assert result.session is not None
        assert result.session.actor is None


async def test_im02_hook_gets_the_actor_and_its_verdict_is_not_that_of_the_token_alone() -> None:
    """The bearer with the same session token was admitted before: it does not show the actor (IM-02)."""
    seen: list[str | None] = []

    async def refuse_impersonated(session: AuthSession) -> None:
        seen.append(session.actor)
        if session.actor is not None:
            raise Forbidden

    core = AuthHarness(REFRESH_ONLY, session_hooks=[refuse_impersonated])
    pair = impersonated(core)

    bearer = await core.authenticator.authenticate(Credentials(bearer=pair.session_jwt))
    results = [await core.authenticate(pair) for _ in range(2)]

    assert bearer.session is not None
    assert [type(result.error) for result in results] == [Forbidden, Forbidden]
    assert seen == [None, user_id(core)]
    assert core.recorded_events(SessionRefused) == [
        SessionRefused(ADA_ID, "acme", "forbidden", user_id(core))
    ]


@pytest.mark.parametrize("project", [STRICT, REFRESH_ONLY], ids=["in both tokens", "in the refresh token"])
async def test_im02_im05_session_and_event_of_a_login_have_the_actor(project: Project) -> None:
    """If Descope's response is an impersonated session (IM-02, IM-05)."""
    core = AuthHarness(project)
    issued = impersonated(core)
    core.set_next_tokens("exchange", *issued)

    response = await core.api.exchange_code("any")
    pair = await core.login_flow.finish(response, admit_all)

    assert (pair.session.actor, pair.refresh.actor) == (user_id(core), user_id(core))
    assert core.recorded_events(SignedIn) == [
        SignedIn(ADA_ID, "acme", first_seen=False, actor_id=user_id(core))
    ]


@pytest.mark.parametrize("expired", [False, True])
async def test_im02_logout_hook_gets_the_actor(*, expired: bool) -> None:
    """Also if the session token has expired or does not name it (IM-02)."""
    core = AuthHarness(REFRESH_ONLY)
    pair = impersonated(core)
    core.clock.advance(DEAD if expired else 0)
    ended: list[AuthSession] = []

    async def notify(session: AuthSession) -> None:
        ended.append(session)

    await core.session_service.logout(cookies(pair), notify=notify)

    assert [(session.user.id, session.actor) for session in ended] == [(ADA_ID, user_id(core))]
    assert core.recorded_events(SignedOut) == [
        SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID, actor_id=user_id(core))
    ]


async def test_im05_logout_of_two_actors_has_an_unknown_one() -> None:
    """The user and the impersonator have a refresh cookie each: one of them was planted (IM-05)."""
    core = AuthHarness()
    rivals = (core.issue().refresh_jwt, impersonated(core).refresh_jwt)

    await core.session_service.logout(Credentials(ambiguous=True, refresh_rivals=rivals))

    assert core.recorded_events(SignedOut) == [
        SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID, actor_id=UNKNOWN_ACTOR)
    ]


async def test_refresh_token_that_cannot_be_used_leaves_the_session_as_it_is() -> None:
    """There is no actor to carry over."""
    core = AuthHarness()
    credentials = Credentials(session=core.issue().session_jwt, refresh="a.b.c")
    session = await core.browser_tokens.session_to_end(credentials)
    assert session is not None
    assert session.actor is None


async def test_cached_result_of_a_refresh_is_checked_for_the_actor() -> None:
    """Another process may have stored it."""
    core = AuthHarness()
    refresh = await core.refresh_token(impersonated(core))
    own = core.issue()

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(RefreshResult(own.session_jwt, own.refresh_jwt), refresh)

    assert caught.value.reason == "actor"
