"""Who has signed in: the app's own record of its users, kept by the login hook."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from fastapi_descope import AuthSession, CurrentTenant, get_user_profile

__all__ = ["Colleagues", "People", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """A user as one organisation sees them. ``signed_in_at`` is in epoch seconds."""

    id: str
    name: str
    email: str
    roles: tuple[str, ...]
    signed_in_at: int


class People:
    """In memory, by organisation. A product would write to its database here."""

    def __init__(self) -> None:
        self._people: dict[str, dict[str, Person]] = {}

    async def remember(self, request: Request, session: AuthSession) -> None:
        """The hook for ``descope.on_login``: runs after every login, before its cookies are set."""
        user_id, profile = session.user.id, await get_user_profile(request)
        for tenant in session.tenants.values():
            person = Person(
                user_id, profile.name or user_id, profile.email or "", tenant.roles, session.issued_at
            )
            self._people.setdefault(tenant.id, {})[user_id] = person

    def of(self, tenant_id: str) -> list[Person]:
        """Those who have signed in since the app started, the last one first."""
        known = self._people.get(tenant_id, {}).values()
        return sorted(known, key=lambda person: person.signed_in_at, reverse=True)


async def colleagues(request: Request, tenant: CurrentTenant) -> list[Person]:
    """The people of the session's own organisation, and no others."""
    people: People = request.app.state.people
    return people.of(tenant.id)


Colleagues = Annotated[list[Person], Depends(colleagues)]
