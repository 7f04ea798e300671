"""``UserProfile``: the user object of Descope, field by field."""

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, fields, replace
from datetime import UTC, datetime
from typing import cast

import pytest

from fastapi_descope.profile import TenantMembership, UserProfile

FULL_JSON: Mapping[str, object] = {
    "userId": "U1",
    "loginIds": ["ada@acme.example", "ada"],
    "name": "Ada King Lovelace",
    "givenName": "Ada",
    "middleName": "King",
    "familyName": "Lovelace",
    "email": "ada@acme.example",
    "verifiedEmail": True,
    "phone": "+4930123",
    "verifiedPhone": True,
    "picture": "https://acme.example/ada.png",
    "roleNames": ["support"],
    "permissions": ["tickets.read"],
    "userTenants": [
        {"tenantId": "acme", "tenantName": "Acme Corp", "roleNames": ["admin"], "permissions": ["read"]},
        {"tenantId": "globex"},
    ],
    "status": "enabled",
    "test": True,
    "editable": True,
    "customAttributes": {"plan": "gold", "teams": ["engines", {"lead": True}]},
    "createdTime": 1_685_930_000,
    "consentExpiration": 1_900_000_000,
    "externalIds": ["hr-4711"],
    "ssoAppIds": ["SA2reports"],
    "TOTP": True,
    "SAML": True,
    "OIDC": True,
    "SCIM": True,
    "OAuth": {"google": True, "github": False},
    "webauthn": True,
    "password": True,
    "push": True,
}
"""A user object with every field, each with a value that is not its default."""

FULL = UserProfile(
    user_id="U1",
    login_ids=("ada@acme.example", "ada"),
    name="Ada King Lovelace",
    given_name="Ada",
    middle_name="King",
    family_name="Lovelace",
    email="ada@acme.example",
    verified_email=True,
    phone="+4930123",
    verified_phone=True,
    picture="https://acme.example/ada.png",
    roles=("support",),
    permissions=("tickets.read",),
    tenants={
        "acme": TenantMembership("acme", "Acme Corp", ("admin",), ("read",)),
        "globex": TenantMembership("globex"),
    },
    status="enabled",
    is_test=True,
    editable=True,
    custom_attributes={"plan": "gold", "teams": ("engines", {"lead": True})},
    created_at=1_685_930_000,
    consent_expiration=1_900_000_000,
    external_ids=("hr-4711",),
    sso_app_ids=("SA2reports",),
    totp=True,
    saml=True,
    oidc=True,
    scim=True,
    oauth={"google": True, "github": False},
    webauthn=True,
    password=True,
    push=True,
)

ONLY_ID = UserProfile("U1")
WRONG: tuple[object, ...] = (None, "", 1, 0, True, False, 1.5, "text", [], [1], [["a"]], {}, {"a": 1})
"""Values of every JSON type. Which of them fit depends on the field."""


def parse(**user: object) -> UserProfile | None:
    """Parse a user object with these fields, after it was sent as JSON."""
    return UserProfile.from_json(json.loads(json.dumps({"userId": "U1", **user})))


def fits(name: str, value: object) -> bool:
    """Return whether the value has the JSON type that the field has in ``FULL_JSON``."""
    sample = FULL_JSON[name]
    if type(value) is not type(sample) or value in ("", [], {}, 0):
        return False
    if isinstance(sample, int) and not isinstance(sample, bool):
        return True
    return not isinstance(value, (list, dict)) or (name == "customAttributes")


def test_every_field_of_the_user_object_is_parsed() -> None:
    """Each field has a value other than its default, so that none can be forgotten."""
    assert UserProfile.from_json(FULL_JSON) == FULL
    unset = [
        each.name for each in fields(UserProfile) if getattr(FULL, each.name) == getattr(ONLY_ID, each.name)
    ]
    assert unset == ["user_id"]


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("name", [name for name in FULL_JSON if name != "userId"])
def test_a_field_of_the_wrong_type_counts_as_absent(name: str, value: object) -> None:
    """A string is no list, 1 is not true, and true is not 1. The other fields are parsed."""
    profile = UserProfile.from_json({**FULL_JSON, name: value})
    without = UserProfile.from_json({key: member for key, member in FULL_JSON.items() if key != name})

    assert (profile == without) is not fits(name, value)


@pytest.mark.parametrize("value", [value for value in WRONG if value != "text"], ids=repr)
def test_a_user_object_without_a_user_id_is_none(value: object) -> None:
    """No id is made up."""
    assert UserProfile.from_json({**FULL_JSON, "userId": value}) is None
    assert UserProfile.from_json({}) is None


