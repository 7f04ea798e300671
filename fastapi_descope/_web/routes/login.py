"""The login route, which redirects to Descope, and the callback, which Descope redirects to."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..._auth.core import Core
from ..._auth.login import Admission, LoginRequest
from ..._config.tenant_hint import TENANT_HINT
from ..._telemetry.log_once import LogOnce
from ..._upstream.login_options import LoginOptions, LoginParams
from ...errors import ConfigurationError, ConflictingCookies, Forbidden, LoginRejected, NotAuthenticated
from ...events import EventBus, LoginFailed, LoginStarted, RedirectRejected
from ...session import TokenPair, UserProfile
from ...settings import DescopeSettings
from ..app_location import CALLBACK, LOGIN, path_in_app, path_in_browser, public_path
from ..cookies import SessionCookies
from ..error_responses import NO_STORE, ClientKind, client_kind, is_cross_origin_navigation
from ..hooks import Hooks, hook_request
from ..login_transactions import LoginTransactions, Transaction
from ..pages import PAGE_HEADERS, forwarding_page, organisation_page
from ..public_origin import PublicOrigin
from ..redirects import RedirectPolicy
from ..request_auth import RequestAuth, request_auth

__all__ = ["LoginRoutes"]

_REDIRECT_HEADERS = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""Headers of redirects away from a URL that contains a code or a state (CB-10)."""

_NO_TENANT = "Your organisation decides how you sign in."
_INVALID_TENANT = "That is neither a work e-mail nor the id of an organisation."

_HOOK_REQUIRES_SESSION = (
    "The login_options hook requires a session, but a login often has none: use get_auth_session, which can"
    " return None, and catch NotAuthenticated around get_user_profile"
)

_OTHER_HOST = (
    "A sign-in was started on another host than that of DESCOPE_PUBLIC_URL. Unless a proxy replaces the Host"
    " header, it cannot finish: Descope redirects the browser to DESCOPE_PUBLIC_URL, and the login cookie"
    " stays on the first host. Open the app at DESCOPE_PUBLIC_URL, or redirect other hosts to it. localhost"
    " and 127.0.0.1 are different hosts"
)

_CODE = re.compile(r"[!-~]{1,2048}")


