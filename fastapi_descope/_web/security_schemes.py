"""By what a route says in OpenAPI what it wants: the session, one if there is one, or the refresh cookie.

FastAPI finds them among a route's dependencies. Their cookies have Descope's own names here, because a
scheme is one object for all apps of a process; ``openapi.py`` puts in how they are configured.
"""

from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase

__all__ = [
    "OPTIONAL_SESSION",
    "REFRESH",
    "SESSION",
    "OptionalSessionScheme",
    "RefreshCookie",
    "SessionScheme",
]

SESSION = "DescopeSession"
OPTIONAL_SESSION = "DescopeSessionIfAny"
REFRESH = "DescopeRefresh"


def _cookie(name: str, description: str) -> APIKey:
    return APIKey.model_validate({"in": "cookie", "name": name, "description": description})


class SessionScheme(SecurityBase):
    """A dependency that wants a session."""

    scheme_name = SESSION
    model = _cookie("DS", "The session cookie that signing in sets.")


class OptionalSessionScheme(SecurityBase):
    """A dependency that looks at a session, where there is one."""

    scheme_name = OPTIONAL_SESSION
    model = _cookie("DS", "The session cookie, if somebody has signed in.")


class RefreshCookie(SecurityBase):
    """Says of a route that it works with the refresh cookie, and does nothing."""

    scheme_name = REFRESH
    model = _cookie("DSR", "The refresh cookie that signing in sets; a bearer has none.")

    async def __call__(self) -> None:
        """The route looks for itself."""
