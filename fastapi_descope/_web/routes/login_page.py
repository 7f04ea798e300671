"""The page that offers the ways to sign in."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..._upstream.login_options import LoginParams
from ..app_location import LOGIN, LOGIN_PAGE, MAGIC_LINK, NOTP, PluginRoute, sibling_path, social_route
from ..auth_scope import request_auth
from ..login_page import LoginPage
from .authorization import AuthorizationRedirect
from .login import tenant_hint
from .login_steps import REDIRECT_HEADERS
from .query import single_values

__all__ = ["LoginPageRoute"]


@dataclass(frozen=True, slots=True)
class LoginPageRoute:
    """``GET /login``. It starts nothing, so it needs no confirmation and calls nothing."""

    authorization: AuthorizationRedirect

    async def page(self, request: Request) -> Response:
        """Show the ways to sign in that the app offers."""
        steps, auth = self.authorization.steps, request_auth(request.scope)
        steps.guard.require_navigation(request)
        if (moved := self.authorization.public_address(request, LOGIN_PAGE)) is not None:
            return RedirectResponse(moved, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)
        return_to = steps.targets.requested(request, auth)
        query = single_values(request)
        params = LoginParams.from_query(query)
        login_page = LoginPage(
            sso_path=self._path(request, LOGIN, "sso"),
            social_paths={
                provider: sibling_path(request.scope, LOGIN_PAGE, social_route(provider))
                for provider in steps.settings.social_providers
            },
            link_path=self._path(request, MAGIC_LINK, "magiclink"),
            notp_path=self._path(request, NOTP, "notp"),
            return_to=return_to,
            params=params.as_query(),
            tenant=tenant_hint(query.get("tenant")) or "",
            is_confirmation=params.step_up is not None or params.mfa is not None,
        )
        return steps.pages.response(request.scope, login_page.page(steps.pages.texts(request.scope)))

    def _path(self, request: Request, route: PluginRoute, method: str) -> str | None:
        offered = method in self.authorization.steps.settings.login_methods
        return sibling_path(request.scope, LOGIN_PAGE, route) if offered else None
