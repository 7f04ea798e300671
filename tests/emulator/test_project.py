"""The project and its directory."""

import re
from collections.abc import Callable

import pytest

from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    AccessKey,
    CookieSettings,
    Grants,
    Project,
    SeedTenant,
    SeedUser,
)


def test_default_project_id_has_no_region() -> None:
    """The default id has 28 characters, so SDKs derive no region from it, and it is recognisable."""
    assert re.fullmatch(r"P2EMULATOR[0-9A-Za-z]{18}", DEFAULT_PROJECT_ID)


def test_default_project() -> None:
    """The default project has two tenants, and users with one, several and no tenants."""
    project = Project()
    assert [tenant.id for tenant in project.tenants] == ["acme", "globex"]
    memberships = {user.login_id: sorted(user.tenants) for user in project.users}
    assert memberships == {
        "ada@acme.example": ["acme", "globex"],
        "grace@acme.example": ["acme"],
        "hank@globex.example": ["globex"],
        "nomad@example.org": [],
    }


def test_user_ids_are_deterministic() -> None:
    """The same login id has the same user id in every run, in Descope's form."""
    assert [user.user_id for user in Project().users] == [user.user_id for user in Project().users]
    assert all(re.fullmatch(r"U[0-9A-Za-z]{27}", user.user_id) for user in Project().users)
    assert SeedUser("ada@acme.example").user_id == "U22a1322415fff1b1aceaebe7855"


def test_derived_and_given_values() -> None:
    """Name and user id are derived unless given."""
    assert SeedUser("zoe@acme.example").name == "Zoe"
    assert SeedUser("zoe@acme.example", "Zoë", user_id="Uzoe").user_id == "Uzoe"


@pytest.mark.parametrize(
    ("reference", "tenant_id"),
    [("acme", "acme"), ("Globex", "globex"), ("new@acme.example", "acme"), ("x@GLOBEX.example", "globex")],
)
def test_tenant_by_id_name_or_domain(reference: str, tenant_id: str) -> None:
    """A tenant is found by its id, its name, or an e-mail address of one of its domains."""
    tenant = Project().find_tenant(reference)
    assert tenant is not None
    assert tenant.id == tenant_id


def test_domains_are_case_insensitive() -> None:
    """Domains match in any case, in the seed and in requests."""
    project = Project(tenants=(SeedTenant("acme", domains=("Acme.Example",)),), users=())
    assert project.find_tenant("ada@aCME.example") == project.tenants[0]


@pytest.mark.parametrize("reference", ["", "ACME", "acme.example", "ada@example.org", "ada@"])
def test_unknown_tenant(reference: str) -> None:
    """Other references find no tenant."""
    assert Project().find_tenant(reference) is None


def test_user_by_login_id_or_user_id() -> None:
    """A user is found by login id in any case, and by user id."""
    project = Project()
    ada = project.users[0]
    assert project.find_user("ADA@acme.example") is ada
    assert project.find_user(ada.user_id) is ada
    assert project.find_user("nobody@acme.example") is None
    assert project.find_user("") is None


def test_user_by_phone_number() -> None:
    """A user is found by phone number."""
    ada, grace = SeedUser("ada@acme.example"), SeedUser("grace@acme.example", phone="+15550100")
    assert Project(users=(ada, grace)).find_user("+15550100") is grace