def test_names_of_python_fields_are_not_names_in_json() -> None:
    """A field of that name would be another field of Descope's."""
    assert (
        parse(roles=["admin"], tenants=[{"id": "acme"}], is_test=True, totp=True, login_ids=["a"]) == ONLY_ID
    )


@pytest.mark.parametrize(
    "entry",
    [{}, {"tenantId": ""}, {"tenantId": 1}, {"tenantId": None}, {"id": "acme"}, "acme", None, ["acme"]],
)
def test_a_membership_without_a_tenant_id_is_skipped(entry: object) -> None:
    """The other memberships are parsed."""
    profile = parse(userTenants=[entry, {"tenantId": "acme", "tenantName": 1, "roleNames": "admin"}])

    assert profile == replace(ONLY_ID, tenants={"acme": TenantMembership("acme")})


@pytest.mark.parametrize("names", ["admin", ["admin", 1], [None], {"admin": True}, 1])
def test_malformed_roles_grant_nothing(names: object) -> None:
    """A list with anything but names in it is of the wrong type as a whole."""
    profile = parse(
        roleNames=names, permissions=names, userTenants=[{"tenantId": "acme", "roleNames": names}]
    )

    assert profile == replace(ONLY_ID, tenants={"acme": TenantMembership("acme")})


@pytest.mark.parametrize(
    "value",
    [
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": ["x", {"b": "\ud800"}]},
    ],
    ids=repr,
)
def test_values_that_no_response_could_contain_count_as_absent(value: object) -> None:
    """Python's parser accepts NaN and half a surrogate pair, which cannot be sent on."""
    assert parse(customAttributes=value) == ONLY_ID
    assert parse(name="\ud800", loginIds=["ada", "\ud800"]) == ONLY_ID


def test_custom_attributes_may_be_nested_32_levels() -> None:
    """A deeper value counts as absent: it could exhaust the stack later."""

    def nested(levels: int) -> object:
        return {"a": nested(levels - 1)} if levels else "leaf"

    assert parse(customAttributes=nested(30)) != ONLY_ID
    assert parse(customAttributes=nested(40)) == ONLY_ID
    assert parse(customAttributes=nested(400)) == ONLY_ID


@pytest.mark.parametrize(("seconds", "expected"), [(1, 1), (253_402_300_799, 253_402_300_799), (0, None)])
def test_created_at_is_a_time_that_python_can_represent(seconds: int, expected: int | None) -> None:
    """0 is how Descope writes an absent time."""
    profile = parse(createdTime=seconds)
    assert profile is not None
    assert profile.created_at == expected
    if profile.created_at is not None:
        assert datetime.fromtimestamp(profile.created_at, UTC).year <= 9999


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 10**30, "1685930000", 1.5, True])
def test_any_other_creation_time_counts_as_absent(seconds: object) -> None:
    """It could not be converted."""
    assert parse(createdTime=seconds) == ONLY_ID


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**300])
def test_a_consent_expiration_is_a_positive_64_bit_number(number: int) -> None:
    """Databases store no larger one."""
    assert parse(consentExpiration=number) == ONLY_ID


def test_lg06_repr_shows_the_user_id_alone() -> None:
    """A profile in a log line leaks no personal data."""
    assert repr(FULL) == "UserProfile(user_id='U1')"
    assert str(FULL) == "UserProfile(user_id='U1')"


def test_a_parsed_profile_cannot_be_changed_at_any_depth() -> None:
    """Several hooks get the same object."""
    profile = UserProfile.from_json(FULL_JSON)
    assert profile is not None
    for value in (profile, profile.tenants["acme"]):
        with pytest.raises(FrozenInstanceError):
            value.name = "Eve"  # type: ignore[misc] # that this is an error is the promise
    teams = cast("tuple[object, ...]", profile.custom_attributes["teams"])
    mappings = (profile.tenants, profile.oauth, profile.custom_attributes, teams[1])
    for mapping in mappings:
        with pytest.raises(TypeError):
            cast("dict[str, object]", mapping)["other"] = 1


def test_a_profile_can_be_stored_as_json() -> None:
    """An app may save it as it is."""
    profile = UserProfile.from_json(FULL_JSON)
    assert profile is not None
    assert json.loads(json.dumps(asdict(profile)))["tenants"]["acme"]["name"] == "Acme Corp"
