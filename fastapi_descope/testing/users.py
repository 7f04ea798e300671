"""The users that tests sign in: users of the emulator's project, and new ones that join it."""

from dataclasses import replace

from ..emulator import Emulator, Grants, SeedTenant, SeedUser

__all__ = ["DEFAULT_TENANT", "TestUsers"]

DEFAULT_TENANT = "acme"


class TestUsers:
    """The users of an emulator, looked up or created by login id."""

    __test__ = False  # pytest would collect the class for its name

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._created = 0

    def get_or_create(
        self, user: str | SeedUser | None, tenant: str | None, grants: Grants | None
    ) -> SeedUser:
        """Return the user with this login id or user id, creating it if the project has none.

        Args:
            user: A login id or user id; None creates a user with a new login id. A ``SeedUser`` replaces the
                user with its id, and joins the tenant.
            tenant: A tenant that the user must be in; None for no such condition.
            grants: Roles and permissions that the user gets in the tenant, or in the project if ``tenant``
                is None. They replace what the user had there.

        Raises:
            LookupError: The user exists, is not in the tenant, and ``grants`` is None.
            TypeError: ``user`` is neither a string nor a ``SeedUser``.
        """
        if isinstance(user, SeedUser):
            return self._save(_with_grants(user, tenant, grants))
        if user is not None and not isinstance(user, str):  # pyright: ignore[reportUnnecessaryIsInstance] # tests have no types
            raise TypeError(
                "user: expected a login id or a user id, such as 'ada@acme.example', or a SeedUser,"
                f" not {user!r}"
            )
        known = self._emulator.project.find_user(user) if user else None
        if known is not None and grants is None:
            self._require_membership(known, user, tenant)
            return known
        return self._save(_with_grants(known or SeedUser(user or self._new_login_id()), tenant, grants))

    def _require_membership(self, known: SeedUser, user: str | None, tenant: str | None) -> None:
        if tenant is None or tenant in known.tenants:
            return
        default = " (the default)" if tenant == DEFAULT_TENANT else ""
        choices = ", ".join(f"tenant={each!r}" for each in (*known.tenants, None))
        raise LookupError(f"{user} is not a member of tenant {tenant!r}{default}. Use one of: {choices}.")

    def _new_login_id(self) -> str:
        self._created += 1
        return f"user{self._created}@made-up.example"

    def _save(self, user: SeedUser) -> SeedUser:
        """Add or replace the user in the emulator's project, add its new tenants, and return the user."""
        project = self._emulator.project
        other_users = tuple(each for each in project.users if each.user_id != user.user_id)
        known_tenants = {each.id for each in project.tenants}
        new_tenants = tuple(SeedTenant(each) for each in user.tenants if each not in known_tenants)
        self._emulator.project = replace(
            project, tenants=(*project.tenants, *new_tenants), users=(*other_users, user)
        )
        return user


def _with_grants(user: SeedUser, tenant: str | None, grants: Grants | None) -> SeedUser:
    """Return the user with these grants. Without, it is at least a member of the tenant."""
    if tenant is None:
        return user if grants is None else replace(user, roles=grants.roles, permissions=grants.permissions)
    return replace(user, tenants={**user.tenants, tenant: grants or user.grants_in(tenant)})
