"""Session, user and tenants as created from verified claims.

Requirements TN-01, TN-02, TN-04, TN-06 and TN-10; wire contract, sections 3.2 to 3.4 and 7.
"""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_descope.session import AuthSession, RefreshToken, Tenant, TokenPair, User

ADMIN = {"roles": ["admin"], "permissions": ["reports.write"]}


def session(**claims: object) -> AuthSession:
    """Return the session of a token with these claims and the required ones."""
    return AuthSession.from_claims({"sub": "U2ada", "iat": 1000, "exp": 1600, **claims})


def test_each_tenant_has_its_own_roles() -> None:
    """Roles in a tenant belong to that tenant, and the top-level ones to the project (TN-04)."""
    result = session(
        dct="acme",
        tenants={"acme": ADMIN, "globex": {"roles": ["viewer"]}, "initech": {}},
        roles=["support"],
        permissions=["billing"],
    )

    assert result.tenant == Tenant("acme", ("admin",), ("reports.write",))
    assert dict(result.tenants) == {
        "acme": result.tenant,
        "globex": Tenant("globex", ("viewer",)),
        "initech": Tenant("initech"),
    }
    assert (result.user.roles, result.user.permissions) == (("support",), ("billing",))


def test_users_with_the_same_roles_share_a_tenant() -> None:
    """Sessions of two users keep one object for a tenant, unless their roles or permissions differ."""
    grants = {"roles": ["admin"], "permissions": ["read"]}
    first, second, third, fourth = (
        AuthSession.from_claims({"sub": "U", "dct": "T1", "tenants": tenants})
        for tenants in ({"T1": grants}, {"T1": dict(grants)}, {"T1": {"roles": ["admin"]}}, {"T2": grants})
    )
    assert first.tenant is second.tenants["T1"]
    assert third.tenants["T1"] == Tenant("T1", ("admin",))
    assert fourth.tenants["T2"] == Tenant("T2", ("admin",), ("read",))


def test_without_tenants_claim_the_top_level_roles_are_the_current_tenants() -> None:
    """The user has no project-wide roles then."""
    result = session(dct="acme", roles=["admin"], permissions=["reports.write"])

    assert result.tenant == Tenant("acme", ("admin",), ("reports.write",))
    assert dict(result.tenants) == {"acme": result.tenant}
    assert (result.user.roles, result.user.permissions) == ((), ())


def test_without_authorization_claims_the_tenant_has_no_roles() -> None:
    """Schema ``none``: only the current tenant is known."""
    result = session(dct="acme")
    assert result.tenant == Tenant("acme")
    assert (result.user.roles, result.user.permissions) == ((), ())


def test_top_level_roles_without_a_tenant_are_project_wide() -> None:
    """The project may have no tenants."""
    result = session(roles=["support"], permissions=["billing"])
    assert result.tenant is None
    assert dict(result.tenants) == {}
    assert (result.user.roles, result.user.permissions) == (("support",), ("billing",))


def test_tn01_without_dct_there_is_no_current_tenant() -> None:
    """None is guessed, even if the user is a member of exactly one."""
    result = session(tenants={"acme": ADMIN})
    assert (result.tenant, result.tenant_id, result.tenant_claim) == (None, None, None)
    assert list(result.tenants) == ["acme"]


@pytest.mark.parametrize("tenants", [{}, {"globex": ADMIN}, None, [], ["acme"], "acme", 7, True])
def test_tn02_a_current_tenant_without_membership_is_none(tenants: object) -> None:
    """If there is a ``tenants`` claim, of whatever type, the top-level roles are not used instead."""
    result = session(dct="acme", tenants=tenants, roles=["admin"])
    assert result.tenant is None
    assert result.tenant_id is None
    assert result.tenant_claim == "acme"
    assert "acme" not in result.tenants


@pytest.mark.parametrize("dct", ["", None, 7, True, ["acme"], {"acme": 1}])
@pytest.mark.parametrize("tenants", [True, False], ids=["default schema", "tenant-only schema"])
def test_tn02_a_dct_that_is_not_a_name_is_ignored(dct: object, *, tenants: bool) -> None:
    """In either schema."""
    names = ("acme", "", "None", "7", "True")
    listed = {"tenants": dict.fromkeys(names, ADMIN)} if tenants else {"roles": ["admin"]}
    result = session(dct=dct, **listed)
    assert (result.tenant, result.tenant_claim) == (None, None)


