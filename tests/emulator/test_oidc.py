"""Descope as an OpenID provider (wire contract, section 2.14)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine
from hashlib import sha256

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jose import jwt

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Assumptions, Clock, Emulator, Project, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

NOW = 1_800_000_000
ORIGIN = "http://127.0.0.1:4000"
DOCUMENT = "/.well-known/openid-configuration"
CALLBACK = "http://localhost:8000/callback?a=b"
VERIFIER = "a-verifier-of-at-least-forty-three-characters"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
AUTHORIZE = {
    "client_id": DEFAULT_PROJECT_ID,
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid email profile offline_access",
    "state": "xyz",
    "nonce": "n1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
PROJECT = Project(federated_apps=("SA2reports",))


async def _post(call: Call, emulator: Emulator, path: str, **form: str) -> httpx.Response:
    content = str(httpx.QueryParams(form)).encode()
    return await call(emulator, "POST", path, content=content, headers={"authorization": ""})


async def _code(call: Call, confirm: Call, emulator: Emulator, **changes: str) -> str:
    started = await call(emulator, "GET", "/oauth2/v1/authorize", params=AUTHORIZE | changes)
    redirect = await confirm(emulator, started.headers["location"], "ada@acme.example")
    return httpx.URL(redirect.headers["location"]).params["code"]


async def _tokens(call: Call, confirm: Call, emulator: Emulator, **changes: str) -> httpx.Response:
    return await _post(
        call,
        emulator,
        "/oauth2/v1/token",
        grant_type="authorization_code",
        code=await _code(call, confirm, emulator, **changes),
        client_id=changes.get("client_id", DEFAULT_PROJECT_ID),
        redirect_uri=CALLBACK,
        code_verifier=VERIFIER,
    )


async def test_discovery(call: Call, make: Make) -> None:
    """The project's document lists exactly what is implemented."""
    response = await call(make(), "GET", f"/{DEFAULT_PROJECT_ID}{DOCUMENT}", headers={"authorization": ""})
    assert response.status_code == 200
    assert response.json() == {
        "issuer": f"{ORIGIN}/{DEFAULT_PROJECT_ID}",
        "jwks_uri": f"{ORIGIN}/{DEFAULT_PROJECT_ID}/.well-known/jwks.json",
        "authorization_endpoint": f"{ORIGIN}/oauth2/v1/authorize",
        "token_endpoint": f"{ORIGIN}/oauth2/v1/token",
        "userinfo_endpoint": f"{ORIGIN}/oauth2/v1/userinfo",
        "revocation_endpoint": f"{ORIGIN}/oauth2/v1/revoke",
        "end_session_endpoint": f"{ORIGIN}/oauth2/v1/logout",
        "scopes_supported": ["openid", "profile", "email"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


async def test_every_listed_endpoint_exists(call: Call, make: Make) -> None:
    """Every URL in the document exists."""
    emulator = make()
    document = (await call(emulator, "GET", f"/{DEFAULT_PROJECT_ID}{DOCUMENT}")).json()
    urls = [url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(urls) == 6
    for url in urls:
        statuses = {(await call(emulator, method, url)).status_code for method in ("GET", "POST")}
        assert statuses - {404, 405}, url


async def test_discovery_of_an_app(call: Call, make: Make) -> None:
    """A federated app has its own document and issuer."""
    response = await call(make(PROJECT), "GET", f"/{DEFAULT_PROJECT_ID}/SA2reports{DOCUMENT}")
    assert response.json()["issuer"] == f"{ORIGIN}/{DEFAULT_PROJECT_ID}/SA2reports"


@pytest.mark.parametrize("path", ["/P123", "/P123/SA2reports", f"/{DEFAULT_PROJECT_ID}/SA2unknown"])
async def test_discovery_of_unknown_projects_and_apps(call: Call, make: Make, path: str) -> None:
    """Other projects and apps are 404."""
    response = await call(make(PROJECT), "GET", f"{path}{DOCUMENT}")
    assert (response.status_code, response.json()["errorCode"]) == (404, "E011004")


async def test_code_flow(call: Call, make: Make, confirm: Call, read: Read) -> None:
    """The flow ends with an ID token for this client and nonce, and an access token with its scope."""
    emulator = make()
    response = await _tokens(call, confirm, emulator)
    body = response.json()
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert body["scope"] == "openid email profile"
    identity = read(emulator, body["id_token"])
    assert re.fullmatch("[0-9a-f]{16}", str(identity.pop("sid")))
    assert identity == {
        "iss": f"{ORIGIN}/{DEFAULT_PROJECT_ID}",
        "aud": DEFAULT_PROJECT_ID,
        "sub": SeedUser("ada@acme.example").user_id,
        "iat": NOW,
        "exp": NOW + 600,
        "nonce": "n1",
        "email": "ada@acme.example",
        "name": "Ada Lovelace",
    }
    access = read(emulator, body["access_token"])
    expected = {
        "iss": f"{ORIGIN}/{DEFAULT_PROJECT_ID}",
        "aud": [DEFAULT_PROJECT_ID],
        "azp": DEFAULT_PROJECT_ID,
        "scope": "openid email profile",
        "drn": "DS",
    }
    assert expected.items() <= access.items()


async def test_id_token_verifies(call: Call, make: Make, confirm: Call) -> None:
    """A generic OIDC client finds the key through the document and accepts the token."""
    emulator = make()
    token = (await _tokens(call, confirm, emulator, nonce="")).json()["id_token"]
    document = (await call(emulator, "GET", f"/{DEFAULT_PROJECT_ID}{DOCUMENT}")).json()
    keys = (await call(emulator, "GET", document["jwks_uri"])).json()
    unexpired = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        token,
        keys,
        algorithms=["RS256"],
        audience=DEFAULT_PROJECT_ID,
        issuer=document["issuer"],
        options=unexpired,
    )
    assert "nonce" not in claims


async def test_redirect_has_query_state_and_code_or_error(call: Call, make: Make, confirm: Call) -> None:
    """The redirect has the app's own query, its state, and a code or an error."""
    emulator = make()
    for user, names in (("ada@acme.example", {"a", "state", "code"}), (None, {"a", "state", "error"})):
        started = await call(emulator, "GET", "/oauth2/v1/authorize", params=AUTHORIZE)
        assert started.status_code == 303
        redirect = await confirm(emulator, started.headers["location"], user)
        params = httpx.URL(redirect.headers["location"]).params
        assert names <= set(params)
        assert params["state"] == "xyz"


async def test_client_without_state(call: Call, make: Make, confirm: Call) -> None:
    """``state`` is optional."""
    query = {name: value for name, value in AUTHORIZE.items() if name not in {"state", "nonce"}}
    emulator = make()
    started = await call(emulator, "GET", "/oauth2/v1/authorize", params=query)
    redirect = await confirm(emulator, started.headers["location"], "ada@acme.example")
    assert set(httpx.URL(redirect.headers["location"]).params) == {"a", "code"}


@pytest.mark.parametrize(
    "change", [{"client_id": "P123"}, {"client_id": ""}, {"redirect_uri": "https://evil.example/"}]
)
async def test_unknown_client_gets_no_redirect(call: Call, make: Make, change: dict[str, str]) -> None:
    """An unknown client or redirect URI gets an error instead of a redirect."""
    response = await call(make(), "GET", "/oauth2/v1/authorize", params=AUTHORIZE | change)
    assert (response.status_code, response.json()["errorCode"]) == (400, "E011004")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "email"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
async def test_bad_authorization(call: Call, make: Make, change: dict[str, str], error: str) -> None:
    """A known client gets the error in a redirect (RFC 6749, section 4.1.2.1)."""
    response = await call(make(), "GET", "/oauth2/v1/authorize", params=AUTHORIZE | change)
    assert response.status_code == 303
    assert response.headers["location"] == f"{CALLBACK}&state=xyz&error={error}"


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "another"},
        {"code_verifier": ""},
        {"client_id": "SA2reports"},
        {"redirect_uri": "http://localhost:8000/"},
        {"code": "nonsense"},
    ],
)
async def test_code_is_for_its_client(call: Call, make: Make, confirm: Call, change: dict[str, str]) -> None:
    """A code with another verifier, client or redirect URI is rejected and used up."""
    emulator = make(PROJECT)
    form = {
        "grant_type": "authorization_code",
        "code": await _code(call, confirm, emulator),
        "client_id": DEFAULT_PROJECT_ID,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    response = await _post(call, emulator, "/oauth2/v1/token", **(form | change))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    again = await _post(call, emulator, "/oauth2/v1/token", **form)
    assert again.status_code == (200 if "code" in change else 400)


async def test_oidc_and_sso_codes_are_not_interchangeable(
    call: Call, make: Make, confirm: Call, get_code: Call
) -> None:
    """A code of OIDC is not valid for the SSO exchange, and vice versa."""
    emulator = make()
    code = await _code(call, confirm, emulator)
    sso = await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})
    assert (sso.status_code, sso.json()["errorCode"]) == (400, "E061301")
    form = {"grant_type": "authorization_code", "client_id": DEFAULT_PROJECT_ID}
    oidc = await _post(call, emulator, "/oauth2/v1/token", code=str(await get_code(emulator)), **form)
    assert oidc.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("grant", ["password", ""])
