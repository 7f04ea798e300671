"""The code flow of an inbound app: authorization, sign-in, consent, tokens (wire contract, section 11)."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    Assumptions,
    Clock,
    Emulator,
    InboundApp,
    McpServer,
    Project,
    SeedUser,
)
from tests.helpers.inbound_client import APP, CALLBACK, ORIGIN, SECRET, SYNC, VERIFIER, InboundClient

pytestmark = pytest.mark.anyio

Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

NOW = 1_800_000_000
ADA = "ada@acme.example"
ISSUER = f"{ORIGIN}/v1/apps/{DEFAULT_PROJECT_ID}"
RESOURCE = "https://api.example.com"
SERVER = McpServer("MS2reports", "https://mcp.example.com/mcp", scopes={"reports:read": "Read your reports"})
AGENTIC = f"/oauth2/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2reports"
AGENT = InboundApp("TPA2agent", "Agent", "", (CALLBACK,), {"reports:read": ""}, mcp_server="MS2reports")
TOKENS = {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}


def _error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def _location(response: httpx.Response) -> dict[str, str]:
    return dict(httpx.URL(response.headers["location"]).params)


@pytest.mark.parametrize("place", ["/oauth2/v1/apps", f"/oauth2/v1/apps/{DEFAULT_PROJECT_ID}"])
async def test_the_flow_ends_with_three_tokens(make: Make, read: Read, place: str) -> None:
    """The app gets an access token, a refresh token and an ID token; ``token_type`` tells them apart."""
    emulator = make()
    body = await InboundClient(emulator, place=place).tokens(nonce="n1")
    assert body.keys() == TOKENS
    assert (body["token_type"], body["scope"]) == ("Bearer", "openid reports:read")
    assert str(body["expires_in"]) == "600"
    common = {
        "aud": [DEFAULT_PROJECT_ID, APP],
        "azp": APP,
        "email": ADA,
        "iat": NOW,
        "iss": ISSUER,
        "scope": "openid reports:read",
        "sub": SeedUser(ADA).user_id,
    }
    access, identity, refresh = (
        read(emulator, body[name]) for name in ("access_token", "id_token", "refresh_token")
    )
    rexp = "2037-01-02T08:00:00Z"
    assert access == common | {"token_type": "access_token", "amr": ["fed"], "exp": NOW + 600, "rexp": rexp}
    assert identity == common | {
        "token_type": "id_token",
        "exp": NOW + 600,
        "nonce": "n1",
        "email_verified": True,
    }
    assert refresh.pop("jti")
    assert refresh == common | {"token_type": "refresh_token", "exp": NOW + 520 * 7 * 86400}


async def test_the_token_response_is_not_cached(make: Make) -> None:
    """Neither tokens nor errors may be stored (RFC 6749, section 5.1)."""
    client = InboundClient(make())
    assert (await client.redeem(await client.code())).headers["cache-control"] == "no-store"
    assert (await client.redeem("wrong")).headers["cache-control"] == "no-store"


async def test_without_openid_there_is_no_id_token(make: Make) -> None:
    """An app that asks only for its own scopes learns nothing in an ID token."""
    assert (await InboundClient(make()).tokens(scope="reports:read")).keys() == TOKENS - {"id_token"}


async def test_a_user_without_an_address_has_no_verified_one(make: Make, read: Read) -> None:
    """The ID token says nothing about an address that does not exist."""
    emulator = make(Project(users=(SeedUser("ada"),)))
    identity = read(emulator, (await InboundClient(emulator).tokens("ada"))["id_token"])
    assert {"email", "email_verified"}.isdisjoint(identity)


async def test_without_a_scope_an_app_asks_for_all_of_its_own(make: Make) -> None:
    """The consent page lists them."""
    body = await InboundClient(make()).tokens(scope=None)
    assert body["scope"] == "reports:read reports:write"


async def test_parameters_may_be_json(make: Make) -> None:
    """Descope's OpenAPI declares JSON, OAuth's clients send forms."""
    emulator = make(Project(inbound_apps=(InboundApp(APP, "", "", (CALLBACK,), resources=(RESOURCE,)),)))
    client = InboundClient(emulator)
    query = client.query(scope="openid", resource=[RESOURCE])
    started = await client.send("POST", "/oauth2/v1/apps/authorize", json=query)
    consent = await client.submit(started.headers["location"], login_id=ADA)
    redirect = await client.submit(consent.headers["location"], decision="allow")
    grant = {"grant_type": "authorization_code", "client_id": APP, "code_verifier": VERIFIER}
    form = grant | {"code": _location(redirect)["code"]}
    assert (await client.send("POST", "/oauth2/v1/apps/token", json=form)).json()["scope"] == "openid"


async def test_parameters_may_be_posted_as_a_form(make: Make) -> None:
    """A POST has the parameters in its body (OpenID Connect Core, section 3.1.2.1)."""
    client = InboundClient(make())
    response = await client.send("POST", "/oauth2/v1/apps/authorize", data=client.query())
    assert response.headers["location"].startswith(f"{ORIGIN}/signin/")


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"code": 1}', b'{"code": [1]}', b'{"code": null}'])
async def test_json_that_is_not_parameters_is_an_invalid_request(make: Make, content: bytes) -> None:
    """The values are strings, or lists of them."""
    headers = {"content-type": "application/json; charset=utf-8"}
    client = InboundClient(make())
    response = await client.send("POST", "/oauth2/v1/apps/token", content=content, headers=headers)
    assert _error(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid reports:delete"}, "invalid_scope"),
        ({"resource": "https://other.example.com"}, "invalid_target"),
        ({"tenant": "initech"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_mistakes_are_reported_to_the_app(
    make: Make, changes: dict[str, str | list[str] | None], error: str
) -> None:
    """The browser returns with the error and the state."""
    response = await InboundClient(make()).authorize(**changes)
    assert response.status_code == 303
    assert response.headers["location"] == f"{CALLBACK}?state=xyz&error={error}"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "TPA2unknown"},
        {"redirect_uri": None},
        {"redirect_uri": "https://attacker.example/callback"},
        {"redirect_uri": "http://127.0.0.1:8000/other"},
        {"redirect_uri": "http://127.0.0.1.attacker.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
async def test_em06_an_unknown_client_or_url_gets_no_redirect(
    make: Make, changes: dict[str, str | list[str] | None]
) -> None:
    """The browser is sent to the app's own URLs only."""
    response = await InboundClient(make()).authorize(**changes)
    assert (response.status_code, response.json()["errorCode"]) == (400, "E011004")


