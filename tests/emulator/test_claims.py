"""The contents of tokens (wire contract, sections 3.2 to 3.5), and issuing them without HTTP."""

import re
from collections.abc import Callable
from typing import Literal

import pytest

from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    Clock,
    Emulator,
    Grants,
    Project,
    SeedTenant,
    SeedUser,
)

Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]
Policy = Literal["none", "nil", "delete"]

NOW = 1_800_000_000
FOUR_WEEKS = 28 * 24 * 3600


def test_session_claims(make: Make, read: Read) -> None:
    """A session token has exactly the claims that Descope writes by default."""
    emulator = make()
    assert read(emulator, emulator.issue("ada@acme.example", "acme").session_jwt) == {
        "amr": ["fed"],
        "dct": "acme",
        "drn": "DS",
        "email": "ada@acme.example",
        "exp": NOW + 600,
        "iat": NOW,
        "iss": DEFAULT_PROJECT_ID,
        "name": "Ada Lovelace",
        "rexp": "2027-02-12T08:00:00Z",
        "sub": SeedUser("ada@acme.example").user_id,
        "tenants": {
            "acme": {
                "roles": ["admin"],
                "permissions": ["reports.read", "reports.write", "users.manage"],
            },
            "globex": {"roles": ["viewer"], "permissions": ["reports.read"]},
        },
    }


