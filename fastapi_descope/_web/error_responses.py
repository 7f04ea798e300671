"""HTTP responses for ``DescopeError``, in the form that the client can use.

A navigation gets an HTML page, or a redirect to the login if it is unauthenticated. HTMX gets
``HX-Redirect``, and Turbo a page that leads to the login. Any other client gets a problem document (RFC 9457)
with a stable ``code``.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Scope

from .._telemetry.log_once import LogOnce
from .._upstream.login_options import LoginParams
from ..errors import (
    ConfigurationError,
    ConflictingCookies,
    DescopeError,
    Forbidden,
    InvalidAccessKey,
    LoginLoop,
    MissingPermissions,
    MissingRoles,
    MissingScopes,
    NotAuthenticated,
    ProjectCookiesRenamed,
    SessionCheckFailed,
    SessionTooLarge,
    StepUpRequired,
    TokenError,
    TokenReason,
    TooManyAttempts,
    UnsupportedAuthScheme,
    UpstreamUnavailable,
)
from ..events import LoginLoopStopped
from .app_location import CALLBACK, LOGOUT, path_in_app, path_in_browser, public_path
from .client_kind import ClientKind, client_kind, is_cross_origin_navigation
from .login_loops import LoginLoops
from .openapi import PROBLEM_MEDIA_TYPE
from .own_logins import OwnLogins
from .page_responses import PageResponses
from .pages import error_page, turbo_page
from .public_origin import PublicOrigin
from .redirects import RedirectPolicy
from .request_auth import RequestAuth
from .websocket import WebSocketRejection

__all__ = [
    "NO_STORE",
    "ErrorResponses",
    "NotANavigation",
    "htmx_redirect",
    "problem_document",
]

NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store"}
"""Headers of every response of the plugin (CA-05)."""

_URL_SAFE = "/:@!$&'()*+,;=%?#[]"
"""Characters of a URL that are not quoted again (RFC 3986, section 2). Its escapes are kept."""

_FOREIGN_HEADER = (
    "This request has an Authorization header (scheme: bearer) whose token this application does not accept."
    " The header takes precedence over the session cookies, so signing in does not help. If a proxy added it,"
    " configure the proxy to remove it."
)

_RETRYABLE = (UpstreamUnavailable, SessionCheckFailed, TooManyAttempts)
"""The errors after which the same request may succeed a few seconds later."""

_BEARER_ERRORS = (TokenError, InvalidAccessKey)
"""The errors of a bearer that is refused."""

_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


class NotANavigation(Forbidden):
    """A script has requested a login. HTMX and Turbo load the URL again as a navigation (CB-13)."""


class ErrorResponses:
    """Turns errors into responses for the client."""

    def __init__(
        self,
        public_origin: PublicOrigin,
        redirects: RedirectPolicy,
        loops: LoginLoops,
        own_logins: OwnLogins,
        pages: PageResponses,
        *,
        landing_path: str,
        resource_metadata: str | None = None,
    ) -> None:
        self._public_origin = public_origin
        self._redirects = redirects
        self._loops = loops
        self._own_logins = own_logins
        self._pages = pages
        self._landing_path = landing_path
        self._resource_metadata = resource_metadata
        self._log_once = LogOnce()

    def _login_path(self, auth: RequestAuth) -> str | None:
        """Return the public path of the login that belongs to the request, or None if the app has none."""
        return auth.location.login_app.entry_path

    def response_for(self, error: DescopeError, auth: RequestAuth, *, started: bool = False) -> ASGIApp:
        """Return the response for ``error`` as an ASGI app.

        Args:
            error: The error to render.
            auth: The authentication of the request.
            started: Whether a WebSocket was accepted already, so that it can only be closed.
        """
        scope = auth.scope
        if isinstance(error, ConfigurationError):
            error = self._log_and_redact(error, scope)
        if scope["type"] == "websocket":
            denial = None if started else self._problem(error, auth)
            return WebSocketRejection(_close_code(error, auth.parts.close_code), error.code, denial)
        login = self._login_path(auth)
        if isinstance(error, NotAuthenticated) and login and not _would_loop(error, auth):
            if (loop := self._loop(error, auth)) is not None:
                auth.parts.events.emit(LoginLoopStopped(loop.missing))
                error = loop
            elif (redirect := self._login_redirect(error, auth, scope, login)) is not None:
                return redirect
        kind = client_kind(scope)
        if kind in {ClientKind.NAVIGATION, ClientKind.TURBO}:
            return self._page(error, auth, scope, login)
        problem = self._problem(error, auth)
        if kind is ClientKind.HTMX and isinstance(error, NotANavigation):
            problem.headers.update(htmx_redirect(_address(auth, scope)))
        return problem

    def _log_and_redact(self, error: ConfigurationError, scope: Scope) -> ConfigurationError:
        """Log what is misconfigured, and hide it from clients on other machines, unless it is only names."""
        self._log_once.warning(error.detail, level=logging.ERROR)
        may_show = isinstance(error, ProjectCookiesRenamed) or self._public_origin.is_loopback_request(scope)
        return error if may_show else ConfigurationError()

    def _page(self, error: DescopeError, auth: RequestAuth, scope: Scope, login: str | None) -> Response:
        if isinstance(error, NotAuthenticated) and login is None:
            self._log_once.warning(
                "A page requires a signed-in user, but this app has no login route: use Descope(app), or"
                " app.include_router(descope.router)"
            )
        if _refuses_bearer(error, auth):
            login = None
            error = error if isinstance(error, UnsupportedAuthScheme) else _ForeignHeader()
        if isinstance(error, NotAuthenticated) and login is not None:
            # The form data is lost, so the login returns to the page that sent it.
            is_get = scope["method"] == "GET"
            here = _address(auth, scope) if is_get else Headers(scope=scope).get("referer", "")
            login = self._login_url(login, here, _login_params(error), scope)
        if auth.login_query and login is not None:
            login = f"{login}?{urlencode(auth.login_query)}"
        # After an error, a callback can only fail again.
        can_retry = scope["method"] == "GET" and not scope["path"].endswith(CALLBACK.path)
        login_app, has_session = auth.location.login_app, _has_session(auth)
        may_log_out = has_session and isinstance(error, (Forbidden, SessionTooLarge))
        logout = login_app.path_in_browser(LOGOUT) if may_log_out else None
        page = error_page(
            self._pages.texts(scope),
            error,
            login_path=login,
            logout_path=logout,
            home_path=path_in_browser("/", login_app.root_path),
            can_retry=can_retry,
            has_session=has_session,
        )
        if client_kind(scope) is ClientKind.TURBO:
            url = _turbo_target(error, auth, login)
            page = turbo_page(page, url, in_frame="turbo-frame" in Headers(scope=scope))
        return self._pages.response(scope, page, error.status, self._headers(error, auth))

    def _login_redirect(
        self, error: NotAuthenticated, auth: RequestAuth, scope: Scope, login: str
    ) -> Response | None:
        """Return a redirect to the login and back, or None for clients that cannot follow it."""
        params = _login_params(error)
        if (here := _page_to_return_to(auth, scope)) is None:
            return None
        if here.partition("?")[0] == login:  # the app's own login page requires a session
            return None
        url = self._login_url(login, here, params, scope)
        if client_kind(scope) is ClientKind.NAVIGATION:
            may_be_asked = auth.location.starts_login and _has_session(auth)
            if may_be_asked and is_cross_origin_navigation(Headers(scope=scope)):
                auth.cookies.add(self._own_logins.mark(scope, url))
            return RedirectResponse(url, HTTPStatus.SEE_OTHER, NO_STORE)
        problem = self._problem(error, auth)
        problem.headers.update(htmx_redirect(url))
        return problem

    def _loop(self, error: NotAuthenticated, auth: RequestAuth) -> LoginLoop | None:
        """Return the error if a login for the same was completed a moment ago, else None."""
        scope, params = auth.scope, _login_params(error)
        if (here := _page_to_return_to(auth, scope)) is None:
            return None
        landing = public_path(self._landing_path, auth.location.login_app.root_path)
        if not self._loops.is_loop(scope, params, self._redirects.safe_redirect(here, scope) or landing):
            return None
        return LoginLoop("mfa" if params.mfa else "step_up" if params.step_up else "session")

    def _login_url(self, login: str, here: str, params: LoginParams, scope: Scope) -> str:
        back = self._redirects.safe_redirect(here, scope)
        query = urlencode({**params.as_query(), **({"return_to": back} if back else {})})
        return f"{login}?{query}" if query else login

    def _problem(self, error: DescopeError, auth: RequestAuth) -> JSONResponse:
        body = problem_document(error)
        if isinstance(error, NotAuthenticated) and (login := self._login_path(auth)):
            body["login_url"] = login
        headers = self._headers(error, auth)
        return JSONResponse(body, error.status, headers, media_type=PROBLEM_MEDIA_TYPE)

    def _headers(self, error: DescopeError, auth: RequestAuth) -> dict[str, str]:
        headers = dict(NO_STORE)
        if isinstance(error, _RETRYABLE):
            headers["Retry-After"] = str(error.retry_after)
        if isinstance(error, (NotAuthenticated, MissingScopes)):
            headers["WWW-Authenticate"] = self._challenge(error, auth)
        return headers

    def _challenge(self, error: NotAuthenticated | MissingScopes, auth: RequestAuth) -> str:
        """Return the ``WWW-Authenticate`` value, with the address of the metadata of the resource."""
        parameters = _challenge_parameters(error, auth)
        if self._resource_metadata is not None:  # RFC 9728, section 5.1
            parameters["resource_metadata"] = self._resource_metadata
        values = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
        return f"Bearer {values}".rstrip()


def _page_to_return_to(auth: RequestAuth, scope: Scope) -> str | None:
    """Return the URL at which a login ends, or None for clients that cannot be redirected to the login."""
    kind = client_kind(scope)
    if kind is ClientKind.HTMX:
        return Headers(scope=scope).get("hx-current-url", "")
    return _address(auth, scope) if kind is ClientKind.NAVIGATION and scope["method"] == "GET" else None


def _turbo_target(error: DescopeError, auth: RequestAuth, login: str | None) -> str | None:
    """Return the URL to which Turbo goes on from the page, or None if the user reads the page first."""
    if isinstance(error, NotANavigation):
        return _address(auth, auth.scope)
    if isinstance(error, StepUpRequired) and auth.scope["method"] != "GET":
        return None  # the page says that nothing was saved
    return login if isinstance(error, NotAuthenticated) and not _would_loop(error, auth) else None


def _address(auth: RequestAuth, scope: Scope) -> str:
    """Return path and query of the request, as the browser sees them."""
    root_path = auth.location.login_app.root_path
    query: bytes = scope["query_string"]
    path = path_in_browser(path_in_app(scope, root_path), root_path)
    return path + ("?" + query.decode("latin-1")).rstrip("?")


def _has_session(auth: RequestAuth) -> bool:
    """Return whether the browser has a session: if that is unknown, whether it sent a session cookie."""
    if auth.is_signed_in is not None:
        return auth.is_signed_in
    credentials = auth.known_credentials
    return credentials is not None and bool(credentials.session or credentials.refresh)


def problem_document(error: DescopeError) -> dict[str, object]:
    """Return the fields of the problem document for ``error`` that do not depend on the request."""
    body: dict[str, object] = {
        "type": error.problem_type,
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    if isinstance(error, (MissingRoles, MissingPermissions, MissingScopes)):
        body["missing"] = list(error.missing)
    if isinstance(error, (MissingRoles, MissingPermissions)) and error.any_of:
        body["any_of"] = True
    return body


def htmx_redirect(url: str) -> Mapping[str, str]:
    """Return the header that makes HTMX navigate to ``url``, quoted to ASCII."""
    return {"HX-Redirect": quote(url, safe=_URL_SAFE)}


def _login_params(error: NotAuthenticated) -> LoginParams:
    """Return the parameters of a login after which the error does not occur again."""
    if isinstance(error, LoginLoop) and error.missing != "session":
        return LoginParams(**{error.missing: "true"})
    if not isinstance(error, StepUpRequired):
        return LoginParams()
    return LoginParams(mfa="true") if error.acr == "mfa" else LoginParams(step_up="true")


def _would_loop(error: NotAuthenticated, auth: RequestAuth) -> bool:
    """Return whether the same error would occur again after a login.

    A client with an Authorization header sends it again. A planted cookie that is bound to a path remains
    after a login (CK-02), so a page explains it and offers the login.
    """
    if auth.known_credentials is not None and auth.known_credentials.bearer is not None:
        return True
    return isinstance(error, ConflictingCookies)


class _ForeignHeader(TokenError):
    """A browser sent a bearer token that is not ours: a proxy has added it, and adds it after a login too."""

    def __init__(self) -> None:
        super().__init__(TokenReason.MALFORMED, _FOREIGN_HEADER)


def _refuses_bearer(error: DescopeError, auth: RequestAuth) -> bool:
    """Return whether the error is about the Authorization header of the request."""
    sent_bearer = auth.known_credentials is not None and auth.known_credentials.bearer is not None
    return sent_bearer and isinstance(error, _BEARER_ERRORS)


def _challenge_parameters(error: NotAuthenticated | MissingScopes, auth: RequestAuth) -> dict[str, str]:
    """Return the parameters of the challenge: RFC 6750, or RFC 9470 for a step-up."""
    if isinstance(error, MissingScopes):
        return {"error": "insufficient_scope", "scope": " ".join(error.required)}
    if isinstance(error, StepUpRequired):
        age = {} if error.max_age is None else {"max_age": str(error.max_age)}
        acr = {} if error.acr is None else {"acr_values": error.acr}
        return {"error": "insufficient_user_authentication", **age, **acr}
    return {"error": "invalid_token"} if _refuses_bearer(error, auth) else {}


def _close_code(error: DescopeError, session_ended: int) -> int:
    if isinstance(error, NotAuthenticated):
        return session_ended
    return _TRY_AGAIN_LATER if isinstance(error, _RETRYABLE) else _POLICY_VIOLATION
