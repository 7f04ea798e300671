"""The start of a sign-in, shared by all its kinds (wire contract, sections 2.1, 2.4 and 2.16)."""

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

_EMAIL = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,189}")
_PHONE = re.compile(r"\+[0-9]{4,15}")


def parse_redirect_url(request: Request, project: Project) -> str:
    """Return the redirect URL of a request, in either spelling.

    Raises:
        ApiError: It is missing, or the project does not approve it.
    """
    query = request.query_params
    url = query.get("redirectURL") or query.get("redirectUrl") or ""
    if not url:
        raise ApiError.missing("redirectURL is missing")
    if not is_approved(url, project.approved_redirects):
        raise ApiError.unacceptable("redirectURL is not in the approved domains of the project")
    return url


def parse_login_options(body: dict[str, object]) -> LoginOptions:
    """Return the login options of a request body.

    Raises:
        ApiError: An option has the wrong type.
    """
    return LoginOptions(
        step_up=bool_field(body, "stepup"),
        mfa=bool_field(body, "mfa"),
        custom_claims=object_field(body, "customClaims"),
        revoke_other_sessions=bool_field(body, "revokeOtherSessions"),
    )


def login_for(login: Login, token: str, auth_server: AuthServer) -> Login:
    """Return the login, restricted to the user of the refresh JWT for step-up, MFA and updates.

    Raises:
        ApiError: The refresh JWT is missing or unusable, or its user is not a member of the tenant.
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
    """Return the URL of a sign-in page, on the origin of the request."""
    return absolute_url(request, f"/signin/{page}")


def resolve_or_sign_up(auth_server: AuthServer, login: Login, entered: str) -> SeedUser | None:
    """Return the user with a login id (case-insensitive) who may confirm the sign-in, or None.

    In a project with ``open_sign_up`` an unknown user joins the project, and a known one the tenant, without
    roles. The login id must be an e-mail address or, for WhatsApp, a phone number.
    """
    login_id, project = entered.strip(), auth_server.project
    for user in login.eligible_users(project):
        if user.login_id.lower() == login_id.lower():
            return user
    has_phone = login.method == "whatsapp" and _PHONE.fullmatch(login_id) is not None
    if not (
        _may_join(login, project)
        and login.allows_email(login_id, project)
        and (has_phone or _EMAIL.fullmatch(login_id))
    ):
        return None
    new_user = SeedUser(login_id, phone=login_id if has_phone else "")
    user = _with_membership(project.find_user(login_id) or new_user, login)
    others = (each for each in project.users if each.user_id != user.user_id)
    auth_server.project = replace(project, users=(*others, user))
    return user


def _may_join(login: Login, project: Project) -> bool:
    """Return whether users may join: not a removed tenant, and no sign-in that is for known users only."""
    is_removed = login.tenant is not None and project.tenant_by_id(login.tenant.id) is None
    is_restricted = login.user_id is not None or login.purpose in {"signin", "update"}
    return project.open_sign_up and not is_restricted and not is_removed


def _with_membership(user: SeedUser, login: Login) -> SeedUser:
    if login.tenant is None:
        return user
    return replace(user, tenants={**user.tenants, login.tenant.id: Grants()})
