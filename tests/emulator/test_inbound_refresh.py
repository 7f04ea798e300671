"""Refresh, revocation, userinfo and withdrawn consents of inbound apps (wire contract, section 11.4)."""

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import Assumptions, Clock, Emulator, InboundApp, Project, SeedUser
from tests.helpers.inbound_client import APP, CALLBACK, SECRET, SYNC, InboundClient

pytestmark = pytest.mark.anyio

Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

ADA = "ada@acme.example"
ROTATING = Project(assumptions=Assumptions(inbound_refresh_rotates=True))
USERINFO = "/oauth2/v1/apps/userinfo"


def _error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


async def test_a_refresh_returns_the_same_refresh_token(make: Make, read: Read, clock: Clock) -> None:
    """Without rotation it stays usable, and its family does not live longer."""
    emulator = make()
    client = InboundClient(emulator)
    first = await client.tokens(nonce="n1")
    clock.advance(600)
    second = (await client.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] == first["refresh_token"]
    before, after = (read(emulator, each["access_token"]) for each in (first, second))
    assert after == before | {"iat": 1_800_000_600, "exp": 1_800_001_200}
    assert "nonce" not in read(emulator, second["id_token"])


async def test_a_refresh_may_ask_for_fewer_scopes(make: Make) -> None:
    """The refresh token keeps all of them (RFC 6749, section 6)."""
    client = InboundClient(make())
    token = (await client.tokens())["refresh_token"]
    assert (await client.refresh(token, scope="reports:read")).json()["scope"] == "reports:read"
    assert (await client.refresh(token)).json()["scope"] == "openid reports:read"
    assert _error(await client.refresh(token, scope="reports:write")) == (400, "invalid_scope")


async def test_a_rotating_refresh_replaces_the_token(make: Make) -> None:
    """The reuse of a replaced token ends the family, with its successor."""
    client = InboundClient(make(ROTATING))
    first = (await client.tokens())["refresh_token"]
    second = (await client.refresh(first)).json()["refresh_token"]
    third = (await client.refresh(second)).json()["refresh_token"]
    assert len({first, second, third}) == 3
    assert _error(await client.refresh(first)) == (400, "invalid_grant")
    assert _error(await client.refresh(third)) == (400, "invalid_grant")


@pytest.mark.parametrize("client_id", [SYNC, APP])
async def test_a_refresh_token_belongs_to_its_client(make: Make, client_id: str) -> None:
    """Another client, and a token that is not a refresh token, are refused."""
    emulator = make()
    client = InboundClient(emulator)
    tokens = await client.tokens()
    if client_id == APP:
        refused = await client.refresh(tokens["access_token"])
    else:
        refused = await InboundClient(emulator, SYNC, secret=SECRET).refresh(tokens["refresh_token"])
    assert _error(refused) == (400, "invalid_grant")
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_confidential_client_refreshes_with_its_secret(make: Make) -> None:
    """Without it, a stolen refresh token is useless."""
    emulator = make()
    token = (await InboundClient(emulator, SYNC, secret=SECRET).tokens())["refresh_token"]
    assert _error(await InboundClient(emulator, SYNC).refresh(token)) == (401, "invalid_client")


async def test_a_refresh_token_expires(make: Make, clock: Clock) -> None:
    """Its lifetime counts from the sign-in, and no access token outlives it."""
    app = InboundApp(APP, "", "", (CALLBACK,), {"reports:read": ""}, refresh_seconds=700)
    client = InboundClient(make(Project(inbound_apps=(app,))))
    token = (await client.tokens())["refresh_token"]
    clock.advance(600)
    assert (await client.refresh(token)).json()["expires_in"] == 100
    clock.advance(100)
    assert _error(await client.refresh(token)) == (400, "invalid_grant")


async def test_a_refresh_token_of_a_dropped_key_is_dead(make: Make) -> None:
    """An emulator that has dropped its old keys accepts nothing that they signed."""
    emulator = make()
    client = InboundClient(emulator)
    token = (await client.tokens())["refresh_token"]
    emulator.rotate_keys(keep_old=False)
    assert _error(await client.refresh(token)) == (400, "invalid_grant")


@pytest.mark.parametrize("users", [(), (SeedUser(ADA, status="disabled"),)])
async def test_a_user_who_is_gone_ends_the_refresh(make: Make, users: tuple[SeedUser, ...]) -> None:
    """A removed or disabled user gives an app no new tokens."""
    emulator = make()
    client = InboundClient(emulator)
    token = (await client.tokens())["refresh_token"]
    emulator.project = replace(emulator.project, users=users)
    assert _error(await client.refresh(token)) == (400, "invalid_grant")


