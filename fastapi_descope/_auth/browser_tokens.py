"""The tokens in the cookies of a browser, for login, logout, tenant switch and profile."""

import asyncio
import math
from collections.abc import Iterable

from .._refresh.coordinator import RefreshCoordinator
from ..errors import (
    BadRequest,
    ConflictingCookies,
    NotAuthenticated,
    SessionEnded,
    TokenExpired,
    UpstreamUnavailable,
)
from ..session import AuthSession, RefreshToken, User
from .authenticator import Authenticator, have_two_users
from .credentials import Credentials
from .impersonation import with_actor

__all__ = ["BrowserTokens"]

_CONFLICT_TIMEOUT = 1.0
"""Seconds that login, callback and logout wait to learn whether the cookies conflict (LO-01)."""


class BrowserTokens:
    """Finds the tokens that operations on a session need. Holds no state, and refreshes nothing."""

    def __init__(self, authenticator: Authenticator, coordinator: RefreshCoordinator) -> None:
        self._authenticator = authenticator
        self._coordinator = coordinator

    async def require_refresh_token(self, credentials: Credentials) -> RefreshToken:
        """Return the verified refresh token of a request, for operations that need it.

        The ``on_session`` hooks do not matter: a user whose session they refuse can log out.

        Raises:
            BadRequest: The request has an Authorization header.
            ConflictingCookies: A cookie came with two different values, or the cookies are of two users.
            SessionEnded: The refresh token has expired.
            NotAuthenticated: There is no valid refresh token.
            UpstreamUnavailable: The token cannot be verified, because no keys could be fetched.
        """
        if credentials.bearer is not None:
            raise BadRequest("This needs the session cookies: send it without an Authorization header")
        if credentials.ambiguous:
            raise ConflictingCookies
        refresh = await self._authenticator.verify_refresh_cookie(credentials.refresh)
        if isinstance(refresh, UpstreamUnavailable):
            raise refresh
        if isinstance(refresh, TokenExpired):
            raise SessionEnded
        if not isinstance(refresh, RefreshToken):
            raise NotAuthenticated
        session = await self._authenticator.verify_session_cookie(credentials.session)
        if self._authenticator.is_mismatch(refresh, session):
            raise ConflictingCookies
        return refresh

    async def refresh_tokens(self, credentials: Credentials) -> tuple[RefreshToken, ...]:
        """Return all valid refresh tokens in the cookies, also if the cookies conflict. Never raises.

        For a login and a logout, which end the session of the browser whichever of them it is. A token that
        was revoked is included, because Descope may not know of it. A token that cannot be verified at the
        moment is left out.
        """
        if credentials.bearer is not None:
            return ()
        texts = credentials.refresh_rivals if credentials.ambiguous else (credentials.refresh,)
        tokens = [
            await self._authenticator.verify_refresh_cookie(text, accept_revoked=True) for text in texts
        ]
        return tuple(token for token in tokens if isinstance(token, RefreshToken))

    async def may_be_signed_in(self, credentials: Credentials) -> bool:
        """Return whether the browser has a valid session or refresh token, or cookies that conflict.

        Tokens that cannot be verified at the moment count as valid.
        """
        return credentials.ambiguous or await self.is_signed_in(credentials) is not False

    async def is_signed_in(self, credentials: Credentials) -> bool | None:
        """Return whether a session or refresh cookie is valid, or None if that is unknown."""
        try:
            refresh = await self._authenticator.verify_refresh_cookie(credentials.refresh)
            session = await self._authenticator.verify_session_cookie(credentials.session)
        except UpstreamUnavailable:
            return None
        if isinstance(session, AuthSession) or isinstance(refresh, RefreshToken):
            return True
        return None if isinstance(refresh, UpstreamUnavailable) else False

    async def has_conflict(self, credentials: Credentials) -> bool:
        """Return whether a cookie came with two different values, or the cookies are of two users.

        Tokens that cannot be verified within a second conflict with none.
        """
        if credentials.ambiguous or credentials.session is None or credentials.refresh is None:
            return credentials.ambiguous
        try:
            async with asyncio.timeout(_CONFLICT_TIMEOUT):
                refresh = await self._authenticator.verify_refresh_cookie(credentials.refresh)
                session = await self._authenticator.verify_session_cookie(credentials.session)
                return self._authenticator.is_mismatch(refresh, session)
        except (UpstreamUnavailable, TimeoutError):
            return False

    async def current_refresh_jwt(self, credentials: Credentials) -> str:
        """Return the current refresh token of the session, which may have replaced that of the request.

        Waits for operations that run for the session in this process. Raises as ``require_refresh_token``
        does.
        """
        return await self._coordinator.current_token(await self.require_refresh_token(credentials))

    async def last_expiry(self, tokens: Iterable[str]) -> float:
        """Return when the last of the session tokens among ``tokens`` expires, in epoch seconds.

        Returns 0 if none of them is valid, and infinity if they cannot be verified.
        """
        expiries: list[int] = []
        for token in tokens:
            try:
                session = await self._authenticator.verify_session_cookie(token)
            except UpstreamUnavailable:
                return math.inf
            if isinstance(session, AuthSession):
                expiries.append(session.expires_at)
        return max(expiries, default=0)

    async def session_to_end(self, credentials: Credentials) -> AuthSession | None:
        """Return the session that a logout ends, also one that the ``on_session`` hooks refuse.

        Without a valid session token it has the user id, the actor and the times of the refresh token, and
        nothing else.
        Returns None if no token is valid or the tokens belong to different users. Refreshes nothing.

        Raises:
            UpstreamUnavailable: The tokens cannot be verified, because no keys could be fetched.
        """
        refresh = await self._authenticator.verify_refresh_cookie(credentials.refresh)
        session = await self._authenticator.verify_session_cookie(credentials.session)
        if have_two_users(refresh, session):
            return None
        if not isinstance(refresh, RefreshToken):
            return session if isinstance(session, AuthSession) else None
        if not isinstance(session, AuthSession):
            session = AuthSession(User(refresh.subject), None, {}, refresh.issued_at, refresh.expires_at)
        return with_actor(session, refresh)