@pytest.mark.parametrize("port", ["", ":1", ":55555"])
async def test_a_native_app_chooses_its_loopback_port(make: Make, port: str) -> None:
    """The port is not compared (RFC 8252, section 7.3)."""
    response = await InboundClient(make()).authorize(
        redirect_uri=f"http://localhost{port}/callback", state=None
    )
    assert response.headers["location"].startswith(f"{ORIGIN}/signin/")


async def test_other_urls_are_compared_as_text(make: Make) -> None:
    """The port of a host in the network matters."""
    url = "https://app.example.com:8443/callback"
    emulator = make(
        Project(inbound_apps=(InboundApp(APP, redirect_uris=(url,), scopes={"reports:read": ""}),))
    )
    client = InboundClient(emulator)
    assert (await client.authorize(redirect_uri=url)).status_code == 303
    assert (await client.authorize(redirect_uri=url.replace("8443", "9443"))).status_code == 400


async def test_the_consent_page_names_app_user_and_scopes(make: Make) -> None:
    """The user sees the app's name, and each scope with its description."""
    client = InboundClient(make())
    page = await client.send("GET", await client.sign_in(scope="openid reports:read"))
    for text in (
        "Report Reader asks for access",
        ADA,
        "Know who you are",
        "Read your reports",
        "reports:read",
    ):
        assert text in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_a_scope_without_a_description_is_listed_by_its_name(make: Make) -> None:
    """The user sees every scope, also of an app that has left the project in the meantime."""
    emulator = make(Project(inbound_apps=(InboundApp(APP, "", "", (CALLBACK,), {"x": ""}),)))
    client = InboundClient(emulator)
    url = await client.sign_in(scope="x")
    emulator.project = replace(emulator.project, inbound_apps=())
    page = await client.send("GET", url)
    assert '<span class="name">x</span>' in page.text
    assert f"{APP} asks for access" in page.text


async def test_an_app_without_scopes_learns_the_user_id(make: Make) -> None:
    """The consent page does not look as if nothing were granted."""
    client = InboundClient(make(Project(inbound_apps=(InboundApp(APP, "", "", (CALLBACK,)),))))
    url = await client.sign_in(scope=None)
    assert "See your user id" in (await client.send("GET", url)).text


async def test_a_consent_page_works_once(make: Make) -> None:
    """A page that has been submitted or has expired is gone."""
    client = InboundClient(make())
    url = await client.sign_in()
    await client.submit(url, decision="allow")
    for method in ("GET", "POST"):
        assert (await client.send(method, url)).status_code == 404


