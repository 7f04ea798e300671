"""Login and callback, without a web framework: what Descope is asked, and what its answers become (2.4)."""

import asyncio

import httpx
import pytest

from fastapi_descope._auth.authenticator import Credentials
from fastapi_descope._auth.login import LoginRequest
from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._upstream.api import LoginOptions, LoginParams
from fastapi_descope.emulator.journal import fingerprint
from fastapi_descope.errors import (
    Forbidden,
    InvalidUpstreamResponse,
    LoginRejected,
    RateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import LoginFailed, SignedIn, UpstreamTokenRejected
from fastapi_descope.session import TokenPair, UserProfile
from tests.helpers.auth_harness import ADA, AuthHarness, anybody, cookies

pytestmark = pytest.mark.anyio

CALLBACK = "http://127.0.0.1:8000/callback?state=canary-state"


def asked(tenant: str = "acme", options: LoginOptions | None = None) -> LoginRequest:
    """A sign-in to a tenant."""
    return LoginRequest(tenant, CALLBACK, options=options)


async def signed_in_code(core: AuthHarness, options: LoginOptions | None = None) -> str:
    """The code that a browser brings back."""
    return await core.code(await core.login_flow.authorization_url(asked(options=options)))


async def test_a_login_starts_where_descope_says() -> None:
    """Every parameter that is given goes along, and no refresh token."""
    core = AuthHarness()

    url = await core.login_flow.authorization_url(
        LoginRequest(
            "acme",
            CALLBACK,
            LoginParams(login_hint=ADA, sso_id="acme-okta", prompt="login", force_authn="true"),
            LoginOptions(locale="de"),
        ),
        credentials=cookies(core.issue()),
    )

    assert httpx.URL(url).path.startswith("/signin/")
    (call,) = core.emulator.requests.for_endpoint("authorize")
    assert call.query == {
        "tenant": "acme",
        "redirectURL": CALLBACK,
        "loginHint": ADA,
        "ssoId": "acme-okta",
        "prompt": "login",
        "forceAuthn": "true",
    }
    assert call.caller == fingerprint(f"Bearer {core.emulator.project_id}")


async def test_a_login_asks_for_no_more_than_it_must() -> None:
    """Only the tenant and the way back."""
    core = AuthHarness()
    await core.login_flow.authorization_url(asked("ada@acme.example"))
    (call,) = core.emulator.requests.for_endpoint("authorize")
    assert call.query == {"tenant": "ada@acme.example", "redirectURL": CALLBACK}


@pytest.mark.parametrize("options", [LoginOptions(stepup=True), LoginOptions(mfa=True)])
async def test_a_step_up_carries_the_refresh_token(options: LoginOptions) -> None:
    """It is about the user who is signed in; the newest token counts, the presented one may be spent."""
    core = AuthHarness()
    issued = core.issue()
    renewed = await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    assert renewed.pair is not None

    await core.login_flow.authorization_url(asked(options=options), credentials=cookies(issued))

    (call,) = core.emulator.requests.for_endpoint("authorize")
    assert call.caller == fingerprint(f"Bearer {core.emulator.project_id}:{renewed.pair.refresh.text}")
    assert call.status == 200


async def test_a_step_up_makes_a_stepped_up_session() -> None:
    """The whole way: the session that comes back says so."""
    core = AuthHarness()
    url = await core.login_flow.authorization_url(
        asked(options=LoginOptions(stepup=True)), credentials=cookies(core.issue())
    )
    pair = await core.login_flow.complete_login(await core.code(url), anybody)
    assert pair.session.step_up


@pytest.mark.parametrize("options", [LoginOptions(stepup=True), LoginOptions(mfa=True)])
async def test_a_step_up_without_a_refresh_token_is_a_plain_login(options: LoginOptions) -> None:
    """Nobody is there to be confirmed: who signs in is not stepped up by that."""
    core = AuthHarness()

    url = await core.login_flow.authorization_url(
        asked(options=options), credentials=Credentials(session=core.issue().session_jwt)
    )

    pair = await core.login_flow.complete_login(await core.code(url), anybody)
    assert not pair.session.step_up
    assert not pair.session.used_mfa
    assert core.calls("authorize") == 1


async def test_a_step_up_of_a_session_that_descope_has_ended_is_a_plain_login() -> None:
    """The refresh token still looks good here; Descope knows better, and is asked without it."""
    core = AuthHarness()
    issued = core.issue()
    core.emulator.revoke_sessions(ADA)

    await core.login_flow.authorization_url(
        asked(options=LoginOptions(stepup=True)), credentials=cookies(issued)
    )

    refused, granted = core.emulator.requests.for_endpoint("authorize")
    assert (refused.status, granted.status) == (401, 200)
    assert granted.caller == fingerprint(f"Bearer {core.emulator.project_id}")


async def test_a_step_up_during_an_outage_has_no_verdict() -> None:
    """The session may be alive: it is not taken for one that has ended."""
    core = AuthHarness()
    core.emulator.faults.add("authorize", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.login_flow.authorization_url(
            asked(options=LoginOptions(stepup=True)), credentials=cookies(core.issue())
        )
    assert core.calls("authorize") == 1


async def test_a_login_that_descope_refuses_is_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown tenant, say. What Descope said is told of, advised on once, and not shown."""
    core = AuthHarness()
    with pytest.raises(LoginRejected):
        await core.login_flow.authorization_url(asked("nowhere"))
    with pytest.raises(LoginRejected) as caught:
        await core.login_flow.authorization_url(asked("nowhere"))
    assert caplog.messages == [
        (
            "fastapi_descope: Descope refuses http://127.0.0.1:8000/callback or the tenant (status 400, code"
            " E011004): check the approved domains of the project, DESCOPE_PUBLIC_URL and DESCOPE_PROJECT_ID"
        )
    ]
    assert caught.value.reason == "authorize_refused"
    assert caught.value.__cause__ is None
    assert core.events == [LoginFailed("authorize_refused", 400, "E011004")] * 2


async def test_a_login_during_an_outage_has_no_verdict() -> None:
    """503, with the time to wait; who runs the app is told of it."""
    core = AuthHarness()
    core.emulator.faults.add("authorize", status=503, retry_after=11)
    with pytest.raises(UpstreamUnavailable) as caught:
        await core.login_flow.authorization_url(asked())
    assert caught.value.retry_after == 11
    assert core.recorded_events(LoginFailed) == [LoginFailed("upstream_unavailable")]


async def test_a_code_becomes_a_verified_pair() -> None:
    """The user, in the tenant that they signed in to; told of once, with whether they are new."""
    core = AuthHarness()
    for first_seen in (True, False):
        pair = await core.login_flow.complete_login(await signed_in_code(core), anybody)
        assert pair.session.tenant_id == "acme"
        assert pair.session.user.email == ADA
        assert core.recorded_events(SignedIn)[-1] == SignedIn(pair.session.user.id, "acme", first_seen)
    assert len(core.recorded_events(SignedIn)) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_cb08_a_code_that_descope_refuses_is_rejected(status: int) -> None:
    """Whatever the status, the user has to start again; the call is not repeated."""
    core = AuthHarness()
    core.emulator.faults.add("exchange", status=status)
    with pytest.raises(LoginRejected) as caught:
        await core.login_flow.complete_login("canary-code", anybody)
    assert caught.value.reason == "code_refused"
    assert "canary" not in repr(caught.value) + repr(caught.value.__cause__)
    assert core.recorded_events(LoginFailed) == [LoginFailed("code_refused", status, "E011001")]
    assert core.calls("exchange") == 1


async def test_cb08_a_rate_limit_asks_to_wait() -> None:
    """429 is no word on the code, and is not answered with a second try."""
    core = AuthHarness()
    core.emulator.faults.add("exchange", status=429, retry_after=17)
    with pytest.raises(RateLimited) as caught:
        await core.login_flow.complete_login("code", anybody)
    assert caught.value.retry_after == 17
    assert core.recorded_events(LoginFailed) == [LoginFailed("rate_limited")]
    assert core.calls("exchange") == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_cb08_an_outage_is_never_answered_with_a_second_try(status: int) -> None:
    """A code is good for one use, and may be used up already."""
    core = AuthHarness()
    core.emulator.faults.add("exchange", status=status)
    with pytest.raises(UpstreamUnavailable):
        await core.login_flow.complete_login("code", anybody)
    assert core.recorded_events(LoginFailed) == [LoginFailed("upstream_unavailable")]
    assert core.calls("exchange") == 1


async def test_cb07_a_pair_that_is_not_verified_signs_nobody_in() -> None:
    """502; told of as a failed login and as a suspicious answer."""
    core = AuthHarness()
    core.next_tokens("exchange", *reversed([*core.issue()]))
    with pytest.raises(InvalidUpstreamResponse):
        await core.login_flow.complete_login("code", anybody)
    assert core.recorded_events(LoginFailed, UpstreamTokenRejected, SignedIn) == [
        UpstreamTokenRejected("kind"),
        LoginFailed("invalid_upstream_response"),
    ]


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (LoginRejected("You are suspended."), "refused"),
        (LoginRejected(reason="suspended"), "suspended"),
        (Forbidden(), "forbidden"),
        (UpstreamRejected(401), "upstream_rejected"),
        (KeyError("accounts"), "hook_failed"),
    ],
    ids=["refused", "with a reason", "forbidden", "of another upstream", "failed"],
)
async def test_lg07_whom_the_app_does_not_admit_is_not_signed_in(refusal: Exception, reason: str) -> None:
    """One event, and that says so; what the app raised is what the caller gets."""
    core = AuthHarness()
    code = await signed_in_code(core)

    async def refuse(pair: TokenPair, profile: UserProfile | None) -> None:
        assert core.recorded_events(SignedIn, LoginFailed) == []
        raise refusal

    with pytest.raises(type(refusal)) as caught:
        await core.login_flow.complete_login(code, refuse)
    assert caught.value is refusal
    assert core.recorded_events(SignedIn, LoginFailed) == [LoginFailed(reason)]


async def test_cb16_twins_are_admitted_once() -> None:
    """A user is provisioned once, however often the browser sent the callback."""
    core = AuthHarness()
    code = await signed_in_code(core)
    admitted: list[tuple[str | None, str | None]] = []

    async def admit(pair: TokenPair, profile: UserProfile | None) -> None:
        admitted.append((pair.session.user.email, profile.email if profile else None))

    await asyncio.gather(*[core.login_flow.complete_login(code, admit) for _ in range(10)])

    assert admitted == [(ADA, ADA)]


async def test_a_clock_that_is_ahead_is_told_of() -> None:
    """Tokens that are fresh from Descope and over by our clock: it is ours that is wrong."""
    core = AuthHarness()
    core.next_tokens("exchange", *core.issue(session_seconds=-60))
    with pytest.raises(InvalidUpstreamResponse):
        await core.login_flow.complete_login("code", anybody)
    assert core.recorded_events(LoginFailed, UpstreamTokenRejected) == [
        UpstreamTokenRejected("expired"),
        LoginFailed("invalid_upstream_response"),
    ]


async def test_cb16_the_same_callback_twice_at_once_costs_one_exchange() -> None:
    """Both get the same pair: never two sessions, of which each browser tab has half (CB-16)."""
    core = AuthHarness()
    code = await signed_in_code(core)

    pairs = await asyncio.gather(*[core.login_flow.complete_login(code, anybody) for _ in range(10)])

    assert len({pair.refresh.text for pair in pairs}) == 1
    assert core.calls("exchange") == 1
    assert len(core.recorded_events(SignedIn)) == 1


async def test_cb16_the_same_callback_afterwards_is_rejected() -> None:
    """A code is good for one use, and Descope says so."""
    core = AuthHarness()
    code = await signed_in_code(core)
    await core.login_flow.complete_login(code, anybody)
    with pytest.raises(LoginRejected):
        await core.login_flow.complete_login(code, anybody)
    assert core.calls("exchange") == 2


async def test_cb16_a_twin_that_goes_away_takes_nothing_along() -> None:
    """The browser sent the callback twice, and hung up on the first."""
    core = AuthHarness()
    code = await signed_in_code(core)
    core.emulator.faults.add("exchange", hold=True)
    first, second = (asyncio.create_task(core.login_flow.complete_login(code, anybody)) for _ in range(2))
    await core.emulator.faults.wait_until_held()
    first.cancel()
    core.emulator.faults.release()

    assert (await second).session.tenant_id == "acme"
    assert first.cancelled()
    assert core.calls("exchange") == 1


async def test_different_codes_do_not_share() -> None:
    """Each is its own user's."""
    core = AuthHarness()
    mine = await signed_in_code(core)
    theirs = await core.code(await core.login_flow.authorization_url(asked()), "grace@acme.example")

    ada, grace = await asyncio.gather(
        core.login_flow.complete_login(mine, anybody), core.login_flow.complete_login(theirs, anybody)
    )

    assert (ada.session.user.email, grace.session.user.email) == (ADA, "grace@acme.example")


def test_a_login_request_shows_neither_state_nor_e_mail() -> None:
    """It may be logged (LG-02)."""
    request = LoginRequest(
        "canary@acme.example", CALLBACK, LoginParams(login_hint="canary", sso_id="acme-okta")
    )
    assert "canary" not in repr(request)
    assert "acme-okta" in repr(request)


async def test_cb09_a_login_supersedes_the_session_before_it() -> None:
    """Whoever still has its tokens gets no new ones here, and is not told to drop what he has."""
    core = AuthHarness()
    former, pair = core.issue(), await core.pair(core.issue("grace@acme.example"))
    await core.login_flow.supersede(cookies(former), pair)

    assert await core.coordinator.refresh(await core.refresh_token(former)) == Ended(superseded=True)
    assert core.calls("refresh") == core.calls("logout") == 0


@pytest.mark.parametrize(
    "presented",
    [Credentials(), Credentials(bearer="a.b.c"), Credentials(ambiguous=True), Credentials(refresh="x")],
)
async def test_a_login_over_no_session_supersedes_nothing(presented: Credentials) -> None:
    """Nor does it fail."""
    core = AuthHarness()
    await core.login_flow.supersede(presented, await core.pair(core.issue()))


async def test_a_login_does_not_supersede_itself() -> None:
    """A callback that is asked for again comes with the cookies of its own login."""
    core = AuthHarness()
    issued = core.issue()
    await core.login_flow.supersede(cookies(issued), await core.pair(issued))

    assert isinstance(await core.coordinator.refresh(await core.refresh_token(issued)), Renewed)