@pytest.mark.parametrize("roles", ["administrator", "admin", None, 7, True, {"admin": True}])
@pytest.mark.parametrize("inside", [True, False], ids=["default schema", "tenant-only schema"])
def test_tn04_only_a_list_contains_roles(roles: object, *, inside: bool) -> None:
    """The string "administrator" does not contain "admin", and null is an empty list."""
    grants = {"roles": roles, "permissions": roles}
    result = session(dct="acme", **({"tenants": {"acme": grants}} if inside else grants))
    assert result.tenant == Tenant("acme")


@pytest.mark.parametrize("listed", [["admin", 7, None, ["x"], "viewer"], ("admin", "viewer")])
def test_tn04_only_strings_in_a_list_are_roles(listed: object) -> None:
    """Other items are skipped. Lists of verified claims are tuples."""
    result = session(dct="acme", tenants={"acme": {"roles": listed}}, roles=listed)
    assert result.tenant == Tenant("acme", ("admin", "viewer"))
    assert result.user.roles == ("admin", "viewer")


@pytest.mark.parametrize(
    ("grants", "member"), [(None, True), ({}, True), ("x", False), ([], False), (0, False)]
)
def test_a_tenant_with_null_is_a_membership(grants: object, *, member: bool) -> None:
    """Null may stand for an empty object. Any other type is not a membership."""
    result = session(dct="acme", tenants={"acme": grants})
    assert result.tenant == (Tenant("acme") if member else None)


@pytest.mark.parametrize("tenant_id", ["__proto__", "constructor", "__class__", "get", "*", " ", "a/b", "ä"])
def test_tn06_any_text_is_a_plain_tenant_id(tenant_id: str) -> None:
    """Names with a special meaning elsewhere have none here, and are compared exactly."""
    result = session(dct=tenant_id, tenants={tenant_id: ADMIN})
    assert result.tenant == Tenant(tenant_id, ("admin",), ("reports.write",))
    assert session(dct=tenant_id, tenants={}).tenant is None
    assert session(dct=tenant_id.upper() + "x", tenants={tenant_id: ADMIN}).tenant is None


def test_tn06_an_empty_tenant_id_is_ignored() -> None:
    """It would look like no tenant."""
    assert dict(session(tenants={"": ADMIN}).tenants) == {}


def test_tn10_sessions_of_one_user_keep_their_own_tenant() -> None:
    """Two tokens of one user, used in turn, share no values."""
    tenants = {"acme": ADMIN, "globex": {"roles": ["viewer"]}}
    for _ in range(1000):
        assert session(dct="acme", tenants=tenants).tenant == Tenant("acme", ("admin",), ("reports.write",))
        assert session(dct="globex", tenants=tenants).tenant == Tenant("globex", ("viewer",))


@pytest.mark.parametrize("dsub", ["", None, 7])
def test_the_user_id_is_dsub_if_a_template_overrides_sub(dsub: object) -> None:
    """A ``dsub`` that is not an id is ignored (wire contract, section 3.2)."""
    assert session(sub="crm-17", dsub="U2ada").user.id == "U2ada"
    assert session(dsub=dsub).user.id == "U2ada"
    assert RefreshToken.from_claims("R", {"sub": "crm-17", "dsub": "U2ada"}).subject == "U2ada"
    assert User.from_claims({}).id == ""


def test_a_session_has_its_times_and_authentication_methods() -> None:
    """Times are whole epoch seconds."""
    result = session(iat=1000.9, exp=1600, amr=("fed", "mfa"), su=True)
    assert (result.issued_at, result.expires_at) == (1000, 1600)
    assert result.amr == ("fed", "mfa")
    assert result.used_mfa
    assert result.step_up


@pytest.mark.parametrize("su", [None, 1, "true", False, {}])
def test_only_true_is_a_step_up(su: object) -> None:
    """Values that resemble true do not count."""
    result = session(su=su, amr="mfa")
    assert not result.step_up
    assert not result.used_mfa


def test_times_that_are_not_numbers_are_zero() -> None:
    """Verification rejects them. Here they must not make a session look valid."""
    result = AuthSession.from_claims({"iat": None, "exp": "never"})
    assert (result.issued_at, result.expires_at) == (0, 0)


