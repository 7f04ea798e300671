"""The exchange of an access key for a session token (wire contract, section 2.15)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Literal

import httpx
import pytest

from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    AccessKey,
    Assumptions,
    Clock,
    Emulator,
    Grants,
    Project,
    SeedUser,
)

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


@pytest.mark.parametrize(
    ("change", "distinct"),
    [
        ({"expires_at": NOW}, (401, "E062804")),
        ({"status": "inactive"}, (401, "E062805")),
        ({"bound_user": "off@acme.example"}, (401, "E062805")),
        ({"permitted_ips": ("192.0.2.0/24", "2001:db8::1")}, (403, "E062806")),
        ({"permitted_ips": ("127.0.0.1",)}, None),
        ({"permitted_ips": ("127.0.0.9/8",)}, None),
    ],
)
@pytest.mark.parametrize("failures", ["same", "distinct"])
async def test_refused_key_has_one_code_or_one_for_each_reason(
    call: Call,
    make: Make,
    change: dict[str, object],
    distinct: tuple[int, str] | None,
    failures: Literal["same", "distinct"],
) -> None:
    """Expired, inactive, bound to a disabled user, and sent from another address."""
    key = replace(KEY, **change)  # type: ignore[arg-type] # fields by name
    users = (SeedUser("off@acme.example", status="disabled"),)
    assumptions = Assumptions(access_key_failures=failures)
    emulator = make(Project(users=users, access_keys=(key,), assumptions=assumptions))

    response = await call(emulator, "POST", PATH, key="opensesame")

    expected = (distinct if failures == "distinct" else (401, "E062803")) if distinct else (200, None)
    assert (response.status_code, response.json().get("errorCode")) == expected


@pytest.mark.parametrize(
    ("life", "expires_at", "seconds"),
    [("setting", 0, 600), ("setting", 60, 60), ("setting", 6000, 600), ("key", 0, 600), ("key", 6000, 6000)],
)
async def test_session_lives_for_the_setting_or_until_the_key_expires(
    call: Call, make: Make, read: Read, life: Literal["setting", "key"], expires_at: int, seconds: int
) -> None:
    """It never outlives the key. A key that never expires has sessions of the setting's length."""
    key = replace(KEY, expires_at=NOW + expires_at if expires_at else 0)
    emulator = make(Project(access_keys=(key,), assumptions=Assumptions(access_key_life=life)))
    body = (await call(emulator, "POST", PATH, key="opensesame")).json()
    assert read(emulator, body["sessionJwt"])["exp"] == body["expiration"] == NOW + seconds


@pytest.mark.parametrize(
    ("form", "subject", "drn"),
    [("key", "K2nightly", "DS"), ("without_drn", "K2nightly", None), ("bound_user", "U2ada", "DS")],
)
async def test_key_of_a_user_has_the_roles_of_the_user(
    call: Call,
    make: Make,
    read: Read,
    form: Literal["key", "without_drn", "bound_user"],
    subject: str,
    drn: str | None,
) -> None:
    """Its own are ignored. Whether the user is the subject is unknown; ``keyId`` is the key in any case."""
    ada = SeedUser("ada@acme.example", tenants={"globex": Grants(("admin",))}, user_id="U2ada")
    key = replace(KEY, bound_user="ada@acme.example")
    emulator = make(Project(users=(ada,), access_keys=(key,), assumptions=Assumptions(access_key_jwt=form)))

    options = {"selectedTenant": "globex"}
    body = (await call(emulator, "POST", PATH, key="opensesame", json={"loginOptions": options})).json()
    acme = {"loginOptions": {"selectedTenant": "acme"}}
    other = await call(emulator, "POST", PATH, key="opensesame", json=acme)

    claims = read(emulator, body["sessionJwt"])
    assert (body["keyId"], claims["sub"], claims.get("drn")) == ("K2nightly", subject, drn)
    assert (claims["tenants"], "roles" in claims) == ({"globex": {"roles": ["admin"]}}, False)
    assert other.status_code == 403


def test_key_of_an_unknown_user_is_an_error() -> None:
    """A typing error in a seed file is found at start-up."""
    with pytest.raises(ValueError, match="bound to a user the project does not have"):
        Project(access_keys=(replace(KEY, bound_user="nobody@acme.example"),))


def test_permitted_address_is_an_address_or_a_network() -> None:
    """The message has the position and not the value."""
    with pytest.raises(ValueError, match=r"^permitted_ips\[1\]: expected an IP address or a network$"):
        replace(KEY, permitted_ips=("127.0.0.1", "localhost"))


async def test_default_project_has_an_access_key(call: Call, make: Make) -> None:
    """The default project has a key for experiments."""
    response = await call(make(), "POST", PATH, key="emulator-access-key")
    assert response.json()["keyId"] == "K2EMULATORnightlyReports0001"


def test_secret_stays_out_of_the_repr() -> None:
    """The repr of a key does not contain its secret."""
    assert "opensesame" not in repr(PROJECT)
