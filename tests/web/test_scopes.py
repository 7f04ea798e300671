"""Which callers have a scope (CL-03)."""

from contextlib import suppress

import pytest

from fastapi_descope import AuthSession, Machine, Scope
from fastapi_descope._web.scopes import ScopePolicy
from fastapi_descope.callers import Caller
from fastapi_descope.errors import MissingScopes

POLICY = ScopePolicy(
    {
        "by_role": Scope(roles=("admin", "owner")),
        "by_permission": Scope(permissions=("reports.write",)),
        "by_either": Scope(roles=("admin",), permissions=("reports.write",)),
    }
)
ALL = {"by_role", "by_permission", "by_either", "by_name", "unknown"}


def _session(**claims: object) -> AuthSession:
    return AuthSession.from_claims({"sub": "U2ada", "iat": 1, "exp": 2, **claims})


def _machine(**claims: object) -> Machine:
    return Machine.from_claims("K2key", {"sub": "K2key", "iat": 1, "exp": 2, **claims})


def _scopes(caller: Caller) -> set[str]:
    """Return the scopes that the caller has, each asked for alone."""
    found: set[str] = set()
    for scope in ALL:
        with suppress(MissingScopes):
            POLICY.require(caller, [scope])
            found.add(scope)
    return found


@pytest.mark.parametrize("caller", [_session, _machine], ids=["session", "machine"])
@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ""),
        ({"roles": ["viewer"], "permissions": ["reports.read"]}, ""),
        ({"roles": ["admin"]}, "by_role by_either"),
        ({"roles": ["owner"]}, "by_role"),
        ({"permissions": ["reports.write"]}, "by_permission by_either"),
        ({"permissions": ["by_name", "by_role"]}, "by_name"),
        ({"dct": "acme", "tenants": {"acme": {"roles": ["admin"]}}}, "by_role by_either"),
        ({"dct": "globex", "tenants": {"acme": {"roles": ["admin"]}}}, ""),
        ({"tenants": {"acme": {"roles": ["admin"]}}}, ""),
    ],
    ids=str,
)
def test_cl03_scope_follows_from_roles_and_permissions(
    caller: type, claims: dict[str, object], scopes: str
) -> None:
    """In the project and in the current tenant, by what the scope lists or by its own name (CL-03)."""
    assert _scopes(caller(**claims)) == set(scopes.split())


def test_cl03_error_names_the_required_and_the_missing_scopes_once() -> None:
    """Sorted, as the challenge lists them (CL-03)."""
    session = _session(roles=["owner"])
    with pytest.raises(MissingScopes) as caught:
        POLICY.require(session, ["unknown", "by_role", "by_name", "unknown"])
    assert caught.value.required == ("by_name", "by_role", "unknown")
    assert caught.value.missing == ("by_name", "unknown")


def test_cl03_no_scope_is_required_of_any_caller() -> None:
    """A route without scopes accepts the caller as it is (CL-03)."""
    POLICY.require(_session(), [])
