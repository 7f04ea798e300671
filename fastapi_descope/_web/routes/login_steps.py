"""The steps that all kinds of logins share: the state, the hooks, the session, and the way back."""

from collections.abc import Container
from dataclasses import dataclass

from starlette.requests import Request

from ..._auth.core import Core
from ..._auth.login import Admission
from ..._upstream.login_options import LoginOptions, LoginParams
from ...errors import ConfigurationError, LoginRejected, NotAuthenticated
from ...events import EventBus, LoginFailed, LoginMethod
from ...login import Login
from ...page_texts import ENGLISH
from ...session import TokenPair
from ...settings import DescopeSettings
from ..cookies import SessionCookies
from ..error_responses import NO_STORE
from ..hooks import Hooks, hook_request
from ..login_loops import LoginLoops
from ..login_transactions import LoginTransactions, Transaction
from ..page_responses import PageResponses
from ..pending_login import running_hooks
from ..public_origin import PublicOrigin
from ..request_auth import RequestAuth
from .login_guard import LoginGuard
from .return_targets import ReturnTargets

__all__ = ["REDIRECT_HEADERS", "LoginSteps"]

REDIRECT_HEADERS = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""Headers of redirects away from a URL that contains a code or a state (CB-10)."""

_HOOK_REQUIRES_SESSION = (
    "The login_options hook requires a session, but a login often has none: use get_auth_session, which can"
    " return None, and catch NotAuthenticated around get_user_profile"
)


@dataclass(frozen=True, slots=True)
class LoginSteps:
    """The steps of logins that several routes have in common."""

    core: Core
    settings: DescopeSettings
    guard: LoginGuard
    targets: ReturnTargets
    transactions: LoginTransactions
    loops: LoginLoops
    cookies: SessionCookies
    public_origin: PublicOrigin
    events: EventBus
    hooks: Hooks
    pages: PageResponses

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
        return_to = self.targets.recheck(transaction.return_to, auth)
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

    def stored_return_to(self, transaction: Transaction, auth: RequestAuth) -> str:
        """Return where to redirect after the login that ends now."""
        # The cookie that stored it could have been changed.
        return self.targets.recheck(transaction.return_to, auth) or self.targets.landing(auth)

    def rejected(self, reason: str, detail: str) -> LoginRejected:
        """Emit the event of a rejected login, and return the error to raise."""
        self.events.emit(LoginFailed(reason))
        return LoginRejected(detail, reason=reason)


def _as_login_rejected(error: NotAuthenticated) -> LoginRejected:
    return LoginRejected(error.detail if error.detail != error.title else None, reason=error.code)
