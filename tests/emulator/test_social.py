"""Social sign-in (wire contract, section 2.4)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator, Grants, Project, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

PATH = "/v1/auth/oauth/authorize"
EXCHANGE = "/v1/auth/oauth/exchange"
QUERY = {"provider": "google", "redirectURL": "http://localhost:8000/callback"}


async def _code(
    call: Call, confirm: Call, emulator: Emulator, user: str, path: str = PATH, token: str = ""
) -> str:
    url = (await call(emulator, "POST", path, token=token, params=QUERY)).json()["url"]
    redirect = await confirm(emulator, url, user)
    return httpx.URL(redirect.headers["location"]).params["code"]


async def test_sign_in(call: Call, make: Make, confirm: Call, read: Read) -> None:
    """Any user of the project can sign in; the token has the method and no tenant."""
    emulator = make()
    code = await _code(call, confirm, emulator, "nomad@example.org")
    response = await call(emulator, "POST", EXCHANGE, json={"code": code})
    assert response.json()["user"]["loginIds"] == ["nomad@example.org"]
    assert response.json()["tenantSSOID"] == ""
    claims = read(emulator, response.json()["sessionJwt"])
    assert claims["amr"] == ["oauth"]
    assert "dct" not in claims


async def test_auto_tenant_applies_to_social_sign_in(
    call: Call, make: Make, confirm: Call, read: Read
) -> None:
    """With ``auto_tenant`` a user's only tenant is the current one after a social sign-in too."""
    emulator = make(Project(auto_tenant=True))
    code = await _code(call, confirm, emulator, "grace@acme.example")
    body = (await call(emulator, "POST", EXCHANGE, json={"code": code})).json()
    assert read(emulator, body["sessionJwt"])["dct"] == "acme"


async def test_page_names_the_provider(call: Call, make: Make) -> None:
    """The page has the provider's name and lists all users with their project roles."""
    owner = SeedUser("owner@acme.example", tenants={"acme": Grants(("admin",))}, roles=("owner",))
    emulator = make(Project(users=(owner,)))
    url = (await call(emulator, "POST", PATH, params=QUERY)).json()["url"]
    page = (await call(emulator, "GET", url)).text
    assert "Google" in page
    assert "owner@acme.example" in page
    assert "admin" not in page


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"provider": ""}, "E011002"),
        ({"provider": "friendster"}, "E011004"),
        ({"redirectURL": ""}, "E011002"),
        ({"redirectURL": "https://evil.example/"}, "E011004"),
    ],
)
async def test_bad_query(call: Call, make: Make, change: dict[str, str], code: str) -> None:
    """A missing or unknown provider is rejected."""
    response = await call(make(), "POST", PATH, params=QUERY | change)
    assert (response.status_code, response.json()["errorCode"]) == (400, code)


@pytest.mark.parametrize("provider", ["apple", "discord", "facebook", "github", "gitlab", "linkedin"])
async def test_default_providers(call: Call, make: Make, provider: str) -> None:
    """By default the project has Descope's providers."""
    assert (await call(make(), "POST", PATH, params=QUERY | {"provider": provider})).status_code == 200


async def test_custom_providers(call: Call, make: Make) -> None:
    """A project can have other providers instead."""
    emulator = make(Project(social_providers=("guild",)))
    responses = [
        await call(emulator, "POST", PATH, params=QUERY | {"provider": provider})
        for provider in ("guild", "google")
    ]
    assert [response.status_code for response in responses] == [200, 400]


async def test_sign_up_rejects_known_users(call: Call, make: Make, confirm: Call) -> None:
    """A user who has signed in before cannot sign up; another user can, once."""
    emulator = make()
    responses = [
        await call(
            emulator,
            "POST",
            EXCHANGE,
            json={"code": await _code(call, confirm, emulator, "ada@acme.example", f"{PATH}/signup")},
        )
        for _ in range(2)
    ]
    assert (responses[0].status_code, responses[0].json()["firstSeen"]) == (200, True)
    assert (responses[1].status_code, responses[1].json()["errorCode"]) == (400, "E062107")


async def test_sign_in_variant(call: Call, make: Make, confirm: Call) -> None:
    """The sign-in variant accepts every user of the project."""
    emulator = make()
    code = await _code(call, confirm, emulator, "ada@acme.example", f"{PATH}/signin")
    assert (await call(emulator, "POST", EXCHANGE, json={"code": code})).status_code == 200


async def test_update_needs_the_user_of_the_refresh_token(
    call: Call, make: Make, confirm: Call, read: Read
) -> None:
    """The update variant needs a refresh token, and only its user can confirm."""
    emulator = make()
    token = emulator.issue("grace@acme.example", "acme").refresh_jwt
    bare = await call(emulator, "POST", f"{PATH}/update", params=QUERY)
    assert (bare.status_code, bare.json()["errorCode"]) == (400, "E011002")
    code = await _code(call, confirm, emulator, "grace@acme.example", f"{PATH}/update", token)
    body = (await call(emulator, "POST", EXCHANGE, json={"code": code})).json()
    assert read(emulator, body["sessionJwt"])["amr"] == ["fed", "oauth"]
    url = (await call(emulator, "POST", f"{PATH}/update", token=token, params=QUERY)).json()["url"]
    assert (await confirm(emulator, url, "ada@acme.example")).status_code == 400


async def test_code_by_query(call: Call, make: Make, confirm: Call) -> None:
    """The code can be exchanged by ``GET /v1/auth/exchange`` too, once."""
    emulator = make()
    code = await _code(call, confirm, emulator, "ada@acme.example")
    responses = [
        await call(emulator, "GET", "/v1/auth/exchange", params={"code": one}) for one in (code, code, "")
    ]
    assert [response.status_code for response in responses] == [200, 400, 400]
    assert responses[0].json()["user"]["email"] == "ada@acme.example"
    assert [response.json()["errorCode"] for response in responses[1:]] == ["E061301", "E011002"]
    assert emulator.requests.count("exchange") == 3
