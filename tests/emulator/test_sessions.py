"""Endpoints of a signed-in user: tenant switch, user data and logout (sections 2.7 to 2.12)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Clock, Emulator, Grants, Project, SeedTenant, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

SELECT = "/v1/auth/tenant/select"
REFRESH = "/v1/auth/refresh"
TENANTS = "/v1/auth/me/tenants"
EMPTY_ANSWER: dict[str, object] = {
    "sessionJwt": "",
    "refreshJwt": "",
    "cookieDomain": "",
    "cookiePath": "/",
    "cookieMaxAge": 0,
    "cookieExpiration": 0,
    "sessionExpiration": 0,
    "nextRefreshSeconds": 0,
    "cookieName": "",
    "sessionCookieName": "",
    "sessionCookieDomain": "",
    "user": None,
    "firstSeen": False,
    "idpResponse": None,
    "tenantSSOID": "",
    "externalToken": "",
    "trustedDeviceJwt": "",
    "claims": {},
}


def _verdict(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorCode"]


async def test_select_changes_both_tokens(call: Call, make: Make, read: Read) -> None:
    """Selecting a tenant changes the session token and returns a new refresh token for it."""
    emulator = make()
    token = emulator.issue("ada@acme.example", "acme").refresh_jwt
    response = await call(emulator, "POST", SELECT, token=token, json={"tenant": "globex"})
    body = response.json()
    assert response.status_code == 200
    assert body["user"]["userId"] == SeedUser("ada@acme.example").user_id
    assert read(emulator, body["sessionJwt"])["dct"] == "globex"
    assert read(emulator, body["refreshJwt"])["dct"] == "globex"


async def test_each_refresh_token_keeps_its_tenant(call: Call, make: Make, read: Read) -> None:
    """The new refresh token keeps the new tenant; the old one keeps the old tenant."""
    emulator = make()
    old = emulator.issue("ada@acme.example", "acme").refresh_jwt
    body = (await call(emulator, "POST", SELECT, token=old, json={"tenant": "globex"})).json()
    tenants = [
        read(emulator, (await call(emulator, "POST", REFRESH, token=jwt)).json()["sessionJwt"])["dct"]
        for jwt in (body["refreshJwt"], old)
    ]
    assert tenants == ["globex", "acme"]


async def test_select_rotates(call: Call, make: Make) -> None:
    """With rotation a switch replaces the refresh token as a refresh does."""
    emulator = make(Project(rotate_refresh=True))
    old = emulator.issue("ada@acme.example", "acme").refresh_jwt
    await call(emulator, "POST", SELECT, token=old, json={"tenant": "globex"})
    again = await call(emulator, "POST", SELECT, token=old, json={"tenant": "acme"})
    assert _verdict(again) == (400, "E064006")


async def test_select_needs_membership(call: Call, make: Make) -> None:
    """A tenant of which the user is no member is rejected, and the refresh token stays valid."""
    emulator = make(Project(rotate_refresh=True))
    token = emulator.issue("grace@acme.example", "acme").refresh_jwt
    response = await call(emulator, "POST", SELECT, token=token, json={"tenant": "globex"})
    assert response.status_code == 403
    assert response.json() == {
        "errorCode": "E011004",
        "errorDescription": "Request holds invalid arguments",
        "errorMessage": "The user is not a member of the tenant",
        "message": "The user is not a member of the tenant",
    }
    assert (await call(emulator, "POST", REFRESH, token=token)).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"), [({}, "E011002"), ({"tenant": ""}, "E011002"), ({"tenant": ["acme"]}, "E011003")]
)
async def test_select_needs_a_tenant(call: Call, make: Make, body: dict[str, object], code: str) -> None:
    """A body without a tenant is rejected."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    assert _verdict(await call(emulator, "POST", SELECT, token=token, json=body)) == (400, code)


async def test_logout(call: Call, make: Make) -> None:
    """A logout returns an empty response, clears both cookies, and ends this session only."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    other = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "POST", "/v1/auth/logout", token=token)
    assert (response.status_code, response.json()) == (200, EMPTY_ANSWER)
    cookies = response.headers.get_list("set-cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["DS", "DSR"]
    assert all("Max-Age=0; Path=/; SameSite=none; Secure" in cookie for cookie in cookies)
    assert _verdict(await call(emulator, "POST", REFRESH, token=token)) == (401, "E064001")
    assert _verdict(await call(emulator, "POST", "/v1/auth/logout", token=token)) == (401, "E064001")
    assert (await call(emulator, "POST", REFRESH, token=other)).status_code == 200


async def test_logout_everywhere(call: Call, make: Make) -> None:
    """Logout from everywhere ends all sessions of the user, and no others."""
    emulator = make()
    own = [emulator.issue("ada@acme.example").refresh_jwt for _ in range(2)]
    other = emulator.issue("grace@acme.example").refresh_jwt
    response = await call(emulator, "POST", "/v1/auth/logoutall", token=own[0])
    assert (response.status_code, response.json()) == (200, EMPTY_ANSWER)
    responses = [await call(emulator, "POST", REFRESH, token=jwt) for jwt in (*own, other)]
    assert [response.status_code for response in responses] == [401, 401, 200]


async def test_me(call: Call, make: Make) -> None:
    """The user object is the root of the response, with the tenants under their exact names."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "GET", "/v1/auth/me", token=token)
    assert response.status_code == 200
    assert response.json()["loginIds"] == ["ada@acme.example"]
    assert response.json()["userTenants"] == [
        {
            "tenantId": "acme",
            "tenantName": "Acme Corp",
            "roleNames": ["admin"],
            "permissions": ["reports.read", "reports.write", "users.manage"],
        },
        {
            "tenantId": "globex",
            "tenantName": "Globex",
            "roleNames": ["viewer"],
            "permissions": ["reports.read"],
        },
    ]


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"dct": True}, ["globex"]),
        ({"dct": True, "ids": []}, ["globex"]),
        ({"dct": False, "ids": ["acme", "globex"]}, ["acme", "globex"]),
        ({"dct": None, "ids": ["acme"]}, ["acme"]),
        ({"ids": ["umbrella"]}, []),
    ],
)
async def test_my_tenants(call: Call, make: Make, body: dict[str, object], ids: list[str]) -> None:
    """The response has the current tenant, or the requested ones of which the user is a member."""
    emulator = make()
    token = emulator.issue("ada@acme.example", "globex").refresh_jwt
    response = await call(emulator, "POST", TENANTS, token=token, json=body)
    names = {"acme": "Acme Corp", "globex": "Globex"}
    assert response.json() == {
        "tenants": [{"id": one, "name": names[one], "customAttributes": {}} for one in ids]
    }