@dataclass(frozen=True, slots=True)
class LoginRoutes:
    """``GET /login/sso`` and ``GET /callback``."""

    core: Core
    settings: DescopeSettings
    transactions: LoginTransactions
    cookies: SessionCookies
    public_origin: PublicOrigin
    redirects: RedirectPolicy
    events: EventBus
    hooks: Hooks
    log_once: LogOnce = field(default_factory=LogOnce)

    # A login is a new one even if a session exists; it never redirects straight to return_to (CB-15).
    async def login(self, request: Request) -> Response:
        """Send the browser to the organisation's single sign-on.

        `tenant` is the id of a tenant, or a work e-mail whose domain belongs to one.
        """
        auth = request_auth(request.scope)
        self._require_navigation(request)
        auth.cookies.drop_duplicates(auth.credentials())
        return_to = self._return_to(request, auth)
        query, has_tenant = _single_values(request), "tenant" in request.query_params
        params, tenant = LoginParams.from_query(query), _matching(query.get("tenant"), TENANT_HINT)
        if tenant is not None and _may_swap_users(request, auth):
            return _organisation_page(request, return_to, params, tenant=tenant)
        options = params.apply_to(await self._options(request))
        if not has_tenant:
            tenant = await _session_tenant(options, auth) or self.settings.default_tenant
        if tenant is None:
            detail = _INVALID_TENANT if has_tenant else _NO_TENANT
            return self._ask_for_organisation(request, return_to, params, detail)
        self._warn_about_other_host(request)
        state, cookies = self._start_transaction(request, return_to)
        login_request = LoginRequest(tenant, self._redirect_url(request, state), params, options)
        url = await self.core.login_flow.authorization_url(login_request, credentials=auth.credentials())
        auth.cookies.add(cookies)
        self.events.emit(LoginStarted())
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _REDIRECT_HEADERS)

    async def callback(self, request: Request) -> Response:
        """Exchange the one-time code for a session, and redirect to the page that started the login."""
        auth = request_auth(request.scope)
        transaction = self._finish_transaction(request, auth)
        if auth.credentials().ambiguous:
            # The login could not delete the duplicates: to continue would end in a login loop (CK-02).
            auth.cookies.drop_duplicates(auth.credentials())
            raise self._rejected("conflicting_cookies", ConflictingCookies().detail)
        if any(name in request.query_params for name in ("err", "error")):
            raise self._rejected("refused", "The sign-in was cancelled, or your organisation refused it.")
        code = _matching(_single_values(request).get("code"), _CODE)
        if code is None:
            raise self._rejected("code", "The sign-in service did not send a valid code.")
        pair = await self.core.login_flow.complete_login(code, self._admission(request, auth))
        # The new session replaces the one that the browser had (CB-09).
        await self.core.login_flow.supersede(auth.credentials(), pair)
        auth.cookies.write(pair)
        # Validated again, because the cookie that stored it could have been changed.
        safe = self._safe_redirect(transaction.return_to, request, auth)
        return self._redirect_after_login(safe or self._landing(auth))

    def _redirect_after_login(self, url: str) -> Response:
        """Return a redirect, or a forwarding page if cookies are Strict.

        Browsers do not send Strict cookies along a chain of redirects that started at Descope.
        """
        if self.settings.cookie_samesite == "strict":
            return HTMLResponse(forwarding_page(url), HTTPStatus.OK, {**PAGE_HEADERS, **NO_STORE})
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _REDIRECT_HEADERS)

    def _admission(self, request: Request, auth: RequestAuth) -> Admission:
        lasting_request = hook_request(request)

        async def admit(pair: TokenPair, profile: UserProfile | None) -> None:
            auth.set_pending_login(pair, profile)
            for hook in self.hooks.login:
                try:
                    await hook(lasting_request, pair.session)
                except NotAuthenticated as error:
                    # A NotAuthenticated would redirect to the login and loop.
                    raise _as_login_rejected(error) from error

        return admit

    def _start_transaction(self, request: Request, return_to: str) -> tuple[str, list[bytes]]:
        secure = self.cookies.use_secure(request.scope)
        return self.transactions.start(
            request.scope["headers"], return_to=return_to, now=self.core.clock(), secure=secure
        )

    def _finish_transaction(self, request: Request, auth: RequestAuth) -> Transaction:
        """Return the login of this callback and delete it: it completes once, on success or failure.

        Raises:
            LoginRejected: this browser has no such pending login.
        """
        # CB-01 to CB-04
        state = _single_values(request).get("state")
        headers, secure = request.scope["headers"], self.cookies.use_secure(request.scope)
        transaction = None
        if state is not None:
            transaction = self.transactions.find(headers, state=state, now=self.core.clock(), secure=secure)
            auth.cookies.add(self.transactions.delete(headers, state=state, secure=secure))
        if transaction is None:
            raise self._rejected(
                "state", "This sign-in has expired, was started in another browser, or was already used."
            )
        return transaction

    def _redirect_url(self, request: Request, state: str) -> str:
        callback = self.public_origin.require(request.scope) + _sibling_path(request, CALLBACK.path)
        return f"{callback}?state={state}"

    def _return_to(self, request: Request, auth: RequestAuth) -> str:
        """Return where to redirect after the login: ``return_to`` if it is safe, else the landing path."""
        if "return_to" not in request.query_params:
            return self._landing(auth)
        safe = self._safe_redirect(_single_values(request).get("return_to"), request, auth)
        if safe is None:
            self.events.emit(RedirectRejected())
        return safe or self._landing(auth)

    def _safe_redirect(self, target: str | None, request: Request, auth: RequestAuth) -> str | None:
        public_paths = auth.location.login_app.public_paths
        return self.redirects.safe_redirect(target, request.scope, forbidden=public_paths)

    def _landing(self, auth: RequestAuth) -> str:
        return public_path(self.settings.post_login_path, auth.location.login_app.root_path)

    async def _options(self, request: Request) -> LoginOptions:
        options = LoginOptions()
        for hook in self.hooks.login_options:  # one at most
            try:
                options = await hook(request) or options
            except NotAuthenticated as error:
                raise ConfigurationError(_HOOK_REQUIRES_SESSION) from error
        return options

    def _ask_for_organisation(
        self, request: Request, return_to: str, params: LoginParams, detail: str
    ) -> Response:
        if client_kind(request.scope) is not ClientKind.NAVIGATION:
            raise self._rejected("tenant", f"{detail} Send tenant=<id or e-mail>.")
        return _organisation_page(request, return_to, params, detail=detail)

    def _require_navigation(self, request: Request) -> None:
        """Reject images, scripts and prefetches: only a navigation may start a login (CB-13)."""
        mode = request.headers.get("sec-fetch-mode", "navigate")
        if mode != "navigate" or client_kind(request.scope) is ClientKind.PREFETCH:
            self.events.emit(LoginFailed("not_a_navigation"))
            raise Forbidden("Open this address in a browser. A script cannot follow it.")

    def _warn_about_other_host(self, request: Request) -> None:
        if self.public_origin.is_other_host(request.scope):
            self.log_once.warning(_OTHER_HOST)  # without the host, which the client can choose

    def _rejected(self, reason: str, detail: str) -> LoginRejected:
        self.events.emit(LoginFailed(reason))
        return LoginRejected(detail, reason=reason)


