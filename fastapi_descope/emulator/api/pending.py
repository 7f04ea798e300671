"""Sign-ins that end elsewhere while the app polls for the session (wire contract, section 2.16)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..directory import SeedUser
from ..logins import Login, LoginStore
from ..project import Project
from ..urls import add_query, is_approved
from .authentication import authenticate, optional_refresh_token, require_management_key
from .login_start import login_for, parse_login_options, resolve_or_sign_up, sign_in_page_url
from .request_parsing import json_object, object_field, string_field
from .responses import jwt_response, token_response

__all__ = ["PendingApi"]

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
_PURPOSES: dict[str, Literal["any", "signup", "signin", "update"]] = {
    "signup-in": "any",
    "signup": "signup",
    "signin": "signin",
    "update": "update",
}


class PendingApi:
    """nOTP over WhatsApp, and enchanted links.

    An nOTP is confirmed on the sign-in page: ``redirectUrl`` leads there instead of to WhatsApp. ``image`` is
    a single pixel; Descope returns a QR code. ``providerId``, ``templates``, ``ssoAppId`` and the ``user`` of
    a sign-up have no effect.

    The emulator sends no mail. An enchanted link comes from the management API for test users (section 2.18),
    and the app that it leads to posts its token to ``/v1/auth/enchantedlink/verify``.

    An unknown, used or expired reference gets the response of a pending one, unless
    ``Assumptions.notp_expiry_differs``. Descope's response is unknown.
    """

    def __init__(self, auth_server: AuthServer, logins: LoginStore, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._clock = clock

    @property
    def routes(self) -> list[Route]:
        """The routes. The name of a route is the name of the endpoint for faults and the journal."""
        table = [
            ("/v1/auth/notp/pending-session", self.notp_pending),
            ("/v1/mgmt/tests/generate/enchantedlink", self.enchanted_generate),
            ("/v1/auth/enchantedlink/verify", self.enchanted_verify),
            ("/v1/auth/enchantedlink/pending-session", self.enchanted_pending),
            *((f"/v1/auth/notp/whatsapp/{way}", self.notp_start) for way in _PURPOSES),
        ]
        return [Route(path, call, methods=["POST"], name=call.__name__) for path, call in table]

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    async def notp_start(self, request: Request) -> Response:
        """Start an nOTP. Return the URL of its sign-in page and the reference to poll with.

        ``loginId`` is optional: without it, any user of the project may confirm.
        """
        token = optional_refresh_token(request, self._project)
        body = await json_object(request)
        purpose = _PURPOSES[request.url.path.rpartition("/")[2]]
        _check_unused_fields(body)
        login = Login(
            tenant=None,
            options=parse_login_options(object_field(body, "loginOptions")),
            method="whatsapp",
            purpose=purpose,
            phone=string_field(body, "phone") if purpose == "update" else "",
        )
        if body.get("loginId"):
            login = replace(login, user_id=self._owner(login, string_field(body, "loginId")).user_id)
        login, reference = self._logins.create_pending(login_for(login, token, self._auth_server))
        url = sign_in_page_url(request, self._logins.create_page(login))
        return JSONResponse({"redirectUrl": url, "image": self._image(), "pendingRef": reference})

    async def notp_pending(self, request: Request) -> Response:
        """Return the session once the sign-in has been confirmed; E066103 until then. Works once."""
        pending = ApiError.notp_pending()
        differs = self._project.assumptions.notp_expiry_differs
        return await self._session(
            request, "whatsapp", pending, ended=ApiError.expired_link() if differs else pending
        )

    async def enchanted_generate(self, request: Request) -> Response:
        """Return an enchanted link for a user. Needs the management key."""
        require_management_key(request, self._project)
        body = await json_object(request)
        user, uri = self._user(string_field(body, "loginId")), string_field(body, "URI")
        if not is_approved(uri, self._project.approved_redirects):
            raise ApiError.unacceptable("URI is not in the approved domains of the project")
        options = parse_login_options(object_field(body, "loginOptions"))
        login = Login(tenant=None, options=options, user_id=user.user_id, method="email")
        login, reference = self._logins.create_pending(login)
        link = add_query(uri, {"t": self._logins.create_link(login)})
        return JSONResponse({"link": link, "loginId": user.login_id, "pendingRef": reference})

    async def enchanted_verify(self, request: Request) -> Response:
        """Confirm the sign-in of a link's token. Works once, and returns an empty object."""
        authenticate(request, self._project, key=self._project.auth_management_key)
        login = self._logins.redeem_link(string_field(await json_object(request), "token"))
        if login is None:
            raise ApiError.expired_link()
        self._logins.confirm(login, self._user(login.user_id or ""))
        return JSONResponse({})

    async def enchanted_pending(self, request: Request) -> Response:
        """Return the session once the link has been followed; E062503 until then. Works once."""
        pending = ApiError.link_pending()
        return await self._session(request, "email", pending, ended=pending)

    async def _session(
        self, request: Request, method: str, pending: ApiError, *, ended: ApiError
    ) -> Response:
        authenticate(request, self._project, key=self._project.auth_management_key)
        reference = string_field(await json_object(request), "pendingRef")
        confirmed = self._logins.redeem_pending(reference, method)
        if confirmed is None:
            raise pending if self._logins.is_pending(reference, method) else ended
        issued = self._auth_server.sign_in(confirmed)
        body = jwt_response(issued, self._project, now=self._clock(), with_user=True)
        return token_response(body, self._project, now=self._clock())

    def _image(self) -> str:
        as_data_uri = self._project.assumptions.notp_image == "data_uri"
        return f"data:image/png;base64,{_PIXEL}" if as_data_uri else _PIXEL

    def _owner(self, login: Login, login_id: str) -> SeedUser:
        """Return the only user who may confirm a sign-in that was started with a login id."""
        user = self._project.find_user(login_id) or resolve_or_sign_up(self._auth_server, login, login_id)
        if user is None:
            raise ApiError.unknown_user()
        if login.purpose == "signup" and self._auth_server.has_signed_in(user):
            raise ApiError.known_user()
        return user

    def _user(self, reference: str) -> SeedUser:
        user = self._project.find_user(reference)
        if user is None:
            raise ApiError.unknown_user()
        return user


def _check_unused_fields(body: dict[str, object]) -> None:
    """Check the types of the fields that have no effect; that of ``templates`` is unknown."""
    for name in ("providerId", "ssoAppId"):
        if body.get(name):
            string_field(body, name)
    object_field(body, "user")
