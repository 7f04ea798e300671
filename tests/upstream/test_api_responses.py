"""The results and errors of API calls; no error contains a secret (LG-02, RF-07)."""

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope._upstream.responses import TokenResponse
from fastapi_descope.errors import (
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.profile import UserProfile

pytestmark = pytest.mark.anyio

SESSION = "session-head.session-body.session-seal"
REFRESH = "canary-head.canary-body.canary-seal"
ILLEGAL = f"Illegal header value b'Bearer P:{REFRESH}'"

Outcome = httpx.Response | Exception
Call = Callable[[DescopeApi], Awaitable[object]]


class ScriptedUpstream:
    """A transport that returns or raises its outcomes in turn, then the last one for ever."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.request_count = 0
        self._outcomes = outcomes
        self.client = DescopeApi(
            base_url="https://api.descope.test",
            project_id="P2" + "u" * 26,
            transport=httpx.MockTransport(self._respond),
        )

    def _respond(self, _: httpx.Request) -> httpx.Response:
        outcome = self._outcomes[min(self.request_count, len(self._outcomes) - 1)]
        self.request_count += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def all_text_of(error: BaseException | None) -> str:
    """Return all text that an exception and its chain can show to a log."""
    if error is None:
        return ""
    own = f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
    return own + all_text_of(error.__cause__) + all_text_of(error.__context__)


def ok(value: object) -> httpx.Response:
    """Return a 200 with ``value`` as JSON."""
    return httpx.Response(200, json=value)


def html_page(status: int) -> httpx.Response:
    """Return the page of a proxy."""
    return httpx.Response(status, html="<title>canary</title>")


def descope_error(status: int, code: str) -> httpx.Response:
    """Return an error of Descope with the token in its text."""
    return httpx.Response(status, json={"errorCode": code, "errorDescription": REFRESH, "message": REFRESH})


async def test_fetch_login_url_returns_the_url() -> None:
    """The URL is not changed."""
    client = ScriptedUpstream(ok({"url": "https://idp.example/?a=b"})).client
    assert await client.fetch_login_url(tenant="acme", redirect_url="x") == "https://idp.example/?a=b"


async def test_token_endpoints_return_both_tokens() -> None:
    """They also return the other fields of the response."""
    response = {"sessionJwt": SESSION, "refreshJwt": REFRESH, "nextRefreshSeconds": 90, "firstSeen": True}
    client = ScriptedUpstream(ok(response)).client
    for tokens in (
        await client.exchange_code("one-time"),
        await client.refresh(REFRESH),
        await client.select_tenant(REFRESH, "acme"),
    ):
        assert tokens == TokenResponse(SESSION, REFRESH, 90)
        assert tokens.fields == response


async def test_tokens_may_be_in_cookies() -> None:
    """A project in cookie mode sends several ``Set-Cookie`` headers."""
    cookies = [("Set-Cookie", f"DS={SESSION}; Path=/"), ("Set-Cookie", f"DSR={REFRESH}; Path=/")]
    client = ScriptedUpstream(httpx.Response(200, headers=cookies, json={})).client
    assert await client.refresh(REFRESH) == TokenResponse(SESSION, REFRESH)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"<html>", b'{"sessionJwt": 1}'])
async def test_any_success_confirms_a_logout(body: bytes) -> None:
    """The body of the response is not parsed."""
    script = ScriptedUpstream(httpx.Response(200, content=body))
    await script.client.logout(REFRESH)
    await script.client.logout_all(REFRESH)
    assert script.request_count == 2


async def test_fetch_profile_returns_the_profile() -> None:
    """The flat user object becomes a ``UserProfile``."""
    client = ScriptedUpstream(ok({"userId": "U1", "name": "Ada"})).client
    assert await client.fetch_profile(REFRESH) == UserProfile("U1", name="Ada")


async def test_fetch_tenant_names_returns_names_by_id() -> None:
    """The result is a mapping."""
    client = ScriptedUpstream(ok({"tenants": [{"id": "acme", "name": "Acme Corp"}]})).client
    assert await client.fetch_tenant_names(REFRESH, ["acme"]) == {"acme": "Acme Corp"}


@pytest.mark.parametrize(("cache_control", "seconds"), [("public, max-age=300", 300), ("no-store", None)])
async def test_fetch_jwks_returns_the_bytes_and_max_age(cache_control: str, seconds: int | None) -> None:
    """The content type is ignored."""
    headers = {"Cache-Control": cache_control, "Content-Type": "text/html"}
    client = ScriptedUpstream(httpx.Response(200, headers=headers, content=b'{"keys":[]} ')).client
    assert await client.fetch_jwks() == (b'{"keys":[]} ', seconds)


FAILURES: Mapping[str, tuple[Outcome, type[UpstreamError]]] = {
    "html 200": (html_page(200), InvalidUpstreamResponse),
    "empty 200": (httpx.Response(200), InvalidUpstreamResponse),
    "no content": (httpx.Response(204), InvalidUpstreamResponse),
    "list": (ok([REFRESH]), InvalidUpstreamResponse),
    "cut json": (httpx.Response(200, content=f'{{"sessionJwt": "{REFRESH}'), InvalidUpstreamResponse),
    "token of a wrong type": (ok({"sessionJwt": [REFRESH]}), InvalidUpstreamResponse),
    "oversize": (httpx.Response(200, content=b"canary" * 50_000), InvalidUpstreamResponse),
    "redirect": (httpx.Response(302, headers={"Location": f"https://x/{REFRESH}"}), InvalidUpstreamResponse),
    "html 401": (html_page(401), InvalidUpstreamResponse),
    "html 403": (html_page(403), InvalidUpstreamResponse),
    "oversize 401": (httpx.Response(401, content=b"canary" * 50_000), InvalidUpstreamResponse),
    "signed 400": (descope_error(400, "E064006"), UpstreamRejected),
    "signed 401": (descope_error(401, "E064001"), UpstreamRejected),
    "signed 403": (descope_error(403, REFRESH), UpstreamRejected),
    "rate limit": (httpx.Response(429, json={"message": REFRESH}), RateLimited),
    "signed 500": (descope_error(500, "E061005"), UpstreamUnavailable),
    "html 503": (html_page(503), UpstreamUnavailable),
    "oversize 503": (httpx.Response(503, content=b"canary" * 50_000), UpstreamUnavailable),
    "illegal header": (httpx.LocalProtocolError(ILLEGAL), UpstreamUnavailable),
    "protocol": (httpx.RemoteProtocolError(ILLEGAL), UpstreamUnavailable),
    "connect": (httpx.ConnectError(ILLEGAL), UpstreamUnavailable),
    "connect timeout": (httpx.ConnectTimeout(ILLEGAL), UpstreamUnavailable),
    "read": (httpx.ReadError(ILLEGAL), UpstreamUnavailable),
    "read timeout": (httpx.ReadTimeout(ILLEGAL), UpstreamUnavailable),
    "write": (httpx.WriteError(ILLEGAL), UpstreamUnavailable),
    "write timeout": (httpx.WriteTimeout(ILLEGAL), UpstreamUnavailable),
    "pool": (httpx.PoolTimeout(ILLEGAL), UpstreamUnavailable),
    "proxy": (httpx.ProxyError(ILLEGAL), UpstreamUnavailable),
    "tls": (ssl.SSLError(1, ILLEGAL), UpstreamUnavailable),
    "operating system": (ConnectionResetError(ILLEGAL), UpstreamUnavailable),
    "timeout": (TimeoutError(ILLEGAL), UpstreamUnavailable),
}


@pytest.mark.parametrize(("failure", "kind"), FAILURES.values(), ids=FAILURES)
async def test_lg02_failure_has_an_exact_type_and_contains_no_token(
    failure: Outcome, kind: type[UpstreamError], caplog: pytest.LogCaptureFixture
) -> None:
    """It has no cause or context, and no log line contains a token."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UpstreamError) as caught:
        await ScriptedUpstream(failure).client.refresh(REFRESH)
    assert type(caught.value) is kind
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "canary" not in all_text_of(caught.value) + caplog.text


async def test_refusal_has_the_status_and_code_of_descope() -> None:
    """Callers decide by them."""
    with pytest.raises(UpstreamRejected) as caught:
        await ScriptedUpstream(descope_error(401, "E064001")).client.refresh(REFRESH)
    assert (caught.value.upstream_status, caught.value.upstream_code) == (401, "E064001")


async def test_rate_limit_has_the_retry_after_of_descope() -> None:
    """The seconds are not changed."""
    with pytest.raises(RateLimited) as caught:
        await ScriptedUpstream(httpx.Response(429, headers={"Retry-After": "7"})).client.refresh(REFRESH)
    assert caught.value.retry_after == 7


async def log_out(client: DescopeApi) -> None:
    """Make a call that ignores the body of the response."""
    await client.logout(REFRESH)


async def fetch_keys(client: DescopeApi) -> None:
    """Make the call with the smaller limit."""
    await client.fetch_jwks()


@pytest.mark.parametrize(("limit", "call"), [(256 * 1024, log_out), (64 * 1024, fetch_keys)])
async def test_body_above_the_limit_is_an_invalid_response(limit: int, call: Call) -> None:
    """The limit is 256 KiB, and 64 KiB for keys."""
    await call(ScriptedUpstream(httpx.Response(200, content=b"x" * limit)).client)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await call(ScriptedUpstream(httpx.Response(200, content=b"x" * (limit + 1))).client)
    assert caught.value.reason == "oversize"


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")])
async def test_rf07_failed_connection_is_retried_once(failure: httpx.TransportError) -> None:
    """Nothing was sent, so a second attempt is safe."""
    recovering, down = ScriptedUpstream(failure, ok({"sessionJwt": SESSION})), ScriptedUpstream(failure)
    assert (await recovering.client.refresh(REFRESH)).session_jwt == SESSION
    with pytest.raises(UpstreamUnavailable):
        await down.client.refresh(REFRESH)
    assert (recovering.request_count, down.request_count) == (2, 2)


@pytest.mark.parametrize(
    "outcome",
    [
        httpx.ReadError("reset"),
        httpx.ReadTimeout("slow"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("garbage"),
        httpx.PoolTimeout("busy"),
        *(httpx.Response(status) for status in (429, 500, 502, 503, 504, 520)),
    ],
    ids=repr,
)
async def test_rf07_other_failures_are_not_retried(outcome: Outcome) -> None:
    """The request may have arrived, and its code or token may be used up.

    Descope's own SDKs retry a 503 for ten seconds; this client does not.
    """
    script = ScriptedUpstream(outcome)
    with pytest.raises(UpstreamUnavailable):
        await script.client.exchange_code("one-time")
    assert script.request_count == 1
