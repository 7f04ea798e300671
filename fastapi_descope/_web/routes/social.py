"""The routes of social logins, one for each provider that the settings list."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ..._auth.login import LoginRequest
from ..app_location import social_route
from .authorization import AuthorizationRedirect

__all__ = ["SocialRoute"]


# SI-01: the provider is that of the route and never a part of the request.
@dataclass(frozen=True, slots=True)
class SocialRoute:
    """``GET /login/oauth/<provider>``. The login ends at ``GET /callback``, like that of SSO."""

    authorization: AuthorizationRedirect
    provider: str

    async def login(self, request: Request) -> Response:
        """Send the browser to the sign-in page of the provider."""
        route = social_route(self.provider)
        start = await self.authorization.prepare(request, route, {})
        if isinstance(start, Response):
            return start
        return await self.authorization.redirect(request, route, start, LoginRequest(provider=self.provider))
