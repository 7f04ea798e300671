"""Magic links by e-mail (wire contract, section 2.17)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..directory import SeedUser
from ..logins import ConfirmedLogin, Login, LoginStore
from ..outbox import Email, Outbox
from ..project import Project
from ..urls import add_query, is_approved
from .authentication import authenticate, optional_refresh_token
from .login_start import login_for, parse_login_options, resolve_or_sign_up
from .request_parsing import json_object, object_field, string_field
from .responses import jwt_response, token_response

__all__ = ["MagicLinkApi"]

_PURPOSES: dict[str, Literal["any", "signup", "signin"]] = {
    "signup-in": "any",
    "signup": "signup",
    "signin": "signin",
}


class MagicLinkApi:
    """Sends links to the outbox, and verifies their tokens.

    A token that is unknown, used or expired gets 401 and E062504, as a .NET test of Descope's expects.
    """

    def __init__(
        self, auth_server: AuthServer, logins: LoginStore, outbox: Outbox, clock: Callable[[], float]
    ) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._outbox = outbox
        self._clock = clock

    @property
    def routes(self) -> list[Route]:
        """The routes. The name of a route is the name of the endpoint for faults and the journal."""
        table = [
            *((f"/v1/auth/magiclink/{way}/email", self.magiclink_start) for way in _PURPOSES),
            ("/v1/auth/magiclink/verify", self.magiclink_verify),
        ]
        return [Route(path, call, methods=["POST"], name=call.__name__) for path, call in table]

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    async def magiclink_start(self, request: Request) -> Response:
        """Put an e-mail with a link into the outbox. Return the masked address."""
        token = optional_refresh_token(request, self._project)
        body = await json_object(request)
        uri = string_field(body, "URI" if body.get("URI") else "redirectUrl")
        if not is_approved(uri, self._project.approved_redirects):
            raise ApiError.unacceptable("URI is not in the approved domains of the project")
        login = Login(
            tenant=None,
            options=parse_login_options(object_field(body, "loginOptions")),
            method="email",
            purpose=_PURPOSES[request.url.path.split("/")[-2]],
        )
        login = login_for(login, token, self._auth_server)
        user = self._recipient(login, string_field(body, "loginId"))
        link = add_query(uri, {"t": self._logins.create_link(replace(login, user_id=user.user_id))})
        self._outbox.add(Email(user.email, link, self._clock()))
        return JSONResponse({"maskedEmail": _masked(user.email)})

    async def magiclink_verify(self, request: Request) -> Response:
        """Return the session of a link's token. Works once."""
        authenticate(request, self._project, key=self._project.auth_management_key)
        login = self._logins.redeem_link(string_field(await json_object(request), "token"))
        user = None if login is None else self._project.find_user(login.user_id or "")
        if login is None or login.pending is not None or user is None or user.is_disabled:
            raise ApiError.expired_magic_link()
        issued = self._auth_server.sign_in(ConfirmedLogin(login, user))
        body = jwt_response(issued, self._project, now=self._clock(), with_user=True)
        return token_response(body, self._project, now=self._clock())

    def _recipient(self, login: Login, login_id: str) -> SeedUser:
        """Return the user who gets the link.

        Raises:
            ApiError: The project has no such user who may sign in this way.
        """
        user = resolve_or_sign_up(self._auth_server, login, login_id)
        if user is None:
            raise ApiError.unknown_user()
        if login.purpose == "signup" and self._auth_server.has_signed_in(user):
            raise ApiError.known_user()
        return user


def _masked(email: str) -> str:
    name, _, domain = email.partition("@")
    return f"{name[:1]}***@{domain}"