@pytest.mark.parametrize(
    ("project", "message"),
    [
        (lambda: Project(tenants=(SeedTenant("a"), SeedTenant("a")), users=()), "every tenant id"),
        (
            lambda: Project(users=(SeedUser("a@b.c", user_id="U1"), SeedUser("d@e.f", user_id="U1"))),
            "every user id",
        ),
        (
            lambda: Project(users=(SeedUser("a@b.c", user_id="U1"), SeedUser("A@b.c", user_id="U2"))),
            "every login id",
        ),
        (lambda: Project(users=(SeedUser("a@b.c", tenants={"x": Grants()}),)), r"does not have: \['x'\]"),
        (
            lambda: Project(access_keys=(AccessKey("K1", "a", tenants={"x": Grants()}),)),
            r"access key K1 is in tenants the project does not have: \['x'\]",
        ),
        (lambda: Project(access_keys=(AccessKey("K1", "a"), AccessKey("K1", "b"))), "access key id"),
        (lambda: Project(access_keys=(AccessKey("K1", "a"), AccessKey("K2", "a"))), "access key secret"),
        (
            lambda: Project(users=(SeedUser("a@b.c", phone="+1"), SeedUser("d@e.f", phone="+1"))),
            "every login id or phone number",
        ),
        (
            lambda: Project(users=(SeedUser("+1"), SeedUser("d@e.f", phone="+1"))),
            "every login id or phone number",
        ),
        (
            lambda: Project(
                tenants=(SeedTenant("a", domains=("x.y",)), SeedTenant("b", domains=("X.Y",))), users=()
            ),
            "every domain of a tenant",
        ),
        (lambda: Project(session_seconds=0), "session_seconds must be positive"),
        (lambda: Project(session_seconds=10**30), "session_seconds must be at most 315360000, ten years"),
        (lambda: Project(refresh_seconds=-1), "refresh_seconds must be positive"),
        (lambda: Project(access_key_seconds=0), "access_key_seconds must be positive"),
        (lambda: Project(step_up_seconds=0), "step_up_seconds must be positive"),
    ],
    ids=[
        "tenant-twins",
        "user-twins",
        "login-twins",
        "strangers",
        "strange-key",
        "key-twins",
        "secret-twins",
        "phone-twins",
        "phone-like-login",
        "domain-twins",
        "no-session",
        "endless-session",
        "no-refresh",
        "no-key-session",
        "no-step-up",
    ],
)
def test_contradictions_are_rejected(project: Callable[[], Project], message: str) -> None:
    """A project whose parts contradict each other is an error."""
    with pytest.raises(ValueError, match=message):
        project()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Project(""), "project_id: expected P, then 20 to 64 letters and digits"),
        (lambda: Project("P/../etc/passwd0000000000"), "project_id: expected P"),
        (lambda: Project(inactivity_seconds=-1), "inactivity_seconds must not be negative"),
        (lambda: Project(reuse_grace=-1), "reuse_grace must not be negative"),
        (lambda: Project(reuse_grace=10**400), "reuse_grace must be at most"),
        (lambda: Project(auth_management_key=""), "auth_management_key: expected visible ASCII"),
        (lambda: Project(management_key="a:b"), "management_key: expected visible ASCII"),
        (lambda: Project(management_key="a.b.c"), "management_key: a key must not have two dots"),
        (lambda: SeedTenant(""), "tenant id must not be empty"),
        (lambda: SeedUser(" "), "login_id must not be empty"),
        (lambda: SeedTenant("a", session_seconds=-1), "session_seconds must not be negative"),
        (lambda: AccessKey("K1", ""), "secret: expected visible ASCII characters"),
        (lambda: AccessKey("K1", "one:two"), "secret: expected visible ASCII characters without a colon"),
        (lambda: AccessKey("K1", "a", expires_at=-1), "expires_at must not be negative"),
        (lambda: CookieSettings("D S"), "session_name: expected letters, digits and"),
        (lambda: CookieSettings(refresh_name=""), "refresh_name: expected letters, digits and"),
        (lambda: CookieSettings(path="auth"), "path: expected a path that starts with /"),
        (
            lambda: CookieSettings(path="/;x"),
            "path: expected a path that starts with / and has no control characters",
        ),
        (lambda: CookieSettings(domain="a b"), "domain: expected a domain"),
        (lambda: CookieSettings(session_domain="a;b"), "session_domain: expected a domain"),
    ],
)
def test_invalid_values_are_rejected(made: Callable[[], object], message: str) -> None:
    """An invalid value is an error at once, not during a request."""
    with pytest.raises(ValueError, match=message):
        made()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("*", "wildcards are not supported; an empty list approves every URL"),
        ("*.a.example", "wildcards are not supported"),
        ("http://[::1", "expected a host without a port, or a URL"),
        ("https://a:99999/x", "expected a host without a port"),
        ("localhost:8000", "expected a host without"),
        ("ftp://a/", "expected a host"),
        ("", "expected a"),
    ],
)
def test_invalid_redirect_rules_are_rejected(entry: str, message: str) -> None:
    """An entry that no URL could match is an error."""
    with pytest.raises(ValueError, match=rf"^approved_redirects\[1\]: {message}"):
        Project(approved_redirects=("localhost", entry))


def test_an_access_key_may_have_dots() -> None:
    """An access key is never in the position of a JWT, so it may have dots."""
    assert AccessKey("K1", "a.b.c").secret == "a.b.c"


def test_keys_stay_out_of_the_repr() -> None:
    """The repr of a project does not contain its management keys."""
    assert "secret" not in repr(Project(auth_management_key="secret1", management_key="secret2"))
