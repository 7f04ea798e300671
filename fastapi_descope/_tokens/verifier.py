"""The verifier of session and refresh tokens, with its cache of verified tokens."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from .._concurrency import Pacer
from .._lru_dict import LruDict
from ..callers import Delegate, Machine
from ..errors import TokenError, TokenExpired, TokenReason, UpstreamUnavailable
from ..events import EventBus
from ..session import AuthSession, Claims, RefreshToken
from .claims import TokenKind, TokenPolicy, UnknownKey, verify

if TYPE_CHECKING:
    from .jwks_cache import Fetch

__all__ = ["TokenCache", "TokenVerifier"]

_VERIFICATIONS_PER_ITERATION = 32
"""One takes about a tenth of a millisecond, and the request that it belongs to several times that.

A smaller number makes more requests wait, each with about sixty objects, and the objects start the garbage
collector: at 8, it takes a seventh of the CPU time of sixteen connections and stops them for up to 60 ms.
"""

_SESSION_ONLY = (TokenKind.SESSION,)
_BEARERS = (TokenKind.SESSION, TokenKind.DELEGATE)

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    value: T
    expires_at: float
    subject: str


class TokenCache(Generic[T]):
    """An LRU cache of at most ``size`` values of verified tokens, by the SHA-256 digest of the token.

    The token itself is not stored, so a memory dump contains no bearer token. Lookup by digest is sound
    because a token has exactly one accepted encoding.
    """

    # TV-18. One encoding per token: TV-03. Two sessions of one user are two entries: TN-10.

    def __init__(self, size: int) -> None:
        self._entries = LruDict[bytes, _Entry[T]](size)

    def get(self, digest: bytes, now: float) -> T | None:
        """Return the cached value, or None if the token is unknown.

        Raises:
            TokenExpired: the token has expired at ``now`` (epoch seconds).
        """
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        if now >= entry.expires_at:
            raise TokenExpired(entry.subject)
        return entry.value

    def put(self, digest: bytes, value: T, *, expires_at: float, subject: str) -> None:
        """Cache the ``value`` of a verified token until ``expires_at`` (epoch seconds)."""
        self._entries.put(digest, _Entry(value, expires_at, subject))

    def clear(self) -> None:
        """Remove every entry."""
        self._entries.clear()


@dataclass(slots=True)
class _KnownRefreshToken:
    """A verified refresh token without its text, and whether a browser has presented it to this process."""

    value: RefreshToken
    is_presented: bool = False


class TokenVerifier:
    """Verifies tokens under Descope's current keys and caches the results.

    Nothing is fetched before the first token is verified. One verifier may be used in several event
    loops, one after the other, but not concurrently.

    Attributes:
        pacer: Spreads the verifications of a burst over iterations of the event loop.
    """

    def __init__(
        self,
        fetch: "Fetch",
        *,
        policy: TokenPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        events: EventBus,
        max_stale: float = 86400,
        cache_size: int = 4096,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Create a verifier without keys.

        Args:
            fetch: Fetches the key set.
            policy: What a token must contain.
            clock: Returns epoch seconds; claims are checked against it.
            monotonic: Returns seconds; ages and delays are measured with it.
            events: Receives ``JwksFetched`` and ``JwksFetchFailed``.
            max_stale: Seconds for which fetched keys are used if no later fetch succeeds.
            cache_size: Number of verified tokens of each kind to cache; 0 caches none.
            jitter: Returns a random number between 0 and 1, for the delay after a failed fetch.
        """
        # With the verifier, so that no request waits for it, and not with the package.
        from .jwks_cache import JwksCache  # noqa: PLC0415 - imports cryptography

        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic
        self._sessions = TokenCache[AuthSession](cache_size)
        self._refresh_tokens = TokenCache[_KnownRefreshToken](cache_size)
        self._delegates = TokenCache[Delegate](cache_size)
        self.pacer = Pacer(_VERIFICATIONS_PER_ITERATION)
        self._jwks = JwksCache(
            fetch,
            monotonic=monotonic,
            events=events,
            max_stale=max_stale,
            on_change=self._clear_caches,
            jitter=jitter,
        )
        self.epoch = object()
        """Another object after each change of the keys."""

    async def verify_session(self, token: str) -> AuthSession:
        """Return the session of a session token.

        Costs one SHA-256 for a cached token and one RSA operation for any other. Waits for a fetch of the
        keys only if there are no keys yet, or if the token names a key that is not in the set. A malformed
        token is rejected without keys and causes no fetch.

        Raises:
            TokenExpired: the token is valid except that it has expired.
            TokenError: the token is invalid in any other way.
            UpstreamUnavailable: there are no keys to verify it with.
        """
        digest = self._digest(token)
        cached = self._cached(self._sessions, digest)
        if cached is None:
            await self.pacer.turn()
            cached = self._cached(self._sessions, digest)  # another request may have verified it meanwhile
        if cached is not None:
            return cached
        _, claims = await self._verified_claims(token, _SESSION_ONLY)
        return self._remember_session(digest, claims)

    async def verify_bearer(self, token: str) -> AuthSession | Delegate:
        """Return the session of a session token, or the delegate of an inbound app's access token.

        Costs the same as ``verify_session``.

        Raises:
            TokenExpired: the token is valid except that it has expired.
            TokenError: the token is invalid in any other way.
            UpstreamUnavailable: there are no keys to verify it with.
        """
        digest = self._digest(token)
        cached = self._cached(self._sessions, digest) or self._cached(self._delegates, digest)
        if cached is None:
            await self.pacer.turn()
            cached = self._cached(self._sessions, digest) or self._cached(self._delegates, digest)
        if cached is not None:
            return cached
        kind, claims = await self._verified_claims(token, _BEARERS)
        if kind is TokenKind.SESSION:
            return self._remember_session(digest, claims)
        delegate = Delegate.from_claims(claims)
        self._delegates.put(digest, delegate, expires_at=_expiry(claims), subject=delegate.subject)
        return delegate

    async def verify_access_key(self, token: str, key_id: str) -> Machine:
        """Return the machine whose access key has been exchanged for ``token``. Caches nothing.

        Args:
            token: The session token of the access key, as Descope has sent it.
            key_id: The id of the key in Descope's response, or "".

        Raises:
            TokenError: the token is invalid.
            UpstreamUnavailable: there are no keys to verify it with.
        """
        _, claims = await self._verified_claims(token, (TokenKind.ACCESS_KEY,))
        return Machine.from_claims(key_id, claims)

    async def verify_refresh_token(
        self, token: str, *, on_first_presented: Callable[[str], None] | None = None
    ) -> RefreshToken:
        """Return the verified refresh token. Costs the same as ``verify_session``.

        Args:
            token: The encoded token.
            on_first_presented: Set if a browser has presented the token. It is called with a valid token that
                no browser has presented before, as far as the cache knows.

        Raises:
            TokenExpired: the token is valid except that it has expired.
            TokenError: the token is invalid in any other way.
            UpstreamUnavailable: there are no keys to verify it with.
        """
        digest = self._digest(token)
        known = self._cached(self._refresh_tokens, digest)
        if known is None:
            await self.pacer.turn()
            known = self._cached(self._refresh_tokens, digest)
        if known is None:
            _, claims = await self._verified_claims(token, (TokenKind.REFRESH,))
            known = _KnownRefreshToken(RefreshToken.from_claims("", claims))
            expires_at = _expiry(claims)
            self._refresh_tokens.put(digest, known, expires_at=expires_at, subject=known.value.subject)
        if on_first_presented is not None and not known.is_presented:
            known.is_presented = True
            on_first_presented(token)
        value = known.value
        return RefreshToken(token, value.subject, value.issued_at, value.expires_at, value.actor)

    def has_keys(self) -> bool:
        """Return whether there are keys in force. Never waits; starts a fetch of the keys if one is due."""
        return self._jwks.get_nowait() is not None

    def has_fresh_keys(self) -> bool:
        """Return whether there are keys in force and no fetch of them is due. Starts none."""
        return self._monotonic() < self._jwks.check_at

    async def warm(self) -> None:
        """Fetch the keys if there are none. Never raises: a failure is a ``JwksFetchFailed`` event."""
        try:
            await self._jwks.keys()
        except UpstreamUnavailable:
            return

    async def aclose(self) -> None:
        """Cancel the running fetch, if any; calls that wait for it raise ``UpstreamUnavailable``."""
        await self._jwks.aclose()

    def _digest(self, token: str) -> bytes:
        if len(token) > self._policy.max_bytes:
            raise TokenError(TokenReason.TOO_LARGE)
        return sha256(token.encode(errors="surrogatepass")).digest()

    def _cached(self, cache: TokenCache[T], digest: bytes) -> T | None:
        # Without keys in force no cached token counts, however recently it was verified (JW-06).
        if not self.has_fresh_keys() and self._jwks.get_nowait(fetch_if_empty=False) is None:
            return None
        return cache.get(digest, self._clock() - self._policy.leeway)

    def _remember_session(self, digest: bytes, claims: Claims) -> AuthSession:
        session = AuthSession.from_claims(claims)
        self._sessions.put(digest, session, expires_at=_expiry(claims), subject=session.user.id)
        return session

    async def _verified_claims(self, token: str, kinds: tuple[TokenKind, ...]) -> tuple[TokenKind, Claims]:
        keys = self._jwks.get_nowait(fetch_if_empty=False)
        # Terminates: refetch_for_unknown_kid returns False once no fetch is running and none is allowed yet.
        while True:
            try:
                # Before the first fetch the set is empty: a malformed token is rejected without keys (JW-02).
                return verify(token, kinds=kinds, keys=keys or {}, policy=self._policy, now=self._clock())
            except UnknownKey as error:
                if keys is not None and not (
                    error.should_refetch and await self._jwks.refetch_for_unknown_kid()
                ):
                    raise
            await self._jwks.keys()
            await self.pacer.turn()  # all who waited for the keys get them in one iteration
            keys = self._jwks.get_nowait(fetch_if_empty=False)

    def _clear_caches(self) -> None:
        self._sessions.clear()
        self._refresh_tokens.clear()
        self._delegates.clear()
        self.epoch = object()


def _expiry(claims: Claims) -> float:
    """Return the time at which a verified token expires, in epoch seconds without leeway."""
    return cast("float", claims["exp"])  # the same object: a sum would be another one for each token
