"""Login and callback without a web framework: the calls to Descope and their results (requirements 2.4)."""

import asyncio

import httpx
import pytest

from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._auth.login import Admission, LoginRequest
from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._upstream.login_options import LoginOptions, LoginParams
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
from fastapi_descope.login import Login
from fastapi_descope.session import TokenPair
from tests.helpers.auth_harness import ADA, AuthHarness, admit_all, cookies

pytestmark = pytest.mark.anyio

SECRET = "s" * 43
CALLBACK = "http://127.0.0.1:8000/callback?state=canary-state"


def login_request(tenant: str = "acme", options: LoginOptions | None = None) -> LoginRequest:
    """Return the parameters of a login to a tenant."""
    return LoginRequest(tenant, CALLBACK, options=options)


async def signed_in_code(core: AuthHarness, options: LoginOptions | None = None) -> str:
    """Return the code with which a browser comes back."""
    return await core.code(await core.login_flow.authorization_url(login_request(options=options)))


async def complete(
    core: AuthHarness, code: str, admit: Admission = admit_all, secret: str = SECRET
) -> TokenPair:
    """Complete a login for the first time."""
    pair = await core.login_flow.complete_login(code, admit, secret=secret)
    assert pair is not None
    return pair


async def test_login_starts_at_the_url_that_descope_returns() -> None:
    """Every given parameter is sent, but no refresh token."""
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


async def test_login_sends_only_given_parameters() -> None:
    """Those are the tenant and the redirect URL."""
    core = AuthHarness()
    await core.login_flow.authorization_url(login_request("ada@acme.example"))
    (call,) = core.emulator.requests.for_endpoint("authorize")
    assert call.query == {"tenant": "ada@acme.example", "redirectURL": CALLBACK}


@pytest.mark.parametrize("options", [LoginOptions(stepup=True), LoginOptions(mfa=True)])
async def test_step_up_sends_the_current_refresh_token(options: LoginOptions) -> None:
    """It confirms the user of the session, whose own token may have been replaced."""
    core = AuthHarness()
    issued = core.issue()
    renewed = await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    assert renewed.pair is not None

    await core.login_flow.authorization_url(login_request(options=options), credentials=cookies(issued))

    (call,) = core.emulator.requests.for_endpoint("authorize")
    assert call.caller == fingerprint(f"Bearer {core.emulator.project_id}:{renewed.pair.refresh.text}")
    assert call.status == 200


async def test_step_up_results_in_a_stepped_up_session() -> None:
    """The claim is in the session token that the callback gets."""
    core = AuthHarness()
    url = await core.login_flow.authorization_url(
        login_request(options=LoginOptions(stepup=True)), credentials=cookies(core.issue())
    )
    pair = await complete(core, await core.code(url), admit_all)
    assert pair.session.step_up


@pytest.mark.parametrize("options", [LoginOptions(stepup=True), LoginOptions(mfa=True)])
async def test_step_up_without_a_refresh_token_is_an_ordinary_login(options: LoginOptions) -> None:
    """There is no user to confirm, so the new session is not stepped up."""
    core = AuthHarness()

    url = await core.login_flow.authorization_url(
        login_request(options=options), credentials=Credentials(session=core.issue().session_jwt)
    )

    pair = await complete(core, await core.code(url), admit_all)
    assert not pair.session.step_up
    assert not pair.session.used_mfa
    assert core.calls("authorize") == 1


async def test_step_up_of_a_revoked_session_is_an_ordinary_login() -> None:
    """Descope rejects the refresh token and is called again without it."""
    core = AuthHarness()
    issued = core.issue()
    core.emulator.revoke_sessions(ADA)

    await core.login_flow.authorization_url(
        login_request(options=LoginOptions(stepup=True)), credentials=cookies(issued)
    )

    refused, granted = core.emulator.requests.for_endpoint("authorize")
    assert (refused.status, granted.status) == (401, 200)
    assert granted.caller == fingerprint(f"Bearer {core.emulator.project_id}")


