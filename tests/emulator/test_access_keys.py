"""The exchange of an access key for a session token (wire contract, section 2.15)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, AccessKey, Clock, Emulator, Grants, Project

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

PATH = "/v1/auth/accesskey/exchange"
NOW = 1_800_000_000
KEY = AccessKey(
    "K2nightly",
    "opensesame",
    "Nightly",
    tenants={"acme": Grants(("viewer",), ("reports.read",)), "globex": Grants()},
    roles=("robot",),
    claims={"plan": "gold", "sub": "somebody else"},
    expires_at=NOW + 60,
)
PROJECT = Project(access_keys=(KEY,))


async def test_response_has_key_id_session_token_and_expiry_only(call: Call, make: Make, read: Read) -> None:
    """The response has no other fields; the key id is the subject of the token."""
    emulator = make(PROJECT)
    response = await call(emulator, "POST", PATH, key="opensesame", json={"loginOptions": {}})
    body = response.json()
    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    assert read(emulator, body.pop("sessionJwt")) == {
        "drn": "DS",
        "exp": NOW + 60,
        "iat": NOW,
        "iss": DEFAULT_PROJECT_ID,
        "plan": "gold",
        "roles": ["robot"],
        "sub": "K2nightly",
        "tenants": {"acme": {"roles": ["viewer"], "permissions": ["reports.read"]}, "globex": {}},
    }
    assert body == {"keyId": "K2nightly", "expiration": NOW + 60}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"loginOptions": null}', b'{"loginOptions": {}}'])
async def test_login_options_are_optional(call: Call, make: Make, content: bytes) -> None:
    """SDKs omit the options in several ways."""
    response = await call(make(PROJECT), "POST", PATH, key="opensesame", content=content)
    assert response.status_code == 200


async def test_login_options_select_the_tenant_and_add_custom_claims(
    call: Call, make: Make, read: Read
) -> None:
    """The selected tenant becomes the current one, and custom claims are nested."""
    emulator = make(PROJECT)
    options = {"selectedTenant": "acme", "customClaims": {"roles": ["admin"]}}
    response = await call(emulator, "POST", PATH, key="opensesame", json={"loginOptions": options})
    claims = read(emulator, response.json()["sessionJwt"])
    assert (claims["dct"], claims["nsec"], claims["roles"]) == ("acme", {"roles": ["admin"]}, ["robot"])


async def test_tenant_only_template_puts_the_tenant_roles_at_the_top(
    call: Call, make: Make, read: Read
) -> None:
    """With the tenant-only template, the key's roles in its tenant are at the top level."""
    emulator = make(replace(PROJECT, auth_schema="tenantOnly"))
    options = {"selectedTenant": "acme"}
    response = await call(emulator, "POST", PATH, key="opensesame", json={"loginOptions": options})
    claims = read(emulator, response.json()["sessionJwt"])
    assert (claims["roles"], "tenants" in claims) == (["viewer"], False)


async def test_token_validates_as_a_session_token(call: Call, make: Make) -> None:
    """``/validate`` accepts the token as a session token."""
    emulator = make(PROJECT)
    token = (await call(emulator, "POST", PATH, key="opensesame")).json()["sessionJwt"]
    response = await call(emulator, "POST", "/v1/auth/validate", token=token)
    assert response.json()["sub"] == "K2nightly"


@pytest.mark.parametrize(
    ("key", "options", "status", "code"),
    [
        ("", {}, 401, "E062802"),
        ("wrong", {}, 401, "E062803"),
        ("a.b.c", {}, 401, "E062803"),
        ("opensesame", {"selectedTenant": "umbrella"}, 403, "E011004"),
        ("opensesame", {"selectedTenant": 1}, 400, "E011003"),
        ("opensesame", {"customClaims": []}, 400, "E011003"),
    ],
)
async def test_missing_and_wrong_keys_have_their_own_error_codes(
    call: Call, make: Make, key: str, options: dict[str, object], status: int, code: str
) -> None:
    """A missing key and a wrong one have different error codes."""
    response = await call(make(PROJECT), "POST", PATH, key=key, json={"loginOptions": options})
    assert (response.status_code, response.json()["errorCode"]) == (status, code)


@pytest.mark.parametrize(("seconds", "status"), [(59, 200), (60, 401)])
async def test_expired_key_is_rejected(
    call: Call, make: Make, clock: Clock, seconds: int, status: int
) -> None:
    """A key is rejected from its expiry on."""
    emulator = make(PROJECT)
    clock.advance(seconds)
    assert (await call(emulator, "POST", PATH, key="opensesame")).status_code == status


@pytest.mark.parametrize(
    ("bearer", "status"),
    [
        (f"{DEFAULT_PROJECT_ID}:opensesame", 200),
        (f"{DEFAULT_PROJECT_ID}:opensesame:for-auth", 200),
        (f"{DEFAULT_PROJECT_ID}:opensesame:wrong", 401),
        (f"{DEFAULT_PROJECT_ID}:opensesame:", 401),
        (f"{DEFAULT_PROJECT_ID}:opensesame:for-auth:more", 401),
        ("P2EMULATORforSomebodyElse000:opensesame", 401),
    ],
)
async def test_auth_management_key_may_follow(call: Call, make: Make, bearer: str, status: int) -> None:
    """The auth management key may follow the access key but need not, because SDKs differ in this."""
    emulator = make(replace(PROJECT, auth_management_key="for-auth"))
    response = await call(emulator, "POST", PATH, headers={"authorization": f"Bearer {bearer}"})
    assert response.status_code == status


async def test_unexpected_management_key_is_rejected(call: Call, make: Make) -> None:
    """A project without an auth management key rejects a bearer with one."""
    headers = {"authorization": f"Bearer {DEFAULT_PROJECT_ID}:opensesame:any"}
    assert (await call(make(PROJECT), "POST", PATH, headers=headers)).status_code == 401


async def test_default_project_has_an_access_key(call: Call, make: Make) -> None:
    """The default project has a key for experiments."""
    response = await call(make(), "POST", PATH, key="emulator-access-key")
    assert response.json()["keyId"] == "K2EMULATORnightlyReports0001"


def test_secret_stays_out_of_the_repr() -> None:
    """The repr of a key does not contain its secret."""
    assert "opensesame" not in repr(PROJECT)
