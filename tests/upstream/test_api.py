"""The exact request of each API call, and its secrets."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import httpx
import pytest
from pydantic import SecretStr

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope._upstream.login_options import LoginOptions, LoginParams
from fastapi_descope.errors import BadRequest, ConfigurationError, TokenError, TokenReason, UpstreamError

pytestmark = pytest.mark.anyio

BASE = "https://api.descope.test"
PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
REFRESH = "canary-head.canary-body.canary-seal"
LOGIN_URL = {"url": "https://idp.example/"}
NOTP_START = {"redirectUrl": "https://wa.me/1?text=x", "image": "unused", "pendingRef": "reference"}

Call = Callable[[DescopeApi], Awaitable[object]]
TokenCall = Callable[[DescopeApi, str], Awaitable[object]]


class RecordingUpstream:
    """A transport that records every request and always returns the same response."""

    def __init__(self, response: object = None, status: int = 200) -> None:
        self.requests: list[httpx.Request] = []
        self._response = httpx.Response(status, json={} if response is None else response)

    def client(self, management_key: SecretStr | None = None) -> DescopeApi:
        """Return a client with this transport."""
        return DescopeApi(
            base_url=BASE,
            project_id=PROJECT,
            management_key=management_key,
            transport=httpx.MockTransport(self._receive),
        )

    def _receive(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._response


@dataclass(frozen=True)
class ExpectedRequest:
    """A call, its exact request, and a response that it can parse."""

    call: Call
    request_line: str
    bearer: str = f"Bearer {PROJECT}:{REFRESH}"
    body: str = "{}"
    response: object = None


ENDPOINTS: Mapping[str, ExpectedRequest] = {
    "authorize": ExpectedRequest(
        lambda c: c.fetch_login_url(tenant="acme", redirect_url="https://app.example/callback?state=x"),
        "POST /v1/auth/sso/authorize?tenant=acme"
        "&redirectURL=https%3A%2F%2Fapp.example%2Fcallback%3Fstate%3Dx",
        bearer=f"Bearer {PROJECT}",
        response=LOGIN_URL,
    ),
    "authorize with everything": ExpectedRequest(
        lambda c: c.fetch_login_url(
            tenant="ada+x@acme.example",
            redirect_url="https://app.example/c",
            params=LoginParams(login_hint="ada x&y=z#é", sso_id="main", prompt="login", force_authn="true"),
            options=LoginOptions(stepup=True, custom_claims={"plan": "gold"}),
            refresh_jwt=REFRESH,
        ),
        "POST /v1/auth/sso/authorize?tenant=ada%2Bx%40acme.example"
        "&redirectURL=https%3A%2F%2Fapp.example%2Fc&loginHint=ada%20x%26y%3Dz%23%C3%A9"
        "&ssoId=main&prompt=login&forceAuthn=true",
        body='{"stepup":true,"customClaims":{"plan":"gold"}}',
        response=LOGIN_URL,
    ),
    "exchange": ExpectedRequest(
        lambda c: c.exchange_code("one-time"),
        "POST /v1/auth/sso/exchange",
        bearer=f"Bearer {PROJECT}",
        body='{"code":"one-time"}',
    ),
    "social login": ExpectedRequest(
        lambda c: c.fetch_social_url(provider="google", redirect_url="https://app.example/c?state=x"),
        "POST /v1/auth/oauth/authorize/signin?provider=google"
        "&redirectURL=https%3A%2F%2Fapp.example%2Fc%3Fstate%3Dx",
        bearer=f"Bearer {PROJECT}",
        response=LOGIN_URL,
    ),
    "social login with everything": ExpectedRequest(
        lambda c: c.fetch_social_url(
            provider="google",
            redirect_url="https://app.example/c",
            params=LoginParams(login_hint="ada", sso_id="main", prompt="login", force_authn="true"),
            options=LoginOptions(mfa=True, custom_claims={"plan": "gold"}),
            refresh_jwt=REFRESH,
            sign_up=True,
        ),
        "POST /v1/auth/oauth/authorize?provider=google"
        "&redirectURL=https%3A%2F%2Fapp.example%2Fc&loginHint=ada&prompt=login",
        body='{"mfa":true,"customClaims":{"plan":"gold"}}',
        response=LOGIN_URL,
    ),
    "social exchange": ExpectedRequest(
        lambda c: c.exchange_code("one-time", "oauth"),
        "POST /v1/auth/oauth/exchange",
        bearer=f"Bearer {PROJECT}",
        body='{"code":"one-time"}',
    ),
    "magic link": ExpectedRequest(
        lambda c: c.send_magic_link(email="ada@acme.example", redirect_url="https://app.example/l?state=x"),
        "POST /v1/auth/magiclink/signin/email",
        bearer=f"Bearer {PROJECT}",
        body='{"loginId":"ada@acme.example","URI":"https://app.example/l?state=x"}',
    ),
    "magic link with options": ExpectedRequest(
        lambda c: c.send_magic_link(
            email="a",
            redirect_url="u",
            options=LoginOptions(stepup=True, mfa=True, locale="de"),
            sign_up=True,
        ),
        "POST /v1/auth/magiclink/signup-in/email",
        bearer=f"Bearer {PROJECT}",
        body='{"loginId":"a","URI":"u","loginOptions":{"locale":"de"}}',
    ),
    "magic link's token": ExpectedRequest(
        lambda c: c.verify_magic_link("one-time"),
        "POST /v1/auth/magiclink/verify",
        bearer=f"Bearer {PROJECT}",
        body='{"token":"one-time"}',
    ),
    "nOTP": ExpectedRequest(
        lambda c: c.start_notp(),
        "POST /v1/auth/notp/whatsapp/signin",
        bearer=f"Bearer {PROJECT}",
        response=NOTP_START,
    ),
    "nOTP with options": ExpectedRequest(
        lambda c: c.start_notp(LoginOptions(stepup=True, mfa=True, locale="de")),
        "POST /v1/auth/notp/whatsapp/signin",
        bearer=f"Bearer {PROJECT}",
        body='{"loginOptions":{"locale":"de"}}',
        response=NOTP_START,
    ),
    "pending session": ExpectedRequest(
        lambda c: c.fetch_pending_session("reference"),
        "POST /v1/auth/notp/pending-session",
        bearer=f"Bearer {PROJECT}",
        body='{"pendingRef":"reference"}',
    ),
    "refresh": ExpectedRequest(lambda c: c.refresh(REFRESH), "POST /v1/auth/refresh"),
    "select": ExpectedRequest(
        lambda c: c.select_tenant(REFRESH, "acme"), "POST /v1/auth/tenant/select", body='{"tenant":"acme"}'
    ),
    "logout": ExpectedRequest(lambda c: c.logout(REFRESH), "POST /v1/auth/logout"),
    "logout everywhere": ExpectedRequest(lambda c: c.logout_all(REFRESH), "POST /v1/auth/logoutall"),
    "me": ExpectedRequest(
        lambda c: c.fetch_profile(REFRESH), "GET /v1/auth/me", body="", response={"userId": "U1"}
    ),
    "tenants": ExpectedRequest(
        lambda c: c.fetch_tenant_names(REFRESH, ["acme", "globex"]),
        "POST /v1/auth/me/tenants",
        body='{"ids":["acme","globex"]}',
    ),
    "keys": ExpectedRequest(
        lambda c: c.fetch_jwks(), f"GET /v2/keys/{PROJECT}", bearer=f"Bearer {PROJECT}", body=""
    ),
}

TOKEN_CALLS: Mapping[str, TokenCall] = {
    "refresh": lambda client, token: client.refresh(token),
    "select": lambda client, token: client.select_tenant(token, "acme"),
    "logout": lambda client, token: client.logout(token),
    "logout everywhere": lambda client, token: client.logout_all(token),
    "me": lambda client, token: client.fetch_profile(token),
    "tenants": lambda client, token: client.fetch_tenant_names(token, ["acme"]),
}


@pytest.mark.parametrize("expected", ENDPOINTS.values(), ids=ENDPOINTS)
async def test_call_sends_one_exact_request(expected: ExpectedRequest) -> None:
    """Method, path, query, bearer and body follow the wire contract, sections 1 and 2."""
    upstream = RecordingUpstream(expected.response)
    await expected.call(upstream.client())
    [request] = upstream.requests
    assert f"{request.method} {request.url.raw_path.decode()}" == expected.request_line
    assert request.headers["authorization"] == expected.bearer
    assert request.content.decode() == expected.body


@pytest.mark.parametrize("expected", ENDPOINTS.values(), ids=ENDPOINTS)
@pytest.mark.parametrize("status", [302, 401, 404, 429, 500])
async def test_every_call_raises_for_an_error_status(expected: ExpectedRequest, status: int) -> None:
    """The status is checked before the body is parsed."""
    upstream = RecordingUpstream(expected.response, status)
    with pytest.raises(UpstreamError):
        await expected.call(upstream.client())
    assert len(upstream.requests) == 1


async def test_management_key_is_the_last_part_of_the_bearer() -> None:
    """It follows the refresh token, or the project id if there is no refresh token."""
    upstream = RecordingUpstream(LOGIN_URL)
    client = upstream.client(SecretStr("K-secret"))
    await client.fetch_login_url(tenant="acme", redirect_url="https://app.example/")
    await client.refresh(REFRESH)
    assert [request.headers["authorization"] for request in upstream.requests] == [
        f"Bearer {PROJECT}:K-secret",
        f"Bearer {PROJECT}:{REFRESH}:K-secret",
    ]


async def test_jwks_request_has_no_management_key() -> None:
    """The key set is public."""
    upstream = RecordingUpstream()
    await upstream.client(SecretStr("K-secret")).fetch_jwks()
    assert upstream.requests[0].headers["authorization"] == f"Bearer {PROJECT}"


async def test_empty_management_key_is_not_sent() -> None:
    """An empty variable adds no colon to the bearer."""
    upstream = RecordingUpstream()
    await upstream.client(SecretStr("")).refresh(REFRESH)
    assert upstream.requests[0].headers["authorization"] == f"Bearer {PROJECT}:{REFRESH}"


@pytest.mark.parametrize(
    ("options", "bearer"),
    [
        (None, f"Bearer {PROJECT}"),
        (LoginOptions(), f"Bearer {PROJECT}"),
        (LoginOptions(revoke_other_sessions=True), f"Bearer {PROJECT}"),
        (LoginOptions(mfa=True), f"Bearer {PROJECT}:{REFRESH}"),
        (LoginOptions(stepup=True), f"Bearer {PROJECT}:{REFRESH}"),
    ],
)
async def test_login_sends_the_refresh_token_only_for_step_up_and_mfa(
    options: LoginOptions | None, bearer: str
) -> None:
    """An ordinary login may be of another user."""
    upstream = RecordingUpstream(LOGIN_URL)
    await upstream.client().fetch_login_url(
        tenant="acme", redirect_url="https://app.example/", options=options, refresh_jwt=REFRESH
    )
    assert upstream.requests[0].headers["authorization"] == bearer


@pytest.mark.parametrize("text", ["\ud800", "é", "\r\nX: y", "\x00", '"', "a" * 10_000])
async def test_any_code_and_tenant_is_sent_as_ascii_json(text: str) -> None:
    """Text from a browser is escaped; Descope checks it."""
    upstream = RecordingUpstream()
    await upstream.client().exchange_code(text)
    await upstream.client().select_tenant(REFRESH, text)
    assert [json.loads(request.content) for request in upstream.requests] == [
        {"code": text},
        {"tenant": text},
    ]
    assert all(request.content.isascii() for request in upstream.requests)


async def test_lone_surrogate_in_a_query_becomes_a_question_mark() -> None:
    """UTF-8 cannot encode it, and Descope refuses the result."""
    upstream = RecordingUpstream(LOGIN_URL)
    await upstream.client().fetch_login_url(tenant="a\ud800\r\n", redirect_url="x")
    assert upstream.requests[0].url.query == b"tenant=a%3F%0D%0A&redirectURL=x"


async def test_query_above_8_kib_is_a_bad_request() -> None:
    """Nothing is sent."""
    upstream = RecordingUpstream(LOGIN_URL)
    fits = 8192 - len("tenant=&redirectURL=x")
    await upstream.client().fetch_login_url(tenant="a" * fits, redirect_url="x")
    with pytest.raises(BadRequest):
        await upstream.client().fetch_login_url(tenant="a" * (fits + 1), redirect_url="x")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "claims",
    [{"e": {"canary"}}, {"e": float("nan")}, {"e": MappingProxyType({"canary": 1})}, {("canary",): 1}],
)
async def test_custom_claims_that_are_not_json_are_a_configuration_error(
    claims: Mapping[str, object],
) -> None:
    """The message names the option, without the value."""
    upstream = RecordingUpstream()
    with pytest.raises(ConfigurationError, match="LoginOptions") as caught:
        await upstream.client().fetch_login_url(
            tenant="acme", redirect_url="x", options=LoginOptions(custom_claims=claims)
        )
    assert upstream.requests == []
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "canary",
        "a.b.canary\n",
        "a.b.c\r\nX: canary",
        "a.b.canary:K",
        "a.b.canaryé",
        "a.b.\ud800",
        "a.b.c d",
    ],
)
@pytest.mark.parametrize("call", TOKEN_CALLS.values(), ids=TOKEN_CALLS)
async def test_lg02_token_with_invalid_characters_is_not_sent(call: TokenCall, token: str) -> None:
    """The exception of h11 would contain it; ours is a malformed token."""
    upstream = RecordingUpstream()
    with pytest.raises(TokenError) as caught:
        await call(upstream.client(), token)
    assert upstream.requests == []
    assert vars(caught.value) == {"reason": TokenReason.MALFORMED, "detail": "The session is not valid"}
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize("project_id", ["", "P/../x", "P x", "P\n", "P%2F", "P?x", "Pé", "P" * 129])
def test_jw12_project_id_with_invalid_characters_is_refused(project_id: str) -> None:
    """It becomes part of a path and of a header."""
    with pytest.raises(ConfigurationError, match="DESCOPE_PROJECT_ID"):
        DescopeApi(base_url=BASE, project_id=project_id)


@pytest.mark.parametrize("key", ["canary\n", "canary key", "canary:key", "canaryé"])
def test_management_key_with_invalid_characters_is_refused(key: str) -> None:
    """The message names the variable, without the value."""
    with pytest.raises(ConfigurationError, match="DESCOPE_AUTH_MANAGEMENT_KEY") as caught:
        RecordingUpstream().client(SecretStr(key))
    assert "canary" not in repr(caught.value)


def test_lg06_management_key_is_not_in_repr() -> None:
    """The attributes do not show it either."""
    client = RecordingUpstream().client(SecretStr("canary"))
    assert "canary" not in repr(client) + repr(vars(client))
