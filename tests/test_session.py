"""What verified claims say of a user and their tenants.

Requirements TN-01, TN-02, TN-04, TN-06 and TN-10; wire contract, sections 3.2 to 3.4 and 7.
"""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope.session import AuthSession, RefreshToken, Tenant, TokenPair, User, UserProfile

ADMIN = {"roles": ["admin"], "permissions": ["reports.write"]}


def session(**claims: object) -> AuthSession:
    """The session of a token with these claims besides the ones that every token has."""
    return AuthSession.from_claims({"sub": "U2ada", "iat": 1000, "exp": 1600, **claims})


def test_default_schema_gives_each_tenant_its_own() -> None:
    """Roles in a tenant are that tenant's; the top-level ones are the project's, and never mix (TN-04)."""
    got = session(
        dct="acme",
        tenants={"acme": ADMIN, "globex": {"roles": ["viewer"]}, "initech": {}},
        roles=["support"],
        permissions=["billing"],
    )

    assert got.tenant == Tenant("acme", ("admin",), ("reports.write",))
    assert dict(got.tenants) == {
        "acme": got.tenant,
        "globex": Tenant("globex", ("viewer",)),
        "initech": Tenant("initech"),
    }
    assert (got.user.roles, got.user.permissions) == (("support",), ("billing",))


def test_tenant_only_schema_reads_the_top_level_as_the_tenants() -> None:
    """Without a tenants claim the lists belong to the current tenant, and nobody has project roles."""
    got = session(dct="acme", roles=["admin"], permissions=["reports.write"])

    assert got.tenant == Tenant("acme", ("admin",), ("reports.write",))
    assert dict(got.tenants) == {"acme": got.tenant}
    assert (got.user.roles, got.user.permissions) == ((), ())


def test_no_authorization_claims_make_a_tenant_without_roles() -> None:
    """Schema ``none``: the current tenant is known, and nothing is held in it."""
    got = session(dct="acme")
    assert got.tenant == Tenant("acme")
    assert (got.user.roles, got.user.permissions) == ((), ())


def test_top_level_lists_without_any_tenant_are_the_projects() -> None:
    """A user of a project that has no tenants."""
    got = session(roles=["support"], permissions=["billing"])
    assert got.tenant is None
    assert dict(got.tenants) == {}
    assert (got.user.roles, got.user.permissions) == (("support",), ("billing",))


def test_tn01_without_dct_there_is_no_current_tenant() -> None:
    """Not even for a member of exactly one: nothing is guessed."""
    got = session(tenants={"acme": ADMIN})
    assert (got.tenant, got.tenant_id, got.tenant_claim) == (None, None, None)
    assert list(got.tenants) == ["acme"]


@pytest.mark.parametrize("tenants", [{}, {"globex": ADMIN}, None, [], ["acme"], "acme", 7, True])
def test_tn02_a_tenant_that_is_not_the_users_is_no_tenant(tenants: object) -> None:
    """``tenants`` wins whenever it is there, whatever it is: the top level is not asked instead."""
    got = session(dct="acme", tenants=tenants, roles=["admin"])
    assert got.tenant is None
    assert got.tenant_id is None
    assert got.tenant_claim == "acme"
    assert "acme" not in got.tenants


@pytest.mark.parametrize("dct", ["", None, 7, True, ["acme"], {"acme": 1}])
@pytest.mark.parametrize("tenants", [True, False], ids=["default", "tenantOnly"])
def test_tn02_a_dct_that_is_no_name_names_nothing(dct: object, *, tenants: bool) -> None:
    """In either schema."""
    listed = {"tenants": {"acme": ADMIN, "": ADMIN}} if tenants else {"roles": ["admin"]}
    got = session(dct=dct, **listed)
    assert (got.tenant, got.tenant_claim) == (None, None)


