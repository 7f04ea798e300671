"""Who calls the API: the ``Authorization`` header, and the cookie that may stand in for its JWT."""

import hmac
from dataclasses import dataclass, field

from starlette.requests import Request

from ..api_errors import ApiError
from ..project import Project

__all__ = [
    "Credentials",
    "authenticate",
    "optional_refresh_token",
    "parse_access_key",
    "require_management_key",
    "require_project",
    "require_refresh_token",
]

_DOTS_OF_A_JWT = 2


@dataclass(frozen=True, slots=True)
class Credentials:
    """What follows the project id in a bearer; empty where it was not sent."""

    token: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


def _parts(request: Request) -> list[str]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise ApiError.unauthorized("The request holds no bearer")
    return value.strip().split(":")


def _parts_for(request: Request, project: Project) -> list[str]:
    parts = _parts(request)
    if parts[0] != project.project_id:
        raise ApiError.unauthorized("The bearer names another project")
    return parts


def _sorted(parts: list[str]) -> Credentials:
    """Two parts: a JWT if the second has two dots, else a key. Three: JWT, then key (section 1.4)."""
    match parts:
        case [_]:
            return Credentials()
        case [_, token] if token.count(".") == _DOTS_OF_A_JWT:
            return Credentials(token=token)
        case [_, key] if key:
            return Credentials(key=key)
        case [_, token, key] if token.count(".") == _DOTS_OF_A_JWT and key:
            return Credentials(token, key)
        case _:
            raise ApiError.unauthorized("The bearer has an unknown form")


def _same(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode(), expected.encode())


def authenticate(request: Request, project: Project, *, key: str | None) -> Credentials:
    """The credentials of a request for this project.

    ``key`` is the one that must come with it, or None if none may: a key nobody configured is as wrong as
    another one. Raises ApiError (401) for another project or key, or none.
    """
    sent = _sorted(_parts_for(request, project))
    if not _same(sent.key, key or ""):
        raise _wrong_key(key)
    return sent


def _wrong_key(expected: str | None) -> ApiError:
    if expected is None:
        return ApiError.unauthorized(
            "The bearer ends with a key, and the project has no management key: leave it out, or seed "
            "auth_management_key"
        )
    return ApiError.unauthorized("The bearer does not hold the management key of the project")


def require_project(request: Request, project: Project) -> None:
    """Raise ApiError (401) unless the bearer begins with the project, and ends with its auth management key.

    What else is in it does not matter: for an endpoint that takes any token, or none.
    """
    *others, last = _parts_for(request, project)
    key = project.auth_management_key
    if key is not None and not (others and _same(last, key)):
        raise _wrong_key(key)


def parse_access_key(request: Request, project: Project) -> str:
    """The access key of the bearer; empty if it is the project id alone. Raises ApiError (401).

    The auth management key may follow it, and need not: .NET's SDK leaves it out here (section 1.4).
    """
    match _parts_for(request, project):
        case [_]:
            return ""
        case [_, key]:
            return key
        case [_, key, last] if last and _same(last, project.auth_management_key or ""):
            return key
        case _:
            raise _wrong_key(project.auth_management_key)


def optional_refresh_token(request: Request, project: Project) -> str:
    """The refresh JWT of the bearer, else of the project's cookie for it (cookie mode, section 1.4), or "".

    Which one Descope prefers when both come is unknown; here it is the bearer. Raises ApiError.
    """
    sent = authenticate(request, project, key=project.auth_management_key)
    return sent.token or request.cookies.get(project.cookies.refresh_name, "")


def require_refresh_token(request: Request, project: Project) -> str:
    """The refresh JWT that a request presents. Raises ApiError, also if it presents none."""
    token = optional_refresh_token(request, project)
    if not token:
        raise ApiError.bad_token("The request holds no refresh token", project.assumptions.revoked_status)
    return token


def require_management_key(request: Request, project: Project) -> None:
    """Raise ApiError (401) unless the bearer holds the project's management key, and it has one."""
    if project.management_key is None:
        raise ApiError.unauthorized("The project has no management key")
    authenticate(request, project, key=project.management_key)
