"""The members of a tenant through the management API (wire contract, section 2.20)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator, Grants, Project, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]

KEY = "management"
SEARCH, CREATE = "/v2/mgmt/user/search", "/v1/mgmt/user/create"
SET_ROLES = "/v1/mgmt/user/update/role/set"
JOIN, LEAVE = "/v1/mgmt/user/update/tenant/add", "/v1/mgmt/user/update/tenant/remove"
GRACE = "grace@acme.example"


@pytest.fixture
def emulator(make: Make) -> Emulator:
    """Make an emulator of the default project, with a management key."""
    return make(Project(management_key=KEY))


def _grants(emulator: Emulator, login_id: str, tenant: str = "acme") -> Grants:
    user = emulator.project.find_user(login_id)
    assert user is not None
    return user.grants_in(tenant)


@pytest.mark.parametrize("path", [SEARCH, CREATE, SET_ROLES, JOIN, LEAVE])
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_every_endpoint_needs_the_management_key(
    call: Call, emulator: Emulator, path: str, key: str
) -> None:
    """Without it nothing is read or changed."""
    before = emulator.project

    response = await call(emulator, "POST", path, key=key, json={"loginId": GRACE, "tenantId": "acme"})

    assert response.status_code == 401
    assert emulator.project is before


async def test_search_returns_the_members_of_tenants(call: Call, emulator: Emulator) -> None:
    """Or all users of the project."""
    members = await call(emulator, "POST", SEARCH, key=KEY, json={"tenantIds": ["globex"]})
    everyone = await call(emulator, "POST", SEARCH, key=KEY, json={})

    assert [user["name"] for user in members.json()["users"]] == ["Ada Lovelace", "Hank Scorpio"]
    assert members.json()["total"] == 2
    assert everyone.json()["total"] == 4


@pytest.mark.parametrize(("invite", "status"), [(True, "invited"), (False, "enabled")])
async def test_created_user_can_sign_in(call: Call, emulator: Emulator, *, invite: bool, status: str) -> None:
    """With the permissions that the role has for other users. An invited user stays invited."""
    body = {
        "loginId": "lin@acme.example",
        "displayName": "Lin",
        "invite": invite,
        "userTenants": [{"tenantId": "acme", "roleNames": ["viewer"]}],
    }

    response = await call(emulator, "POST", CREATE, key=KEY, json=body)

    assert (response.status_code, response.json()["user"]["status"]) == (200, status)
    assert response.json()["user"]["name"] == "Lin"
    assert _grants(emulator, "lin@acme.example") == Grants(("viewer",), ("reports.read",))
    assert emulator.issue("lin@acme.example", "acme").session_jwt


async def test_a_user_without_tenants_gets_a_name(call: Call, emulator: Emulator) -> None:
    """From the login id."""
    response = await call(emulator, "POST", CREATE, key=KEY, json={"loginId": "kim@example.org"})

    assert response.json()["user"]["name"] == "Kim"
    assert response.json()["user"]["userTenants"] == []


async def test_a_login_id_is_created_once(call: Call, emulator: Emulator) -> None:
    """Case does not matter."""
    response = await call(emulator, "POST", CREATE, key=KEY, json={"loginId": GRACE.upper()})

    assert (response.status_code, response.json()["errorCode"]) == (400, "E062107")


async def test_roles_are_replaced_in_one_tenant(call: Call, emulator: Emulator) -> None:
    """The next refresh has them. Other tenants stay as they are."""
    body = {"loginId": "ada@acme.example", "tenantId": "acme", "roleNames": ["viewer"]}

    response = await call(emulator, "POST", SET_ROLES, key=KEY, json=body)

    assert response.status_code == 200
    assert _grants(emulator, "ada@acme.example") == Grants(("viewer",), ("reports.read",))
    assert _grants(emulator, "ada@acme.example", "globex").roles == ("viewer",)


async def test_without_a_tenant_the_roles_of_the_project_change(call: Call, emulator: Emulator) -> None:
    """Which is why an app must always send the tenant."""
    body = {"loginId": GRACE, "roleNames": ["admin"]}

    response = await call(emulator, "POST", SET_ROLES, key=KEY, json=body)

    assert response.json()["user"]["roleNames"] == ["admin"]
    assert _grants(emulator, GRACE).roles == ("viewer",)


async def test_a_role_of_users_with_several_has_no_permissions(call: Call, make: Make) -> None:
    """Which permission belongs to which role is unknown."""
    users = (
        SeedUser("one@acme.example", "", {"acme": Grants(("a", "b"), ("x", "y"))}),
        SeedUser("two@acme.example", "", {"acme": Grants(("b",), ("y",))}),
    )
    emulator = make(Project(management_key=KEY, users=users))
    body = {"loginId": "two@acme.example", "tenantId": "acme", "roleNames": ["a", "b"]}

    await call(emulator, "POST", SET_ROLES, key=KEY, json=body)

    assert _grants(emulator, "two@acme.example") == Grants(("a", "b"), ("y",))


async def test_a_user_joins_a_tenant_without_roles(call: Call, emulator: Emulator) -> None:
    """A member keeps the roles."""
    body = {"loginId": GRACE, "tenantId": "globex"}

    response = await call(emulator, "POST", JOIN, key=KEY, json=body)
    await call(emulator, "POST", JOIN, key=KEY, json=body | {"tenantId": "acme"})

    assert {each["tenantId"] for each in response.json()["user"]["userTenants"]} == {"acme", "globex"}
    assert _grants(emulator, GRACE, "globex") == Grants()
    assert _grants(emulator, GRACE).roles == ("viewer",)


async def test_a_member_leaves_one_tenant(call: Call, emulator: Emulator) -> None:
    """And stays in the project and in the others."""
    body = {"loginId": "ada@acme.example", "tenantId": "acme"}

    response = await call(emulator, "POST", LEAVE, key=KEY, json=body)

    (kept,) = response.json()["user"]["userTenants"]
    assert kept["tenantId"] == "globex"


REFUSED: list[tuple[str, dict[str, object], str]] = [
    (SET_ROLES, {"loginId": "nobody", "tenantId": "acme", "roleNames": []}, "E062108"),
    (SET_ROLES, {"loginId": GRACE, "tenantId": "globex", "roleNames": []}, "E011004"),
    (SET_ROLES, {"loginId": GRACE, "tenantId": "acme", "roleNames": ["owner"]}, "E011004"),
    (SET_ROLES, {"tenantId": "acme"}, "E011002"),
    (JOIN, {"loginId": "nobody", "tenantId": "acme"}, "E062108"),
    (JOIN, {"loginId": GRACE, "tenantId": "initech"}, "E011004"),
    (JOIN, {"loginId": GRACE}, "E011002"),
    (LEAVE, {"loginId": GRACE, "tenantId": "globex"}, "E011004"),
    (LEAVE, {"loginId": GRACE}, "E011002"),
    (CREATE, {"loginId": "x", "userTenants": [{"tenantId": "nowhere"}]}, "E011004"),
    (CREATE, {"loginId": "x", "userTenants": [{}]}, "E011002"),
    (CREATE, {"loginId": "x", "userTenants": ["acme"]}, "E011003"),
    (CREATE, {"loginId": "x", "userTenants": "acme"}, "E011003"),
]


@pytest.mark.parametrize(("path", "body", "code"), REFUSED)
async def test_what_makes_no_sense_is_refused(
    call: Call, emulator: Emulator, path: str, body: dict[str, object], code: str
) -> None:
    """With an error of Descope's form, and without a change."""
    before = emulator.project

    response = await call(emulator, "POST", path, key=KEY, json=body)

    assert (response.status_code, response.json()["errorCode"]) == (400, code)
    assert emulator.project is before
