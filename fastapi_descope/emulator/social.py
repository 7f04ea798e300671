"""Signing in with a social provider (wire contract, section 2.4): the sign-in page plays all of them."""

from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .api_errors import ApiError
from .arguments import json_object
from .auth_server import AuthServer
from .bearer import presented_token
from .logins import Login, LoginOptions, Logins
from .sign_in_start import login_for, page_url, redirect_url

__all__ = ["SocialApi"]


class SocialApi:
    """``/v1/auth/oauth/authorize`` and its variants; the exchange is the one of SSO.

    ``/signup`` refuses, at the exchange, who has signed in before; ``/update`` needs a refresh JWT and
    asks its owner. The project's users are all known already, so ``/signin`` refuses nobody.
    """

    def __init__(self, authority: AuthServer, logins: Logins) -> None:
        self._authority = authority
        self._logins = logins

    @property
    def routes(self) -> list[Route]:
        """The routes, all under one endpoint name."""
        ways = ("", "/signup", "/signin", "/update")
        return [
            Route(f"/v1/auth/oauth/authorize{way}", self.start, methods=["POST"], name="oauth_authorize")
            for way in ways
        ]

    async def start(self, request: Request) -> Response:
        """The URL of the sign-in page."""
        project = self._authority.project
        token = presented_token(request, project)
        query = request.query_params
        provider = query.get("provider", "")
        if not provider:
            raise ApiError.missing("provider is missing")
        if provider not in project.social_providers:
            raise ApiError.unacceptable("The project has no such provider")
        login = Login(
            tenant=None,
            redirect_url=redirect_url(request, project),
            options=LoginOptions.from_body(await json_object(request)),
            login_hint=query.get("loginHint", ""),
            initiated_email=query.get("initiatedEmail", ""),
            method="oauth",
            provider=provider,
            purpose=_purpose(request.url.path),
        )
        page = self._logins.begin(login_for(login, token, self._authority))
        return JSONResponse({"url": page_url(request, page)})


def _purpose(path: str) -> Literal["any", "signup", "signin", "update"]:
    last = path.rpartition("/")[2]
    return cast("Literal['signup', 'signin', 'update']", last) if last != "authorize" else "any"
