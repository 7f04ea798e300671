"""The app's own record of its users, written by the login hook."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select

from fastapi_descope import Login

from .database import TenantSession, database_of
from .models import Person

__all__ = ["Colleagues", "remember_user"]


async def remember_user(request: Request, login: Login) -> None:
    """Save the user. As a ``descope.on_login`` hook it runs after each login, before cookies are set."""
    user_id, user, signed_in_at = login.session.user.id, login.user, login.session.issued_at
    for tenant in login.session.tenants.values():
        person = Person(user_id, user.name or user_id, user.email or "", [*tenant.roles], signed_in_at)
        person.tenant_id = tenant.id
        async with database_of(request).sessions.session(tenant.id) as db:
            await db.merge(person)
            await db.commit()


async def colleagues(db: TenantSession) -> Sequence[Person]:
    """Return the users of the current organisation, those who signed in last first."""
    return (await db.scalars(select(Person).order_by(Person.signed_in_at.desc(), Person.id))).all()


Colleagues = Annotated[Sequence[Person], Depends(colleagues)]
