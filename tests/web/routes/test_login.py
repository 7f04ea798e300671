"""``GET /login/sso``: accepted parameters, the request to Descope, and the redirect.

Requirements CB-11, CB-12, CB-13, RT-01 and RT-14.
"""

from typing import Literal
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from fastapi_descope import ConfigurationError, Descope, DescopeSettings, LoginOptions, get_user_profile
from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.events import LoginFailed, LoginStarted, RedirectRejected
from tests.helpers.app_harness import APP, IDP, AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio


def _redirect_url(env: AppHarness) -> str:
    """The redirect URL that was sent to Descope."""
    (call,) = [call for call in env.emulator.requests if call.endpoint == "authorize"]
    return dict(call.query)["redirectURL"]


def _recorded(reply: httpx.Response) -> tuple[Browser, list[httpx.Request]]:
    """A browser at an app whose Descope always sends the same response, and the requests to Descope."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return reply

    app = FastAPI()
    settings = DescopeSettings(project_id="P" + "a" * 27, base_url=IDP, public_url=APP)
    Descope(app, settings=settings, transport=httpx.MockTransport(handler))
    return Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app))), asked


async def test_the_login_redirects_to_the_url_from_descope(make_env: EnvFactory) -> None:
    """A 303 without cache and referrer. The state is in the redirect URL, its hash in a cookie."""
    env = make_env()

    response = await env.browser().visit("/login/sso?tenant=acme")

    assert response.status_code == 303
    assert response.headers["location"].startswith(f"{IDP}/signin/")
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    (cookie,) = response.headers.get_list("set-cookie")
    assert cookie.startswith("descope_login_")
    assert cookie.endswith("; Max-Age=600; Path=/; HttpOnly; SameSite=Lax")
    callback = urlsplit(_redirect_url(env))
    assert f"{callback.scheme}://{callback.netloc}{callback.path}" == f"{APP}/callback"
    assert len(parse_qs(callback.query)["state"][0]) == 43
    assert env.events == [LoginStarted()]


async def test_the_callback_address_follows_prefix_and_root_path(make_env: EnvFactory) -> None:
    """The callback URL is the one that browsers use, with prefix and root path."""
    env = make_env(prefix="/auth")
    transport = httpx.ASGITransport(env.app, root_path="/api")
    browser = Browser(httpx.AsyncClient(transport=transport))

    await browser.visit("/api/auth/login/sso?tenant=acme")

    assert _redirect_url(env).startswith(f"{APP}/api/auth/callback?state=")


@pytest.mark.parametrize("header", ["host", "x_forwarded_host", "x_forwarded_proto", "forwarded"])
async def test_cb12_headers_do_not_move_the_callback(make_env: EnvFactory, header: str) -> None:
    """The callback URL is built from the configured public URL only."""
    env = make_env()
    browser = env.browser(**{header: "evil.example"})

    response = await browser.visit("/login/sso?tenant=acme")
    if header == "host":  # CB-20
        assert response.headers["location"] == f"{APP}/login/sso?tenant=acme&descope_moved=1"
        await browser.visit("/login/sso?tenant=acme&descope_moved=1", sec_fetch_site="none")

    assert _redirect_url(env).startswith(f"{APP}/callback?")


async def test_login_parameters_are_sent_to_descope(make_env: EnvFactory) -> None:
    """Hint, SSO configuration, prompt and forced authentication reach Descope, nothing else does."""
    env = make_env()

    await env.browser().visit(
        "/login/sso?tenant=acme&login_hint=ada%40acme.example&sso_id=okta&prompt=login&force_authn=true&x=1"
    )

    (call,) = env.emulator.requests
    query = dict(call.query)
    del query["redirectURL"]
    assert query == {
        "tenant": "acme",
        "loginHint": "ada@acme.example",
        "ssoId": "okta",
        "prompt": "login",
        "forceAuthn": "true",
    }


async def test_without_a_tenant_a_navigation_gets_a_form(make_env: EnvFactory) -> None:
    """A page with a form that continues the login, with the escaped return path: no error, so no 4xx."""
    env = make_env(prefix="/auth")

    response = await env.browser().visit("/auth/login/sso?return_to=/a%3Fb=1%26c=2")

    assert response.status_code == 200
    assert '<form action="/auth/login/sso" method="get">' in response.text
    assert '<input type="hidden" name="return_to" value="/a?b=1&amp;c=2">' in response.text
    assert "set-cookie" not in response.headers
    assert list(env.emulator.requests) == []


async def test_without_a_tenant_a_script_gets_a_problem_document(make_env: EnvFactory) -> None:
    """The problem document names the missing parameter."""
    response = await make_env().browser().get("/login/sso")

    assert response.status_code == 400
    assert response.json()["code"] == "login_rejected"
    assert "tenant" in response.json()["detail"]


async def test_the_default_tenant_is_used_without_a_tenant(make_env: EnvFactory) -> None:
    """``DESCOPE_DEFAULT_TENANT`` is for apps with one organisation."""
    env = make_env(default_tenant="globex")

    assert (await env.browser().visit("/login/sso")).status_code == 303
    assert dict(next(iter(env.emulator.requests)).query)["tenant"] == "globex"


@pytest.mark.parametrize("default", [None, "globex"])
@pytest.mark.parametrize(
    "tenant", ["a b", "a" * 129, "acme\x00", "é", "", "ada@", "@acme.example", "a@b@c", 'a"b', "ac\nme"]
)
async def test_cb12_a_malformed_tenant_is_rejected(
    make_env: EnvFactory, tenant: str, default: str | None
) -> None:
    """An invalid tenant is not sent to Descope, and not replaced by the default tenant."""
    env = make_env(default_tenant=default)
    query = httpx.QueryParams({"tenant": tenant})

    page = await env.browser().visit(f"/login/sso?{query}")
    problem = await env.browser().get(f"/login/sso?{query}")

    assert (page.status_code, problem.status_code) == (400, 400)
    assert "<p>That is neither a work e-mail nor the id of an organisation.</p>" in page.text
    assert problem.json()["detail"].startswith("That is neither a work e-mail")
    assert list(env.emulator.requests) == []


async def test_cb12_two_tenants_are_rejected(make_env: EnvFactory) -> None:
    """The request is ambiguous, and the default tenant does not replace it."""
    env = make_env(default_tenant="globex")

    assert (await env.browser().visit("/login/sso?tenant=acme&tenant=globex")).status_code == 400
    assert list(env.emulator.requests) == []


@pytest.mark.parametrize(
    "tenant",
    ["o'brien@acme.example", "ada+test@acme.example", "acme&prompt=none", "../acme", "acme%00"],
)
async def test_cb12_a_tenant_stays_one_parameter(make_env: EnvFactory, tenant: str) -> None:
    """Characters with a meaning in URLs reach Descope as typed."""
    env = make_env()

    await env.browser().visit(f"/login/sso?{httpx.QueryParams({'tenant': tenant})}")

    (call,) = env.emulator.requests.for_endpoint("authorize")
    assert call.query["tenant"] == tenant
    assert call.query.keys() == {"tenant", "redirectURL"}


async def test_a_tenant_with_an_apostrophe_works(make_env: EnvFactory) -> None:
    """An address with an apostrophe works from the form to the session."""
    browser = make_env().browser()

    assert (await browser.sign_in(tenant="o'brien@acme.example")).status_code == 303
    assert (await browser.get("/me")).json()["tenant"] == "acme"


async def test_an_unknown_tenant_is_a_400_page(make_env: EnvFactory) -> None:
    """Descope rejects it: a page with a link to sign in again, and no cookie."""
    env = make_env()

    response = await env.browser().visit("/login/sso?tenant=nobody")

    assert response.status_code == 400
    assert "This organisation is not known here" in response.text
    assert "set-cookie" not in response.headers
    assert LoginFailed("authorize_refused", 400, "E011004") in env.events


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
        {"sec_fetch_mode": "navigate", "sec_purpose": "prefetch"},
        {"sec_fetch_mode": "navigate", "purpose": "prefetch"},
    ],
)
async def test_cb13_a_login_is_not_started_by_a_subresource(
    make_env: EnvFactory, headers: dict[str, str]
) -> None:
    """403 without a cookie, so that an embedded image cannot displace pending logins."""
    env = make_env()

    response = await env.browser().get("/login/sso?tenant=acme", **headers)

    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert list(env.emulator.requests) == []


@pytest.mark.parametrize(
    "return_to",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "/callback",
        "/login/sso?tenant=x",
        "/logout",
    ],
)
async def test_rt01_to_rt11_an_unsafe_return_path_becomes_the_landing_path(
    make_env: EnvFactory, return_to: str
) -> None:
    """The login continues, ends at the landing path, and emits an event."""
    env = make_env(post_login_path="/home")
    browser = env.browser()

    response = await browser.sign_in(return_to=return_to)

    assert response.headers["location"] == "/home"
    assert RedirectRejected() in env.events


@pytest.mark.parametrize(
    ("return_to", "reason"),
    [("/a%2Fb", "encoded"), ("/a%25b", "encoded"), ("/a%5cb", "encoded"), ("/" + "a" * 1_024, "too_long")],
    ids=["slash", "percent", "backslash", "too long"],
)
async def test_rt11_rt12_dropped_return_path_is_reported_with_the_reason(
    make_env: EnvFactory, return_to: str, reason: Literal["encoded", "too_long"]
) -> None:
    """It is most likely a link of the app itself. The login continues."""
    env = make_env(post_login_path="/home")

    response = await env.browser().sign_in(return_to=return_to)

    assert response.headers["location"] == "/home"
    assert RedirectRejected(reason) in env.events


async def test_rt14_two_return_paths_are_ignored(make_env: EnvFactory) -> None:
    """The request is ambiguous, so the landing path is used."""
    env = make_env()
    browser = env.browser()
    page = await browser.visit("/login/sso?tenant=acme&return_to=/a&return_to=/b")

    chosen = await browser.choose(await browser.visit(page.headers["location"]), "ada@acme.example")
    response = await browser.visit(chosen.headers["location"])

    assert response.headers["location"] == "/"


async def test_a_login_on_another_host_is_logged_once(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a login cannot finish. The log message does not repeat the host of the request."""
    env = make_env()

    for host in ("127.0.0.1:9000", "local host", "localhost:8000", "evil.example"):
        response = await env.browser().visit("/login/sso?tenant=acme", host=host)
        assert response.status_code == 303
        assert "evil" not in response.headers["location"]

    (line,) = [record.getMessage() for record in caplog.records if "another host" in record.getMessage()]
    assert "evil" not in line
    assert "DESCOPE_PUBLIC_URL" in line


