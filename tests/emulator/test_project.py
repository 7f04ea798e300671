"""The seed values of an emulator."""

import re
from collections.abc import Callable

import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, AccessKey, Grants, Project, Tenant, User


def test_default_project_id_has_no_region() -> None:
    """The default id is 28 characters, so that no SDK derives a region from it, and names itself."""
    assert re.fullmatch(r"P2EMULATOR[0-9A-Za-z]{18}", DEFAULT_PROJECT_ID)


def test_default_seed() -> None:
    """The seed has two tenants, and a user for each case: one tenant, several, none."""
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
    assert User("ada@acme.example").user_id == "U22a1322415fff1b1aceaebe7855"


def test_derived_and_given_values() -> None:
    """Name and user id are derived unless given."""
    assert User("zoe@acme.example").name == "Zoe"
    assert User("zoe@acme.example", "Zoë", user_id="Uzoe").user_id == "Uzoe"


@pytest.mark.parametrize(
    ("reference", "tenant_id"),
    [("acme", "acme"), ("Globex", "globex"), ("new@acme.example", "acme"), ("x@GLOBEX.example", "globex")],
)
def test_tenant_by_id_name_or_domain(reference: str, tenant_id: str) -> None:
    """A tenant is found by its id, its name, or an e-mail address of one of its domains."""
    tenant = Project().tenant(reference)
    assert tenant is not None
    assert tenant.id == tenant_id


@pytest.mark.parametrize("reference", ["", "ACME", "acme.example", "ada@example.org", "ada@"])
def test_unknown_tenant(reference: str) -> None:
    """Nothing else is guessed to be a tenant."""
    assert Project().tenant(reference) is None


def test_user_by_login_id_or_user_id() -> None:
    """A user is found by login id in any case, and by user id."""
    project = Project()
    ada = project.users[0]
    assert project.user("ADA@acme.example") is ada
    assert project.user(ada.user_id) is ada
    assert project.user("nobody@acme.example") is None
    assert project.user("") is None


def test_user_by_phone_number() -> None:
    """A user who has a phone number is found by it."""
    ada, grace = User("ada@acme.example"), User("grace@acme.example", phone="+15550100")
    assert Project(users=(ada, grace)).user("+15550100") is grace


@pytest.mark.parametrize(
    ("project", "message"),
    [
        (lambda: Project(tenants=(Tenant("a"), Tenant("a")), users=()), "every tenant id"),
        (lambda: Project(users=(User("a@b.c", user_id="U1"), User("d@e.f", user_id="U1"))), "every user id"),
        (lambda: Project(users=(User("a@b.c", user_id="U1"), User("A@b.c", user_id="U2"))), "every login id"),
        (lambda: Project(users=(User("a@b.c", tenants={"x": Grants()}),)), r"the project lacks: \['x'\]"),
        (
            lambda: Project(access_keys=(AccessKey("K1", "a", tenants={"x": Grants()}),)),
            r"access key K1 is in tenants the project lacks: \['x'\]",
        ),
        (lambda: Project(access_keys=(AccessKey("K1", "a"), AccessKey("K1", "b"))), "access key id"),
        (lambda: Project(access_keys=(AccessKey("K1", "a"), AccessKey("K2", "a"))), "access key secret"),
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
        "no-session",
        "endless-session",
        "no-refresh",
        "no-key-session",
        "no-step-up",
    ],
)
def test_contradictions_are_refused(project: Callable[[], Project], message: str) -> None:
    """A project whose parts do not fit each other cannot be made."""
    with pytest.raises(ValueError, match=message):
        project()


def test_keys_stay_out_of_the_repr() -> None:
    """A printed project does not show its management keys."""
    assert "secret" not in repr(Project(auth_management_key="secret1", management_key="secret2"))