async def test_the_logout_of_a_user_leaves_the_apps_alone(make: Make) -> None:
    """The families of apps are not sessions of the user."""
    emulator = make()
    client = InboundClient(emulator)
    token = (await client.tokens())["refresh_token"]
    emulator.revoke_sessions(ADA)
    assert (await client.refresh(token)).status_code == 200


async def test_a_refresh_token_of_an_app_opens_no_session(make: Make) -> None:
    """Descope's refresh endpoint does not know it, and the app's does not know a session's."""
    emulator = make()
    client = InboundClient(emulator)
    token = (await client.tokens())["refresh_token"]
    bearer = {"authorization": f"Bearer {emulator.project_id}:{token}"}
    assert (await client.send("POST", "/v1/auth/refresh", headers=bearer)).status_code == 401
    assert _error(await client.refresh(emulator.issue(ADA).refresh_jwt)) == (400, "invalid_grant")


async def test_revocation_ends_the_family(make: Make) -> None:
    """The refresh token is dead afterwards; repeating the call is not an error."""
    client = InboundClient(make())
    token = (await client.tokens())["refresh_token"]
    for _ in range(2):
        response = await client.send(
            "POST", "/oauth2/v1/apps/revoke", data={"client_id": APP, "token": token}
        )
        assert (response.status_code, response.json()) == (200, {})
    assert _error(await client.refresh(token)) == (400, "invalid_grant")


@pytest.mark.parametrize("token", ["access_token", "unknown", "another"])
async def test_revocation_ignores_every_other_token(make: Make, token: str) -> None:
    """An access token lives until it expires, and no client ends the family of another."""
    emulator = make()
    client = InboundClient(emulator)
    tokens = await client.tokens()
    form = {"client_id": APP, "token": tokens.get(token, "unknown")}
    if token == "another":
        form = {"client_id": SYNC, "client_secret": SECRET, "token": tokens["refresh_token"]}
    response = await client.send("POST", "/oauth2/v1/apps/revoke", data=form)
    assert (response.status_code, response.json()) == (200, {})
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_only_a_client_can_revoke(make: Make) -> None:
    """A confidential client needs its secret."""
    client = InboundClient(make())
    response = await client.send("POST", "/oauth2/v1/apps/revoke", data={"client_id": SYNC, "token": "x"})
    assert _error(response) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("reports:read", {}),
        ("openid email", {"email": ADA, "email_verified": True}),
        ("openid profile", {"name": "Ada Lovelace"}),
    ],
)
async def test_userinfo_returns_what_the_scopes_permit(
    make: Make, scope: str, claims: dict[str, object]
) -> None:
    """The user id always, the e-mail address and the name with their scopes."""
    client = InboundClient(make())
    token = (await client.tokens(scope=scope))["access_token"]
    for method, scheme in (("GET", "Bearer"), ("POST", "DPoP")):
        response = await client.send(method, USERINFO, headers={"authorization": f"{scheme} {token}"})
        assert response.json() == {"sub": SeedUser(ADA).user_id} | claims


async def test_userinfo_of_an_app_that_acts_for_itself(make: Make) -> None:
    """It is the app's own id."""
    emulator = make()
    token = emulator.issue_delegate(None, SYNC, ("email", "profile"))
    response = await InboundClient(emulator).send(
        "GET", USERINFO, headers={"authorization": f"Bearer {token}"}
    )
    assert response.json() == {"sub": SYNC}


async def test_userinfo_shows_the_current_roles_if_tokens_contain_them(make: Make) -> None:
    """It serves as introspection: a change of roles shows before the token expires."""
    emulator = make(Project(assumptions=Assumptions(inbound_grants="roles")))
    client = InboundClient(emulator)
    token = (await client.tokens())["access_token"]
    emulator.project = replace(emulator.project, users=(SeedUser(ADA, roles=("auditor",)),))
    response = await client.send("GET", USERINFO, headers={"authorization": f"Bearer {token}"})
    assert response.json() == {"sub": SeedUser(ADA).user_id, "roles": ["auditor"]}


async def test_userinfo_needs_an_access_token_of_an_app(make: Make, clock: Clock) -> None:
    """Every other token is refused, and an expired one too."""
    emulator = make()
    client = InboundClient(emulator)
    tokens = await client.tokens()
    others = (tokens["id_token"], tokens["refresh_token"], emulator.issue(ADA).session_jwt, "a.b.c")
    headers = [f"Bearer {token}" for token in others] + [f"Basic {tokens['access_token']}", "Bearer"]
    for header in headers:
        response = await client.send("GET", USERINFO, headers={"authorization": header})
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    clock.advance(600)
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.send("GET", USERINFO, headers=bearer)).status_code == 401


