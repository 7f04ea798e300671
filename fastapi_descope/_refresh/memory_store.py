"""The refresh results and leases that one process keeps in memory, and the refresh store made of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256
from secrets import token_hex

from .store import Lease, RefreshResult

__all__ = ["Layer", "LocalCache", "MemoryRefreshStore"]

_SWEEP_SECONDS = 60.0
_SWEEP_SIZE = 1024


class Layer(Enum):
    """Where a cached result comes from. One refresh token can have a result in each layer."""

    ENDED = auto()
    """This process ended the session. Takes precedence over Redis."""

    READ = auto()
    """Redis returned it. It counts while Redis is unavailable or has lost it."""

    OWN = auto()
    """This process made it, with a refresh, a tenant switch or a logout."""


@dataclass(frozen=True, slots=True)
class _Cached:
    result: RefreshResult
    expires_at: float


@dataclass(slots=True)
class _Entry:
    results: dict[Layer, _Cached] = field(default_factory=dict[Layer, _Cached])
    lease: Lease | None = None
    lease_expires_at: float = 0.0
    predecessor: bytes | None = None
    predecessor_expires_at: float = 0.0

    def is_expired(self, now: float) -> bool:
        return now >= max(self.lease_expires_at, self.predecessor_expires_at) and all(
            now >= cached.expires_at for cached in self.results.values()
        )

    def mark_delivered(self, expires_at: float) -> None:
        """Expire the results at ``expires_at`` at the latest, except the end of a session."""
        for layer, cached in self.results.items():
            if not cached.result.is_ended:
                self.results[layer] = _Cached(
                    cached.result.as_delivered(), min(expires_at, cached.expires_at)
                )


class LocalCache:
    """Results in three layers, and the leases of this process, by refresh token.

    Its keys are hashes of tokens. Expired entries are removed once a minute, and sooner if there are many.

    Args:
        monotonic: returns seconds.
        lease_seconds: seconds until a lease expires that its holder does not release.
    """

    def __init__(self, monotonic: Callable[[], float], *, lease_seconds: float) -> None:
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._entries: dict[bytes, _Entry] = {}
        self._sweep_at_size = _SWEEP_SIZE
        self._sweep_at = monotonic() + _SWEEP_SECONDS

    def get(self, token: str, layer: Layer) -> RefreshResult | None:
        """Return the result in ``layer``, or None."""
        entry = self._entries.get(_digest(token))
        cached = entry.results.get(layer) if entry else None
        return cached.result if cached and self._monotonic() < cached.expires_at else None

    def set(self, token: str, layer: Layer, result: RefreshResult, ttl: float) -> None:
        """Keep ``result`` in ``layer`` for ``ttl`` seconds."""
        self._entry(token).results[layer] = _Cached(result, self._monotonic() + ttl)

    def delete(self, token: str, layer: Layer) -> None:
        """Remove the result in ``layer``; a lease stays."""
        if entry := self._entries.get(_digest(token)):
            entry.results.pop(layer, None)

    def set_predecessor(self, result: RefreshResult, predecessor: str, ttl: float) -> None:
        """Remember for ``ttl`` seconds that ``result`` replaced ``predecessor`` by a new refresh token."""
        if result.refresh_jwt and result.refresh_jwt != predecessor:
            entry = self._entry(result.refresh_jwt)
            entry.predecessor = _digest(predecessor)
            entry.predecessor_expires_at = self._monotonic() + ttl

    def mark_presented(self, token: str, ttl: float) -> None:
        """Do as ``RefreshStore.mark_presented`` does, in every layer."""
        expires_at, digest = self._monotonic() + ttl, _digest(token)
        seen = {digest}
        while (predecessor := self._predecessor(digest)) is not None and predecessor not in seen:
            digest = predecessor
            seen.add(digest)
            if entry := self._entries.get(digest):
                entry.mark_delivered(expires_at)

    def acquire_lease(self, token: str) -> Lease | None:
        """Return a lease, or None if another caller of this process holds it."""
        now, entry = self._monotonic(), self._entry(token)
        if entry.lease is not None and now < entry.lease_expires_at:
            return None
        entry.lease, entry.lease_expires_at = Lease(token_hex(16)), now + self._lease_seconds
        return entry.lease

    def release_lease(self, token: str, lease_id: str) -> bool:
        """Release the lease. Returns False if it was revoked or has passed to another caller."""
        entry = self._entries.get(_digest(token))
        if entry is None or entry.lease is None or entry.lease.id != lease_id:
            return False
        entry.lease, entry.lease_expires_at = None, 0.0
        return True

    def revoke_lease(self, token: str) -> None:
        """Take the lease away from its holder, if it has one."""
        if entry := self._entries.get(_digest(token)):
            entry.lease, entry.lease_expires_at = None, 0.0

    def __len__(self) -> int:
        """Return the number of tokens with an entry, including expired entries."""
        return len(self._entries)

    def _predecessor(self, digest: bytes) -> bytes | None:
        entry = self._entries.get(digest)
        if entry is None or self._monotonic() >= entry.predecessor_expires_at:
            return None
        return entry.predecessor

    def _entry(self, token: str) -> _Entry:
        now = self._monotonic()
        if len(self._entries) >= self._sweep_at_size or now >= self._sweep_at:
            self._sweep(now)
        return self._entries.setdefault(_digest(token), _Entry())

    def _sweep(self, now: float) -> None:
        """Remove expired entries. Doubling the next threshold keeps the cost per entry constant."""
        self._entries = {key: entry for key, entry in self._entries.items() if not entry.is_expired(now)}
        self._sweep_at_size = max(_SWEEP_SIZE, 2 * len(self._entries))
        self._sweep_at = now + _SWEEP_SECONDS


class MemoryRefreshStore:
    """A ``RefreshStore`` in the memory of one process.

    Args:
        monotonic: returns seconds.
        lease_seconds: seconds until a lease expires that its holder does not release.
    """

    def __init__(self, monotonic: Callable[[], float], *, lease_seconds: float = 30.0) -> None:
        self._cache = LocalCache(monotonic, lease_seconds=lease_seconds)

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """Implement ``RefreshStore.acquire``."""
        cached = None if ignore_cached else self._cache.get(token, Layer.OWN)
        return cached or self._cache.acquire_lease(token)

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """Implement ``RefreshStore.complete``."""
        if not self._cache.release_lease(token, lease.id):
            return False
        if result is not None:
            self._cache.set(token, Layer.OWN, result, ttl)
            self._cache.set_predecessor(result, token, ttl)
        return True

    async def get(self, token: str) -> RefreshResult | None:
        """Implement ``RefreshStore.get``."""
        return self._cache.get(token, Layer.OWN)

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Implement ``RefreshStore.force_set``."""
        replaced = self._cache.get(token, Layer.OWN)
        self._cache.revoke_lease(token)
        self._cache.set(token, Layer.OWN, result, ttl)
        return replaced

    async def mark_presented(self, token: str, ttl: float) -> None:
        """Implement ``RefreshStore.mark_presented``."""
        self._cache.mark_presented(token, ttl)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""

    def __len__(self) -> int:
        """Return the number of tokens with an entry, including expired entries."""
        return len(self._cache)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