@pytest.mark.parametrize("roles", ["administrator", "admin", None, 7, True, {"admin": True}])
@pytest.mark.parametrize("inside", [True, False], ids=["default", "tenantOnly"])
def test_tn04_what_is_not_a_list_holds_no_role(roles: object, *, inside: bool) -> None:
    """A string above all: "administrator" does not hold "admin"; null is an empty list."""
    grants = {"roles": roles, "permissions": roles}
    got = session(dct="acme", **({"tenants": {"acme": grants}} if inside else grants))
    assert got.tenant == Tenant("acme")


@pytest.mark.parametrize("listed", [["admin", 7, None, ["x"], "viewer"], ("admin", "viewer")])
def test_tn04_only_names_in_a_list_count(listed: object) -> None:
    """What else is in it is passed over; lists of verified claims are tuples."""
    got = session(dct="acme", tenants={"acme": {"roles": listed}}, roles=listed)
    assert got.tenant == Tenant("acme", ("admin", "viewer"))
    assert got.user.roles == ("admin", "viewer")


@pytest.mark.parametrize(
    ("grants", "member"), [(None, True), ({}, True), ("x", False), ([], False), (0, False)]
)
def test_a_tenant_without_grants_is_one_all_the_same(grants: object, *, member: bool) -> None:
    """Null is how an empty object may be written; anything else there is no membership."""
    got = session(dct="acme", tenants={"acme": grants})
    assert got.tenant == (Tenant("acme") if member else None)


@pytest.mark.parametrize("tenant_id", ["__proto__", "constructor", "__class__", "get", "*", " ", "a/b", "ä"])
def test_tn06_any_text_is_a_plain_tenant_id(tenant_id: str) -> None:
    """Names that are special elsewhere are not special here, and compare exactly."""
    got = session(dct=tenant_id, tenants={tenant_id: ADMIN})
    assert got.tenant == Tenant(tenant_id, ("admin",), ("reports.write",))
    assert session(dct=tenant_id, tenants={}).tenant is None
    assert session(dct=tenant_id.upper() + "x", tenants={tenant_id: ADMIN}).tenant is None


def test_tn06_an_empty_tenant_id_is_nobodys() -> None:
    """It cannot be told from none."""
    assert dict(session(tenants={"": ADMIN}).tenants) == {}


def test_tn10_sessions_of_one_user_keep_their_own_tenant() -> None:
    """Two tokens of the same user, in turn: nothing is shared between their values."""
    tenants = {"acme": ADMIN, "globex": {"roles": ["viewer"]}}
    for _ in range(1000):
        assert session(dct="acme", tenants=tenants).tenant == Tenant("acme", ("admin",), ("reports.write",))
        assert session(dct="globex", tenants=tenants).tenant == Tenant("globex", ("viewer",))


@pytest.mark.parametrize("dsub", ["", None, 7])
def test_the_users_id_is_dsub_where_a_template_has_taken_sub(dsub: object) -> None:
    """Wire contract, section 3.2; what is no id is passed over."""
    assert session(sub="crm-17", dsub="U2ada").user.id == "U2ada"
    assert session(dsub=dsub).user.id == "U2ada"
    assert RefreshToken.from_claims("R", {"sub": "crm-17", "dsub": "U2ada"}).subject == "U2ada"
    assert User.from_claims({}).id == ""


def test_a_session_tells_when_and_how_it_came_about() -> None:
    """Times are whole epoch seconds; a second factor and a step-up are seen."""
    got = session(iat=1000.9, exp=1600, amr=("fed", "mfa"), su=True)
    assert (got.issued_at, got.expires_at) == (1000, 1600)
    assert got.amr == ("fed", "mfa")
    assert got.used_mfa
    assert got.step_up


@pytest.mark.parametrize("su", [None, 1, "true", False, {}])
def test_only_true_is_a_step_up(su: object) -> None:
    """Nothing else that could pass for it."""
    got = session(su=su, amr="mfa")
    assert not got.step_up
    assert not got.used_mfa