def test_refresh_claims(make: Make, read: Read) -> None:
    """A refresh token has no roles, and an id that distinguishes two tokens of the same second."""
    emulator = make()
    first, second = (read(emulator, emulator.issue("ada@acme.example", "acme").refresh_jwt) for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", str(first.pop("jti")))
    assert second.pop("jti")
    assert first == second
    assert first == {
        "amr": ["fed"],
        "dct": "acme",
        "drn": "DSR",
        "exp": NOW + FOUR_WEEKS,
        "iat": NOW,
        "iss": DEFAULT_PROJECT_ID,
        "sub": SeedUser("ada@acme.example").user_id,
    }


def test_empty_claims_are_absent(make: Make, read: Read) -> None:
    """The tokens of a user without tenants and roles have no such claims."""
    emulator = make(Project(template_email=False))
    claims = read(emulator, emulator.issue("nomad@example.org").session_jwt)
    assert sorted(claims) == ["amr", "drn", "exp", "iat", "iss", "rexp", "sub"]


@pytest.mark.parametrize(
    ("project", "iss"),
    [
        (Project(), DEFAULT_PROJECT_ID),
        (Project(issuer="url"), f"http://127.0.0.1:4000/{DEFAULT_PROJECT_ID}"),
        (Project(issuer="app"), f"http://127.0.0.1:4000/v1/apps/{DEFAULT_PROJECT_ID}"),
    ],
)
def test_issuer_forms(make: Make, read: Read, project: Project, iss: str) -> None:
    """Both tokens have each form of the issuer."""
    emulator = make(project)
    emulator.base_url = "http://127.0.0.1:4000"
    pair = emulator.issue("ada@acme.example")
    assert emulator.base_url == "http://127.0.0.1:4000"
    assert {read(emulator, jwt)["iss"] for jwt in pair} == {iss}


def test_audience(make: Make, read: Read) -> None:
    """Both tokens have the audience, if the project has one."""
    emulator = make(Project(audience="my-api"))
    assert {read(emulator, jwt)["aud"] for jwt in emulator.issue("ada@acme.example")} == {"my-api"}


_OWNER = SeedUser(
    "owner@acme.example",
    tenants={"acme": Grants(("admin",), ("write",)), "globex": Grants()},
    roles=("owner",),
    permissions=("everything",),
)


def test_schema_default(make: Make, read: Read) -> None:
    """Project roles are at the top, tenant roles below; a tenant without roles is empty, not absent."""
    emulator = make(Project(users=(_OWNER,)))
    claims = read(emulator, emulator.issue("owner@acme.example", "acme").session_jwt)
    assert claims["tenants"] == {"acme": {"roles": ["admin"], "permissions": ["write"]}, "globex": {}}
    assert (claims["roles"], claims["permissions"]) == (["owner"], ["everything"])


def test_schema_tenant_only(make: Make, read: Read) -> None:
    """The current tenant's roles are at the top, without tenants; without a current tenant there are none."""
    emulator = make(Project(users=(_OWNER,), auth_schema="tenantOnly"))
    claims = read(emulator, emulator.issue("owner@acme.example", "acme").session_jwt)
    assert (claims["dct"], claims["roles"], claims["permissions"]) == ("acme", ["admin"], ["write"])
    assert "tenants" not in claims
    without = read(emulator, emulator.issue("owner@acme.example").session_jwt)
    assert not {"dct", "roles", "permissions", "tenants"} & set(without)


def test_schema_none(make: Make, read: Read) -> None:
    """There are no roles at all, but the current tenant."""
    emulator = make(Project(users=(_OWNER,), auth_schema="none"))
    claims = read(emulator, emulator.issue("owner@acme.example", "acme").session_jwt)
    assert claims["dct"] == "acme"
    assert not {"roles", "permissions", "tenants"} & set(claims)


def test_auto_tenant(make: Make, read: Read) -> None:
    """With ``auto_tenant`` a user's only tenant is the current one; with several tenants none is."""
    emulator = make(Project(auto_tenant=True))
    assert read(emulator, emulator.issue("grace@acme.example").session_jwt)["dct"] == "acme"
    assert "dct" not in read(emulator, emulator.issue("ada@acme.example").session_jwt)


def test_no_auto_tenant_by_default(make: Make, read: Read) -> None:
    """By default a user gets no tenant without selecting it."""
    emulator = make()
    assert "dct" not in read(emulator, emulator.issue("grace@acme.example").session_jwt)


def test_issue_options(make: Make, read: Read) -> None:
    """The options of ``issue`` affect the session token; ``amr`` affects both."""
    emulator = make()
    pair = emulator.issue(
        SeedUser("ada@acme.example").user_id,
        "acme",
        session_seconds=30,
        amr=("mfa",),
        step_up=True,
        claims={"plan": "gold", "tenants": {}},
    )
    session, refresh = (read(emulator, jwt) for jwt in pair)
    assert (session["exp"], session["amr"], session["su"]) == (NOW + 30, ["fed", "mfa"], True)
    assert (session["plan"], session["tenants"]) == ("gold", {})
    assert refresh["amr"] == ["fed", "mfa"]
    assert not {"su", "plan", "tenants"} & set(refresh)


def test_issue_an_expired_session(make: Make, read: Read) -> None:
    """A negative lifetime makes an expired session token whose ``iat`` is before its ``exp``."""
    emulator = make()
    claims = read(emulator, emulator.issue("ada@acme.example", session_seconds=-60).session_jwt)
    assert (claims["iat"], claims["exp"]) == (NOW - 61, NOW - 60)


def test_session_token_does_not_outlive_the_refresh_token(make: Make, read: Read) -> None:
    """A session token expires no later than the refresh token."""
    emulator = make(Project(session_seconds=600, refresh_seconds=300))
    assert read(emulator, emulator.issue("ada@acme.example").session_jwt)["exp"] == NOW + 300


@pytest.mark.parametrize(
    ("user", "tenant", "message"),
    [
        ("nobody@acme.example", None, "no such user"),
        ("grace@acme.example", "globex", "not a member of tenant 'globex'"),
    ],
)
def test_issue_rejects_unknown_users_and_tenants(
    make: Make, user: str, tenant: str | None, message: str
) -> None:
    """Unknown users and foreign tenants are errors, and the message contains no e-mail address."""
    with pytest.raises(LookupError, match=message) as rejected:
        make().issue(user, tenant)
    assert "@" not in str(rejected.value)


def test_tokens_stay_out_of_reprs(make: Make) -> None:
    """The repr of a pair does not contain tokens."""
    assert repr(make().issue("ada@acme.example")) == "JwtPair()"


def test_tokens_follow_the_clock(make: Make, read: Read, clock: Clock) -> None:
    """The emulator's clock determines the times in tokens."""
    emulator = make()
    emulator.clock.advance(7)
    assert emulator.clock is clock
    assert read(emulator, emulator.issue("ada@acme.example").session_jwt)["iat"] == NOW + 7


def test_agentic_issuer(make: Make, read: Read) -> None:
    """The issuer may have the project id second to last."""
    emulator = make(Project(issuer="agentic"))
    claims = read(emulator, emulator.issue("ada@acme.example").session_jwt)
    assert claims["iss"] == f"http://127.0.0.1/v1/apps/agentic/{DEFAULT_PROJECT_ID}/emulator"


def test_several_audiences(make: Make, read: Read) -> None:
    """Several audiences are a list, and so is one in a tuple."""
    for audience in (("one", "two"), ("one",)):
        emulator = make(Project(audience=audience))
        claims = [read(emulator, jwt)["aud"] for jwt in emulator.issue("ada@acme.example")]
        assert claims == [list(audience)] * 2


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("none", {"roles": [], "permissions": []}),
        ("nil", {"roles": None, "permissions": None}),
        ("delete", {}),
    ],
)
def test_empty_lists_in_a_tenant(make: Make, read: Read, policy: Policy, expected: dict[str, object]) -> None:
    """Missing roles in a tenant are an empty list, null or absent."""
    emulator = make(Project(users=(_OWNER,), empty_claims=policy))
    claims = read(emulator, emulator.issue("owner@acme.example").session_jwt)
    assert claims["tenants"] == {"acme": {"roles": ["admin"], "permissions": ["write"]}, "globex": expected}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("none", {"roles": [], "permissions": [], "tenants": {}}),
        ("nil", {"roles": None, "permissions": None, "tenants": None}),
        ("delete", {}),
    ],
)
def test_empty_claims_policy(make: Make, read: Read, policy: Policy, expected: dict[str, object]) -> None:
    """Missing roles of a user are an empty list, null or absent."""
    emulator = make(Project(empty_claims=policy))
    claims = read(emulator, emulator.issue("nomad@example.org").session_jwt)
    names = ("roles", "permissions", "tenants")
    assert {name: claims[name] for name in names if name in claims} == expected


