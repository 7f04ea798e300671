"""Verifies tokens under Descope's current keys, and remembers those that passed.

``jwks`` says what a key set is, ``key_ring`` when it is fetched, and ``tokens`` what a token must be; this
puts the three behind two questions.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar, cast

from ..errors import TokenError, TokenReason, UpstreamUnavailable
from ..events import EventBus
from ..session import AuthSession, Claims, RefreshToken
from .claims import Key, TokenKind, TokenPolicy, UnknownKey, verify
from .jwks import parse_key_set
from .jwks_cache import Fetch, JwksCache
from .token_cache import TokenCache

__all__ = ["Fetch", "TokenVerifier", "parse_jwks"]

T = TypeVar("T")


def parse_jwks(body: bytes) -> Mapping[str, Key]:
    """The usable keys of a JWKS document, by kid. Raises InvalidUpstreamResponse only; see ``jwks``."""
    return parse_key_set(body).keys


class TokenVerifier:
    """Tokens in, verified values out, under keys that are fetched and renewed as needed.

    ``clock`` tells epoch seconds and judges claims; ``monotonic`` measures ages and pauses. Keys are
    good for ``max_stale`` seconds after they were last fetched (JW-06). Up to ``cache_size`` verified
    tokens of each kind are remembered; 0 remembers none. Nothing is fetched before the first question.

    An object may serve several event loops, but one after the other.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        policy: TokenPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        events: EventBus,
        max_stale: float = 86400,
        cache_size: int = 4096,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._sessions = TokenCache[AuthSession](cache_size)
        self._refresh_tokens = TokenCache[RefreshToken](cache_size)
        self._jwks = JwksCache(
            fetch,
            monotonic=monotonic,
            events=events,
            max_stale=max_stale,
            on_change=self._forget,
            jitter=jitter,
        )

    async def verify_session(self, token: str) -> AuthSession:
        """The session that ``token`` proves. Costs a hash if it was verified before, else one RSA operation.

        Raises TokenError, or TokenExpired if all but the time holds, or UpstreamUnavailable if there are
        no keys to judge by: only then, or when it names a key that is not in the set, does this wait. What
        is malformed is refused without keys, and causes no fetch (JW-02).
        """
        digest = self._digest(token)
        known = self._known(self._sessions, digest)
        if known is not None:
            return known
        claims = await self._claims(token, TokenKind.SESSION)
        session = AuthSession.from_claims(claims)
        self._sessions.put(digest, session, expires_at=self._expires_at(claims), subject=session.user.id)
        return session

    async def verify_refresh_token(self, token: str) -> RefreshToken:
        """The refresh token that ``token`` is; costs and raises what ``session`` does."""
        digest = self._digest(token)
        known = self._known(self._refresh_tokens, digest)
        if known is not None:
            return RefreshToken(token, known.subject, known.issued_at, known.expires_at)
        claims = await self._claims(token, TokenKind.REFRESH)
        refresh = RefreshToken.from_claims(token, claims)
        self._refresh_tokens.put(
            digest,
            replace(refresh, text=""),
            expires_at=self._expires_at(claims),
            subject=refresh.subject,
        )
        return refresh

    async def warm(self) -> None:
        """Fetch the keys if there are none. Never raises: a failure is a ``JwksFetchFailed`` event."""
        try:
            await self._jwks.keys()
        except UpstreamUnavailable:
            return

    async def aclose(self) -> None:
        """End a fetch under way, if any; those who wait for it get UpstreamUnavailable."""
        await self._jwks.aclose()

    def _digest(self, token: str) -> bytes:
        if len(token) > self._policy.max_bytes:
            raise TokenError(TokenReason.TOO_LARGE)
        return sha256(token.encode(errors="surrogatepass")).digest()

    def _known(self, tokens: TokenCache[T], digest: bytes) -> T | None:
        # Without keys nothing is known, however lately it was verified (JW-06).
        return (
            None if self._jwks.get_nowait(fetch_if_empty=False) is None else tokens.get(digest, self._clock())
        )

    async def _claims(self, token: str, kind: TokenKind) -> Claims:
        keys = self._jwks.get_nowait(fetch_if_empty=False)
        # Ends: the ring says no as soon as no fetch is under way and none may be begun.
        while True:
            try:
                # Before the first keys are there, what is no token at all is told apart without them.
                return verify(token, kind=kind, keys=keys or {}, policy=self._policy, now=self._clock())
            except UnknownKey as unknown:
                if keys is not None and not (
                    unknown.should_refetch and await self._jwks.refetch_for_unknown_kid()
                ):
                    raise
            keys = await self._jwks.keys()

    def _expires_at(self, claims: Claims) -> float:
        return cast("float", claims["exp"]) + self._policy.leeway

    def _forget(self) -> None:
        self._sessions.clear()
        self._refresh_tokens.clear()