def _public(make_env: EnvFactory) -> AppHarness:
    project = Project(approved_redirects=("app.example.com",))
    return make_env(project=project, default_tenant="acme", public_url="https://app.example.com")


async def test_cb20_login_on_another_host_continues_at_the_public_url(make_env: EnvFactory) -> None:
    """CB-20: from a protected page. Only the public URL sets the login cookie."""
    env = _public(make_env)
    browser = env.browser(host="www.example.com")
    login = (await browser.visit("/me?a=1")).headers["location"]

    moved = await browser.visit(login)
    arrived = await env.browser(host="app.example.com").visit(
        moved.headers["location"].removeprefix("https://app.example.com"), sec_fetch_site="same-site"
    )

    assert moved.status_code == 303
    assert moved.headers["location"] == (
        "https://app.example.com/login/sso?return_to=%2Fme%3Fa%3D1&descope_moved=1"
    )
    assert "set-cookie" not in moved.headers
    assert arrived.headers["location"].startswith(IDP)
    assert env.calls("authorize") == 1


@pytest.mark.parametrize("site", ["same-site", "cross-site", None])
async def test_cb20_login_that_comes_back_to_another_host_gets_a_page(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, site: str | None
) -> None:
    """There is one redirect at most. The page says what happened, and the log what to do."""
    env = _public(make_env)
    headers = {} if site is None else {"sec_fetch_site": site}
    browser = env.browser(host="www.example.com")

    page = await browser.visit("/login/sso?return_to=/me&descope_moved=1", **headers)

    assert page.status_code == 400
    assert "You opened this application at another address" in page.text
    assert '<a href="/login/sso?return_to=%2Fme">' in page.text
    assert "set-cookie" not in page.headers
    assert env.calls("authorize") == 0
    assert env.events == [LoginFailed("other_host")]
    assert "DESCOPE_PUBLIC_URL" in caplog.text


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_cb20_login_behind_a_proxy_that_replaces_host(make_env: EnvFactory, site: str) -> None:
    """The redirect has not led to another origin, so the browser is at the public URL."""
    env = _public(make_env)

    response = await env.browser(host="app:8000").visit("/login/sso?descope_moved=1", sec_fetch_site=site)

    assert response.headers["location"].startswith(IDP)


