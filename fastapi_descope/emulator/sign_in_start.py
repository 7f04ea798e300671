"""What the ways to start a sign-in have in common (wire contract, sections 2.1, 2.4 and 2.16)."""

from starlette.requests import Request

from .address import url_of
from .api_errors import ApiError
from .auth_server import AuthServer
from .logins import Login
from .project import Project
from .redirects import is_approved

__all__ = ["login_for", "page_url", "redirect_url"]


def redirect_url(request: Request, project: Project) -> str:
    """Where the browser goes afterwards, in either spelling. Raises ApiError unless it is approved."""
    query = request.query_params
    url = query.get("redirectURL") or query.get("redirectUrl") or ""
    if not url:
        raise ApiError.missing("redirectURL is missing")
    if not is_approved(url, project.approved_redirects):
        raise ApiError.unacceptable("redirectURL is not in the approved domains of the project")
    return url


def login_for(login: Login, token: str, authority: AuthServer) -> Login:
    """The login for whoever may confirm it: step-up, MFA and updates ask the owner of a refresh JWT.

    Raises ApiError without one, or for a tenant that the owner is not in.
    """
    if not (login.options.stepup or login.options.mfa or login.purpose == "update"):
        return login
    if not token:
        raise ApiError.missing("stepup, mfa and update need a refresh token")
    visitor = authority.visitor(token)
    if login.tenant is not None and login.tenant.id not in visitor.user.tenants:
        raise ApiError.unacceptable("The user is not a member of the tenant", 403)
    return login.confirmed_by(visitor.user.user_id, visitor.amr)


def page_url(request: Request, page: str) -> str:
    """The URL of a sign-in page, on the origin that the request went to."""
    return url_of(request, f"/signin/{page}")