async def test_seeded_attributes_are_returned(call: Call, make: Make) -> None:
    """Picture, status and custom attributes are returned as seeded."""
    tenant = SeedTenant("acme", custom_attributes={"plan": "gold"})
    user = SeedUser(
        "ada@acme.example",
        tenants={"acme": Grants()},
        picture="https://acme.example/ada.png",
        custom_attributes={"badge": 7},
        status="invited",
    )
    emulator = make(Project(tenants=(tenant,), users=(user,)))
    token = emulator.issue("ada@acme.example", "acme").refresh_jwt
    me = (await call(emulator, "GET", "/v1/auth/me", token=token)).json()
    bodies = {name: me[name] for name in ("picture", "customAttributes", "status")}
    assert bodies == {
        "picture": "https://acme.example/ada.png",
        "customAttributes": {"badge": 7},
        "status": "invited",
    }
    mine = await call(emulator, "POST", "/v1/auth/me/tenants", token=token, json={"dct": True})
    assert mine.json()["tenants"] == [{"id": "acme", "name": "", "customAttributes": {"plan": "gold"}}]


async def test_my_tenants_without_a_current_one(call: Call, make: Make) -> None:
    """Without a current tenant the list is empty."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "POST", TENANTS, token=token, json={"dct": True})
    assert (response.status_code, response.json()) == (200, {"tenants": []})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dct": False, "ids": []},
        {"dct": True, "ids": ["acme"]},
        {"dct": "true"},
        {"ids": "acme"},
        {"ids": [1]},
    ],
)
async def test_my_tenants_needs_exactly_one_argument(call: Call, make: Make, body: dict[str, object]) -> None:
    """Exactly one of the two arguments must be sent, with its own type."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    assert _verdict(await call(emulator, "POST", TENANTS, token=token, json=body)) == (400, "E011003")


async def test_history(call: Call, make: Make, clock: Clock) -> None:
    """The sign-ins of the user are a bare array, newest first."""
    emulator = make()
    emulator.issue("grace@acme.example")
    emulator.issue("ada@acme.example")
    clock.advance(60)
    token = emulator.issue("ada@acme.example", "acme").refresh_jwt
    place = {
        "userId": SeedUser("ada@acme.example").user_id,
        "city": "",
        "country": "",
        "ip": "127.0.0.1",
    }
    assert (await call(emulator, "GET", "/v1/auth/me/history", token=token)).json() == [
        place | {"loginTime": 1_800_000_060, "selectedTenant": "acme"},
        place | {"loginTime": 1_800_000_000},
    ]


async def test_validate(call: Call, make: Make, read: Read) -> None:
    """The claims are the root of the response, and all times are text."""
    emulator = make()
    token = emulator.issue("ada@acme.example", "acme").session_jwt
    response = await call(emulator, "POST", "/v1/auth/validate", token=token, json={})
    assert response.status_code == 200
    assert response.json() == read(emulator, token) | {
        "iat": "2027-01-15T08:00:00Z",
        "exp": "2027-01-15T08:10:00Z",
        "rexp": "2027-02-12T08:00:00Z",
    }


async def test_validate_rejects_other_tokens(call: Call, make: Make, clock: Clock) -> None:
    """Other tokens than current session tokens of this project get the captured error."""
    emulator = make()
    pair = emulator.issue("ada@acme.example")
    over = emulator.issue("ada@acme.example", session_seconds=-60).session_jwt
    odd = [emulator.issue("ada@acme.example", claims={name: "soon"}).session_jwt for name in ("exp", "iat")]
    foreign = make().issue("ada@acme.example").session_jwt
    for token in ("", "a.b.c", pair.refresh_jwt, over, *odd, foreign):
        response = await call(emulator, "POST", "/v1/auth/validate", token=token)
        assert response.status_code == 401
        assert response.json() == {
            "errorCode": "E061005",
            "errorDescription": "Invalid token",
            "errorMessage": "Failed to validate invalid JWT for any token",
            "message": "Failed to validate invalid JWT for any token",
        }
    clock.advance(600)
    response = await call(emulator, "POST", "/v1/auth/validate", token=pair.session_jwt)
    assert _verdict(response) == (401, "E061005")
