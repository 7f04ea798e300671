"""What stands in the tokens (wire contract, sections 3.2 to 3.5), and issuing them without HTTP."""

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
    """Every claim of a session token, as Descope writes it by default."""
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
    """Every claim of a refresh token: no roles, and an id that tells twins apart."""
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


def test_what_is_empty_is_absent(make: Make, read: Read) -> None:
    """A user without tenants and roles has no claims about them."""
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
    """Each form of the issuer, in both tokens."""
    emulator = make(project)
    emulator.base_url = "http://127.0.0.1:4000"
    pair = emulator.issue("ada@acme.example")
    assert emulator.base_url == "http://127.0.0.1:4000"
    assert {read(emulator, jwt)["iss"] for jwt in pair} == {iss}


def test_audience(make: Make, read: Read) -> None:
    """An audience, if the project has one, is in both tokens."""
    emulator = make(Project(audience="my-api"))
    assert {read(emulator, jwt)["aud"] for jwt in emulator.issue("ada@acme.example")} == {"my-api"}


_OWNER = SeedUser(
    "owner@acme.example",
    tenants={"acme": Grants(("admin",), ("write",)), "globex": Grants()},
    roles=("owner",),
    permissions=("everything",),
)


def test_schema_default(make: Make, read: Read) -> None:
    """Project grants at the top, tenant grants below; a tenant without grants is empty, not absent."""
    emulator = make(Project(users=(_OWNER,)))
    claims = read(emulator, emulator.issue("owner@acme.example", "acme").session_jwt)
    assert claims["tenants"] == {"acme": {"roles": ["admin"], "permissions": ["write"]}, "globex": {}}
    assert (claims["roles"], claims["permissions"]) == (["owner"], ["everything"])


def test_schema_tenant_only(make: Make, read: Read) -> None:
    """The current tenant's grants at the top, and no tenants; nothing without a current tenant."""
    emulator = make(Project(users=(_OWNER,), auth_schema="tenantOnly"))
    claims = read(emulator, emulator.issue("owner@acme.example", "acme").session_jwt)
    assert (claims["dct"], claims["roles"], claims["permissions"]) == ("acme", ["admin"], ["write"])
    assert "tenants" not in claims
    without = read(emulator, emulator.issue("owner@acme.example").session_jwt)
    assert not {"dct", "roles", "permissions", "tenants"} & set(without)


def test_schema_none(make: Make, read: Read) -> None:
    """No grants at all; the current tenant stays."""
    emulator = make(Project(users=(_OWNER,), auth_schema="none"))
    claims = read(emulator, emulator.issue("owner@acme.example", "acme").session_jwt)
    assert claims["dct"] == "acme"
    assert not {"roles", "permissions", "tenants"} & set(claims)


def test_auto_tenant(make: Make, read: Read) -> None:
    """If the project says so, a user's only tenant is the current one; of several none is."""
    emulator = make(Project(auto_tenant=True))
    assert read(emulator, emulator.issue("grace@acme.example").session_jwt)["dct"] == "acme"
    assert "dct" not in read(emulator, emulator.issue("ada@acme.example").session_jwt)


def test_no_auto_tenant_by_default(make: Make, read: Read) -> None:
    """By default nobody gets a tenant without choosing it."""
    emulator = make()
    assert "dct" not in read(emulator, emulator.issue("grace@acme.example").session_jwt)


def test_issue_options(make: Make, read: Read) -> None:
    """What ``issue`` is told goes into the session token; ``amr`` into both."""
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
    """A negative length makes a session that is over, and was not issued after its end."""
    emulator = make()
    claims = read(emulator, emulator.issue("ada@acme.example", session_seconds=-60).session_jwt)
    assert (claims["iat"], claims["exp"]) == (NOW - 61, NOW - 60)


def test_session_ends_with_its_family(make: Make, read: Read) -> None:
    """No session token outlives the refresh token."""
    emulator = make(Project(session_seconds=600, refresh_seconds=300))
    assert read(emulator, emulator.issue("ada@acme.example").session_jwt)["exp"] == NOW + 300


@pytest.mark.parametrize(
    ("user", "tenant", "message"),
    [
        ("nobody@acme.example", None, "no such user"),
        ("grace@acme.example", "globex", "not a member of tenant 'globex'"),
    ],
)
def test_issue_refuses(make: Make, user: str, tenant: str | None, message: str) -> None:
    """Nobody is made up, nor put into a tenant they are not in; no address is in the message."""
    with pytest.raises(LookupError, match=message) as refused:
        make().issue(user, tenant)
    assert "@" not in str(refused.value)


def test_tokens_stay_out_of_reprs(make: Make) -> None:
    """A printed pair shows no token."""
    assert repr(make().issue("ada@acme.example")) == "JwtPair()"


def test_time_moves_with_the_clock(make: Make, read: Read, clock: Clock) -> None:
    """The emulator's own clock stamps the tokens."""
    emulator = make()
    emulator.clock.advance(7)
    assert emulator.clock is clock
    assert read(emulator, emulator.issue("ada@acme.example").session_jwt)["iat"] == NOW + 7


def test_agentic_issuer(make: Make, read: Read) -> None:
    """The issuer may hold the project id second to last."""
    emulator = make(Project(issuer="agentic"))
    claims = read(emulator, emulator.issue("ada@acme.example").session_jwt)
    assert claims["iss"] == f"http://127.0.0.1/v1/apps/agentic/{DEFAULT_PROJECT_ID}/emulator"


def test_several_audiences(make: Make, read: Read) -> None:
    """Several audiences are a list, one alone in a tuple too."""
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
    """What a user does not hold in a tenant is an empty list, null, or not there."""
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
def test_empty_claims(make: Make, read: Read, policy: Policy, expected: dict[str, object]) -> None:
    """A user who holds nothing at all says so in one of three ways."""
    emulator = make(Project(empty_claims=policy))
    claims = read(emulator, emulator.issue("nomad@example.org").session_jwt)
    names = ("roles", "permissions", "tenants")
    assert {name: claims[name] for name in names if name in claims} == expected


def test_permissions_may_be_left_out(make: Make, read: Read) -> None:
    """A template may leave out the permissions, everywhere."""
    emulator = make(Project(users=(_OWNER,), exclude_permissions=True))
    claims = read(emulator, emulator.issue("owner@acme.example").session_jwt)
    assert claims["tenants"] == {"acme": {"roles": ["admin"]}, "globex": {}}
    assert (claims["roles"], "permissions" in claims) == (["owner"], False)


def test_overridden_subject(make: Make, read: Read) -> None:
    """With another subject in ``sub``, both tokens have the user id in ``dsub``."""
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


def test_tenants_own_session_length(make: Make, read: Read) -> None:
    """A tenant's own session length counts while it is the current one."""
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
    """A stepped-up session token lives no longer than the step-up; others live as ever."""
    emulator = make(Project(session_seconds=session, step_up_seconds=step_up))
    stepped = read(emulator, emulator.issue("ada@acme.example", step_up=True).session_jwt)
    plain = read(emulator, emulator.issue("ada@acme.example").session_jwt)
    assert (stepped["exp"], plain["exp"]) == (NOW + expected, NOW + session)
