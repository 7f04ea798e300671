"""Signing in with a social provider (wire contract, section 2.4)."""

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
    """Any user of the project may sign in; the token says how, and names no tenant."""
    emulator = make()
    code = await _code(call, confirm, emulator, "nomad@example.org")
    response = await call(emulator, "POST", EXCHANGE, json={"code": code})
    assert response.json()["user"]["loginIds"] == ["nomad@example.org"]
    assert response.json()["tenantSSOID"] == ""
    claims = read(emulator, response.json()["sessionJwt"])
    assert claims["amr"] == ["oauth"]
    assert "dct" not in claims


async def test_only_tenant_is_chosen(call: Call, make: Make, confirm: Call, read: Read) -> None:
    """If the project says so, a user's only tenant is the current one after a social sign-in too."""
    emulator = make(Project(auto_tenant=True))
    code = await _code(call, confirm, emulator, "grace@acme.example")
    body = (await call(emulator, "POST", EXCHANGE, json={"code": code})).json()
    assert read(emulator, body["sessionJwt"])["dct"] == "acme"


async def test_page_names_the_provider(call: Call, make: Make) -> None:
    """The page is called after the provider and lists everybody with their roles in the project."""
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
    """A provider has to be named, and to be one of the project's."""
    response = await call(make(), "POST", PATH, params=QUERY | change)
    assert (response.status_code, response.json()["errorCode"]) == (400, code)


@pytest.mark.parametrize("provider", ["apple", "discord", "facebook", "github", "gitlab", "linkedin"])
async def test_descopes_providers(call: Call, make: Make, provider: str) -> None:
    """By default the project has the providers that Descope comes with."""
    assert (await call(make(), "POST", PATH, params=QUERY | {"provider": provider})).status_code == 200


async def test_own_provider(call: Call, make: Make) -> None:
    """A project may have a provider of its own, and lack the others."""
    emulator = make(Project(social_providers=("guild",)))
    responses = [
        await call(emulator, "POST", PATH, params=QUERY | {"provider": provider})
        for provider in ("guild", "google")
    ]
    assert [response.status_code for response in responses] == [200, 400]


async def test_sign_up_is_for_newcomers(call: Call, make: Make, confirm: Call) -> None:
    """Who has signed in before cannot sign up; whoever has not, can, and once."""
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
    """The sign-in variant takes whoever is in the project, signed in before or not."""
    emulator = make()
    code = await _code(call, confirm, emulator, "ada@acme.example", f"{PATH}/signin")
    assert (await call(emulator, "POST", EXCHANGE, json={"code": code})).status_code == 200


async def test_update_asks_the_owner(call: Call, make: Make, confirm: Call, read: Read) -> None:
    """The update variant needs a refresh token, and its owner alone can confirm it."""
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
    """The code may also be exchanged by ``GET /v1/auth/exchange``, once."""
    emulator = make()
    code = await _code(call, confirm, emulator, "ada@acme.example")
    responses = [
        await call(emulator, "GET", "/v1/auth/exchange", params={"code": one}) for one in (code, code, "")
    ]
    assert [response.status_code for response in responses] == [200, 400, 400]
    assert responses[0].json()["user"]["email"] == "ada@acme.example"
    assert [response.json()["errorCode"] for response in responses[1:]] == ["E061301", "E011002"]
    assert emulator.requests.count("exchange") == 3
