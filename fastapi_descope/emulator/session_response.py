"""The answers that bring tokens or take them away: in the body, or as cookies (wire contract, section 4)."""

from starlette.responses import JSONResponse, Response

from .answers import signed_out
from .cookie_plan import CookiePlan
from .project import Project

__all__ = ["logout_response", "with_tokens"]


def with_tokens(answer: dict[str, object], project: Project, *, now: float) -> Response:
    """A JWTResponse as the project sends it: a token that goes into a cookie is empty in the body.

    Each cookie lives as long as its token; how long Descope's session cookie does is unknown.
    """
    places = {"sessionJwt": project.session_token_in, "refreshJwt": project.refresh_token_in}
    ends = {"sessionJwt": answer["sessionExpiration"], "refreshJwt": answer["cookieExpiration"]}
    moved = {name: answer[name] for name, place in places.items() if place == "cookie" and answer[name]}
    response = JSONResponse(answer | dict.fromkeys(moved, ""))
    for name, token in moved.items():
        seconds = int(str(ends[name])) - int(now)
        _set(response, project.cookies, str(token), seconds, is_session=name == "sessionJwt")
    return response


def logout_response(project: Project) -> Response:
    """The answer to a logout: JWTResponse with nothing in it, and both cookies cleared (section 2.8)."""
    response = JSONResponse(signed_out())
    for is_session in (True, False):
        _set(response, project.cookies, "", 0, is_session=is_session)
    return response


def _set(response: Response, plan: CookiePlan, value: str, seconds: int, *, is_session: bool) -> None:
    domain = plan.session_domain if is_session else plan.domain
    response.set_cookie(
        plan.session_name if is_session else plan.refresh_name,
        value,
        max_age=seconds,
        path=plan.path,
        domain=domain or None,
        secure=True,
        httponly=True,
        samesite=plan.same_site,
    )
