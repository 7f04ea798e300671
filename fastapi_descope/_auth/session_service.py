"""Operations on an existing session: tenant switch, logout, and the user's profile."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from hashlib import sha256
from typing import TypeVar

from .._concurrency import SingleFlight
from .._refresh.coordinator import RefreshCoordinator
from .._revocation.revocations import Revocations
from .._upstream.api import DescopeApi
from .._upstream.responses import TokenResponse
from ..errors import (
    Forbidden,
    InvalidUpstreamResponse,
    SessionEnded,
    SessionTooLarge,
    TokenReason,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import EventBus, SignedOut, TenantSwitched
from ..login import Login
from ..page_texts import ENGLISH
from ..profile import UserProfile
from ..session import UNKNOWN_ACTOR, AuthSession, RefreshToken, TokenPair
from .auth_result import AuthResult
from .browser_tokens import BrowserTokens
from .credentials import Credentials
from .token_service import TokenService, convert_session_ended

__all__ = ["LogoutNotifier", "SessionService"]

T = TypeVar("T")

LogoutNotifier = Callable[[AuthSession], Awaitable[None]]
"""Called with the session that a logout has ended. Must not raise."""

_LOGOUT_TIMEOUT = 2.0
"""Seconds that a logout waits for Descope. The cookies are cleared in any case (LO-01)."""


class SessionService:
    """Switches tenants, logs out and queries the user. Holds the logouts in flight."""

    def __init__(
        self,
        api: DescopeApi,
        tokens: TokenService,
        browser_tokens: BrowserTokens,
        coordinator: RefreshCoordinator,
        revocations: Revocations,
        events: EventBus,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self._browser_tokens = browser_tokens
        self._coordinator = coordinator
        self._revocations = revocations
        self._events = events
        self._logouts: SingleFlight[tuple[bytes, bool], None] = SingleFlight()

    async def select_tenant(self, credentials: Credentials, tenant: str) -> tuple[TokenPair, Login]:
        """Make ``tenant`` the current tenant of the session. One call to Descope.

        Returns the new tokens, and what Descope sent with them. Runs after refreshes of the session that are
        in flight, never concurrently with one.

        Raises:
            NotAuthenticated: There is no valid refresh token.
            SessionEnded: The session has expired or was revoked.
            BadRequest: The request has an Authorization header.
            Forbidden: Descope rejects the tenant.
            SessionTooLarge: The tokens for the tenant do not fit into cookies.
            UpstreamError: The call failed, or its tokens are invalid.
        """
        refresh_token = await self._browser_tokens.require_refresh_token(credentials)
        responses: list[TokenResponse] = []  # exactly one if the switch succeeds
        exchange = self._tokens.select_tenant(tenant, responses.append)
        try:
            with convert_session_ended():
                pair = await self._coordinator.switch(  # by the refresh token alone (TN-08)
                    refresh_token, exchange, self._tokens.verify_tenant(tenant)
                )
        except UpstreamRejected:
            raise Forbidden(ENGLISH.not_a_member) from None
        except InvalidUpstreamResponse as error:
            if error.reason == TokenReason.TOO_LARGE:  # CK-08
                raise SessionTooLarge from None
            raise
        self._events.emit(TenantSwitched(pair.session.user.id, tenant, pair.session.actor))
        return pair, Login.from_response(pair.session, responses[0].fields)

    # LO-01, LO-04
    async def logout(
        self, credentials: Credentials, *, everywhere: bool = False, notify: LogoutNotifier | None = None
    ) -> None:
        """End the session in this app and, within two seconds, at Descope. Never raises.

        Costs one call to Descope for each valid refresh token: with conflicting cookies there can be several,
        and any of them can be the user's own. No process of the app accepts the session's tokens any more.
        Cancelling the caller does not cancel the logout.

        Args:
            credentials: Those of the request.
            everywhere: End all sessions of the user, on all devices.
            notify: Awaited with the ended session, once for all concurrent logouts of the session. It is not
                called if no token of the request is valid.
        """
        tokens = sorted(credentials.refresh_rivals) or [credentials.refresh or credentials.session or ""]
        if tokens == [""]:  # LO-02
            await self._log_out(credentials, everywhere=everywhere)
            return
        key = (sha256(" ".join(tokens).encode()).digest(), everywhere)
        await self._logouts.run(key, lambda: self._log_out(credentials, everywhere=everywhere, notify=notify))

    async def profile(self, credentials: Credentials, result: AuthResult) -> UserProfile:
        """Return Descope's user object. One call, or two if the refresh token is replaced concurrently.

        Raises:
            NotAuthenticated: There is no valid refresh token.
            SessionEnded: The session has expired or was revoked.
            BadRequest: The request has an Authorization header.
            UpstreamError: The call failed.
        """
        return await self._query(self._api.fetch_profile, credentials, result)

    async def tenant_names(self, credentials: Credentials, result: AuthResult) -> dict[str, str]:
        """Return the names of the user's tenants by id. Costs and raises what ``profile`` does."""
        ids = sorted(result.session.tenants) if result.session else []
        if not ids:
            return {}
        return dict(
            await self._query(lambda jwt: self._api.fetch_tenant_names(jwt, ids), credentials, result)
        )

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for logouts in flight."""
        await self._logouts.drain(seconds)

    async def _log_out(
        self, credentials: Credentials, *, everywhere: bool, notify: LogoutNotifier | None = None
    ) -> None:
        confirmed, session, ended = False, None, dict[RefreshToken, set[str]]()
        try:
            async with asyncio.timeout(_LOGOUT_TIMEOUT):
                session = await self._session_to_end(credentials)
                tokens = await self._browser_tokens.refresh_tokens(credentials)
                ended = {token: {token.text, credentials.session or token.text} for token in tokens}
                calls = [self._revoke(*each, everywhere=everywhere) for each in ended.items()]
                confirmed = bool(calls) and all(await asyncio.gather(*calls))
        except TimeoutError:
            pass
        if not confirmed:
            await self._deny_unconfirmed(credentials, session, ended, everywhere=everywhere)
        self._events.emit(SignedOut(everywhere, confirmed, *_user_and_actor(ended)))
        if notify is not None and session is not None:
            await notify(session)

    async def _session_to_end(self, credentials: Credentials) -> AuthSession | None:
        try:
            return await self._browser_tokens.session_to_end(credentials)
        except UpstreamUnavailable:
            return None

    async def _revoke(self, token: RefreshToken, ended: set[str], *, everywhere: bool) -> bool:
        """End the session of a refresh token, and return whether Descope has confirmed it.

        The tokens of the session that the store knows are added to ``ended``.
        """
        current = await self._coordinator.revoke(token, wait_timeout=_LOGOUT_TIMEOUT / 2, ended=ended)
        call = self._api.logout_all if everywhere else self._api.logout
        _, confirmed = await asyncio.gather(
            self._deny(token.subject, ended, everywhere=everywhere), _succeeds(call(current))
        )
        return confirmed

    # RV-01, RV-02
    async def _deny(self, user_id: str, tokens: Collection[str], *, everywhere: bool) -> None:
        """Let no process accept the tokens, and with ``everywhere`` no token of the user."""
        until = await self._browser_tokens.last_expiry(tokens)
        await self._revocations.revoke_tokens(user_id, tokens, until=until)
        if everywhere:
            await self._revocations.revoke_user(user_id)

    # Descope still accepts these refresh tokens.
    async def _deny_unconfirmed(
        self,
        credentials: Credentials,
        session: AuthSession | None,
        ended: Mapping[RefreshToken, Collection[str]],
        *,
        everywhere: bool,
    ) -> None:
        """Deny tokens for as long as a revocation is kept, because Descope has not confirmed the logout."""
        for token, tokens in ended.items():
            await self._revocations.revoke_tokens(token.subject, tokens)
        if session is not None and credentials.session is not None and not ended:
            await self._deny(session.user.id, [credentials.session], everywhere=everywhere)

    # A refresh token that a concurrent refresh or switch has replaced is rejected like a revoked one: the
    # session has ended only if there is no newer token (RF-05).
    async def _query(
        self, query: Callable[[str], Awaitable[T]], credentials: Credentials, result: AuthResult
    ) -> T:
        """Return the result of ``query`` with the current refresh token of the session."""
        if result.pair is not None:  # refreshed by this request, whose own token may be spent
            jwt = result.pair.refresh.text
        else:
            jwt = await self._browser_tokens.current_refresh_jwt(credentials)
        while True:
            try:
                with convert_session_ended():
                    return await query(jwt)
            except SessionEnded:
                current = await self._coordinator.wait_idle(jwt)
                if current is None or current == jwt:
                    raise
            jwt = current


async def _succeeds(call: Awaitable[None]) -> bool:
    try:
        await call
    except UpstreamError:
        return False
    return True


def _user_and_actor(tokens: Collection[RefreshToken]) -> tuple[str | None, str | None]:
    """Return whose session a logout ends, and who acts as the user. Several users count as unknown."""
    users, actors = {token.subject for token in tokens}, {token.actor for token in tokens}
    user_id = users.pop() if len(users) == 1 else None
    if len(actors) > 1:
        return user_id, UNKNOWN_ACTOR
    return user_id, next(iter(actors), None)