def _as_login_rejected(error: NotAuthenticated) -> LoginRejected:
    return LoginRejected(error.detail if error.detail != error.title else None, reason=error.code)


def _single_values(request: Request) -> Mapping[str, str]:
    """Return the query parameters that occur exactly once (CB-05, RT-14)."""
    items = request.query_params.multi_items()
    counts = Counter(name for name, _ in items)
    return {name: value for name, value in items if counts[name] == 1}


def _matching(value: str | None, grammar: re.Pattern[str]) -> str | None:
    return value if value is not None and grammar.fullmatch(value) else None


async def _session_tenant(options: LoginOptions, auth: RequestAuth) -> str | None:
    """Return the session's tenant for a step-up or MFA, else None. A live session costs no network call."""
    if not (options.stepup or options.mfa):
        return None
    session = (await auth.authenticate()).session
    return session.tenant_id if session else None


def _may_swap_users(request: Request, auth: RequestAuth) -> bool:
    """Return whether another site sent a browser here that has a session already (login CSRF, CB-15)."""
    credentials = auth.credentials()
    has_session = bool(credentials.session or credentials.refresh or credentials.ambiguous)
    return has_session and is_cross_origin_navigation(request.headers)


def _organisation_page(
    request: Request, return_to: str, params: LoginParams, *, detail: str = "", tenant: str = ""
) -> Response:
    """Return the page that asks for the organisation. Its form carries the parameters of the login."""
    page = organisation_page(
        detail=detail,
        login_path=_sibling_path(request, LOGIN.path),
        carried={"return_to": return_to, **params.as_query()},
        tenant=tenant,
    )
    status = HTTPStatus.OK if tenant else HTTPStatus.BAD_REQUEST
    return HTMLResponse(page, status, {**PAGE_HEADERS, **NO_STORE})


def _sibling_path(request: Request, path: str) -> str:
    """Return the public path of a route of the router, derived from that of the login."""
    prefix = path_in_app(request.scope).removesuffix(LOGIN.path)
    return path_in_browser(prefix + path, request.scope.get("root_path", ""))
