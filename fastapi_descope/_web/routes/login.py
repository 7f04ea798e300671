"""Signing in: the way to Descope and the way back."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
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
from ..hooks import LoginHook, OptionsHook
from ..login_transactions import LoginTransactions, Transaction
from ..pages import PAGE_HEADERS, forwarding_page, organisation_page
from ..public_origin import PublicOrigin
from ..redirects import RedirectPolicy
from ..request_auth import RequestAuth, request_auth

__all__ = ["LoginRoutes"]

_LEAVING = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""For redirects away from an address that has a code or a state in it (CB-10)."""

_UNNAMED = "Your organisation decides how you sign in."
_NO_NAME = "That is neither a work e-mail nor the id of an organisation."

_NEEDS_SESSION = (
    "The login_options hook demands a session, and at a login there need not be one: ask with"
    " get_auth_session, which gives None, and catch NotAuthenticated around get_user_profile"
)

_ANOTHER_HOST = (
    "A sign-in was begun under another host than that of DESCOPE_PUBLIC_URL. Unless a proxy replaces the Host"
    " header, it cannot end: the browser comes back to DESCOPE_PUBLIC_URL, and its cookie stays where it was."
    " Open the app there (localhost and 127.0.0.1 are two hosts), or redirect other hosts to it"
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
    options: Sequence[OptionsHook]
    hooks: Sequence[LoginHook]
    advice: LogOnce = field(default_factory=LogOnce)

    # Signed in already or not, a login is a new one: never a way straight to return_to (CB-15).
    async def login(self, request: Request) -> Response:
        """Send the browser to the organisation's single sign-on.

        `tenant` is the id of a tenant, or a work e-mail whose domain belongs to one.
        """
        auth = request_auth(request.scope)
        self._refuse_subresource(request)
        auth.cookies.drop_duplicates(auth.credentials())
        return_to = self._return_to(request, auth)
        query, is_named = _single_values(request), "tenant" in request.query_params
        params, named = LoginParams.from_query(query), _matching(query.get("tenant"), TENANT_HINT)
        if named is not None and _is_sent_over_a_session(request, auth):
            return _organisation_page(request, return_to, params, tenant=named)
        options = params.apply_to(await self._options(request))
        tenant = named if is_named else await _own_tenant(options, auth) or self.settings.default_tenant
        if tenant is None:
            return self._ask_for_organisation(request, return_to, params, _NO_NAME if is_named else _UNNAMED)
        self._advise(request)
        secure = self.cookies.use_secure(request.scope)
        state, cookies = self.transactions.start(
            request.scope["headers"], return_to=return_to, now=self.core.clock(), secure=secure
        )
        callback = self.public_origin.require(request.scope) + _beside_login(request, CALLBACK.path)
        url = await self.core.login_flow.authorization_url(
            LoginRequest(tenant, f"{callback}?state={state}", params, options),
            credentials=auth.credentials(),
        )
        auth.cookies.add(cookies)
        self.events.emit(LoginStarted())
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _LEAVING)

    async def callback(self, request: Request) -> Response:
        """Trade the one-time code for a session, and send the browser to where it wanted to go."""
        auth = request_auth(request.scope)
        transaction = self._transaction(request, auth)
        if auth.credentials().ambiguous:
            # The login has tried to heal it: to go on would lead to a page where nobody is signed in (CK-02).
            auth.cookies.drop_duplicates(auth.credentials())
            raise self._rejected("conflicting_cookies", ConflictingCookies().detail)
        if any(name in request.query_params for name in ("err", "error")):
            raise self._rejected("refused", "The sign-in was cancelled, or your organisation refused it.")
        code = _matching(_single_values(request).get("code"), _CODE)
        if code is None:
            raise self._rejected("code", "The sign-in service sent no usable code.")
        pair = await self.core.login_flow.complete_login(code, self._admission(request, auth))
        # Over whatever session the browser had (CB-09).
        await self.core.login_flow.supersede(auth.credentials(), pair)
        auth.cookies.write(pair)
        # Checked when it was stored; and once more now, because the cookie was in the browser since.
        safe = self._safe_redirect(transaction.return_to, request, auth)
        return self._arrived(safe or self._landing(auth))

    def _arrived(self, url: str) -> Response:
        """On to ``url``: by a page where a redirect, begun at Descope, would leave Strict cookies behind."""
        if self.settings.cookie_samesite == "strict":
            return HTMLResponse(forwarding_page(url), HTTPStatus.OK, {**PAGE_HEADERS, **NO_STORE})
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _LEAVING)

    def _admission(self, request: Request, auth: RequestAuth) -> Admission:
        # Hooks run on after a browser that does not wait: theirs is a scope that nobody closes by then.
        request.scope.setdefault("state", {})  # what they keep there is for the app to see
        for_hooks = Request(dict(request.scope), request.receive)

        async def admit(pair: TokenPair, profile: UserProfile | None) -> None:
            auth.set_pending_login(pair, profile)
            for hook in self.hooks:
                try:
                    await hook(for_hooks, pair.session)
                except NotAuthenticated as error:
                    # Elsewhere it sends a person to the login, which has just been.
                    raise _refusal(error) from error

        return admit

    def _transaction(self, request: Request, auth: RequestAuth) -> Transaction:
        """The login that this callback ends; it counts once, however it ends (CB-01 to CB-04)."""
        state = _single_values(request).get("state")
        headers, secure = request.scope["headers"], self.cookies.use_secure(request.scope)
        found = None
        if state is not None:
            found = self.transactions.find(headers, state=state, now=self.core.clock(), secure=secure)
            auth.cookies.add(self.transactions.delete(headers, state=state, secure=secure))
        if found is None:
            raise self._rejected(
                "state", "This sign-in is too old, was begun in another browser, or has been used already."
            )
        return found

    def _return_to(self, request: Request, auth: RequestAuth) -> str:
        """Where to go after the login: what was asked for if it is safe, else the landing path."""
        asked = request.query_params.getlist("return_to")
        if not asked:
            return self._landing(auth)
        safe = self._safe_redirect(asked[0], request, auth) if len(asked) == 1 else None
        if safe is None:
            self.events.emit(RedirectRejected())
        return safe or self._landing(auth)

    def _safe_redirect(self, target: str, request: Request, auth: RequestAuth) -> str | None:
        public_paths = auth.location.login_app.public_paths
        return self.redirects.safe_redirect(target, request.scope, forbidden=public_paths)

    def _landing(self, auth: RequestAuth) -> str:
        return public_path(self.settings.post_login_path, auth.location.login_app.root_path)

    async def _options(self, request: Request) -> LoginOptions:
        options = LoginOptions()
        for hook in self.options:  # one at most
            try:
                options = await hook(request) or options
            except NotAuthenticated as error:
                raise ConfigurationError(_NEEDS_SESSION) from error
        return options

    def _ask_for_organisation(
        self, request: Request, return_to: str, params: LoginParams, detail: str
    ) -> Response:
        if client_kind(request.scope) is not ClientKind.PERSON:
            raise self._rejected("tenant", f"{detail} Name it: tenant=<id or e-mail>.")
        return _organisation_page(request, return_to, params, detail=detail)

    def _refuse_subresource(self, request: Request) -> None:
        """A login starts because somebody went there, not because an image or a prefetch did (CB-13)."""
        mode = request.headers.get("sec-fetch-mode", "navigate")
        if mode != "navigate" or client_kind(request.scope) is ClientKind.PREFETCH:
            self.events.emit(LoginFailed("not_a_navigation"))
            raise Forbidden("Go to this address with a browser; a script cannot follow it.")

    def _advise(self, request: Request) -> None:
        if self.public_origin.is_other_host(request.scope):
            self.advice.warning(_ANOTHER_HOST)  # without its name, which a stranger may have made up

    def _rejected(self, reason: str, detail: str) -> LoginRejected:
        self.events.emit(LoginFailed(reason))
        return LoginRejected(detail, reason=reason)


