"""Other tokens that Descope signs with the same keys, and how the plugin treats them.

All of them come from the emulator's own endpoints, as a real client of the project would get them.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256

import httpx
import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, AccessKey, Grants, Project, SeedLogin, SeedUser
from tests.helpers.app_harness import IDP, AppHarness, EnvFactory

pytestmark = pytest.mark.anyio

VERIFIER = "a-verifier-of-at-least-forty-three-characters"
CALLBACK = "http://localhost:8000/callback"


async def _oidc_tokens(env: AppHarness, client_id: str) -> dict[str, str]:
    """Return the tokens that an OIDC client of the project gets for Ada's login."""
    browser = env.browser()
    challenge = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    query = httpx.QueryParams(
        client_id=client_id,
        redirect_uri=CALLBACK,
        response_type="code",
        scope="openid",
        code_challenge=challenge,
        code_challenge_method="S256",
    )
    redirect = await browser.visit(f"{IDP}/oauth2/v1/authorize?{query}")
    page = await browser.visit(redirect.headers["location"])
    callback = httpx.URL((await browser.choose(page, "ada@acme.example")).headers["location"])
    form = {
        "grant_type": "authorization_code",
        "code": callback.params["code"],
        "client_id": client_id,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    tokens: dict[str, str] = (await browser.post(f"{IDP}/oauth2/v1/token", form)).json()
    return tokens


@pytest.mark.parametrize("name", ["id_token", "access_token", "refresh_token"])
async def test_tokens_of_a_federated_app_are_rejected(make_env: EnvFactory, name: str) -> None:
    """Tokens that another app got for a user are no session here, as a bearer token or a cookie."""
    project = Project(federated_apps=("SA2reports",))
    env = make_env(project=project)
    token = (await _oidc_tokens(env, "SA2reports"))[name]

    by_header = await env.browser().get("/session-of", authorization=f"Bearer {token}")
    by_cookie = await env.browser().get("/session-of", cookie=f"DS={token}")

    assert (by_header.status_code, by_cookie.status_code) == (401, 401)
    assert env.calls("refresh") == 0


async def test_id_token_of_the_project_is_rejected(make_env: EnvFactory) -> None:
    """An ID token identifies a user to a front end. It is not a session token."""
    env = make_env()
    token = (await _oidc_tokens(env, DEFAULT_PROJECT_ID))["id_token"]

    assert (await env.browser().get("/session-of", authorization=f"Bearer {token}")).status_code == 401


async def test_kd07_token_of_a_trusted_device_is_rejected(make_env: EnvFactory) -> None:
    """It is signed with the same key, but is neither a session token nor a refresh token.

    It is rejected as a bearer token, as the session cookie and as the refresh cookie.
    """
    ada = SeedUser("ada@acme.example", tenants={"acme": Grants()}, login=SeedLogin(trusted_device=True))
    env = make_env(project=Project(users=(ada,)))
    refresh = env.emulator.issue("ada@acme.example", "acme").refresh_jwt
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.emulator), base_url=IDP) as device:
        response = await device.post(
            "/v1/auth/refresh", headers={"authorization": f"Bearer {DEFAULT_PROJECT_ID}:{refresh}"}
        )
    token = response.json()["trustedDeviceJwt"]
    assert (await env.browser().get("/me", cookie=f"DS={response.json()['sessionJwt']}")).status_code == 200

    by_header = await env.browser().get("/session-of", authorization=f"Bearer {token}")
    by_cookie = await env.browser().get("/session-of", cookie=f"DS={token}")
    by_refresh_cookie = await env.browser().get("/session-of", cookie=f"DSR={token}")

    assert {each.status_code for each in (by_header, by_cookie, by_refresh_cookie)} == {401}
    assert [call.status for call in env.emulator.requests.for_endpoint("refresh")] == [200]


async def test_access_key_has_the_roles_of_its_tenant(make_env: EnvFactory) -> None:
    """A machine sends its session token as a bearer token, and has the roles of its key."""
    key = AccessKey("K2nightly", "opensesame", tenants={"acme": Grants(("viewer",))})
    env = make_env(project=Project(access_keys=(key,)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.emulator), base_url=IDP) as machine:
        response = await machine.post(
            "/v1/auth/accesskey/exchange",
            headers={"authorization": f"Bearer {DEFAULT_PROJECT_ID}:opensesame"},
            json={"loginOptions": {"selectedTenant": "acme"}},
        )
    token = response.json()["sessionJwt"]

    me = await env.browser().get("/me", authorization=f"Bearer {token}")

    assert me.json() == {"user": "K2nightly", "tenant": "acme", "roles": ["viewer"]}
    env.emulator.clock.advance(660)
    assert (await env.browser().get("/me", authorization=f"Bearer {token}")).status_code == 401