@pytest.mark.parametrize(
    ("public_url", "host"),
    [("http://127.0.0.1:8000", "localhost:8000"), ("http://localhost:8000", "127.0.0.1:8000")],
)
async def test_cb20_login_of_a_developer_continues_at_the_name_of_the_public_url(
    make_env: EnvFactory, public_url: str, host: str
) -> None:
    """``localhost`` and ``127.0.0.1`` reach one server, but share no cookies."""
    env = make_env(public_url=public_url)

    moved = await env.browser(host=host).visit("/login/sso?tenant=acme")
    arrived = await env.browser(host=public_url.removeprefix("http://")).visit(
        moved.headers["location"].removeprefix(public_url), sec_fetch_site="cross-site"
    )

    assert moved.headers["location"] == f"{public_url}/login/sso?tenant=acme&descope_moved=1"
    assert "set-cookie" not in moved.headers
    assert arrived.headers["location"].startswith(IDP)
    assert env.calls("authorize") == 1


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:8000"])
async def test_cb20_login_on_a_loopback_host_is_never_redirected(make_env: EnvFactory, host: str) -> None:
    """A health check, or a developer without the public URL."""
    env = _public(make_env)

    response = await env.browser(host=host).visit("/login/sso")

    assert response.headers["location"].startswith(IDP)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.1", "local host"])