async def test_step_up_during_an_outage_is_unavailable() -> None:
    """The session may be valid, so it does not count as ended."""
    core = AuthHarness()
    core.emulator.faults.add("authorize", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.login_flow.authorization_url(
            login_request(options=LoginOptions(stepup=True)), credentials=cookies(core.issue())
        )
    assert core.calls("authorize") == 1


async def test_login_that_descope_rejects_is_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """The reason is in the event and in one log line, and not in the error."""
    core = AuthHarness()
    with pytest.raises(LoginRejected):
        await core.login_flow.authorization_url(login_request("nowhere"))
    with pytest.raises(LoginRejected) as caught:
        await core.login_flow.authorization_url(login_request("nowhere"))
    assert caplog.messages == [
        (
            "fastapi_descope: Descope refuses http://127.0.0.1:8000/callback or the tenant (status 400, code"
            " E011004): check the approved domains of the project, DESCOPE_PUBLIC_URL and DESCOPE_PROJECT_ID"
        )
    ]
    assert caught.value.reason == "authorize_refused"
    assert caught.value.__cause__ is None
    assert core.events == [LoginFailed("authorize_refused", 400, "E011004")] * 2


async def test_login_during_an_outage_is_unavailable() -> None:
    """A 503 with the time to wait, and an event."""
    core = AuthHarness()
    core.emulator.faults.add("authorize", status=503, retry_after=11)
    with pytest.raises(UpstreamUnavailable) as caught:
        await core.login_flow.authorization_url(login_request())
    assert caught.value.retry_after == 11
    assert core.recorded_events(LoginFailed) == [LoginFailed("upstream_unavailable")]


async def test_code_is_exchanged_for_verified_tokens_of_the_tenant() -> None:
    """One event is emitted, which also says whether the user is new."""
    core = AuthHarness()
    for first_seen in (True, False):
        pair = await complete(core, await signed_in_code(core), secret=f"secret {first_seen}")
        assert pair.session.tenant_id == "acme"
        assert pair.session.user.email == ADA
        assert core.recorded_events(SignedIn)[-1] == SignedIn(pair.session.user.id, "acme", first_seen)
    assert len(core.recorded_events(SignedIn)) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_cb08_code_that_descope_rejects_is_rejected(status: int) -> None:
    """Whatever the status, the user has to start again; the call is not repeated."""
    core = AuthHarness()
    core.emulator.faults.add("exchange", status=status)
    with pytest.raises(LoginRejected) as caught:
        await complete(core, "canary-code", admit_all)
    assert caught.value.reason == "code_refused"
    assert "canary" not in repr(caught.value) + repr(caught.value.__cause__)
    assert core.recorded_events(LoginFailed) == [LoginFailed("code_refused", status, "E011001")]
    assert core.calls("exchange") == 1


async def test_cb08_rate_limited_exchange_is_not_repeated() -> None:
    """A 429 says nothing about the code."""
    core = AuthHarness()
    core.emulator.faults.add("exchange", status=429, retry_after=17)
    with pytest.raises(RateLimited) as caught:
        await complete(core, "code", admit_all)
    assert caught.value.retry_after == 17
    assert core.recorded_events(LoginFailed) == [LoginFailed("rate_limited")]
    assert core.calls("exchange") == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_cb08_failed_exchange_is_not_repeated(status: int) -> None:
    """A code can be used once, and may have been used."""
    core = AuthHarness()
    core.emulator.faults.add("exchange", status=status)
    with pytest.raises(UpstreamUnavailable):
        await complete(core, "code", admit_all)
    assert core.recorded_events(LoginFailed) == [LoginFailed("upstream_unavailable")]
    assert core.calls("exchange") == 1


async def test_cb07_unverified_tokens_sign_no_user_in() -> None:
    """A 502, with an event for the login and one for the suspicious response."""
    core = AuthHarness()
    core.set_next_tokens("exchange", *reversed([*core.issue()]))
    with pytest.raises(InvalidUpstreamResponse):
        await complete(core, "code", admit_all)
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
async def test_lg07_user_whom_a_hook_rejects_is_not_signed_in(refusal: Exception, reason: str) -> None:
    """The only event is the failed login, and the caller gets the hook's own error."""
    core = AuthHarness()
    code = await signed_in_code(core)

    async def refuse(pair: TokenPair, login: Login) -> None:
        assert core.recorded_events(SignedIn, LoginFailed) == []
        raise refusal

    with pytest.raises(type(refusal)) as caught:
        await complete(core, code, refuse)
    assert caught.value is refusal
    assert core.recorded_events(SignedIn, LoginFailed) == [LoginFailed(reason)]


async def test_cb16_concurrent_callbacks_run_hooks_once() -> None:
    """A user is created once, however often the browser sent the callback."""
    core = AuthHarness()
    code = await signed_in_code(core)
    admitted: list[tuple[str | None, str | None]] = []

    async def admit(pair: TokenPair, login: Login) -> None:
        admitted.append((pair.session.user.email, login.user.email))

    await asyncio.gather(*[complete(core, code, admit) for _ in range(10)])

    assert admitted == [(ADA, ADA)]


async def test_clock_that_is_ahead_emits_an_event() -> None:
    """Tokens that Descope has just issued have expired by our clock, so ours is wrong."""
    core = AuthHarness()
    core.set_next_tokens("exchange", *core.issue(session_seconds=-60))
    with pytest.raises(InvalidUpstreamResponse):
        await complete(core, "code", admit_all)
    assert core.recorded_events(LoginFailed, UpstreamTokenRejected) == [
        UpstreamTokenRejected("expired"),
        LoginFailed("invalid_upstream_response"),
    ]


async def test_cb16_concurrent_callbacks_cost_one_exchange() -> None:
    """All get the same tokens, never two sessions of which each tab has one (CB-16)."""
    core = AuthHarness()
    code = await signed_in_code(core)

    pairs = await asyncio.gather(*[complete(core, code, admit_all) for _ in range(10)])

    assert len({pair.refresh.text for pair in pairs}) == 1
    assert core.calls("exchange") == 1
    assert len(core.recorded_events(SignedIn)) == 1


async def test_cb04_cb16_later_callback_of_the_same_login_exchanges_nothing() -> None:
    """Neither its own code nor another one, whether the login has succeeded or failed."""
    core = AuthHarness()
    await complete(core, await signed_in_code(core), secret="completed")
    with pytest.raises(LoginRejected):
        await complete(core, "wrong-code", secret="refused")
    exchanges = core.calls("exchange")

    for secret in ("completed", "refused"):
        assert await core.login_flow.complete_login("another", admit_all, secret=secret) is None
    assert core.calls("exchange") == exchanges


async def test_cb16_code_works_in_one_browser_only() -> None:
    """Another browser with the same code has another secret, and fails while the code is exchanged."""
    core = AuthHarness()
    code = await signed_in_code(core)
    core.emulator.faults.add("exchange", hold=True)
    first = asyncio.create_task(complete(core, code, secret="victim"))
    await core.emulator.faults.wait_until_held()

    core.emulator.faults.release()
    second = asyncio.create_task(complete(core, code, secret="attacker"))

    results = await asyncio.gather(first, second, return_exceptions=True)
    assert {type(result) for result in results} == {LoginRejected, TokenPair}
    assert core.calls("exchange") == 2


async def test_cb16_cancelled_callback_does_not_cancel_a_concurrent_one() -> None:
    """The browser sent the callback twice and closed the first connection."""
    core = AuthHarness()
    code = await signed_in_code(core)
    core.emulator.faults.add("exchange", hold=True)
    first, second = (asyncio.create_task(complete(core, code, admit_all)) for _ in range(2))
    await core.emulator.faults.wait_until_held()
    first.cancel()
    core.emulator.faults.release()

    assert (await second).session.tenant_id == "acme"
    assert first.cancelled()
    assert core.calls("exchange") == 1


async def test_callbacks_with_different_codes_share_nothing() -> None:
    """Each gets the tokens of its own user."""
    core = AuthHarness()
    mine = await signed_in_code(core)
    theirs = await core.code(await core.login_flow.authorization_url(login_request()), "grace@acme.example")

    ada, grace = await asyncio.gather(
        complete(core, mine, secret="mine"), complete(core, theirs, secret="theirs")
    )

    assert (ada.session.user.email, grace.session.user.email) == (ADA, "grace@acme.example")


async def test_rejected_provider_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what to check. The user reads that this way to sign in is not available."""
    core = AuthHarness()

    with pytest.raises(LoginRejected, match="not available here") as caught:
        await core.login_flow.authorization_url(LoginRequest(redirect_url=CALLBACK, provider="friendster"))

    assert caught.value.reason == "authorize_refused"
    (message,) = caplog.messages
    assert message == (
        "fastapi_descope: Descope refuses http://127.0.0.1:8000/callback or the provider friendster"
        " (status 400, code E011004): check the approved domains of the project, DESCOPE_PUBLIC_URL and"
        " DESCOPE_LOGIN_METHODS"
    )


def test_repr_of_a_login_request_shows_neither_state_nor_e_mail() -> None:
    """It may be logged (LG-02)."""
    request = LoginRequest(
        "canary@acme.example", CALLBACK, LoginParams(login_hint="canary", sso_id="acme-okta")
    )
    assert "canary" not in repr(request)
    assert "acme-okta" in repr(request)


async def test_cb09_login_supersedes_the_former_session() -> None:
    """Requests with its tokens get no new ones in this app, and their responses clear no cookies."""
    core = AuthHarness()
    former, pair = core.issue(), await core.pair(core.issue("grace@acme.example"))
    await core.login_flow.supersede(cookies(former), pair)

    assert await core.coordinator.refresh(await core.refresh_token(former)) == Ended(superseded=True)
    assert core.calls("refresh") == core.calls("logout") == 0


@pytest.mark.parametrize(
    "credentials",
    [Credentials(), Credentials(bearer="a.b.c"), Credentials(ambiguous=True), Credentials(refresh="x")],
)
async def test_login_without_a_former_session_supersedes_nothing(credentials: Credentials) -> None:
    """It does not fail either."""
    core = AuthHarness()
    await core.login_flow.supersede(credentials, await core.pair(core.issue()))


async def test_a_login_does_not_supersede_itself() -> None:
    """A repeated callback comes with the cookies of its own login."""
    core = AuthHarness()
    issued = core.issue()
    await core.login_flow.supersede(cookies(issued), await core.pair(issued))

    assert isinstance(await core.coordinator.refresh(await core.refresh_token(issued)), Renewed)
