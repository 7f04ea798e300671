"""Authentication of API requests: the ``Authorization`` header, or the refresh cookie for its JWT."""

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
    """The parts of a bearer after the project id; empty if the client did not send them."""

    token: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


def _parts(request: Request) -> list[str]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise ApiError.unauthorized("The request has no bearer token in its Authorization header")
    return value.strip().split(":")


def _parts_for(request: Request, project: Project) -> list[str]:
    parts = _parts(request)
    if parts[0] != project.project_id:
        raise ApiError.unauthorized("The bearer starts with another project id")
    return parts


def _classify(parts: list[str]) -> Credentials:
    """Return the credentials of a bearer (section 1.4).

    A second part with two dots is a JWT, otherwise a key. Three parts are project id, JWT and key.
    """
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
            raise ApiError.unauthorized("The bearer does not have a known form")


def _equal(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode(), expected.encode())


def authenticate(request: Request, project: Project, *, key: str | None) -> Credentials:
    """Return the credentials of a request for this project.

    Args:
        request: The request.
        project: The project.
        key: The key that the bearer must contain; None if it must not contain one.

    Raises:
        ApiError: The bearer is missing, names another project, or has another key (401).
    """
    credentials = _classify(_parts_for(request, project))
    if not _equal(credentials.key, key or ""):
        raise _wrong_key(key)
    return credentials


def _wrong_key(expected: str | None) -> ApiError:
    if expected is None:
        return ApiError.unauthorized(
            "The bearer ends with a key, but the project has no management key: leave it out, or set "
            "auth_management_key in the seed"
        )
    return ApiError.unauthorized("The bearer does not contain the management key of the project")


def require_project(request: Request, project: Project) -> None:
    """Check that the bearer starts with the project id and ends with the auth management key, if any.

    It accepts any token or none.

    Raises:
        ApiError: It does not (401).
    """
    *others, last = _parts_for(request, project)
    key = project.auth_management_key
    if key is not None and not (others and _equal(last, key)):
        raise _wrong_key(key)


def parse_access_key(request: Request, project: Project) -> str:
    """Return the access key of the bearer, or "" if the bearer is the project id only.

    The auth management key may follow it but need not: the .NET SDK leaves it out (section 1.4).

    Raises:
        ApiError: The bearer has another project or form (401).
    """
    match _parts_for(request, project):
        case [_]:
            return ""
        case [_, key]:
            return key
        case [_, key, last] if last and _equal(last, project.auth_management_key or ""):
            return key
        case _:
            raise _wrong_key(project.auth_management_key)


def optional_refresh_token(request: Request, project: Project) -> str:
    """Return the refresh JWT of the bearer or of the cookie (section 1.4), or "" if there is none.

    If the client sends both, the emulator uses the bearer's; Descope's choice is unknown.

    Raises:
        ApiError: The bearer is not for this project (401).
    """
    credentials = authenticate(request, project, key=project.auth_management_key)
    return credentials.token or request.cookies.get(project.cookies.refresh_name, "")


def require_refresh_token(request: Request, project: Project) -> str:
    """Return the refresh JWT of a request.

    Raises:
        ApiError: There is none, or the bearer is not for this project.
    """
    token = optional_refresh_token(request, project)
    if not token:
        raise ApiError.bad_token("The request has no refresh token", project.assumptions.revoked_status)
    return token


def require_management_key(request: Request, project: Project) -> None:
    """Check that the bearer contains the project's management key.

    Raises:
        ApiError: It does not, or the project has no management key (401).
    """
    if project.management_key is None:
        raise ApiError.unauthorized("The project has no management key")
    authenticate(request, project, key=project.management_key)
