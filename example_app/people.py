"""The app's own record of its users, written by the login hook."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from fastapi_descope import CurrentTenant, Login

__all__ = ["Colleagues", "People", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """A user in one organisation. ``signed_in_at`` is in epoch seconds."""

    id: str
    name: str
    email: str
    roles: tuple[str, ...]
    signed_in_at: int


class People:
    """The users by organisation, in memory. A product would use its database."""

    def __init__(self) -> None:
        self._people: dict[str, dict[str, Person]] = {}

    async def remember(self, _request: Request, login: Login) -> None:
        """Save the user. As a ``descope.on_login`` hook it runs after each login, before cookies are set."""
        user_id, user, signed_in_at = login.session.user.id, login.user, login.session.issued_at
        for tenant in login.session.tenants.values():
            person = Person(user_id, user.name or user_id, user.email or "", tenant.roles, signed_in_at)
            self._people.setdefault(tenant.id, {})[user_id] = person

    def in_tenant(self, tenant_id: str) -> list[Person]:
        """Return the users who signed in since the app started, latest first."""
        people = self._people.get(tenant_id, {}).values()
        return sorted(people, key=lambda person: person.signed_in_at, reverse=True)


async def colleagues(request: Request, tenant: CurrentTenant) -> list[Person]:
    """Return the users of the current organisation."""
    people: People = request.app.state.people
    return people.in_tenant(tenant.id)


Colleagues = Annotated[list[Person], Depends(colleagues)]
