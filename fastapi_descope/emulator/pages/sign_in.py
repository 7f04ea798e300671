"""The page where a person picks who to be: what an identity provider's sign-in page does."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..api.login_start import resolve_or_sign_up
from ..auth_server import AuthServer
from ..directory import SeedUser
from ..logins import Login, LoginStore
from ..urls import add_query
from .rendering import PRIVATE_HEADERS, PageRenderer, read_form

__all__ = ["DISABLED", "IDP_ERRORS", "REFUSED", "STRANGER", "IdpError", "SignInPage"]

_ANSWERS = ("user", "login_id", "refuse", "fail")


@dataclass(frozen=True, slots=True)
class IdpError:
    """One of them. ``label`` is for the person who chooses it, the others go to the app.

    Without an ``error`` the browser is never sent back.
    """

    label: str
    error: str = ""
    description: str = ""


REFUSED = IdpError("Refuse", "access_denied", "The sign-in was refused")
DISABLED = IdpError("The user is disabled", "access_denied", "The user is disabled")
STRANGER = IdpError(
    "Somebody else signed in than was asked for",
    "access_denied",
    "The identity provider confirmed another user than the one asked for",
)

IDP_ERRORS = {
    "locked": IdpError("The account is locked", "access_denied", "The account is locked"),
    "stranger": STRANGER,
    "unassigned": IdpError(
        "The person may not use this app",
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
        "The provider does not answer",
        "temporarily_unavailable",
        "The identity provider could not be reached",
    ),
    "silence": IdpError("Nobody ever comes back"),
}
"""By the name that the form sends."""


class SignInPage:
    """``/signin/{page}``: lists who may sign in, takes a typed login id, and lets one refuse or fail.

    A page works once. The form is safe from other sites: the page's id cannot be guessed, the form holds
    a token of its own, and the emulator refuses cross-site posts.
    """

    def __init__(self, auth_server: AuthServer, logins: LoginStore) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._pages = PageRenderer()

    @property
    def routes(self) -> list[Route]:
        """The page and the answer to it, under one endpoint name."""
        return [
            Route("/signin/{page}", self.show, methods=["GET"], name="signin"),
            Route("/signin/{page}", self.submit, methods=["POST"], name="signin"),
        ]

    async def show(self, request: Request) -> Response:
        """The page, or 404 once it was answered or is ten minutes old."""
        login = self._logins.get_page(request.path_params["page"])
        return self._gone() if login is None else self._page(login)

    async def submit(self, request: Request) -> Response:
        """Send the browser back: with a code, or with an error.

        The page again (422) for a login id that may not sign in, 400 for a form that is not ours.
        """
        page = request.path_params["page"]
        login = self._logins.get_page(page)
        if login is None:
            return self._gone()
        form = await read_form(request)
        given = [(name, form[name]) for name in _ANSWERS if name in form]
        if not login.form_token_matches(form.get("form_token", "")):
            given = []
        match given:
            case [("refuse", "yes")]:
                return self._fail(page, login, REFUSED)
            case [("fail", name)] if name in IDP_ERRORS:
                return self._fail(page, login, IDP_ERRORS[name])
            case [("user", user_id)] if (user := self._choice(login, user_id)) is not None:
                return self._confirm(page, login, user)
            case [("login_id", typed)]:
                someone = resolve_or_sign_up(self._auth_server, login, typed)
                return self._confirm(page, login, someone) if someone else self._page(login, unknown=typed)
            case _:
                return self._pages.render_notice(
                    400, "That did not come from the sign-in page", "Go back and pick again."
                )

    def _page(self, login: Login, *, unknown: str = "") -> Response:
        hint, users = login.login_hint.lower(), login.eligible_users(self._auth_server.project)
        # Browsers hold every redirect that follows to it, also those of the app, which may lead anywhere.
        target = " http: https:" if login.redirect_url else ""
        return self._pages.render(
            "sign_in.html",
            422 if unknown else 200,
            form_action=f"'self'{target}",
            login=login,
            users=users,
            hinted=next((one for one in users if one.login_id.lower() == hint and not unknown), None),
            unknown=unknown,
            failures=IDP_ERRORS,
            open_sign_up=self._auth_server.project.open_sign_up,
        )

    def _confirm(self, page: str, login: Login, user: SeedUser) -> Response:
        """Send the code, unless the user is not one whom the app can have."""
        if user.is_disabled:
            return self._fail(page, login, DISABLED)
        if not login.allows_email(user.email, self._auth_server.project):
            return self._fail(page, login, STRANGER)
        self._logins.close_page(page)
        return self._back(login, {"code": self._logins.confirm(login, user)})

    def _fail(self, page: str, login: Login, failure: IdpError) -> Response:
        self._logins.close_page(page)
        if not failure.error:
            return self._pages.render_notice(
                200, "Nothing more happens here", "The app waits, and nobody comes back."
            )
        guesses = self._auth_server.project.assumptions
        is_oidc = login.oidc_request is not None
        return self._back(
            login, guesses.error_parameters(failure.error, failure.description, standard=is_oidc)
        )

    def _back(self, login: Login, parameters: dict[str, str]) -> Response:
        """Back to the app, if the browser came from one."""
        if not login.redirect_url:
            return self._pages.render_notice(200, "That is all here", "Go back to the app: it has been told.")
        rebuild = self._auth_server.project.assumptions.redirect_query == "rebuild"
        location = add_query(login.redirect_url, parameters, rebuild=rebuild)
        return Response(status_code=303, headers={"location": location} | PRIVATE_HEADERS)

    def _choice(self, login: Login, user_id: str) -> SeedUser | None:
        users = login.eligible_users(self._auth_server.project)
        return next((one for one in users if one.user_id == user_id), None)

    def _gone(self) -> Response:
        return self._pages.render_notice(
            404, "This sign-in is over", "It was finished, or left open too long. Start again in the app."
        )
