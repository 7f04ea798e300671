"""The exchange of a code for a session (wire contract, section 2.3)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import Clock, Emulator, Grants, Project, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]
GetCode = Callable[..., Coroutine[None, None, str]]

PATH = "/v1/auth/sso/exchange"
NOW = 1_800_000_000
FOUR_WEEKS = 28 * 24 * 3600


@pytest.mark.parametrize("path", [PATH, "/v1/auth/saml/exchange", "/v1/auth/oauth/exchange"])
async def test_response_fields(call: Call, make: Make, get_code: GetCode, path: str) -> None:
    """The response has every field with its exact name and type, on all three paths."""
    emulator = make()
    code = await get_code(emulator, "grace@acme.example", ssoId="acme-okta")
    response = await call(emulator, "POST", path, json={"code": code})
    body = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert "set-cookie" not in response.headers
    assert body.pop("sessionJwt").count(".") == 2
    assert body.pop("refreshJwt").count(".") == 2
    assert body == {
        "cookieDomain": "",
        "cookiePath": "/",
        "cookieMaxAge": FOUR_WEEKS,
        "cookieExpiration": NOW + FOUR_WEEKS,
        "sessionExpiration": NOW + 600,
        "nextRefreshSeconds": 0,
        "cookieName": "DSR",
        "sessionCookieName": "DS",
        "sessionCookieDomain": "",
        "firstSeen": True,
        "tenantSSOID": "acme-okta",
        "externalToken": "",
        "trustedDeviceJwt": "",
        "claims": {},
        "idpResponse": {
            "samlResponse": "",
            "samlGeneratedUser": "",
            "samlGeneratedRoles": "",
            "oidcResponse": "",
            "oidcGeneratedUser": "",
            "oidcGeneratedRoles": "",
            "idpGroups": [],
            "idpSAMLAttributes": {},
            "idpOIDCClaims": {},
        },
        "user": {
            "loginIds": ["grace@acme.example"],
            "userId": SeedUser("grace@acme.example").user_id,
            "name": "Grace Hopper",
            "givenName": "Grace",
            "middleName": "",
            "familyName": "Hopper",
            "email": "grace@acme.example",
            "phone": "",
            "verifiedEmail": True,
            "verifiedPhone": False,
            "roleNames": [],
            "userTenants": [
                {
                    "tenantId": "acme",
                    "tenantName": "Acme Corp",
                    "roleNames": ["viewer"],
                    "permissions": ["reports.read"],
                }
            ],
            "status": "enabled",
            "externalIds": [],
            "picture": "",
            "test": False,
            "customAttributes": {},
            "createdTime": 1_700_000_000,
            "TOTP": False,
            "SAML": True,
            "SCIM": False,
            "OIDC": False,
            "webauthn": False,
            "password": False,
            "push": False,
            "OAuth": {},
            "ssoAppIds": [],
            "editable": True,
            "permissions": [],
            "consentExpiration": 0,
        },
    }


async def test_tokens_carry_the_sso_tenant(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """After an SSO sign-in, both tokens have its tenant as the current one."""
    emulator = make()
    body = (await call(emulator, "POST", PATH, json={"code": await get_code(emulator)})).json()
    session, refresh = read(emulator, body["sessionJwt"]), read(emulator, body["refreshJwt"])
    assert (session["drn"], session["dct"], session["amr"]) == ("DS", "acme", ["fed"])
    assert (refresh["drn"], refresh["dct"], refresh["amr"]) == ("DSR", "acme", ["fed"])


async def test_first_seen_once(call: Call, make: Make, get_code: GetCode) -> None:
    """``firstSeen`` is true for a user's first sign-in only."""
    emulator = make()
    responses = [
        await call(emulator, "POST", PATH, json={"code": await get_code(emulator, user)})
        for user in ("ada@acme.example", "ada@acme.example", "grace@acme.example")
    ]
    assert [response.json()["firstSeen"] for response in responses] == [True, False, True]


def _bad_code() -> dict[str, str]:
    message = "The code is unknown, was used, or has expired"
    return {
        "errorCode": "E061301",
        "errorDescription": "Failed to exchange the code",
        "errorMessage": message,
        "message": message,
    }


async def test_code_works_once(call: Call, make: Make, get_code: GetCode) -> None:
    """The second exchange of a code fails."""
    emulator = make()
    code = await get_code(emulator)
    assert (await call(emulator, "POST", PATH, json={"code": code})).status_code == 200
    again = await call(emulator, "POST", PATH, json={"code": code})
    assert (again.status_code, again.json()) == (400, _bad_code())


@pytest.mark.parametrize(("seconds", "status"), [(119, 200), (120, 400)])
async def test_code_lives_two_minutes(
    call: Call, make: Make, get_code: GetCode, clock: Clock, seconds: int, status: int
) -> None:
    """A code expires after two minutes."""
    emulator = make()
    code = await get_code(emulator)
    clock.advance(seconds)
    assert (await call(emulator, "POST", PATH, json={"code": code})).status_code == status


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "E011002"),
        (b'{"code": ""}', "E011002"),
        (b'{"code": null}', "E011002"),
        (b'{"code": 1}', "E011003"),
        (b'{"code": "nonsense"}', "E061301"),
    ],
)
async def test_bad_body(call: Call, make: Make, content: bytes, code: str) -> None:
    """A body without a usable code gets the error of its kind."""
    response = await call(make(), "POST", PATH, content=content)
    assert (response.status_code, response.json()["errorCode"]) == (400, code)