async def test_unsupported_grant_types(call: Call, make: Make, grant: str) -> None:
    """Only two grant types are supported."""
    response = await _post(call, make(), "/oauth2/v1/token", grant_type=grant)
    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("rotate", [True, False])
async def test_refresh(
    call: Call, make: Make, confirm: Call, read: Read, clock: Clock, *, rotate: bool
) -> None:
    """A refresh returns an access token of the same scope, and with rotation a new refresh token."""
    emulator = make(Project(rotate_refresh=rotate))
    old = (await _tokens(call, confirm, emulator)).json()["refresh_token"]
    clock.advance(60)
    form = {"grant_type": "refresh_token", "refresh_token": old}
    other = await _post(call, emulator, "/oauth2/v1/token", client_id="SA2reports", **form)
    assert other.json()["error"] == "invalid_grant"
    body = (await _post(call, emulator, "/oauth2/v1/token", client_id=DEFAULT_PROJECT_ID, **form)).json()
    claims = read(emulator, body["access_token"])
    assert (claims["azp"], claims["scope"]) == (DEFAULT_PROJECT_ID, "openid email profile")
    assert claims["exp"] == NOW + 660
    assert ("refresh_token" in body) is rotate


async def test_refresh_token_of_another_sign_in_is_rejected(call: Call, make: Make) -> None:
    """A missing refresh token, and one of an ordinary session, are rejected."""
    emulator = make()
    for token in (emulator.issue("ada@acme.example").refresh_jwt, "a.b.c"):
        form = {"refresh_token": token, "client_id": DEFAULT_PROJECT_ID}
        response = await _post(call, emulator, "/oauth2/v1/token", grant_type="refresh_token", **form)
        assert response.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("openid", ["sub"]),
        ("openid email", ["email", "email_verified", "sub"]),
        ("openid profile", ["name", "sub"]),
    ],
)
@pytest.mark.parametrize("override", [True, False])
async def test_userinfo(
    call: Call, make: Make, confirm: Call, scope: str, names: list[str], *, override: bool
) -> None:
    """The response has the claims of the access token's scope, and the subject of the ID token."""
    emulator = make(Project(override_subject=override))
    body = (await _tokens(call, confirm, emulator, scope=scope)).json()
    headers = {"authorization": f"Bearer {body['access_token']}"}
    for method in ("GET", "POST"):
        response = await call(emulator, method, "/oauth2/v1/userinfo", headers=headers)
        assert sorted(response.json()) == names
        assert response.json()["sub"] == SeedUser("ada@acme.example").user_id


