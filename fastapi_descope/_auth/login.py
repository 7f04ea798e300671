"""The steps of a session's life: login, callback, tenant switch, logout.

Decided here without a web framework; the web wing carries out what is returned. Who is calling in between
is ``_auth/authenticator.py``'s to say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TypeVar

from .._concurrency.single_flight import SingleFlight
from .._refresh.coordinator import RefreshCoordinator
from .._telemetry.log_once import LogOnce
from .._upstream.api import DescopeApi, LoginOptions, TokenResponse
from ..errors import (
    BadRequest,
    DescopeError,
    Forbidden,
    LoginRejected,
    NotAuthenticated,
    SessionEnded,
    SessionTooLarge,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import (
    EventBus,
    LoginFailed,
    SignedIn,
    SignedOut,
    TenantSwitched,
)
from ..session import RefreshToken, TokenPair, UserProfile
from .authenticator import Authenticator, AuthResult, Credentials
from .token_service import TokenService

__all__ = ["Admission", "LoginFlow", "LoginRequest"]

Admission = Callable[[TokenPair, UserProfile | None], Awaitable[None]]
"""The app's word on who has signed in: returns to let them in, raises to refuse them.

The profile is the one that came with the tokens; None if none came.
"""

T = TypeVar("T")

_LOGOUT_SECONDS = 2.0
"""How long a logout may wait for Descope: the cookies go in any case (LO-01)."""

_SESSION_OVER_CODES = frozenset({"E061005", "E064001", "E064006"})
"""Descope's words for a dead refresh token, which may come with a 400 (wire contract, section 6)."""


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A sign-in that is to begin. ``tenant`` is a tenant id, or an e-mail whose domain names one.

    Neither that nor ``redirect_url``, which has the state in it, shows in ``repr``.
    """

    tenant: str = field(repr=False)
    redirect_url: str = field(repr=False)
    login_hint: str | None = field(default=None, repr=False)
    sso_id: str | None = None
    prompt: str | None = None
    force_authn: bool = False
    options: LoginOptions | None = None


class LoginFlow:
    """Begins, switches and ends sessions. Holds the code exchanges in flight, and what was advised."""

    def __init__(
        self,
        *,
        api: DescopeApi,
        tokens: TokenService,
        authenticator: Authenticator,
        coordinator: RefreshCoordinator,
        events: EventBus,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self._authenticator = authenticator
        self._coordinator = coordinator
        self._events = events
        self._advice = LogOnce()
        self._exchanges: SingleFlight[bytes, TokenPair] = SingleFlight()
        self._logouts: SingleFlight[tuple[bytes, bool], None] = SingleFlight()

    async def begin_login(self, request: LoginRequest, *, presented: Credentials | None = None) -> str:
        """The URL to send the browser to. One call, or two.

        Step-up and MFA carry the newest refresh token of ``presented``. Where there is none, or its session
        is over, nobody is there to be confirmed, and the login is a plain one. Raises ``LoginRejected`` if
        Descope refuses (an unknown tenant, a redirect that the project does not allow), ``BadRequest`` for
        the step-up of a bearer, else the ``UpstreamError`` family.
        """
        options = request.options
        try:
            if presented is not None and options is not None and (options.stepup or options.mfa):
                with suppress(NotAuthenticated), _session_over():
                    return await self._authorize(request, await self._newest_refresh_jwt(presented))
                request = replace(request, options=replace(options, stepup=False, mfa=False))
            return await self._authorize(request)
        except UpstreamRejected as refusal:
            callback = request.redirect_url.partition("?")[0]  # its query is the state
            self._advice.warning(
                f"Descope refuses {callback} or the tenant (status {refusal.upstream_status}, code"
                f" {refusal.upstream_code or 'none'}): check the approved domains of the project,"
                " DESCOPE_PUBLIC_URL and DESCOPE_PROJECT_ID"
            )
            raise self._login_failed(
                "authorize_refused", "This organisation is not known here, or has no single sign-on.", refusal
            ) from None
        except UpstreamError as error:
            self._events.emit(LoginFailed(error.code))
            raise

    async def _authorize(self, request: LoginRequest, refresh_jwt: str | None = None) -> str:
        return await self._api.sso_authorize(
            tenant=request.tenant,
            redirect_url=request.redirect_url,
            login_hint=request.login_hint,
            sso_id=request.sso_id,
            prompt=request.prompt,
            force_authn=request.force_authn,
            options=request.options,
            refresh_jwt=refresh_jwt,
        )

    async def complete_login(self, code: str, admit: Admission) -> TokenPair:
        """The verified pair for a one-time code, if ``admit`` lets its user in.

        One call, never repeated; twins share it, and ``admit`` is awaited once for all of them (CB-16).
        Raises ``LoginRejected`` if Descope refuses the code, ``SessionTooLarge`` if the tokens fit into no
        cookies, the ``UpstreamError`` family, and what ``admit`` raises; in every such case no cookie may
        be set.
        """
        return await self._exchanges.run(sha256(code.encode()).digest(), lambda: self._sign_in(code, admit))

    async def supersede(self, presented: Credentials, pair: TokenPair) -> None:
        """Have no response that is still under way write the browser's former session over ``pair`` (CB-09).

        Never raises; no call. At Descope that session lives on.
        """
        with suppress(NotAuthenticated, BadRequest, UpstreamError):
            former = await self._authenticator.required_refresh_token(presented)
            if former.text != pair.refresh.text:
                await self._coordinator.supersede(former)

    async def _sign_in(self, code: str, admit: Admission) -> TokenPair:
        pair, answer = await self._exchange(code)
        try:
            await admit(pair, answer.profile)
        except Exception as error:
            self._events.emit(LoginFailed(_reason(error)))
            raise
        self._events.emit(SignedIn(pair.session.user.id, pair.session.tenant_id, answer.first_seen))
        return pair

    async def _exchange(self, code: str) -> tuple[TokenPair, TokenResponse]:
        try:
            return await self._tokens.exchange(code)
        except UpstreamRejected as refusal:
            raise self._login_failed(
                "code_refused", "The sign-in took too long, or was finished already.", refusal
            ) from None
        except (UpstreamError, SessionTooLarge) as error:
            self._events.emit(LoginFailed(error.code))
            raise

    async def select_tenant(self, presented: Credentials, tenant: str) -> TokenPair:
        """The pair of the session with ``tenant`` as its current tenant, ordered with its refreshes.

        One call, with the refresh token alone (TN-08). Raises ``NotAuthenticated`` without a good one,
        ``SessionEnded`` if it is revoked, ``Forbidden`` if Descope refuses the tenant, else the
        ``UpstreamError`` family.
        """
        held = await self._authenticator.required_refresh_token(presented)
        try:
            with _session_over():
                pair = await self._coordinator.switch(
                    held, self._tokens.select(tenant), self._tokens.in_tenant(tenant)
                )
        except UpstreamRejected:
            raise Forbidden("You are not a member of this organisation") from None
        self._events.emit(TenantSwitched(pair.session.user.id, tenant))
        return pair

    async def logout(self, presented: Credentials, *, everywhere: bool = False) -> None:
        """End the session here and, within two seconds, at Descope. Never raises (LO-01).

        Without a refresh token there is nothing to tell Descope, and nothing to do (LO-02). A copy of the
        session token holds until its end, here and elsewhere: it is verified offline (LO-04).

        A caller that is cancelled leaves it running: a logout that was begun counts.
        """
        if presented.refresh is None:
            await self._log_out(presented, everywhere=everywhere)
            return
        key = (sha256(presented.refresh.encode()).digest(), everywhere)
        await self._logouts.run(key, lambda: self._log_out(presented, everywhere=everywhere))

    async def _log_out(self, presented: Credentials, *, everywhere: bool) -> None:
        confirmed = False
        try:
            async with asyncio.timeout(_LOGOUT_SECONDS):
                held = await self._leaving(presented)
                newest = await self._coordinator.revoke(held, wait_timeout=_LOGOUT_SECONDS / 2)
                await (self._api.logout_all(newest) if everywhere else self._api.logout(newest))
            confirmed = True
        except (NotAuthenticated, BadRequest, UpstreamError, TimeoutError):
            pass
        self._events.emit(SignedOut(everywhere, confirmed))

    async def _leaving(self, presented: Credentials) -> RefreshToken:
        """The refresh token to sign out with, also where the session token cannot be checked just now."""
        try:
            return await self._authenticator.required_refresh_token(presented)
        except UpstreamUnavailable:
            return await self._authenticator.required_refresh_token(replace(presented, session=None))

    async def profile(self, presented: Credentials, resolution: AuthResult) -> UserProfile:
        """Descope's user object. One call, and another if the session's token was traded beside it.

        Raises ``NotAuthenticated``, ``SessionEnded`` if Descope ended the session meanwhile, and the
        ``UpstreamError`` family.
        """
        return await self._ask(self._api.me, presented, resolution)

    async def tenant_names(self, presented: Credentials, resolution: AuthResult) -> dict[str, str]:
        """Names of the user's tenants by id. As many calls, and raises, as ``profile``."""
        ids = sorted(resolution.session.tenants) if resolution.session else []
        if not ids:
            return {}
        return dict(await self._ask(lambda jwt: self._api.my_tenants(jwt, ids), presented, resolution))

    async def aclose(self, seconds: float) -> None:
        """Let what is in flight land, at most ``seconds``."""
        flights = (self._coordinator, self._exchanges, self._logouts)
        await asyncio.gather(*(each.drain(seconds) for each in flights))

    async def _ask(
        self, ask: Callable[[str], Awaitable[T]], presented: Credentials, resolution: AuthResult
    ) -> T:
        """What ``ask`` brings with the session's newest refresh token.

        A token that a refresh or a switch beside us has just spent is refused like a dead one: the session
        is over only if nothing took the token's place (RF-05).
        """
        jwt = await self._current_refresh_jwt(presented, resolution)
        while True:
            try:
                with _session_over():
                    return await ask(jwt)
            except SessionEnded:
                newest = await self._coordinator.wait_idle(jwt)
                if newest is None or newest == jwt:
                    raise
            jwt = newest

    async def _current_refresh_jwt(self, presented: Credentials, resolution: AuthResult) -> str:
        if resolution.pair is not None:  # refreshed in this very request: the presented one may be spent
            return resolution.pair.refresh.text
        return await self._newest_refresh_jwt(presented)

    async def _newest_refresh_jwt(self, presented: Credentials) -> str:
        return await self._coordinator.current_token(
            await self._authenticator.required_refresh_token(presented)
        )

    def _login_failed(self, reason: str, detail: str, refusal: UpstreamRejected) -> LoginRejected:
        self._events.emit(LoginFailed(reason, refusal.upstream_status, refusal.upstream_code))
        return LoginRejected(detail, reason=reason)


def _reason(error: Exception) -> str:
    """Why the app let nobody in, in a word; what it did not mean to raise has none of its own."""
    if isinstance(error, LoginRejected):
        return error.reason
    return error.code if isinstance(error, DescopeError) else "hook_failed"


@contextmanager
def _session_over() -> Generator[None]:
    """Turns the refusals with which Descope says that a session is over into ``SessionEnded``."""
    try:
        yield
    except UpstreamRejected as refusal:
        unauthorised = refusal.upstream_status == NotAuthenticated.status
        if unauthorised or refusal.upstream_code in _SESSION_OVER_CODES:
            raise SessionEnded from None
        raise
