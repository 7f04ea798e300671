"""The steps that all kinds of logins share: the navigation, the state, the hooks, and the way back."""

import asyncio
from collections import Counter
from collections.abc import Container, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from ..._auth.core import Core
from ..._auth.login import Admission
from ..._upstream.login_options import LoginOptions, LoginParams
from ...errors import ConfigurationError, LoginRejected, NotAuthenticated
from ...events import EventBus, LoginFailed, LoginMethod
from ...login import Login
from ...page_texts import ENGLISH
from ...session import TokenPair
from ...settings import DescopeSettings
from ..app_location import PluginRoute, path_in_app, path_in_browser, public_path
from ..client_kind import ClientKind, client_kind, is_cross_origin_navigation, is_cross_site
from ..cookies import SessionCookies
from ..error_responses import NO_STORE, NotANavigation
from ..hooks import Hooks, hook_request
from ..login_loops import LoginLoops
from ..login_transactions import LoginTransactions, Transaction
from ..own_logins import OwnLogins
from ..page_responses import PageResponses
from ..pages import confirmation_page
from ..pending_login import running_hooks
from ..public_origin import PublicOrigin
from ..redirects import RedirectPolicy
from ..request_auth import RequestAuth

__all__ = ["REDIRECT_HEADERS", "LoginSteps", "sibling_path", "single_values"]

