"""The sign-in page, which stands in for the identity provider: it lists users and lets a sign-in fail."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..api.login_start import resolve_or_sign_up
from ..auth_server import AuthServer
from ..directory import SeedUser
from ..logins import Login, LoginStore
from ..urls import absolute_url, add_query
from .rendering import PRIVATE_HEADERS, PageRenderer, read_form

__all__ = ["ACCESS_DENIED", "IDP_ERRORS", "USER_DISABLED", "WRONG_USER", "IdpError", "SignInPage"]

_CHOICES = ("user", "login_id", "refuse", "fail")


@dataclass(frozen=True, slots=True)
class IdpError:
    """A way in which a sign-in can fail at an identity provider.

    It is unknown what Descope sends to the app then (wire contract, section 2.1). The emulator sends an OAuth
    error (RFC 6749, section 4.1.2.1) in the parameters of ``Assumptions.failed_sign_in``.

    Attributes:
        label: The text of the button.
        error: The error code for the app; empty if the browser never returns to it.
        description: The description for the app.
    """

    label: str
    error: str = ""
    description: str = ""


ACCESS_DENIED = IdpError("Refuse", "access_denied", "The sign-in was refused")
USER_DISABLED = IdpError("The user is disabled", "access_denied", "The user is disabled")
WRONG_USER = IdpError(
    "Another user signed in",
    "access_denied",
    "The identity provider confirmed another user than the requested one",
)

IDP_ERRORS = {
    "locked": IdpError("The account is locked", "access_denied", "The account is locked"),
    "stranger": WRONG_USER,
    "unassigned": IdpError(
        "The user is not assigned to this app",
        "access_denied",
        "The user is not assigned to this application",
    ),
    "certificate": IdpError(
        "The provider's certificate has expired",
        "server_error",
        "The certificate that signed the SAML response has expired",
    ),
    "skew": IdpError(
        "The provider's clock is ahead",
        "server_error",
        "The SAML assertion is not valid yet",
    ),
    "unreachable": IdpError(
        "The provider is unreachable",
        "temporarily_unavailable",
        "The identity provider could not be reached",
    ),
    "silence": IdpError("The browser never returns to the app"),
}
"""The errors of the page, by the name that the form sends."""


class SignInPage:
    """``/signin/{page}``: lists the users who may sign in, accepts a login id, and can refuse or fail.

    A page works once. Other sites cannot submit it: its id is unguessable, the form has a CSRF token, and the
    emulator rejects cross-site posts.
    """

    def __init__(self, auth_server: AuthServer, logins: LoginStore) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._pages = PageRenderer()

    @property
    def routes(self) -> list[Route]:
        """The page and its form target, under one endpoint name."""
        return [
            Route("/signin/{page}", self.show, methods=["GET"], name="signin"),
            Route("/signin/{page}", self.submit, methods=["POST"], name="signin"),
        ]

    async def show(self, request: Request) -> Response:
        """Return the page, or 404 if it has been submitted or is ten minutes old."""
        login = self._logins.get_page(request.path_params["page"])
        return self._render_ended() if login is None else self._render(login)

    async def submit(self, request: Request) -> Response:
        """Redirect to the app with a code or an error.

        Returns 422 and the page for a login id that may not sign in, 400 for a form without the CSRF token.
        """
        page = request.path_params["page"]
        login = self._logins.get_page(page)
        if login is None:
            return self._render_ended()
        form = await read_form(request)
        choices = [(name, form[name]) for name in _CHOICES if name in form]
        if not login.form_token_matches(form.get("form_token", "")):
            choices = []
        match choices:
            case [("refuse", "yes")]:
                return self._fail(page, login, ACCESS_DENIED)
            case [("fail", name)] if name in IDP_ERRORS:
                return self._fail(page, login, IDP_ERRORS[name])
            case [("user", user_id)] if (user := self._find_choice(login, user_id)) is not None:
                return self._confirm(request, page, login, user)
            case [("login_id", entered)]:
                account = resolve_or_sign_up(self._auth_server, login, entered)
                return (
                    self._confirm(request, page, login, account)
                    if account
                    else self._render(login, unknown=entered)
                )
            case _:
                return self._pages.render_notice(
                    400, "The form is not from this sign-in page", "Go back and choose again."
                )

    def _render(self, login: Login, *, unknown: str = "") -> Response:
        hint, users = login.login_hint.lower(), login.eligible_users(self._auth_server.project)
        # Browsers apply form-action to all following redirects too, and the app may redirect to any site.
        target = " http: https:" if login.redirect_url else ""
        return self._pages.render(
            "sign_in.html",
            422 if unknown else 200,
            form_action=f"'self'{target}",
            login=login,
            users=users,
            hinted=next((user for user in users if user.login_id.lower() == hint and not unknown), None),
            unknown=unknown,
            idp_errors=IDP_ERRORS,
            open_sign_up=self._auth_server.project.open_sign_up,
        )

    def _confirm(self, request: Request, page: str, login: Login, user: SeedUser) -> Response:
        """Redirect with a code, unless the user is disabled or not the one that the app asked for.

        The user of an inbound app is asked for the consent first.
        """
        if user.is_disabled:
            return self._fail(page, login, USER_DISABLED)
        if not login.allows_email(user.email, self._auth_server.project):
            return self._fail(page, login, WRONG_USER)
        self._logins.close_page(page)
        if login.inbound_request is not None:
            consent = absolute_url(request, f"/consent/{self._logins.create_consent(login, user)}")
            return Response(status_code=303, headers={"location": consent} | PRIVATE_HEADERS)
        return self._redirect(login, {"code": self._logins.confirm(login, user)})

    def _fail(self, page: str, login: Login, idp_error: IdpError) -> Response:
        self._logins.close_page(page)
        if not idp_error.error:
            return self._pages.render_notice(
                200, "Nothing more happens here", "The browser does not return to the app."
            )
        assumptions = self._auth_server.project.assumptions
        parameters = assumptions.error_parameters(
            idp_error.error, idp_error.description, standard=login.is_oauth
        )
        return self._redirect(login, parameters)

    def _redirect(self, login: Login, parameters: dict[str, str]) -> Response:
        """Redirect to the app, or show a notice if the app polls for the session."""
        if not login.redirect_url:
            return self._pages.render_notice(200, "The sign-in is finished", "Go back to the app.")
        rebuild = self._auth_server.project.assumptions.redirect_query == "rebuild"
        location = add_query(login.redirect_url, parameters, rebuild=rebuild)
        return Response(status_code=303, headers={"location": location} | PRIVATE_HEADERS)

    def _find_choice(self, login: Login, user_id: str) -> SeedUser | None:
        users = login.eligible_users(self._auth_server.project)
        return next((user for user in users if user.user_id == user_id), None)

    def _render_ended(self) -> Response:
        return self._pages.render_notice(
            404, "This sign-in has ended", "It was finished or has expired. Start again in the app."
        )
