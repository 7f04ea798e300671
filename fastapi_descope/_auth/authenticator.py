"""Authenticate a request: from its credentials to a session and the action on its cookies."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.outcome import Ended, FlightResult
from .._revocation.revocations import Revocations
from .._tokens.verifier import TokenVerifier
from ..callers import Delegate, Machine
from ..errors import (
    ConflictingCookies,
    InvalidAccessKey,
    NotAuthenticated,
    SessionEnded,
    SessionRequired,
    TokenError,
    TokenExpired,
    TokenReason,
    TooManyAttempts,
    UnsupportedAuthScheme,
    UpstreamUnavailable,
)
from ..events import EventBus, TokenPairMismatch, TokenRejected
from ..session import AuthSession, RefreshToken
from .access_keys import AccessKeys, looks_like_access_key
from .auth_result import AuthResult, Refresh, with_outcome
from .credentials import CookieAction, Credentials
from .impersonation import with_actor
from .session_gate import SessionGate

__all__ = ["Authenticator", "VerifiedRefreshCookie", "have_two_users"]

_PREFETCH = "A prefetch does not refresh the session. Open the page instead."

VerifiedRefreshCookie = RefreshToken | TokenError | UpstreamUnavailable | None
"""The verified token of the refresh cookie, the error of its verification, or None without a cookie."""


class Authenticator:
    """Authenticates requests. Holds no state.

    Args:
        verifier: Verifies session tokens and refresh tokens.
        coordinator: Refreshes sessions.
        revocations: Knows the tokens that were revoked.
        gate: Admits or refuses verified sessions.
        caller_gate: Admits or refuses applications and machines.
        access_keys: Exchanges access keys, or None if a bearer is never an access key.
        events: Receives an event for each rejected token.
        clock: Returns epoch seconds.
        refresh_ahead: Seconds before its expiry at which a session is refreshed concurrently with a request,
            at most a quarter of the session's lifetime. It varies by 10 % in either direction, so that
            sessions that started together are not refreshed together.
    """

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        coordinator: RefreshCoordinator,
        revocations: Revocations,
        gate: SessionGate[AuthSession],
        caller_gate: SessionGate[Delegate | Machine],
        access_keys: AccessKeys | None = None,
        events: EventBus,
        clock: Callable[[], float],
        refresh_ahead: float = 60.0,
    ) -> None:
        self._verifier = verifier
        self._coordinator = coordinator
        self._revocations = revocations
        self._gate = gate
        self._caller_gate = caller_gate
        self._access_keys = access_keys
        self._events = events
        self._clock = clock
        self._refresh_ahead = refresh_ahead

    async def authenticate(self, credentials: Credentials) -> AuthResult:
        """Return the session that the credentials prove, or the reason why they prove none. Never raises.

        A known token costs two cache look-ups, an unknown one a signature check each. An expired session
        costs one refresh, shared by all concurrent requests with the same refresh token. The ``on_session``
        hooks run once for each unknown session token. An access key costs what ``AccessKeys.machine`` costs.
        """
        await self._revocations.ready()
        keys, bearer = self._access_keys, credentials.bearer
        if keys is not None and bearer is not None and looks_like_access_key(bearer):
            return await self._from_access_key(keys, bearer, credentials.client)
        if credentials.bearer is not None:
            return await self._from_bearer(credentials.bearer, credentials.scheme)
        if credentials.ambiguous:
            return AuthResult(error=ConflictingCookies())
        if credentials.session is None and credentials.refresh is None:
            return AuthResult(error=NotAuthenticated())
        try:
            return await self._from_cookies(credentials)
        except UpstreamUnavailable as error:
            return AuthResult(error=error, source="cookie")

    # Verified offline before it is sent anywhere (RF-12). If it cannot be verified now, a valid session token
    # is still accepted.
    async def verify_refresh_cookie(
        self, text: str | None, *, accept_revoked: bool = False
    ) -> VerifiedRefreshCookie:
        """Return the refresh token of a cookie, the error of its verification, or None without a cookie.

        Its browser has presented it. A token that was revoked counts as expired, unless ``accept_revoked`` is
        set. Costs what ``TokenVerifier.verify_refresh_token`` costs.
        """
        if text is None:
            return None
        try:
            token = await self._verifier.verify_refresh_token(
                text, on_first_presented=self._coordinator.mark_presented
            )
        except (TokenError, UpstreamUnavailable) as error:
            return error
        is_refused = not accept_revoked and self._revocations.denies_refresh_token(token)
        return _revoked(token.subject) if is_refused else token

    async def verify_session_cookie(self, text: str | None) -> AuthSession | TokenError | None:
        """Return the session of a cookie, the error of its verification, or None without a cookie.

        A token that was revoked counts as expired. Costs what ``TokenVerifier.verify_session`` costs.

        Raises:
            UpstreamUnavailable: The token cannot be verified, because no keys could be fetched.
        """
        if text is None:
            return None
        try:
            session = await self._verifier.verify_session(text)
        except TokenError as error:
            return error
        is_revoked = self._revocations.denies(text, session.user.id, session.issued_at)
        return _revoked(session.user.id) if is_revoked else session

    # One of the cookies was planted, and it is unknown which one (KD-05, CK-11).
    def is_mismatch(self, refresh: VerifiedRefreshCookie, session: AuthSession | TokenError | None) -> bool:
        """Return whether the two cookies belong to different users; emit an event if they do."""
        mismatch = have_two_users(refresh, session)
        if mismatch:
            self._events.emit(TokenPairMismatch())
        return mismatch

    # A bearer is a session token or nothing: cookies are not read, nothing is refreshed (KD-04, KD-08).
    async def _from_bearer(self, bearer: str, scheme: str) -> AuthResult:
        if scheme != "bearer":
            self._events.emit(TokenRejected(TokenReason.MALFORMED, "bearer", scheme))
            return AuthResult(error=UnsupportedAuthScheme(scheme), source="bearer")
        try:
            caller = await self._verifier.verify_bearer(bearer)
            subject = caller.subject if isinstance(caller, Delegate) else caller.user.id
            if self._revocations.denies(bearer, subject, caller.issued_at):
                raise _revoked(subject)
        except TokenError as error:
            self._events.emit(TokenRejected(error.reason, "bearer"))
            return AuthResult(error=error, source="bearer")
        except UpstreamUnavailable as error:
            return AuthResult(error=error, source="bearer")
        if isinstance(caller, Delegate):
            return await self._of_other_caller(bearer, caller)
        result = AuthResult(caller, source="bearer", repeats_until=caller.expires_at)
        return await self._checked(result, bearer, caller) if self._gate.hooks else result

    async def _from_access_key(self, keys: AccessKeys, key: str, address: str | None) -> AuthResult:
        try:
            known = await keys.machine(key, address)
        except (InvalidAccessKey, TooManyAttempts, UpstreamUnavailable) as error:
            return AuthResult(error=error, source="bearer")
        # A verdict belongs to one session of the key, and ends with it.
        return await self._of_other_caller(known.session, known.machine)

    # CL-02, CL-06
    async def _of_other_caller(self, token: str, caller: Delegate | Machine) -> AuthResult:
        """Return the result for an application or a machine. It has a session on no route."""
        if self._caller_gate.hooks and (error := await self._caller_gate.check(token, caller)) is not None:
            return AuthResult(error=error, source="bearer")
        return AuthResult(error=SessionRequired(), source="bearer", other_caller=caller)

    async def _from_cookies(self, credentials: Credentials) -> AuthResult:
        refresh = await self.verify_refresh_cookie(credentials.refresh)
        session = await self.verify_session_cookie(credentials.session)
        if isinstance(session, TokenError) and session.reason is not TokenReason.EXPIRED:
            self._events.emit(TokenRejected(session.reason, "cookie"))
        if self.is_mismatch(refresh, session):
            # A response can only delete our own cookies for sure, and the planted one would remain alone.
            return AuthResult(error=ConflictingCookies(), source="cookie")
        if isinstance(refresh, TokenExpired) and refresh.reason is TokenReason.REVOKED:
            return AuthResult(error=SessionEnded(), cookies=CookieAction.CLEAR, source="cookie")
        if not isinstance(session, AuthSession):
            return await self._refresh_session(refresh, session, credentials)
        return await self._from_live_session(session, refresh, credentials)

    async def _from_live_session(
        self, session: AuthSession, refresh: VerifiedRefreshCookie, credentials: Credentials
    ) -> AuthResult:
        if isinstance(refresh, RefreshToken):
            if refresh.actor is not None:
                session = with_actor(session, refresh)
            # RV-06
            if credentials.may_refresh and self._revocations.is_stale(session.user.id, session.issued_at):
                return await self._refreshed(refresh, session, credentials.session or "")
        if self._gate.hooks and credentials.session is not None:
            result = AuthResult(session, cookies=_rejected_refresh_action(refresh), source="cookie")
            result = await self._checked(result, credentials.session, session)
            if result.session is None:  # a refused session is not refreshed ahead of its expiry
                return result
        return self._live_session(session, refresh, may_refresh=credentials.may_refresh)

    # Rotated cookies are written whatever the verdict (SG-04).
    async def _checked(self, result: AuthResult, token: str, session: AuthSession) -> AuthResult:
        """Return ``result``, with an error instead of the session unless the hooks admit it."""
        error = await self._gate.check(token, session)
        return result if error is None else replace(result, session=None, error=error, repeats_until=0)

    def _live_session(
        self, session: AuthSession, refresh: VerifiedRefreshCookie, *, may_refresh: bool
    ) -> AuthResult:
        if refresh is None:
            return AuthResult(session, source="cookie", repeats_until=session.expires_at)
        if not isinstance(refresh, RefreshToken):
            return AuthResult(session, cookies=_rejected_refresh_action(refresh), source="cookie")
        refresh_at = self._refresh_due_at(session)
        if not may_refresh or self._clock() < refresh_at:
            return AuthResult(session, source="cookie", repeats_until=refresh_at)
        task = self._coordinator.start_refresh(refresh)
        return AuthResult(session, source="cookie", _refresh=self._refresh_of(refresh, task))

    def _refresh_of(self, token: RefreshToken, task: asyncio.Task[FlightResult] | None = None) -> Refresh:
        return Refresh(self._coordinator, self._gate, token, task)

    # With a valid refresh token, any invalid session token is replaced (RF-11).
    async def _refresh_session(
        self, refresh: VerifiedRefreshCookie, session_error: TokenError | None, credentials: Credentials
    ) -> AuthResult:
        """Return the result of a request without a valid session token."""
        if isinstance(refresh, UpstreamUnavailable):
            return AuthResult(error=refresh, source="cookie")
        if isinstance(refresh, TokenExpired):
            return AuthResult(error=SessionEnded(), cookies=CookieAction.CLEAR, source="cookie")
        if not isinstance(refresh, RefreshToken):
            error = session_error or NotAuthenticated()
            return AuthResult(error=error, cookies=_rejected_refresh_action(refresh), source="cookie")
        if not credentials.may_refresh:
            if credentials.is_prefetch:  # the browser may show the page later, for a signed-out user (CA-06)
                return AuthResult(error=UpstreamUnavailable(detail=_PREFETCH), source="cookie")
            return AuthResult(error=NotAuthenticated(), source="cookie")
        return await self._refreshed(refresh)

    async def _refreshed(
        self, refresh: RefreshToken, session: AuthSession | None = None, token: str = ""
    ) -> AuthResult:
        """Return the result after a refresh. ``session`` and its ``token`` count if there is no verdict."""
        outcome = await self._coordinator.refresh(refresh)
        live = None if isinstance(outcome, Ended) else session
        result = with_outcome(AuthResult(live, source="cookie", _refresh=self._refresh_of(refresh)), outcome)
        if result.session is None or not self._gate.hooks:
            return result
        return await self._checked(result, result.pair.session_jwt if result.pair else token, result.session)

    def _refresh_due_at(self, session: AuthSession) -> float:
        lifetime = session.expires_at - session.issued_at
        jitter = 0.9 + (crc32(session.user.id.encode()) + session.issued_at) % 201 / 1000  # RF-10
        return session.expires_at - min(self._refresh_ahead, lifetime / 4) * jitter


def _revoked(subject: str) -> TokenExpired:
    return TokenExpired(subject, TokenReason.REVOKED)


def have_two_users(refresh: VerifiedRefreshCookie, session: AuthSession | TokenError | None) -> bool:
    """Return whether two verified cookies are of different users. An expired token has a user, too."""
    ours, theirs = _subject(refresh), _subject(session)
    return ours is not None and theirs is not None and ours != theirs


def _subject(token: AuthSession | VerifiedRefreshCookie) -> str | None:
    # Not a match statement: its class patterns cost several times as much, and each request runs this.
    if isinstance(token, AuthSession):
        return token.user.id
    return token.subject if isinstance(token, (RefreshToken, TokenExpired)) else None


# A session token in the refresh cookie is deleted, and no other cookie (KD-02).
def _rejected_refresh_action(refresh: VerifiedRefreshCookie) -> CookieAction:
    if isinstance(refresh, TokenError) and refresh.reason is TokenReason.KIND:
        return CookieAction.CLEAR_REFRESH
    return CookieAction.KEEP
