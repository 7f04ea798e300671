"""The scopes of an app: what applications may ask for, and which users and machines may do the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..callers import Caller, Delegate, Machine
from ..errors import MissingScopes
from ..session import AuthSession, Tenant, User

__all__ = ["Scope", "ScopePolicy"]


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope, and the roles and permissions with which a user or a machine may do what it allows.

    Attributes:
        description: What the scope allows, for the OpenAPI document.
        roles: Roles of which one is enough.
        permissions: Permissions of which one is enough.
    """

    description: str = ""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


class ScopePolicy:
    """Decides whether a caller has a scope.

    A delegate has the scopes of its token, whatever roles its user has. A user or a machine has a scope with
    one of its roles or permissions, in the current tenant or in the project. For a scope that names none, the
    user or the machine needs a permission of the same name.

    Args:
        scopes: The scopes of the app, by name.
    """

    # CL-03

    def __init__(self, scopes: Mapping[str, Scope]) -> None:
        self._scopes = dict(scopes)

    def require(self, caller: Caller, scopes: Sequence[str]) -> None:
        """Return if the caller has all of the scopes.

        Raises:
            MissingScopes: It lacks one.
        """
        missing = {scope for scope in scopes if not self._has(caller, scope)}
        if missing:
            raise MissingScopes(tuple(sorted(set(scopes))), tuple(sorted(missing)))

    def _has(self, caller: Caller, name: str) -> bool:
        if isinstance(caller, Delegate):
            return name in caller.scopes
        scope, holders = self._scopes.get(name, Scope()), _holders(caller)
        permissions = {permission for each in holders for permission in each.permissions}
        if not (scope.roles or scope.permissions):
            return name in permissions
        roles = {role for each in holders for role in each.roles}
        return not roles.isdisjoint(scope.roles) or not permissions.isdisjoint(scope.permissions)


def _holders(caller: AuthSession | Machine) -> tuple[User | Machine | Tenant, ...]:
    """Return whose roles and permissions count: the user or the machine, and its current tenant."""
    own = caller.user if isinstance(caller, AuthSession) else caller
    return (own,) if caller.tenant is None else (own, caller.tenant)
