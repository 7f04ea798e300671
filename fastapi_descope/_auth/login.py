"""Run logins: from the redirect to Descope to the verified tokens of a callback."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal

from .._concurrency import SingleFlight
from .._refresh.coordinator import RefreshCoordinator
from .._telemetry.instruments import CALLBACK
from .._telemetry.log_once import LogOnce
from .._telemetry.recorder import Recorder
from .._upstream.api import DescopeApi
from .._upstream.login_options import LoginOptions, LoginParams
from .._upstream.responses import TokenResponse
from ..errors import (
    DescopeError,
    LoginRejected,
    NotAuthenticated,
    ProjectCookiesRenamed,
    SessionTooLarge,
    UpstreamError,
    UpstreamRejected,
)
from ..events import CallbackRepeated, EventBus, LoginFailed, LoginMethod, SignedIn
from ..login import Login
from ..page_texts import ENGLISH
from ..session import AuthSession, TokenPair
from .browser_tokens import BrowserTokens
from .completed_logins import CompletedLogins, LoginEnded
from .credentials import Credentials
from .session_gate import SessionGate
from .token_service import TokenService, convert_session_ended

__all__ = ["Admission", "LoginFlow", "LoginRequest"]

Admission = Callable[[TokenPair, Login], Awaitable[None]]
"""The app's decision on a login: returns to admit the user, raises to reject the login."""


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """The parameters of a login. ``repr`` shows neither the tenant nor ``redirect_url``, which has the state.

    Attributes:
        tenant: A tenant id, or an e-mail address whose domain belongs to a tenant. "" for a social login.
        redirect_url: The URL of the callback, with the state.
        params: Login parameters from the browser.
        options: Further options of the login, such as step-up.
        provider: The provider of a social login, else None.
    """

    tenant: str = field(default="", repr=False)
    redirect_url: str = field(default="", repr=False)
    params: LoginParams = field(default_factory=LoginParams)
    options: LoginOptions | None = None
    provider: str | None = None

    @property
    def method(self) -> Literal["sso", "oauth"]:
        """The way to sign in."""
        return "sso" if self.provider is None else "oauth"


