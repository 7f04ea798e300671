"""Whom a login id stands for that a person typed, or an app sent, and who may join that way."""

import re
from dataclasses import replace

from .auth_server import AuthServer
from .logins import Login
from .project import Grants, Project, SeedUser

__all__ = ["resolve_or_sign_up"]

_E_MAIL = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,189}")
_PHONE = re.compile(r"\+[0-9]{4,15}")


def resolve_or_sign_up(authority: AuthServer, login: Login, typed: str) -> SeedUser | None:
    """The user to confirm a sign-in, by login id in any case; None for one who may not.

    In a project with ``open_sign_up`` an unknown one joins it, and a known one the tenant, without roles:
    from then on they are there. One joins under an e-mail address, or by WhatsApp under a phone number.
    """
    login_id, project = typed.strip(), authority.project
    for one in login.choices(project):
        if one.login_id.lower() == login_id.lower():
            return one
    has_phone = login.method == "whatsapp" and _PHONE.fullmatch(login_id) is not None
    if not (
        _may_join(login, project)
        and login.is_for(login_id, project)
        and (has_phone or _E_MAIL.fullmatch(login_id))
    ):
        return None
    newcomer = SeedUser(login_id, phone=login_id if has_phone else "")
    user = _joined(project.user(login_id) or newcomer, login)
    others = (one for one in project.users if one.user_id != user.user_id)
    authority.project = replace(project, users=(*others, user))
    return user


def _may_join(login: Login, project: Project) -> bool:
    """Nobody joins a tenant that is gone, by a step-up, or where only known users may sign in."""
    gone = login.tenant is not None and project.tenant_by_id(login.tenant.id) is None
    is_settled = login.user_id is not None or login.purpose in {"signin", "update"}
    return project.open_sign_up and not is_settled and not gone


def _joined(user: SeedUser, login: Login) -> SeedUser:
    if login.tenant is None:
        return user
    return replace(user, tenants={**user.tenants, login.tenant.id: Grants()})