async def test_a_login_on_the_public_host_is_not_logged(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    """A proxy can drop the port, and an invalid Host proves nothing."""
    await make_env().browser().visit("/login/sso?tenant=acme", host=host)

    assert "another host" not in caplog.text


@pytest.mark.parametrize(
    ("public_url", "host", "is_logged"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8001", True),
        ("http://localhost:8000", "localhost:8001", True),
        ("https://app.example.com", "app.example.com:8443", False),
    ],
)
async def test_a_login_on_another_port_is_logged_on_a_developers_machine(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, public_url: str, host: str, *, is_logged: bool
) -> None:
    """The callback reaches no server there. In production a proxy has another port than the app."""
    env = make_env(project=Project(approved_redirects=()), public_url=public_url)

    response = await env.browser().visit("/login/sso?tenant=acme", host=host)

    assert response.headers["location"].startswith(IDP)
    assert ("another port of this machine" in caplog.text) is is_logged


async def test_a_login_options_hook_that_requires_a_session_is_an_error(make_env: EnvFactory) -> None:
    """The error names the hook that requires a session before the login."""
    env = make_env()

    @env.descope.login_options
    async def by_profile(request: Request) -> LoginOptions:
        return LoginOptions(mfa=(await get_user_profile(request)).email is not None)

    response = await env.browser().visit("/login/sso?tenant=acme")

    assert response.status_code == 500
    assert "The login_options hook requires a session" in response.text


async def test_a_login_options_hook_sets_the_options() -> None:
    """A hook sets the options, or none. The request can only add checks."""
    app, emulator = FastAPI(), Emulator()
    asked: list[httpx.Request] = []

    class Recording(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return await httpx.ASGITransport(emulator).handle_async_request(request)

    settings = DescopeSettings(project_id=emulator.project_id, base_url=IDP, public_url=APP)
    descope = Descope(app, settings=settings, transport=Recording(), clock=emulator.clock)

    @descope.login_options
    async def strict(request: Request) -> LoginOptions | None:
        locale = request.headers.get("accept-language")
        return LoginOptions(revoke_other_sessions=True, locale=locale) if locale else None

    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    await browser.visit("/login/sso?tenant=acme", accept_language="de")
    await browser.visit("/login/sso?tenant=acme")

    assert [call.content for call in asked] == [b'{"revokeOtherSessions":true,"locale":"de"}', b"{}"]


async def test_a_second_login_options_hook_is_an_error(make_env: EnvFactory) -> None:
    """A second hook is an error when the app is built."""
    env = make_env()

    async def nothing(request: Request) -> None:
        """An endpoint."""

    env.descope.login_options(nothing)

    with pytest.raises(ConfigurationError, match="login_options"):
        env.descope.login_options(nothing)
    assert (await env.browser().visit("/login/sso?tenant=acme")).status_code == 303


async def test_a_step_up_login_sets_step_up_in_the_session(make_env: EnvFactory) -> None:
    """After the round trip the session has the claim ``su``."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    page = await browser.visit("/login/sso?tenant=acme&step_up=true&return_to=/me")

    confirmed = await browser.choose(await browser.visit(page.headers["location"]), "ada@acme.example")
    await browser.visit(confirmed.headers["location"])

    assert (await browser.get("/session")).json()["step_up"] is True


@pytest.mark.parametrize("ended", ["never begun", "expired", "revoked"])
async def test_a_step_up_of_an_ended_session_is_a_plain_login(make_env: EnvFactory, ended: str) -> None:
    """Without a session to confirm, the user signs in and returns to the page."""
    env = make_env()
    browser = env.browser() if ended == "never begun" else await env.signed_in_browser()
    if ended == "expired":
        env.emulator.clock.advance(60 * 86_400)
    if ended == "revoked":
        env.emulator.revoke_sessions("ada@acme.example")

    page = await browser.visit("/login/sso?tenant=acme&step_up=true&return_to=/payout")
    chosen = await browser.choose(await browser.visit(page.headers["location"]), "ada@acme.example")
    response = await browser.visit(chosen.headers["location"])

    assert response.headers["location"] == "/payout"
    assert (await browser.get("/session")).json()["step_up"] is False
    assert RedirectRejected() not in env.events


async def test_cb11_an_authorize_response_without_a_valid_url_is_502() -> None:
    """The browser is redirected to http(s) URLs only."""
    browser, asked = _recorded(httpx.Response(200, json={"url": "javascript:alert(1)"}))

    response = await browser.visit("/login/sso?tenant=acme")

    assert response.status_code == 502
    assert "set-cookie" not in response.headers
    assert len(asked) == 1


async def test_without_a_public_url_off_loopback_the_log_names_the_variable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client sees a generic error, and the log names the missing setting once."""
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id="P" + "a" * 27))
    browser = Browser(
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example.com")
    )

    responses = [await browser.http.get("http://app.example.com/login/sso?tenant=acme") for _ in range(2)]

    assert [response.status_code for response in responses] == [500, 500]
    assert responses[0].json()["detail"] == responses[0].json()["title"]
    (message,) = caplog.messages
    assert "DESCOPE_PUBLIC_URL" in message