def test_times_that_are_no_numbers_are_long_past() -> None:
    """Verification does not let them pass; here they must not look alive."""
    got = AuthSession.from_claims({"iat": None, "exp": "never"})
    assert (got.issued_at, got.expires_at) == (0, 0)


def test_email_and_name_are_there_if_the_template_gives_them() -> None:
    """As text, or not at all."""
    given_both = session(email="ada@acme.example", name="Ada").user
    assert (given_both.email, given_both.name) == ("ada@acme.example", "Ada")
    assert (session().user.email, session().user.name) == (None, None)
    assert (session(email=["x"], name="").user.email, session(email=["x"], name="").user.name) == (None, None)


def test_all_claims_are_at_hand() -> None:
    """For what a template adds; they take no part in comparing users."""
    got = session(plan="gold")
    assert got.claims["plan"] == "gold"
    assert got.user.claims is got.claims
    assert got.user == User("U2ada")
    with pytest.raises(TypeError):
        User("U2ada").claims["plan"] = "gold"  # type: ignore[index] # that this is an error is the promise


def test_lg06_no_value_shows_what_does_not_belong_into_a_log() -> None:
    """Neither an e-mail, nor a claim, nor a token."""
    got = session(email="canary@acme.example", name="canary", plan="canary", dct="acme")
    refresh = RefreshToken("canary", "U2ada", 0, 1)
    profile = UserProfile(
        "U2ada",
        login_ids=("canary",),
        name="canary",
        given_name="canary",
        family_name="canary",
        email="canary",
        phone="canary",
        picture="canary",
        tenants={"canary": Tenant("canary")},
        tenant_names={"acme": "canary"},
        custom_attributes={"canary": 1},
    )

    assert "canary" not in repr((got, refresh, TokenPair("canary", got, refresh), profile))
    assert repr(profile) == "UserProfile(user_id='U2ada')"
    assert "U2ada" in repr(got)
    assert "acme" in repr(got)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Tenant("acme"), "id"),
        (User("U2ada"), "roles"),
        (session(), "tenant"),
        (RefreshToken("R", "U2ada", 0, 1), "subject"),
        (TokenPair("S", session(), RefreshToken("R", "U2ada", 0, 1)), "refresh"),
        (UserProfile("U2ada"), "user_id"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_cannot_be_changed(value: object, name: str) -> None:
    """A handler that could change them would change them for the next request too (TV-17)."""
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "other")
    with pytest.raises((AttributeError, TypeError)):
        value.__dict__["other"] = 1


def test_the_tenants_of_a_session_cannot_be_changed() -> None:
    """The mapping is read-only like everything else."""
    tenants = session(tenants={"acme": ADMIN}).tenants
    with pytest.raises(TypeError):
        tenants["globex"] = Tenant("globex")  # type: ignore[index] # that this is an error is the promise


def test_a_changed_session_is_another_one() -> None:
    """What tests and impersonation tools do: a copy, with something replaced."""
    got = session(tenants={"acme": ADMIN})
    assert replace(got, tenant=got.tenants["acme"]).tenant_id == "acme"
    assert got.tenant is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = ("dct", "tenants", "roles", "permissions", "amr", "su", "sub", "dsub", "email", "name", "iat", "exp")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)))
def test_whatever_the_claims_are_a_session_claims_no_more(claims: Mapping[str, object]) -> None:
    """No claim can break it, and every role in it stands in a list where it belongs."""
    got = AuthSession.from_claims(claims)

    for tenant in got.tenants.values():
        assert tenant.id
        assert all(isinstance(name, str) for name in (*tenant.roles, *tenant.permissions))
    if got.tenant is not None:
        assert got.tenants[got.tenant.id] is got.tenant
        assert claims["dct"] == got.tenant.id
    if got.tenants and "tenants" not in claims:
        assert list(got.tenants) == [claims["dct"]]
        assert got.user.roles == ()