def test_email_and_name_are_the_claims_of_a_template() -> None:
    """They are strings or None."""
    given_both = session(email="ada@acme.example", name="Ada").user
    assert (given_both.email, given_both.name) == ("ada@acme.example", "Ada")
    assert (session().user.email, session().user.name) == (None, None)
    assert (session(email=["x"], name="").user.email, session(email=["x"], name="").user.name) == (None, None)


def test_a_session_has_all_claims() -> None:
    """They include claims of a template, and are ignored when users are compared."""
    result = session(plan="gold")
    assert result.claims["plan"] == "gold"
    assert result.user.claims is result.claims
    assert result.user == User("U2ada")
    with pytest.raises(TypeError):
        User("U2ada").claims["plan"] = "gold"  # type: ignore[index] # that this is an error is the promise


def test_lg06_repr_shows_no_token_and_no_personal_data() -> None:
    """Neither an e-mail address, nor a claim, nor a token."""
    result = session(email="canary@acme.example", name="canary", plan="canary", dct="acme")
    refresh = RefreshToken("canary", "U2ada", 0, 1)

    assert "canary" not in repr((result, refresh, TokenPair("canary", result, refresh)))
    assert "U2ada" in repr(result)
    assert "acme" in repr(result)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Tenant("acme"), "id"),
        (User("U2ada"), "roles"),
        (session(), "tenant"),
        (RefreshToken("R", "U2ada", 0, 1), "subject"),
        (TokenPair("S", session(), RefreshToken("R", "U2ada", 0, 1)), "refresh"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_cannot_be_changed(value: object, name: str) -> None:
    """The next request may get the same object (TV-17)."""
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "other")
    with pytest.raises((AttributeError, TypeError)):
        value.__dict__["other"] = 1


def test_the_tenants_of_a_session_cannot_be_changed() -> None:
    """The mapping is read-only."""
    tenants = session(tenants={"acme": ADMIN}).tenants
    with pytest.raises(TypeError):
        tenants["globex"] = Tenant("globex")  # type: ignore[index] # that this is an error is the promise


def test_replace_creates_a_changed_copy() -> None:
    """Tests and impersonation tools use it."""
    result = session(tenants={"acme": ADMIN})
    assert replace(result, tenant=result.tenants["acme"]).tenant_id == "acme"
    assert result.tenant is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = ("dct", "tenants", "roles", "permissions", "amr", "su", "sub", "dsub", "email", "name", "iat", "exp")


TENANTS = st.sampled_from(["acme", "globex"])
GRANTS = st.lists(st.sampled_from(["admin", "viewer"]) | JSON, max_size=3) | JSON
CLAIMS = dict.fromkeys(NAMES, JSON) | {
    "dct": TENANTS | JSON,
    "tenants": JSON
    | st.dictionaries(
        TENANTS, JSON | st.fixed_dictionaries({}, optional={"roles": GRANTS, "permissions": GRANTS})
    ),
    "roles": GRANTS,
    "permissions": GRANTS,
}


def _listed(grants: object, name: str) -> list[object]:
    found: object = cast("dict[str, object]", grants).get(name) if isinstance(grants, dict) else None
    return cast("list[object]", found) if isinstance(found, list) else []


@example({"dct": "acme", "tenants": {"acme": {"roles": ["admin"]}}, "roles": ["viewer"]})
@example({"dct": "acme", "roles": ["admin"], "permissions": ["reports.write"]})
@given(st.fixed_dictionaries({}, optional=CLAIMS))
def test_random_claims_give_no_role_that_they_do_not_list(claims: Mapping[str, object]) -> None:
    """No claims raise an error."""
    result = AuthSession.from_claims(claims)

    for tenant in result.tenants.values():
        tenants = claims.get("tenants", {tenant.id: claims})
        assert isinstance(tenants, dict)
        grants = cast("dict[str, object]", tenants)[tenant.id]
        assert set(tenant.roles) <= set(map(str, _listed(grants, "roles")))
        assert set(tenant.permissions) <= set(map(str, _listed(grants, "permissions")))
    if result.tenant is not None:
        assert result.tenants[result.tenant.id] is result.tenant
        assert claims["dct"] == result.tenant.id
    if result.tenants and "tenants" not in claims:
        assert list(result.tenants) == [claims["dct"]]
        assert result.user.roles == ()