REDIRECT_HEADERS = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""Headers of redirects away from a URL that contains a code or a state (CB-10)."""

_CROSS_SITE_STARTS = 2
"""How many logins that other sites begin may call Descope at once: fewer than the connections for logins."""

_HOOK_REQUIRES_SESSION = (
    "The login_options hook requires a session, but a login often has none: use get_auth_session, which can"
    " return None, and catch NotAuthenticated around get_user_profile"
)


@dataclass(frozen=True, slots=True)
class LoginSteps:
    """The steps of logins that several routes have in common."""

    core: Core
    settings: DescopeSettings
    transactions: LoginTransactions
    loops: LoginLoops
    own_logins: OwnLogins
    cookies: SessionCookies
    public_origin: PublicOrigin
    redirects: RedirectPolicy
    events: EventBus
    hooks: Hooks
    pages: PageResponses
    _cross_site_starts: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_CROSS_SITE_STARTS)
    )

    def require_navigation(self, request: Request) -> None:
        """Reject images, scripts and prefetches: only a navigation may start a login (CB-13)."""
        kind, mode = client_kind(request.scope), request.headers.get("sec-fetch-mode", "navigate")
        if kind in {ClientKind.HTMX, ClientKind.TURBO}:  # they load the URL again as a navigation
            raise NotANavigation
        if mode != "navigate" or kind is ClientKind.PREFETCH:
            self.events.emit(LoginFailed("not_a_navigation"))
            raise NotANavigation("Open this address in a browser. A script cannot follow it.")

    async def must_confirm(self, request: Request, auth: RequestAuth) -> bool:
        """Return whether the user must confirm a login that another site may have begun (login CSRF, CB-15).

        Not if the browser has no session, or if our own redirect began the login. A ``Strict`` session
        cookie does not come along from another site, so there the session is unknown.
        """
        if not is_cross_origin_navigation(request.headers):
            return False
        is_own, deletions = self.own_logins.take(request.scope)
        auth.cookies.add(deletions)
        if is_own:
            return False
        is_unknown = self.settings.cookie_samesite == "strict" and is_cross_site(request.headers)
        return is_unknown or await self.core.browser_tokens.may_be_signed_in(auth.credentials())

    def confirmation(
        self,
        request: Request,
        auth: RequestAuth,
        route: PluginRoute,
        carried: Mapping[str, str],
        *,
        is_crowded: bool = False,
    ) -> Response:
        """Return the page that asks the user to confirm the login at ``route`` with the query ``carried``."""
        page = confirmation_page(
            self.pages.texts(request.scope),
            login_path=sibling_path(request, route, route),
            home_path=path_in_browser("/", auth.location.login_app.root_path),
            carried=carried,
            is_crowded=is_crowded,
        )
        return self.pages.response(request.scope, page)

    def is_crowded(self, request: Request) -> bool:
        """Return whether other sites begin too many logins at once for another one of theirs (CB-19)."""
        return is_cross_origin_navigation(request.headers) and self._cross_site_starts.locked()

    def share(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Return the context of the call to Descope that begins a login. Never waits after ``is_crowded``."""
        if is_cross_origin_navigation(request.headers):
            return self._cross_site_starts
        return nullcontext()

    def return_to(self, request: Request, auth: RequestAuth) -> str:
        """Return where to redirect after the login: ``return_to`` if it is safe, else the landing path."""
        if "return_to" not in request.query_params:
            return self.landing(auth)
        return self.safe_target(single_values(request).get("return_to") or "", request, auth)

    def safe_target(self, target: str | None, request: Request, auth: RequestAuth) -> str:
        """Return ``target`` if it is safe, else the landing path. None is no target."""
        return self.accepted_target(target, request, auth) or self.landing(auth)

    def accepted_target(self, target: str | None, request: Request, auth: RequestAuth) -> str | None:
        """Return ``target`` if it is safe, else None. An event reports one that is not."""
        if target is None:
            return None
        safe = self._safe_redirect(target, request, auth)
        if safe is None:
            self.events.emit(self.redirects.rejection(target))
        return safe

    def _safe_redirect(self, target: str, request: Request, auth: RequestAuth) -> str | None:
        public_paths = auth.location.login_app.public_paths
        return self.redirects.safe_redirect(target, request.scope, forbidden=public_paths)

    def landing(self, auth: RequestAuth) -> str:
        """Return where a login ends that names no other target."""
        return public_path(self.settings.post_login_path, auth.location.login_app.root_path)

    async def login_options(self, request: Request) -> LoginOptions:
        """Return the options of the app's hook.

        Raises:
            ConfigurationError: the hook requires a session.
        """
        options = LoginOptions()
        for hook in self.hooks.login_options:  # one at most
            try:
                options = await hook(request) or options
            except NotAuthenticated as error:
                raise ConfigurationError(_HOOK_REQUIRES_SESSION) from error
        return options

    def admission(self, request: Request, auth: RequestAuth) -> Admission:
        """Return a function that runs the login hooks of the app, and raises if one refuses the user."""
        lasting_request = hook_request(request)

        async def admit(pair: TokenPair, login: Login) -> None:
            """Run the hooks."""
            with running_hooks(auth, pair, login):
                for hook in self.hooks.login:
                    try:
                        await hook(lasting_request, login)
                    except NotAuthenticated as error:
                        # A NotAuthenticated would redirect to the login and loop.
                        raise _as_login_rejected(error) from error

        return admit

    def start_transaction(
        self,
        request: Request,
        return_to: str,
        *,
        method: LoginMethod = "sso",
        pending_ref: str = "",
        tenant: str = "",
        params: LoginParams | None = None,
    ) -> tuple[str, list[bytes]]:
        """Return a new state, and the ``Set-Cookie`` values that bind it to this browser."""
        return self.transactions.start(
            request.scope["headers"],
            return_to=return_to,
            now=self.core.clock(),
            secure=self.cookies.use_secure(request.scope),
            method=method,
            pending_ref=pending_ref,
            tenant=tenant,
            step_up=params is not None and params.step_up is not None,
            mfa=params is not None and params.mfa is not None,
        )

    def find_transaction(
        self, request: Request, auth: RequestAuth, state: str | None, *, methods: Container[LoginMethod]
    ) -> Transaction:
        """Return the login of one of the ``methods`` with this state, or delete what is left of it.

        It is pending or used.

        Raises:
            LoginRejected: this browser has no such pending login.
        """
        transaction = self._transaction(request, state or "", methods)
        if transaction is None:
            self.delete_transaction(request, auth, state)
            raise self.rejected("state", ENGLISH.login_expired)
        return_to = self._safe_redirect(transaction.return_to, request, auth)
        query = {"tenant": transaction.tenant, "return_to": return_to}
        auth.login_query = {name: value for name, value in query.items() if value}
        return transaction

    def has_transaction(self, request: Request, state: str, *, methods: Container[LoginMethod]) -> bool:
        """Return whether this browser has a login of one of the ``methods`` with this state."""
        return self._transaction(request, state, methods) is not None

    def _transaction(
        self, request: Request, state: str, methods: Container[LoginMethod]
    ) -> Transaction | None:
        return self.transactions.find(
            request.scope["headers"],
            state=state,
            now=self.core.clock(),
            secure=self.cookies.use_secure(request.scope),
            methods=methods,
        )

    def delete_transaction(self, request: Request, auth: RequestAuth, state: str | None) -> None:
        """Delete the pending login with this state, if this browser has one."""
        headers, secure = request.scope["headers"], self.cookies.use_secure(request.scope)
        auth.cookies.add(self.transactions.delete(headers, state=state or "", secure=secure))

    def mark_used(self, request: Request, auth: RequestAuth, state: str | None) -> None:
        """Keep the login with this state for a minute, so that the browser can repeat its callback."""
        auth.cookies.add(
            self.transactions.mark_used(
                request.scope["headers"],
                state=state or "",
                now=self.core.clock(),
                secure=self.cookies.use_secure(request.scope),
            )
        )

    async def end_completed(self, request: Request, auth: RequestAuth, *, superseded: bool = False) -> None:
        """End the logins that this browser has completed in the last minute: none can be repeated.

        ``superseded``: the browser has signed in again.
        """
        secure = self.cookies.use_secure(request.scope)
        secrets, deletions = self.transactions.used(request.scope["headers"], secure=secure)
        auth.cookies.add(deletions)
        for secret in secrets:
            await self.core.login_flow.end_login(secret, superseded=superseded)

    def mark_completed(self, request: Request, auth: RequestAuth, transaction: Transaction, url: str) -> None:
        """Record what the completed login was asked for, so that it does not loop."""
        params = LoginParams(
            step_up="true" if transaction.step_up else None, mfa="true" if transaction.mfa else None
        )
        auth.cookies.add(self.loops.mark(request.scope, params, url))

    async def sign_in(self, auth: RequestAuth, pair: TokenPair) -> None:
        """Replace the session that the browser had (CB-09)."""
        await self.core.login_flow.supersede(auth.credentials(), pair)
        auth.cookies.write(pair)

    def stored_return_to(self, transaction: Transaction, request: Request, auth: RequestAuth) -> str:
        """Return where to redirect after the login that ends now."""
        # Validated again, because the cookie that stored it could have been changed.
        return self._safe_redirect(transaction.return_to, request, auth) or self.landing(auth)

    def rejected(self, reason: str, detail: str) -> LoginRejected:
        """Emit the event of a rejected login, and return the error to raise."""
        self.events.emit(LoginFailed(reason))
        return LoginRejected(detail, reason=reason)


def _as_login_rejected(error: NotAuthenticated) -> LoginRejected:
    return LoginRejected(error.detail if error.detail != error.title else None, reason=error.code)


def single_values(request: Request) -> Mapping[str, str]:
    """Return the query parameters that occur exactly once (CB-05, RT-14)."""
    items = request.query_params.multi_items()
    counts = Counter(name for name, _ in items)
    return {name: value for name, value in items if counts[name] == 1}


def sibling_path(request: Request, own: PluginRoute, route: PluginRoute) -> str:
    """Return the public path of a route of the router. ``own`` is the route that the request is for."""
    prefix = path_in_app(request.scope).removesuffix(own.path)
    return path_in_browser(prefix + route.path, request.scope.get("root_path", ""))