class LoginFlow:
    """Starts and completes logins. Holds the code exchanges in flight, and which warnings were logged."""

    def __init__(
        self,
        api: DescopeApi,
        tokens: TokenService,
        browser_tokens: BrowserTokens,
        coordinator: RefreshCoordinator,
        completed: CompletedLogins,
        gate: SessionGate[AuthSession],
        events: EventBus,
        recorder: Recorder,
        *,
        sign_up: bool = False,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self._browser_tokens = browser_tokens
        self._coordinator = coordinator
        self._completed = completed
        self._gate = gate
        self._events = events
        self._recorder = recorder
        self._sign_up = sign_up
        self._log = LogOnce()
        self._exchanges: SingleFlight[bytes, TokenPair | None] = SingleFlight()

    async def authorization_url(
        self, request: LoginRequest, *, credentials: Credentials | None = None
    ) -> str:
        """Return the URL to redirect the browser to. One call to Descope, or two.

        Step-up and MFA confirm the user of ``credentials``, by the current refresh token. Without one, or if
        its session has ended, the login is an ordinary one.

        Raises:
            LoginRejected: Descope rejects the tenant or the redirect URL.
            BadRequest: Step-up or MFA of a request with an Authorization header.
            UpstreamError: The call failed.
        """
        options = request.options
        try:
            if credentials is not None and options is not None and (options.stepup or options.mfa):
                with suppress(NotAuthenticated), convert_session_ended():
                    refresh_jwt = await self._browser_tokens.current_refresh_jwt(credentials)
                    return await self._authorize(request, refresh_jwt)
                request = replace(request, options=replace(options, stepup=False, mfa=False))
            return await self._authorize(request)
        except UpstreamRejected as rejection:
            raise self._authorization_rejected(request, rejection) from None
        except UpstreamError as error:
            self._events.emit(LoginFailed(error.code))
            raise

    async def complete_login(
        self, code: str, admit: Admission, *, secret: str, method: LoginMethod = "sso"
    ) -> TokenPair | None:
        """Exchange the one-time code of a callback, and return the verified tokens if ``admit`` returns.

        One call to Descope, never repeated. Concurrent callbacks with the same ``secret`` share it, so a code
        works in one browser only. ``admit`` is awaited once, after the ``on_session`` hooks have admitted the
        session. After an error no cookie may be set.

        Args:
            code: The code, or the token of a link.
            admit: The app's decision.
            secret: That of the login cookie: it identifies the login and its browser.
            method: That of the login cookie: it decides where the code is exchanged, or the token verified.

        Returns:
            The tokens, or None if an earlier callback has completed the login, or has failed to.

        Raises:
            LoginRejected: Descope rejects the code.
            Forbidden: An ``on_session`` hook refuses the user.
            SessionCheckFailed: An ``on_session`` hook failed.
            SessionTooLarge: The tokens do not fit into cookies.
            ProjectCookiesRenamed: The project's tokens have other names than those in the settings.
            UpstreamError: The call failed, or its tokens are invalid, or another process takes too long.
            Exception: Whatever ``admit`` raises.
        """
        key = sha256(secret.encode()).digest()  # CB-16
        return await self._exchanges.run(key, lambda: self._complete(code, admit, secret, method))

    async def repeat_login(self, secret: str, credentials: Credentials) -> TokenPair | None:
        """Return what a browser gets that repeats the callback of a completed login. Calls nothing.

        Returns:
            The newest tokens of the login's session, or None if the browser has them already.

        Raises:
            LoginRejected: The login was refused, its session has ended, or the browser has another one.
            UpstreamError: The tokens cannot be verified.
        """
        presented = await self._browser_tokens.refresh_tokens(credentials)
        try:
            pair = await self._completed.newest_pair(secret, presented)
        except LoginEnded:
            self._events.emit(LoginFailed("repeated"))
            raise LoginRejected(ENGLISH.login_over, reason="repeated") from None
        self._events.emit(CallbackRepeated(delivered=pair is not None))
        return pair

    async def end_login(self, secret: str, *, superseded: bool = False) -> None:
        """End a completed login and its session here. ``superseded``: its browser has signed in again."""
        await self._completed.end(secret, superseded=superseded)

    async def finish(
        self, response: TokenResponse, admit: Admission, *, method: LoginMethod = "sso"
    ) -> TokenPair:
        """Return the verified tokens of ``response`` if ``admit`` returns. Every login ends here.

        Raises:
            SessionTooLarge: The tokens do not fit into cookies.
            ProjectCookiesRenamed: The project's tokens have other names than those in the settings.
            Forbidden: An ``on_session`` hook refuses the user.
            SessionCheckFailed: An ``on_session`` hook failed.
            UpstreamError: The tokens are invalid.
            Exception: Whatever ``admit`` raises.
        """
        try:
            pair = await self._tokens.verify_login(response)
        except (UpstreamError, SessionTooLarge, ProjectCookiesRenamed) as error:
            self._events.emit(LoginFailed(error.code))
            raise
        login = Login.from_response(pair.session, response.fields)
        return await self.admit(pair, login, admit, method=method)

    async def admit(
        self, pair: TokenPair, login: Login, admit: Admission, *, method: LoginMethod
    ) -> TokenPair:
        """Return the verified tokens ``pair`` if the ``on_session`` hooks and ``admit`` admit the login.

        Raises:
            Forbidden: An ``on_session`` hook refuses the user.
            SessionCheckFailed: An ``on_session`` hook failed.
            Exception: Whatever ``admit`` raises.
        """
        try:
            await self._gate.require(pair)  # SG-05
            await admit(pair, login)
        except Exception as error:
            self._events.emit(LoginFailed(_reason(error)))
            raise
        self._events.emit(_signed_in(pair.session, login, method))
        return pair

    def rejected(self, reason: str, detail: str, rejection: UpstreamRejected) -> LoginRejected:
        """Emit the event of a login that Descope has refused, and return the error to raise."""
        self._events.emit(LoginFailed(reason, rejection.upstream_status, rejection.upstream_code))
        return LoginRejected(detail, reason=reason)

    # CB-09
    async def supersede(self, credentials: Credentials, pair: TokenPair) -> None:
        """Keep late responses from overwriting the cookies of ``pair`` with the browser's former session.

        Never raises, and calls nothing. The former session stays valid at Descope.
        """
        for former in await self._browser_tokens.refresh_tokens(credentials):
            if former.text != pair.refresh.text:
                await self._coordinator.supersede(former)

    # HO-03
    async def supersede_other_sessions(self, credentials: Credentials, pair: TokenPair) -> None:
        """Do what ``supersede`` does, except that the session of ``pair`` continues if the browser has it.

        For tokens that were handed over. Waits for running refreshes of the browser's session, which may have
        led to ``pair``.
        """
        for former in await self._browser_tokens.refresh_tokens(credentials):
            newest = await self._coordinator.current_token(former)
            if pair.refresh.text not in (former.text, newest):
                await self._coordinator.supersede(former)

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for code exchanges in flight."""
        await self._exchanges.drain(seconds)

    async def _authorize(self, request: LoginRequest, refresh_jwt: str | None = None) -> str:
        if request.provider is not None:
            return await self._api.fetch_social_url(
                provider=request.provider,
                redirect_url=request.redirect_url,
                params=request.params,
                options=request.options,
                refresh_jwt=refresh_jwt,
                sign_up=self._sign_up,
            )
        return await self._api.fetch_login_url(
            tenant=request.tenant,
            redirect_url=request.redirect_url,
            params=request.params,
            options=request.options,
            refresh_jwt=refresh_jwt,
        )

    async def _complete(
        self, code: str, admit: Admission, secret: str, method: LoginMethod
    ) -> TokenPair | None:
        lease = await self._completed.acquire(secret)
        if lease is None:
            return None
        try:
            with self._recorder.measure(CALLBACK, {"result": "failed"}) as measurement:
                pair = await self._exchange(code, admit, method)
                measurement.attributes["result"] = "signed_in"
        except Exception:
            await self._completed.refuse(secret, lease)
            raise
        await self._completed.keep(secret, pair)
        return pair

    async def _exchange(self, code: str, admit: Admission, method: LoginMethod) -> TokenPair:
        try:
            if method == "magiclink":
                response = await self._api.verify_magic_link(code)
            else:
                response = await self._api.exchange_code(code, "oauth" if method == "oauth" else "sso")
        except UpstreamRejected as rejection:
            if method == "magiclink":
                raise self.rejected("link_refused", ENGLISH.link_spent, rejection) from None
            raise self.rejected("code_refused", ENGLISH.login_too_late, rejection) from None
        except UpstreamError as error:
            self._events.emit(LoginFailed(error.code))
            raise
        return await self.finish(response, admit, method=method)

    def _authorization_rejected(self, request: LoginRequest, rejection: UpstreamRejected) -> LoginRejected:
        callback = request.redirect_url.partition("?")[0]  # its query has the state
        if request.provider is None:
            target, setting = "tenant", "DESCOPE_PROJECT_ID"
            detail = ENGLISH.organisation_unknown
        else:
            target, setting = f"provider {request.provider}", "DESCOPE_LOGIN_METHODS"
            detail = ENGLISH.login_unavailable
        self._log.warning(
            f"Descope refuses {callback} or the {target} (status {rejection.upstream_status}, code"
            f" {rejection.upstream_code or 'none'}): check the approved domains of the project,"
            f" DESCOPE_PUBLIC_URL and {setting}"
        )
        return self.rejected("authorize_refused", detail, rejection)


def _signed_in(session: AuthSession, login: Login, method: LoginMethod) -> SignedIn:
    return SignedIn(session.user.id, session.tenant_id, login.first_seen, method, session.actor)


def _reason(error: Exception) -> str:
    """Return the reason of a login that a hook has rejected, or ``hook_failed`` for an unexpected error."""
    if isinstance(error, LoginRejected):
        return error.reason
    return error.code if isinstance(error, DescopeError) else "hook_failed"