async def test_userinfo_of_a_removed_user(call: Call, make: Make, confirm: Call) -> None:
    """For a removed user the response has the subject only."""
    emulator = make()
    body = (await _tokens(call, confirm, emulator)).json()
    emulator.project = Project(users=())
    headers = {"authorization": f"Bearer {body['access_token']}"}
    assert list((await call(emulator, "GET", "/oauth2/v1/userinfo", headers=headers)).json()) == ["sub"]


async def test_userinfo_rejects_other_tokens(call: Call, make: Make) -> None:
    """No token, junk, and the token of an ordinary session get a challenge (RFC 6750)."""
    emulator = make()
    for token in ("", "a.b.c", emulator.issue("ada@acme.example").session_jwt):
        headers = {"authorization": f"Bearer {token}"}
        response = await call(emulator, "GET", "/oauth2/v1/userinfo", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert response.json()["errorCode"] == "E061005"


async def test_refused_sign_in_gets_the_standard_error(call: Call, make: Make, confirm: Call) -> None:
    """The parameters are OAuth's, whatever ``Assumptions`` says (RFC 6749, section 4.1.2.1)."""
    emulator = make(Project(assumptions=Assumptions(failed_sign_in="err")))
    started = await call(emulator, "GET", "/oauth2/v1/authorize", params=AUTHORIZE)
    rejected = await confirm(emulator, started.headers["location"], None)
    query = httpx.URL(rejected.headers["location"]).params
    assert (query["error"], query["state"], "err" in query) == ("access_denied", "xyz", False)


async def test_revocation(call: Call, make: Make, confirm: Call) -> None:
    """A revoked refresh token is invalid; revoking it again, or an empty one, is no error (RFC 7009)."""
    emulator = make()
    token = (await _tokens(call, confirm, emulator)).json()["refresh_token"]
    for form in ({"token": token}, {"token": token}, {}):
        response = await _post(call, emulator, "/oauth2/v1/revoke", **form)
        assert (response.status_code, response.json()) == (200, {})
    response = await call(emulator, "POST", "/v1/auth/refresh", token=token)
    assert (response.status_code, response.json()["errorCode"]) == (401, "E064001")


async def test_logout(call: Call, make: Make, confirm: Call) -> None:
    """A logout ends the session of the ID token only, and redirects with the state."""
    emulator = make()
    body, other = [(await _tokens(call, confirm, emulator)).json() for _ in range(2)]
    query = {
        "id_token_hint": body["id_token"],
        "post_logout_redirect_uri": "http://localhost:8000/bye?a=b",
        "state": "s1",
    }
    response = await call(emulator, "GET", "/oauth2/v1/logout", params=query)
    assert response.status_code == 303
    assert response.headers["location"] == "http://localhost:8000/bye?a=b&state=s1"
    responses = [
        await call(emulator, "POST", "/v1/auth/refresh", token=each["refresh_token"])
        for each in (body, other)
    ]
    assert [response.status_code for response in responses] == [401, 200]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"post_logout_redirect_uri": ""}, 200),
        ({"post_logout_redirect_uri": "http://localhost:8000/"}, 303),
        ({"post_logout_redirect_uri": "https://evil.example/"}, 400),
        ({"id_token_hint": "a.b.c"}, 401),
        ({"id_token_hint": ""}, 401),
    ],
)
async def test_logout_without_redirect_and_with_invalid_input(
    call: Call, make: Make, confirm: Call, change: dict[str, str], status: int
) -> None:
    """A redirect URI is optional; an unapproved one and a foreign token are rejected."""
    emulator = make()
    hint = (await _tokens(call, confirm, emulator)).json()["id_token"]
    response = await call(emulator, "GET", "/oauth2/v1/logout", params={"id_token_hint": hint} | change)
    assert response.status_code == status


_EMULATOR = Emulator()


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60), grant=st.sampled_from(["authorization_code", "refresh_token", ""]))
async def test_hostile_input_gets_an_oauth_error(content: bytes, grant: str) -> None:
    """Any bytes in form, query and header get an OAuth error, never a server error."""
    transport = httpx.ASGITransport(_EMULATOR)
    form = f"grant_type={grant}&client_id={DEFAULT_PROJECT_ID}&".encode() + content
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/oauth2/v1/") as client:
        token = await client.post("token", content=form)
        authorize = await client.get("authorize", params={"redirect_uri": content, "client_id": content})
        logout = await client.get("logout", params={"id_token_hint": content})
        userinfo = await client.get("userinfo", headers=[(b"authorization", b"Bearer " + content)])
    assert (token.status_code, "error" in token.json()) == (400, True)
    assert [each.status_code for each in (authorize, logout, userinfo)] == [400, 401, 401]
