"""Users that a test describes itself, as a ``SeedUser`` of the emulator."""

import pytest

from fastapi_descope.emulator import Grants, SeedIdp, SeedUser
from fastapi_descope.testing import TestHarness, emulated_descope
from tests.helpers.guarded_app import guarded_app

LIN = "lin@acme.example"


def _saved(harness: TestHarness) -> SeedUser:
    """Return Lin as the emulator's project has her."""
    user = harness.emulator.project.find_user(LIN)
    assert user is not None
    return user


def test_a_described_user_joins_the_tenant() -> None:
    """The user has the described profile, and no roles."""
    with emulated_descope(guarded_app()) as harness:
        lin = SeedUser(LIN, "Lin", custom_attributes={"seat": 7}, idp=SeedIdp(groups=("engineering",)))
        client = harness.sign_in(lin)

        assert client.get("/me").json() == [LIN, "acme"]
        assert client.get("/admin").status_code == 403
        assert _saved(harness).custom_attributes == {"seat": 7}
        assert _saved(harness).idp.groups == ("engineering",)


def test_a_described_user_replaces_the_user_with_the_same_id() -> None:
    """Nothing of the earlier user is left."""
    with emulated_descope(guarded_app()) as harness:
        harness.sign_in(LIN, roles=["admin"], tenant="globex")
        client = harness.sign_in(SeedUser(LIN, "Lin"))

        assert client.get("/me").json() == [LIN, "acme"]
        assert _saved(harness).tenants == {"acme": Grants()}
        assert [user.login_id for user in harness.emulator.project.users].count(LIN) == 1


def test_a_described_user_keeps_the_described_memberships() -> None:
    """Unknown tenants are added to the project. Roles of the options replace those in the current tenant."""
    with emulated_descope(guarded_app()) as harness:
        lin = SeedUser(LIN, tenants={"acme": Grants(("viewer",)), "initech": Grants(("owner",))})
        kept = harness.sign_in(lin)
        replaced = harness.sign_in(lin, roles=["admin"])

        assert (kept.get("/admin").status_code, replaced.get("/admin").status_code) == (403, 200)
        assert _saved(harness).tenants == {"acme": Grants(("admin",)), "initech": Grants(("owner",))}
        assert harness.emulator.project.tenant_by_id("initech") is not None


def test_a_described_user_without_a_tenant() -> None:
    """With ``tenant=None`` it joins none. Roles are those of the project, described or given."""
    with emulated_descope(guarded_app()) as harness:
        lin = SeedUser(LIN, roles=("admin",))
        described = harness.sign_in(lin, tenant=None)
        given = harness.sign_in(lin, tenant=None, roles=["viewer"])

        statuses = [client.get("/project-admin").status_code for client in (described, given)]
        assert statuses == [200, 403]
        assert _saved(harness).tenants == {}


def test_a_described_user_logs_in() -> None:
    """The app's callback gets what the identity provider sent for the user."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.client()
        response = harness.log_in(client, SeedUser(LIN, idp=SeedIdp(groups=("engineering",))))

        assert response.status_code == 303
        assert client.get("/me").json() == [LIN, "acme"]


@pytest.mark.parametrize("user", [7, b"ada", ["ada@acme.example"], {"login_id": LIN}])
def test_a_user_of_another_type_is_an_error(user: object) -> None:
    """The message says what is expected."""
    with emulated_descope(guarded_app()) as harness, pytest.raises(TypeError, match="or a SeedUser, not"):
        harness.sign_in(user)  # type: ignore[arg-type] # a test without types
