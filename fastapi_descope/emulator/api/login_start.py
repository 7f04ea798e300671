"""What the ways to start a sign-in have in common (wire contract, sections 2.1, 2.4 and 2.16)."""

import re
from dataclasses import replace

from starlette.requests import Request

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..directory import Grants, SeedUser
from ..logins import Login, LoginOptions
from ..project import Project
from ..urls import absolute_url, is_approved
from .request_parsing import bool_field, object_field

__all__ = ["login_for", "parse_login_options", "parse_redirect_url", "resolve_or_sign_up", "sign_in_page_url"]


def parse_redirect_url(request: Request, project: Project) -> str:
    """Where the browser goes afterwards, in either spelling. Raises ApiError unless it is approved."""
    query = request.query_params
    url = query.get("redirectURL") or query.get("redirectUrl") or ""
    if not url:
        raise ApiError.missing("redirectURL is missing")
    if not is_approved(url, project.approved_redirects):
        raise ApiError.unacceptable("redirectURL is not in the approved domains of the project")
    return url


def parse_login_options(body: dict[str, object]) -> LoginOptions:
    """Read the login options of a request body. Raises ApiError if one has the wrong type."""
    return LoginOptions(
        step_up=bool_field(body, "stepup"),
        mfa=bool_field(body, "mfa"),
        custom_claims=object_field(body, "customClaims"),
        revoke_other_sessions=bool_field(body, "revokeOtherSessions"),
    )


def login_for(login: Login, token: str, auth_server: AuthServer) -> Login:
    """The login for whoever may confirm it: step-up, MFA and updates ask the owner of a refresh JWT.

    Raises ApiError without one, or for a tenant that the owner is not in.
    """
    if not (login.options.step_up or login.options.mfa or login.purpose == "update"):
        return login
    if not token:
        raise ApiError.missing("stepup, mfa and update need a refresh token")
    principal = auth_server.principal(token)
    if login.tenant is not None and login.tenant.id not in principal.user.tenants:
        raise ApiError.unacceptable("The user is not a member of the tenant", 403)
    return login.restricted_to(principal.user.user_id, principal.amr)


def sign_in_page_url(request: Request, page: str) -> str:
    """The URL of a sign-in page, on the origin that the request went to."""
    return absolute_url(request, f"/signin/{page}")


_E_MAIL = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,189}")
_PHONE = re.compile(r"\+[0-9]{4,15}")


def resolve_or_sign_up(auth_server: AuthServer, login: Login, typed: str) -> SeedUser | None:
    """The user to confirm a sign-in, by login id in any case; None for one who may not.

    In a project with ``open_sign_up`` an unknown one joins it, and a known one the tenant, without roles:
    from then on they are there. One joins under an e-mail address, or by WhatsApp under a phone number.
    """
    login_id, project = typed.strip(), auth_server.project
    for one in login.eligible_users(project):
        if one.login_id.lower() == login_id.lower():
            return one
    has_phone = login.method == "whatsapp" and _PHONE.fullmatch(login_id) is not None
    if not (
        _may_join(login, project)
        and login.allows_email(login_id, project)
        and (has_phone or _E_MAIL.fullmatch(login_id))
    ):
        return None
    newcomer = SeedUser(login_id, phone=login_id if has_phone else "")
    user = _joined(project.find_user(login_id) or newcomer, login)
    others = (one for one in project.users if one.user_id != user.user_id)
    auth_server.project = replace(project, users=(*others, user))
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
