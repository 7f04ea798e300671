"""Descope's answers, made into pairs of tokens, both halves of which are verified.

Nothing that came over the wire is believed because of where it came from: an answer passes the same
checks as a token from a browser before a cookie is written from it (CB-07, KD-06).
"""

from collections.abc import Callable

from .._refresh.coordinator import Exchange, Verify
from .._refresh.store import RefreshResult
from .._tokens.claims import UnknownKey
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi, TokenResponse
from ..errors import (
    InvalidUpstreamResponse,
    SessionTooLarge,
    TokenError,
    TokenExpired,
    TokenReason,
    UpstreamUnavailable,
)
from ..events import EventBus, UpstreamTokenRejected
from ..session import RefreshToken, TokenPair

__all__ = ["TokenService"]


class TokenService:
    """Asks Descope for tokens, and verifies what it answers. ``clock`` returns epoch seconds."""

    def __init__(
        self, api: DescopeApi, verifier: TokenVerifier, *, events: EventBus, clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._verifier = verifier
        self._events = events
        self._clock = clock

    async def exchange(self, code: str) -> tuple[TokenPair, TokenResponse]:
        """The pair for a one-time login code. One call.

        Raises the ``UpstreamError`` family, and ``SessionTooLarge`` if the user's grants have outgrown
        what a browser sends: that is for the app's owner to mend, not Descope's fault (CK-08).
        """
        answer = await self._api.sso_exchange(code)
        try:
            return await self.verify(self._result(answer, None)), answer
        except InvalidUpstreamResponse as error:
            if error.reason == TokenReason.TOO_LARGE:
                raise SessionTooLarge from None
            if error.reason == TokenReason.EXPIRED:  # fresh from Descope, so it is our clock that is ahead
                self._events.emit(UpstreamTokenRejected(error.reason))
            raise

    async def refresh(self, refresh_jwt: str) -> RefreshResult:
        """What a refresh brings, not yet verified. One call; raises the ``UpstreamError`` family."""
        return self._result(await self._api.refresh(refresh_jwt), refresh_jwt)

    def select(self, tenant: str) -> Exchange:
        """A call that switches the session to ``tenant``; ``in_tenant`` verifies what it brings."""

        async def call(refresh_jwt: str) -> RefreshResult:
            """Ask Descope for the switch."""
            return self._result(await self._api.tenant_select(refresh_jwt, tenant), refresh_jwt)

        return call

    def in_tenant(self, tenant: str) -> Verify:
        """``verify``, which then also insists that ``tenant`` is the current one (TN-07)."""

        async def verify(result: RefreshResult, held: RefreshToken) -> TokenPair:
            """Check the pair, and then its tenant."""
            pair = await self.verify(result, held)
            if pair.session.tenant_claim != tenant:
                raise self._suspicious("tenant")
            return pair

        return verify

    async def verify(self, result: RefreshResult, held: RefreshToken | None = None) -> TokenPair:
        """The pair of ``result``, both halves checked and of one user: that of ``held``, if given.

        Raises ``InvalidUpstreamResponse`` if they are not, with the reason ``expired`` if they were until
        their time was over, and ``UpstreamUnavailable`` while that cannot be told. No network unless a key is
        missing.
        """
        if result.session_jwt is None or result.refresh_jwt is None:
            raise InvalidUpstreamResponse("token_missing")
        try:
            session = await self._verifier.verify_session(result.session_jwt)
            refresh = await self._verifier.verify_refresh_token(result.refresh_jwt)
        except TokenError as error:
            raise self._unproven(error) from None
        if len({session.user.id, refresh.subject, held.subject if held else refresh.subject}) != 1:
            raise self._suspicious("subject")
        return TokenPair(result.session_jwt, session, refresh, result.refresh_at)

    def _result(self, answer: TokenResponse, presented: str | None) -> RefreshResult:
        """Without rotation Descope may leave the refresh token out: then the presented one goes on."""
        wait = answer.next_refresh_seconds
        return RefreshResult(
            session_jwt=answer.session_jwt,
            refresh_jwt=answer.refresh_jwt or presented,
            refresh_at=self._clock() + wait if wait else None,
        )

    def _unproven(self, error: TokenError) -> InvalidUpstreamResponse | UpstreamUnavailable:
        """What an answer is worth of which one token did not pass.

        One that may pass later is not thrown away: it may be the only copy of a rotated token.
        """
        match error:
            case UnknownKey(should_refetch=True):  # a key so new that we may not ask for it yet
                return UpstreamUnavailable()
            case TokenExpired():  # it waited in memory, or our clock is wrong: late is not suspicious
                return InvalidUpstreamResponse(TokenReason.EXPIRED)
            case TokenError(reason=TokenReason.NOT_YET_VALID):  # our clock is behind (RF-17)
                self._events.emit(UpstreamTokenRejected(error.reason))
                return UpstreamUnavailable()
            case _:
                return self._suspicious(error.reason)

    def _suspicious(self, reason: str) -> InvalidUpstreamResponse:
        self._events.emit(UpstreamTokenRejected(reason))
        return InvalidUpstreamResponse(reason)
