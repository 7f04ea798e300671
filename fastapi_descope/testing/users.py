"""Who signs in: somebody of the emulator's project, or somebody new who joins it."""

from dataclasses import replace

from ..emulator import Emulator, Grants, SeedTenant, SeedUser

__all__ = ["DEFAULT_TENANT", "TestUsers"]

DEFAULT_TENANT = "acme"


class TestUsers:
    """The users of an emulator, as tests name them."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._made_up = 0

    def get_or_create(self, user: str | None, tenant: str | None, grants: Grants | None) -> SeedUser:
        """The user of this login id or user id, who is in the tenant (None: in none is well, too).

        One whom nobody knows joins the project, and one who is given ``grants`` the tenant, with these from
        now on. Without a name somebody is made up.

        Raises LookupError for a known user who is not in the tenant, TypeError for what is no name at all.
        """
        if user is not None and not isinstance(user, str):  # pyright: ignore[reportUnnecessaryIsInstance] # tests have no types
            raise TypeError(
                f"user: expected a login id or a user id, such as 'ada@acme.example', not {user!r}"
            )
        known = self._emulator.project.find_user(user) if user else None
        if known is not None and grants is None:
            self._refuse_stranger(known, user, tenant)
            return known
        person = known or SeedUser(user or self._new_login_id())
        held = grants or Grants()
        if tenant is None:
            person = replace(person, roles=held.roles, permissions=held.permissions)
        else:
            person = replace(person, tenants={**person.tenants, tenant: held})
        self._admit(person, tenant)
        return person

    def _refuse_stranger(self, person: SeedUser, user: str | None, tenant: str | None) -> None:
        if tenant is None or tenant in person.tenants:
            return
        default = ", which is the default" if tenant == DEFAULT_TENANT else ""
        theirs = ", ".join(f"tenant={each!r}" for each in (*person.tenants, None))
        raise LookupError(f"{user} is not a member of tenant {tenant!r}{default}; there is {theirs}")

    def _new_login_id(self) -> str:
        self._made_up += 1
        return f"user{self._made_up}@made-up.example"

    def _admit(self, person: SeedUser, tenant: str | None) -> None:
        """Have the emulator's project hold the person as they are, and their tenant."""
        project = self._emulator.project
        others = tuple(each for each in project.users if each.user_id != person.user_id)
        is_known = tenant is None or tenant in {each.id for each in project.tenants}
        founded = () if is_known else (SeedTenant(str(tenant)),)
        self._emulator.project = replace(
            project, tenants=(*project.tenants, *founded), users=(*others, person)
        )