async def test_step_up(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """Step-up adds ``su`` to this session token only: not to the refresh token or the next session token."""
    emulator = make()
    token = emulator.issue("ada@acme.example", "acme").refresh_jwt
    code = await get_code(emulator, token=token, options={"stepup": True})
    body = (await call(emulator, "POST", PATH, json={"code": code})).json()
    assert read(emulator, body["sessionJwt"])["su"] is True
    assert "su" not in read(emulator, body["refreshJwt"])
    renewed = await call(emulator, "POST", "/v1/auth/refresh", token=body["refreshJwt"])
    assert "su" not in read(emulator, renewed.json()["sessionJwt"])


async def test_mfa(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """A second factor is added to ``amr`` and stays there through refreshes."""
    emulator = make()
    token = emulator.issue("ada@acme.example", "acme", amr=("email",)).refresh_jwt
    code = await get_code(emulator, token=token, options={"mfa": True})
    body = (await call(emulator, "POST", PATH, json={"code": code})).json()
    renewed = await call(emulator, "POST", "/v1/auth/refresh", token=body["refreshJwt"])
    for jwt in (body["sessionJwt"], body["refreshJwt"], renewed.json()["sessionJwt"]):
        assert read(emulator, jwt)["amr"] == ["fed", "email", "mfa"]
        assert "su" not in read(emulator, jwt)


async def test_custom_claims_are_untrusted(call: Call, make: Make, get_code: GetCode, read: Read) -> None:
    """Custom claims of the login options are under ``nsec``, also after a refresh."""
    emulator = make()
    code = await get_code(emulator, options={"customClaims": {"roles": ["admin"], "plan": "gold"}})
    body = (await call(emulator, "POST", PATH, json={"code": code})).json()
    renewed = await call(emulator, "POST", "/v1/auth/refresh", token=body["refreshJwt"])
    for jwt in (body["sessionJwt"], renewed.json()["sessionJwt"]):
        assert read(emulator, jwt)["nsec"] == {"roles": ["admin"], "plan": "gold"}
        assert "roles" not in read(emulator, jwt)


async def test_revoke_other_sessions(call: Call, make: Make, get_code: GetCode) -> None:
    """The option ends the user's other sessions, and no one else's."""
    emulator = make()
    own = emulator.issue("ada@acme.example").refresh_jwt
    other = emulator.issue("grace@acme.example").refresh_jwt
    code = await get_code(emulator, options={"revokeOtherSessions": True})
    new = (await call(emulator, "POST", PATH, json={"code": code})).json()["refreshJwt"]
    responses = [await call(emulator, "POST", "/v1/auth/refresh", token=jwt) for jwt in (own, other, new)]
    assert [response.status_code for response in responses] == [401, 200, 200]


async def test_inactivity_is_announced(call: Call, make: Make, get_code: GetCode) -> None:
    """With an inactivity timeout the response says when to refresh."""
    emulator = make(Project(inactivity_seconds=720))
    body = (await call(emulator, "POST", PATH, json={"code": await get_code(emulator)})).json()
    assert body["nextRefreshSeconds"] == 360


async def test_user_disabled_before_the_exchange(call: Call, make: Make, get_code: GetCode) -> None:
    """The code of a user who was disabled after the sign-in is rejected."""
    emulator = make()
    code = await get_code(emulator)
    users = tuple(replace(one, status="disabled") for one in emulator.project.users)
    emulator.project = replace(emulator.project, users=users)
    response = await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})
    assert (response.status_code, response.json()["errorCode"]) == (403, "E011004")


async def test_user_removed_before_the_exchange(call: Call, make: Make, get_code: GetCode) -> None:
    """The code of a user who was removed after the sign-in is rejected."""
    emulator = make()
    code = await get_code(emulator)
    emulator.project = replace(emulator.project, users=())
    response = await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})
    assert (response.status_code, response.json()["errorCode"]) == (400, "E062108")


async def test_user_changed_before_the_exchange(
    call: Call, make: Make, get_code: GetCode, read: Read
) -> None:
    """The tokens describe the user at the time of the exchange, without a tenant that they have left."""
    emulator = make()
    code = await get_code(emulator)
    ada = SeedUser("ada@acme.example", "Ada King", {"globex": Grants(("owner",))})
    emulator.project = replace(emulator.project, users=(ada,))
    body = (await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})).json()
    claims = read(emulator, body["sessionJwt"])
    assert body["user"]["name"] == "Ada King"
    assert claims["tenants"] == {"globex": {"roles": ["owner"]}}
    assert "dct" not in claims


async def test_deepest_accepted_claims_can_be_issued(call: Call, make: Make, get_code: GetCode) -> None:
    """Claims that the start of a sign-in accepts can be written into tokens."""
    emulator, deep = make(), {"a": "b"}
    options: dict[str, object] = {"customClaims": deep}
    for _ in range(29):
        options = {"customClaims": options}
    code = await get_code(emulator, options=options)
    response = await call(emulator, "POST", "/v1/auth/sso/exchange", json={"code": code})
    assert response.status_code == 200