@pytest.fixture
def console(make_console: Callable[..., Emulator]) -> Emulator:
    """An emulator whose console can change its state."""
    return make_console()


async def test_a_withdrawn_consent_ends_the_refresh(console: Emulator) -> None:
    """The access token lives on, userinfo too; only the app and the user in question are affected."""
    client = InboundClient(console)
    ada, grace = await client.tokens(), await client.tokens("grace@acme.example")
    other = await InboundClient(console, SYNC, secret=SECRET).tokens()
    pending = await client.code()
    body = {"client_id": APP, "user": ADA}
    response = await client.send("POST", "/console/api/consents/withdraw", json=body)
    assert [(row["client_id"], row["login_id"]) for row in response.json()["consents"]] == [
        (SYNC, ADA),
        (APP, "grace@acme.example"),
    ]
    assert _error(await client.refresh(ada["refresh_token"])) == (400, "invalid_grant")
    assert _error(await client.redeem(pending)) == (400, "invalid_grant")
    bearer = {"authorization": f"Bearer {ada['access_token']}"}
    assert (await client.send("GET", USERINFO, headers=bearer)).status_code == 200
    assert (await client.refresh(grace["refresh_token"])).status_code == 200
    confidential = InboundClient(console, SYNC, secret=SECRET)
    assert (await confidential.refresh(other["refresh_token"])).status_code == 200


async def test_a_new_consent_does_not_revive_an_old_family(console: Emulator) -> None:
    """A refresh token that was ended stays ended."""
    client = InboundClient(console)
    old = (await client.tokens())["refresh_token"]
    body = {"client_id": APP, "user": SeedUser(ADA).user_id}
    await client.send("POST", "/console/api/consents/withdraw", json=body)
    new = (await client.tokens())["refresh_token"]
    assert _error(await client.refresh(old)) == (400, "invalid_grant")
    assert (await client.refresh(new)).status_code == 200


@pytest.mark.parametrize("user", [ADA, "nobody"])
async def test_a_consent_that_was_not_given_cannot_be_withdrawn(console: Emulator, user: str) -> None:
    """The API says so."""
    body = {"client_id": APP, "user": user}
    response = await InboundClient(console).send("POST", "/console/api/consents/withdraw", json=body)
    assert (response.status_code, response.json()["errorCode"]) == (404, "E011004")


async def test_the_console_shows_apps_and_consents(console: Emulator) -> None:
    """A consent has all scopes that the user has granted, and the time of the last grant."""
    client = InboundClient(console)
    await client.tokens(scope="reports:read")
    await client.tokens(scope="reports:write")
    state = (await client.send("GET", "/console/api/apps")).json()
    assert state["apps"][0] == {
        "client_id": APP,
        "name": "Report Reader",
        "public": True,
        "mcp_server": None,
        "redirect_uris": ["http://127.0.0.1/callback", "http://localhost/callback"],
        "scopes": ["reports:read", "reports:write"],
    }
    assert state["consents"] == [
        {
            "client_id": APP,
            "app": "Report Reader",
            "user_id": SeedUser(ADA).user_id,
            "login_id": ADA,
            "scopes": ["reports:read", "reports:write"],
            "granted": "2027-01-15T08:00:00Z",
        }
    ]
    page = (await client.send("GET", "/console")).text
    assert "Report Reader" in page
    assert "reports:read reports:write" in page


async def test_a_consent_outlives_its_app_and_its_user(console: Emulator) -> None:
    """The console shows their ids if the project has them no longer."""
    client = InboundClient(console)
    await client.tokens()
    console.project = replace(console.project, users=(), inbound_apps=())
    consent = (await client.send("GET", "/console/api/apps")).json()["consents"][0]
    assert (consent["app"], consent["login_id"]) == (None, None)
    assert SeedUser(ADA).user_id in (await client.send("GET", "/console")).text


async def test_a_consent_is_withdrawn_on_the_console_page(console: Emulator) -> None:
    """The page has a button for each consent."""
    client = InboundClient(console)
    token = (await client.tokens())["refresh_token"]
    form = {"client_id": APP, "user": SeedUser(ADA).user_id}
    page = await client.send("GET", "/console")
    form_token = page.text.split('name="form_token" value="')[1].split('"')[0]
    response = await client.send("POST", "/console/withdraw", data=form | {"form_token": form_token})
    assert response.headers["location"] == "/console"
    assert _error(await client.refresh(token)) == (400, "invalid_grant")
    assert "No consents." in (await client.send("GET", "/console")).text


async def test_the_page_of_a_consent_is_not_in_the_journal(console: Emulator) -> None:
    """Its id is a secret, as that of a sign-in page is."""
    await InboundClient(console).code()
    assert {call.path for call in console.requests.for_endpoint("consent")} == {"/consent/…"}