def _refusal(error: NotAuthenticated) -> LoginRejected:
    return LoginRejected(error.detail if error.detail != error.title else None, reason=error.code)


def _single_values(request: Request) -> Mapping[str, str]:
    """Return the query parameters that occur exactly once (CB-05, RT-14)."""
    items = request.query_params.multi_items()
    counts = Counter(name for name, _ in items)
    return {name: value for name, value in items if counts[name] == 1}


def _matching(value: str | None, grammar: re.Pattern[str]) -> str | None:
    return value if value is not None and grammar.fullmatch(value) else None


async def _own_tenant(options: LoginOptions, auth: RequestAuth) -> str | None:
    """The tenant of the session that a step-up or MFA is about; a live session costs no call to Descope."""
    if not (options.stepup or options.mfa):
        return None
    session = (await auth.authenticate()).session
    return session.tenant_id if session else None


def _is_sent_over_a_session(request: Request, auth: RequestAuth) -> bool:
    """Whether another site sent a browser here that has a session: it may mean to swap users (CB-15)."""
    held = auth.credentials()
    has_session = held.session is not None or held.refresh is not None or held.ambiguous
    return has_session and is_cross_origin_navigation(request.headers)


def _organisation_page(
    request: Request, return_to: str, params: LoginParams, *, detail: str = "", tenant: str = ""
) -> Response:
    """The question whose single sign-on it is to be; the answer goes on with all that was asked for."""
    page = organisation_page(
        detail=detail,
        login_path=_beside_login(request, LOGIN.path),
        carried={"return_to": return_to, **params.as_query()},
        tenant=tenant,
    )
    status = HTTPStatus.OK if tenant else HTTPStatus.BAD_REQUEST
    return HTMLResponse(page, status, {**PAGE_HEADERS, **NO_STORE})


def _beside_login(request: Request, path: str) -> str:
    """Where browsers find ``path`` of the router, seen from the login."""
    prefix = path_in_app(request.scope).removesuffix(LOGIN.path)
    return path_in_browser(prefix + path, request.scope.get("root_path", ""))
