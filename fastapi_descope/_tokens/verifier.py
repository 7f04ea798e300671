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
from ..events import Events
from ..session import Claims, RefreshToken, Session
from .claims import Key, TokenKind, TokenPolicy, UnknownKey, verify
from .jwks import parse_key_set
from .jwks_cache import Fetch, KeyRing
from .token_cache import VerifiedTokens

__all__ = ["Fetch", "KeyCache", "parse_jwks"]

T = TypeVar("T")


def parse_jwks(body: bytes) -> Mapping[str, Key]:
    """The usable keys of a JWKS document, by kid. Raises UpstreamNonsense only; see ``jwks``."""
    return parse_key_set(body).keys


class KeyCache:
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
        events: Events,
        max_stale: float = 86400,
        cache_size: int = 4096,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._sessions = VerifiedTokens[Session](cache_size)
        self._refresh_tokens = VerifiedTokens[RefreshToken](cache_size)
        self._ring = KeyRing(
            fetch,
            monotonic=monotonic,
            events=events,
            max_stale=max_stale,
            on_change=self._forget,
            jitter=jitter,
        )

    async def session(self, token: str) -> Session:
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
        session = Session.from_claims(claims)
        self._sessions.put(digest, session, dies_at=self._death(claims), subject=session.user.id)
        return session

    async def refresh_token(self, token: str) -> RefreshToken:
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
            dies_at=self._death(claims),
            subject=refresh.subject,
        )
        return refresh

    async def warm(self) -> None:
        """Fetch the keys if there are none. Never raises: a failure is a ``KeysFailed`` event."""
        try:
            await self._ring.keys()
        except UpstreamUnavailable:
            return

    async def aclose(self) -> None:
        """End a fetch under way, if any; those who wait for it get UpstreamUnavailable."""
        await self._ring.aclose()

    def _digest(self, token: str) -> bytes:
        if len(token) > self._policy.max_bytes:
            raise TokenError(TokenReason.TOO_LARGE)
        return sha256(token.encode(errors="surrogatepass")).digest()

    def _known(self, tokens: VerifiedTokens[T], digest: bytes) -> T | None:
        # Without keys nothing is known, however lately it was verified (JW-06).
        return None if self._ring.ready(first=False) is None else tokens.get(digest, self._clock())

    async def _claims(self, token: str, kind: TokenKind) -> Claims:
        keys = self._ring.ready(first=False)
        # Ends: the ring says no as soon as no fetch is under way and none may be begun.
        while True:
            try:
                # Before the first keys are there, what is no token at all is told apart without them.
                return verify(token, kind=kind, keys=keys or {}, policy=self._policy, now=self._clock())
            except UnknownKey as unknown:
                if keys is not None and not (unknown.worth_a_fetch and await self._ring.look_again()):
                    raise
            keys = await self._ring.keys()

    def _death(self, claims: Claims) -> float:
        return cast("float", claims["exp"]) + self._policy.leeway

    def _forget(self) -> None:
        self._sessions.clear()
        self._refresh_tokens.clear()