@pytest.mark.parametrize(
    "form", [{"decision": "allow"}, {"decision": "allow", "form_token": "x"}, {"form_token": "right"}]
)
async def test_a_forged_consent_is_refused(make: Make, form: dict[str, str]) -> None:
    """A form needs the token of its page and a decision, and the page stays open."""
    client = InboundClient(make())
    url = await client.sign_in()
    if form.get("form_token") == "right":
        response = await client.submit(url, decision="maybe")
    else:
        response = await client.send("POST", url, data=form)
    assert response.status_code == 400
    assert (await client.submit(url, decision="allow")).status_code == 303


@pytest.mark.parametrize(
    ("choice", "parameters"),
    [
        (
            "access_denied",
            {"error": "access_denied", "error_description": "The user denied the consent", "state": "xyz"},
        ),
        ("err", {"err": "access_denied", "state": "xyz"}),
    ],
)
async def test_a_denied_consent_is_reported_to_the_app(
    make: Make, choice: str, parameters: dict[str, str]
) -> None:
    """The app gets its state back."""
    client = InboundClient(make(Project(assumptions=Assumptions(denied_consent=choice))))  # type: ignore[arg-type]
    assert _location(await client.submit(await client.sign_in(), decision="deny")) == parameters


async def test_a_denied_consent_may_end_on_a_page(make: Make) -> None:
    """The app may never hear of it."""
    client = InboundClient(make(Project(assumptions=Assumptions(denied_consent="page"))))
    response = await client.submit(await client.sign_in(), decision="deny")
    assert (response.status_code, "Access denied" in response.text) == (200, True)


async def test_a_refused_sign_in_is_reported_as_oauth_does(make: Make) -> None:
    """The parameters do not depend on ``failed_sign_in``."""
    client = InboundClient(make(Project(assumptions=Assumptions(failed_sign_in="err"))))
    page = (await client.authorize()).headers["location"]
    location = _location(await client.submit(page, refuse="yes"))
    assert (location["error"], location["state"], "err" in location) == ("access_denied", "xyz", False)


async def test_a_code_works_once(make: Make) -> None:
    """The second exchange is refused."""
    client = InboundClient(make())
    code = await client.code()
    assert (await client.redeem(code)).status_code == 200
    assert _error(await client.redeem(code)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "form", [{"code_verifier": "another" * 8}, {"code_verifier": ""}, {"redirect_uri": "http://127.0.0.1/x"}]
)
async def test_a_code_needs_its_verifier_and_its_url(make: Make, form: dict[str, str]) -> None:
    """A stolen code is useless (RFC 7636). ``redirect_uri`` is optional, as in Descope."""
    client = InboundClient(make())
    assert _error(await client.redeem(await client.code(), **form)) == (400, "invalid_grant")
    assert (await client.redeem(await client.code(), redirect_uri=CALLBACK)).status_code == 200


async def test_a_code_belongs_to_its_client(make: Make) -> None:
    """Another client of the project cannot redeem it."""
    emulator = make()
    code = await InboundClient(emulator).code()
    other = InboundClient(emulator, SYNC, secret=SECRET)
    assert _error(await other.redeem(code)) == (400, "invalid_grant")


async def test_a_code_of_an_app_opens_no_session(make: Make) -> None:
    """Nor does the code of a session give an app's tokens: the kinds of codes are separate."""
    emulator = make()
    client = InboundClient(emulator)
    bearer = {"authorization": f"Bearer {DEFAULT_PROJECT_ID}"}
    code = {"code": await client.code()}
    exchanged = await client.send("POST", "/v1/auth/sso/exchange", json=code, headers=bearer)
    assert (exchanged.status_code, exchanged.json()["errorCode"]) == (400, "E061301")
    query = {"tenant": "acme", "redirectURL": CALLBACK}
    started = await client.send("POST", "/v1/auth/sso/authorize", params=query, headers=bearer)
    redirect = await client.submit(started.json()["url"], login_id=ADA)
    assert _error(await client.redeem(_location(redirect)["code"])) == (400, "invalid_grant")


async def test_a_confidential_client_needs_no_challenge(make: Make) -> None:
    """PKCE is optional for it, but a challenge that it has sent counts."""
    client = InboundClient(make(), SYNC, secret=SECRET)
    code = await client.code(code_challenge=None, code_challenge_method=None)
    assert (await client.token(grant_type="authorization_code", code=code)).status_code == 200
    code = await client.code()
    refused = await client.token(grant_type="authorization_code", code=code)
    assert _error(refused) == (400, "invalid_grant")
    assert (
        (await client.authorize(code_challenge_method="plain"))
        .headers["location"]
        .endswith("error=invalid_request")
    )


