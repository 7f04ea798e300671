"""Descope's answers, made into pairs of tokens, both halves of which are verified.

Nothing that came over the wire is believed because of where it came from: an answer passes the same
checks as a token from a browser before a cookie is written from it (CB-07, KD-06).
"""

from collections.abc import Callable

from .._refresh.coordinator import Call, Verify
from .._refresh.store import RefreshResult
from .._tokens.claims import UnknownKey
from .._tokens.verifier import KeyCache
from .._upstream.api import DescopeClient, TokenAnswer
from ..errors import (
    SessionTooLarge,
    TokenError,
    TokenExpired,
    TokenReason,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from ..events import Events, SuspiciousAnswer
from ..session import RefreshToken, TokenPair

__all__ = ["TokenPairs"]


class TokenPairs:
    """Asks Descope for tokens, and verifies what it answers. ``clock`` returns epoch seconds."""

    def __init__(
        self, client: DescopeClient, keys: KeyCache, *, events: Events, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._keys = keys
        self._events = events
        self._clock = clock

    async def exchange(self, code: str) -> tuple[TokenPair, TokenAnswer]:
        """The pair for a one-time login code. One call.

        Raises the ``UpstreamError`` family, and ``SessionTooLarge`` if the user's grants have outgrown
        what a browser sends: that is for the app's owner to mend, not Descope's fault (CK-08).
        """
        answer = await self._client.sso_exchange(code)
        try:
            return await self.verify(self._result(answer, None)), answer
        except UpstreamNonsense as error:
            if error.reason == TokenReason.TOO_LARGE:
                raise SessionTooLarge from None
            if error.reason == TokenReason.EXPIRED:  # fresh from Descope, so it is our clock that is ahead
                self._events.emit(SuspiciousAnswer(error.reason))
            raise

    async def refresh(self, refresh_jwt: str) -> RefreshResult:
        """What a refresh brings, not yet verified. One call; raises the ``UpstreamError`` family."""
        return self._result(await self._client.refresh(refresh_jwt), refresh_jwt)

    def select(self, tenant: str) -> Call:
        """A call that switches the session to ``tenant``; ``in_tenant`` verifies what it brings."""

        async def call(refresh_jwt: str) -> RefreshResult:
            """Ask Descope for the switch."""
            return self._result(await self._client.tenant_select(refresh_jwt, tenant), refresh_jwt)

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

        Raises ``UpstreamNonsense`` if they are not, with the reason ``expired`` if they were until their
        time was over, and ``UpstreamUnavailable`` while that cannot be told. No network unless a key is
        missing.
        """
        if result.session_jwt is None or result.refresh_jwt is None:
            raise UpstreamNonsense("token_missing")
        try:
            session = await self._keys.session(result.session_jwt)
            refresh = await self._keys.refresh_token(result.refresh_jwt)
        except TokenError as error:
            raise self._unproven(error) from None
        if len({session.user.id, refresh.subject, held.subject if held else refresh.subject}) != 1:
            raise self._suspicious("subject")
        return TokenPair(result.session_jwt, session, refresh, result.refresh_at)

    def _result(self, answer: TokenAnswer, presented: str | None) -> RefreshResult:
        """Without rotation Descope may leave the refresh token out: then the presented one goes on."""
        wait = answer.next_refresh_seconds
        return RefreshResult(
            session_jwt=answer.session_jwt,
            refresh_jwt=answer.refresh_jwt or presented,
            refresh_at=self._clock() + wait if wait else None,
        )

    def _unproven(self, error: TokenError) -> UpstreamNonsense | UpstreamUnavailable:
        """What an answer is worth of which one token did not pass.

        One that may pass later is not thrown away: it may be the only copy of a rotated token.
        """
        match error:
            case UnknownKey(worth_a_fetch=True):  # a key so new that we may not ask for it yet
                return UpstreamUnavailable()
            case TokenExpired():  # it waited in memory, or our clock is wrong: late is not suspicious
                return UpstreamNonsense(TokenReason.EXPIRED)
            case TokenError(reason=TokenReason.NOT_YET_VALID):  # our clock is behind (RF-17)
                self._events.emit(SuspiciousAnswer(error.reason))
                return UpstreamUnavailable()
            case _:
                return self._suspicious(error.reason)

    def _suspicious(self, reason: str) -> UpstreamNonsense:
        self._events.emit(SuspiciousAnswer(reason))
        return UpstreamNonsense(reason)