def test_permissions_may_be_left_out(make: Make, read: Read) -> None:
    """A template may omit the permissions everywhere."""
    emulator = make(Project(users=(_OWNER,), exclude_permissions=True))
    claims = read(emulator, emulator.issue("owner@acme.example").session_jwt)
    assert claims["tenants"] == {"acme": {"roles": ["admin"]}, "globex": {}}
    assert (claims["roles"], "permissions" in claims) == (["owner"], False)


def test_overridden_subject(make: Make, read: Read) -> None:
    """With another ``sub``, both tokens have the user id in ``dsub``."""
    emulator = make(Project(override_subject=True))
    for jwt in emulator.issue("ada@acme.example"):
        claims = read(emulator, jwt)
        assert (claims["sub"], claims["dsub"]) == (
            "ada@acme.example",
            SeedUser("ada@acme.example").user_id,
        )


def test_session_ids(make: Make, read: Read) -> None:
    """A template may give each session token an id."""
    emulator = make(Project(session_jti=True))
    ids = {read(emulator, emulator.issue("ada@acme.example").session_jwt)["jti"] for _ in range(2)}
    assert len(ids) == 2


def test_tenant_session_lifetime(make: Make, read: Read) -> None:
    """A tenant's own session lifetime applies while it is the current one."""
    tenants = (SeedTenant("acme", session_seconds=180), SeedTenant("globex"))
    emulator = make(Project(tenants=tenants))
    ends = [
        read(emulator, emulator.issue("ada@acme.example", tenant).session_jwt)["exp"]
        for tenant in ("acme", "globex", None)
    ]
    assert ends == [NOW + 180, NOW + 600, NOW + 600]


@pytest.mark.parametrize(
    ("session", "step_up", "expected"), [(3600, 300, 300), (300, 3600, 300), (600, 600, 600)]
)
def test_step_up_timeout(make: Make, read: Read, session: int, step_up: int, expected: int) -> None:
    """A session token with step-up lives no longer than the step-up; others are unaffected."""
    emulator = make(Project(session_seconds=session, step_up_seconds=step_up))
    stepped = read(emulator, emulator.issue("ada@acme.example", step_up=True).session_jwt)
    plain = read(emulator, emulator.issue("ada@acme.example").session_jwt)
    assert (stepped["exp"], plain["exp"]) == (NOW + expected, NOW + session)