async def test_a_verifier_without_a_challenge_is_refused(make: Make) -> None:
    """An attacker cannot remove the challenge from an authorization (RFC 9700, section 2.1.1)."""
    client = InboundClient(make(), SYNC, secret=SECRET)
    code = await client.code(code_challenge=None, code_challenge_method=None)
    assert _error(await client.redeem(code)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("client_id", "secret"), [(SYNC, ""), (SYNC, "wrong"), (APP, "any"), ("TPA2unknown", ""), ("", "")]
)
async def test_a_client_must_authenticate(make: Make, client_id: str, secret: str) -> None:
    """A confidential client by its secret; a public one has none."""
    response = await InboundClient(make(), client_id, secret=secret).token(grant_type="client_credentials")
    assert _error(response) == (401, "invalid_client")
    assert response.headers["www-authenticate"] == 'Basic realm="oauth"'


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        (f"{SYNC}:{SECRET}".encode(), 200),
        (b"TPA2EMULATORreportSync:emulator%2Dclient%2Dsecret", 200),
        (f"{SYNC}:wrong".encode(), 401),
        (SYNC.encode(), 401),
        (b"\xff:\xff", 401),
    ],
)
async def test_a_client_may_use_http_basic(make: Make, credentials: bytes, status: int) -> None:
    """Both parts are form-encoded (RFC 6749, section 2.3.1)."""
    headers = {"authorization": f"Basic {b64encode(credentials).decode()}"}
    data = {"grant_type": "client_credentials"}
    response = await InboundClient(make()).send("POST", "/oauth2/v1/apps/token", data=data, headers=headers)
    assert response.status_code == status


async def test_basic_credentials_must_be_base64(make: Make) -> None:
    """A malformed header is not taken for a missing one."""
    headers = {"authorization": "Basic !"}
    data = {"grant_type": "client_credentials", "client_id": SYNC, "client_secret": SECRET}
    response = await InboundClient(make()).send("POST", "/oauth2/v1/apps/token", data=data, headers=headers)
    assert _error(response) == (401, "invalid_client")


async def test_a_confidential_client_acts_for_itself(make: Make, read: Read) -> None:
    """Client credentials give an access token whose subject is the client, and no refresh token."""
    emulator = make()
    client = InboundClient(emulator, SYNC, secret=SECRET)
    body = (await client.token(grant_type="client_credentials", scope="reports:read")).json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
    claims = read(emulator, body["access_token"])
    assert (claims["sub"], claims["azp"], claims["scope"]) == (SYNC, SYNC, "reports:read")
    all_scopes = (await client.token(grant_type="client_credentials")).json()["scope"]
    assert all_scopes == "reports:read reports:write"


@pytest.mark.parametrize(
    ("client_id", "secret", "form", "error"),
    [
        (APP, "", {"grant_type": "client_credentials"}, "unauthorized_client"),
        (SYNC, SECRET, {"grant_type": "client_credentials", "scope": "openid"}, "invalid_scope"),
        (SYNC, SECRET, {"grant_type": "client_credentials", "resource": RESOURCE}, "invalid_target"),
        (APP, "", {"grant_type": "password"}, "unsupported_grant_type"),
        (APP, "", {}, "unsupported_grant_type"),
    ],
)
async def test_other_grants_are_refused(
    make: Make, client_id: str, secret: str, form: dict[str, str], error: str
) -> None:
    """A public client cannot act for itself, and no client gets what it may not ask for."""
    response = await InboundClient(make(), client_id, secret=secret).token(**form)
    assert _error(response) == (400, error)


async def test_requested_resources_are_audiences(make: Make, read: Read) -> None:
    """They are those of the authorization; the token request may select one of them (RFC 8707)."""
    urls = (RESOURCE, "https://other.example.com")
    emulator = make(Project(inbound_apps=(InboundApp(APP, "", "", (CALLBACK,), resources=urls),)))
    client = InboundClient(emulator)
    code = await client.code(scope="openid", resource=list(urls))
    body = (await client.redeem(code)).json()
    assert read(emulator, body["access_token"])["aud"] == [DEFAULT_PROJECT_ID, APP, *urls]
    narrow = (await client.refresh(body["refresh_token"], resource=RESOURCE)).json()
    assert read(emulator, narrow["access_token"])["aud"] == [DEFAULT_PROJECT_ID, APP, RESOURCE]
    code = await client.code(scope="openid", resource=RESOURCE)
    assert _error(await client.redeem(code, resource=urls[1])) == (400, "invalid_target")
    code = await client.code(scope="openid")
    body = (await client.redeem(code, resource=RESOURCE)).json()
    assert read(emulator, body["access_token"])["aud"] == [DEFAULT_PROJECT_ID, APP, RESOURCE]


async def test_a_tenant_restricts_the_sign_in_to_its_members(make: Make, read: Read) -> None:
    """Only members can confirm, and the tenant is in the token if it has one."""
    emulator = make(Project(assumptions=Assumptions(inbound_issuer="tenant")))
    client = InboundClient(emulator)
    page = (await client.authorize(tenant="globex")).headers["location"]
    assert (await client.submit(page, login_id="grace@acme.example")).status_code == 422
    body = await client.tokens(tenant="globex")
    assert read(emulator, body["access_token"])["iss"] == f"{ISSUER}/globex"


async def test_the_page_suggests_the_hinted_user(make: Make) -> None:
    """``loginHint`` is Descope's spelling, ``login_hint`` that of OpenID Connect."""
    client = InboundClient(make())
    for name in ("loginHint", "login_hint"):
        page = (await client.authorize(**{name: "grace@acme.example"})).headers["location"]
        assert "data-hinted" in (await client.send("GET", page)).text


@pytest.mark.parametrize("token_type", ["DPoP", "Bearer"])
async def test_a_token_may_be_bound_to_a_key(make: Make, read: Read, token_type: str) -> None:
    """The key of ``dpop_jkt`` is in the token, also after a refresh; ``token_type`` says so or not."""
    emulator = make(Project(assumptions=Assumptions(dpop_token_type=token_type)))  # type: ignore[arg-type]
    client = InboundClient(emulator)
    body = await client.tokens(dpop_jkt="k" * 43)
    refreshed = (await client.refresh(body["refresh_token"])).json()
    for each in (body, refreshed):
        assert each["token_type"] == token_type
        assert read(emulator, each["access_token"])["cnf"] == {"jkt": "k" * 43}


async def test_a_client_of_an_mcp_server_uses_its_endpoints(make: Make, read: Read) -> None:
    """Its tokens have the URL of the server as an audience, and the project's issuer (section 11.2)."""
    emulator = make(Project(inbound_apps=(AGENT,), mcp_servers=(SERVER,)))
    client = InboundClient(emulator, "TPA2agent", place=AGENTIC)
    body = await client.tokens(resource=SERVER.url)
    claims = read(emulator, body["access_token"])
    assert (claims["iss"], claims["aud"]) == (ISSUER, [DEFAULT_PROJECT_ID, "TPA2agent", SERVER.url])


async def test_an_mcp_server_serves_only_its_own_clients(make: Make) -> None:
    """Another app of the project is not registered there."""
    emulator = make(replace(Project(), mcp_servers=(SERVER,)))
    client = InboundClient(emulator, place=AGENTIC)
    assert (await client.authorize()).status_code == 400
    assert _error(await client.token(grant_type="refresh_token")) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    "path",
    [
        "/oauth2/v1/apps/P2OTHERprojectThatIsNotThisOne/{}",
        f"/oauth2/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2unknown/{{}}",
        "/oauth2/v1/apps/agentic/P2OTHERprojectThatIsNotThisOne/MS2reports/{}",
    ],
)
async def test_other_projects_and_servers_are_not_found(make: Make, path: str) -> None:
    """The ids in the path must be those of the project."""
    client = InboundClient(make(Project(mcp_servers=(SERVER,))))
    names = ("authorize", "token") if "agentic" in path else ("authorize", "token", "userinfo", "revoke")
    for name in names:
        assert (await client.send("POST", path.format(name))).status_code == 404


async def test_a_user_who_is_gone_gets_no_tokens(make: Make) -> None:
    """A user who was removed or disabled after the consent is refused."""
    emulator = make()
    client = InboundClient(emulator)
    code = await client.code()
    emulator.project = replace(emulator.project, users=(SeedUser(ADA, status="disabled"),))
    assert _error(await client.redeem(code)) == (400, "invalid_grant")


async def test_a_code_expires(make: Make, clock: Clock) -> None:
    """After two minutes it is worthless."""
    client = InboundClient(make())
    code = await client.code()
    clock.advance(121)
    assert _error(await client.redeem(code)) == (400, "invalid_grant")
