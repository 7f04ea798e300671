"""What refreshes brought home, and who may refresh: the protocol, and the store of one process.

A store remembers the result of a refresh under the refresh token it was made with, so that a late twin
of the request (another tab, a retry after a lost answer) gets the same new cookies without a second
call upstream (requirement RF-04). It also leases the right to refresh, so that of many processes one
calls Descope (RF-03). The store of one process is below; ``_refresh/redis/store.py`` keeps the same promises
across processes and hosts, and one contract test runs against both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex
from typing import Protocol, Self

__all__ = ["Lease", "MemoryRefreshStore", "RefreshResult", "RefreshStore"]


_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What one refresh, tenant switch or logout made of a refresh token.

    The tokens are texts as Descope sent them: whoever recalls a result verifies them again, so a store need
    not be trusted (RD-03). ``refresh_at`` (epoch seconds) is when Descope wants the next refresh, from
    ``nextRefreshSeconds``.

    With both tokens None the session has ended; or, if there is a ``refresh_at``, nothing is decided and
    Descope may not be asked before then. ``superseded``: it ended because its browser signed in anew, and
    has other cookies since.
    """

    session_jwt: str | None = field(repr=False)
    refresh_jwt: str | None = field(repr=False)
    refresh_at: float | None = None
    superseded: bool = False

    @property
    def is_ended(self) -> bool:
        """Whether the session is over."""
        return self.session_jwt is None and self.refresh_at is None

    @property
    def retry_at(self) -> float | None:
        """When Descope may be asked again (epoch seconds), if that is all it said; else None."""
        return self.refresh_at if self.session_jwt is None else None

    @classmethod
    def ended(cls, *, superseded: bool = False) -> Self:
        """The result of a logout or a refusal, or of another login."""
        return cls(session_jwt=None, refresh_jwt=None, superseded=superseded)

    @classmethod
    def backoff(cls, until: float) -> Self:
        """The result of a 429: nothing is decided, and nothing may be asked before ``until``."""
        return cls(session_jwt=None, refresh_jwt=None, refresh_at=until)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh one token. ``id`` fences: a late holder cannot overwrite a newer result."""

    id: str


class RefreshStore(Protocol):
    """Remembers results and leases the right to refresh, by the text of a refresh token.

    No method raises because the store is out of reach: an implementation that depends on a network
    goes on as if alone, and says so with an event (RD-02).
    """

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """The remembered result, or else a lease, or None while somebody else holds the lease.

        With ``anew`` a remembered result is passed over: the caller wants a newer one.
        """
        ...

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """Remember ``result`` for ``seconds`` (None: nothing to remember) and give the lease back.

        False, with nothing remembered, if the lease was lost in between.
        """
        ...

    async def get(self, token: str) -> RefreshResult | None:
        """The remembered result, or None."""
        ...

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Remember ``result`` whoever holds the lease; the holder has lost it. Returns what it replaced.

        In one step: what a holder brings is either returned here, or lost.
        """
        ...

    async def reduce_ttl(self, token: str, ttl: float) -> None:
        """Forget the result in ``seconds`` at the latest; one that is to go sooner stays as it is.

        So does the end of a session: a response that went out beside a logout is no reason to forget it.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections. Nothing is forgotten."""
        ...


@dataclass(slots=True)
class _Entry:
    result: RefreshResult | None = None
    forget_at: float = 0.0
    lease: Lease | None = None
    lease_until: float = 0.0

    def idle_at(self, now: float) -> bool:
        return now >= self.forget_at and now >= self.lease_until


class MemoryRefreshStore:
    """The store of one process. It keeps no token as a key, and nothing for long past its time.

    What is over goes when there are many, and once a minute when something is refreshed.
    ``monotonic`` returns seconds; ``lease_seconds`` is how long a holder that vanished blocks others.
    """

    def __init__(self, monotonic: Callable[[], float], *, lease_seconds: float = 30.0) -> None:
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._entries: dict[bytes, _Entry] = {}
        self._sweep_at_size = 1024
        self._sweep_at = monotonic() + _SWEEP_SECONDS

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """See ``RefreshStore.acquire``; never waits."""
        now, entry = self._monotonic(), self._entry(token)
        if entry.result is not None and now < entry.forget_at and not ignore_cached:
            return entry.result
        if entry.lease is not None and now < entry.lease_until:
            return None
        entry.lease, entry.lease_until = Lease(token_hex(16)), now + self._lease_seconds
        return entry.lease

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """See ``RefreshStore.complete``."""
        entry = self._entry(token)
        if entry.lease != lease:
            return False
        entry.lease, entry.lease_until = None, 0.0
        if result is not None:
            entry.result, entry.forget_at = result, self._monotonic() + ttl
        return True

    async def get(self, token: str) -> RefreshResult | None:
        """See ``RefreshStore.get``."""
        return self._remembered(token)

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """See ``RefreshStore.force_set``."""
        replaced, entry = self._remembered(token), self._entry(token)
        entry.lease, entry.lease_until = None, 0.0
        entry.result, entry.forget_at = result, self._monotonic() + ttl
        return replaced

    async def reduce_ttl(self, token: str, ttl: float) -> None:
        """See ``RefreshStore.reduce_ttl``."""
        entry = self._entries.get(_key(token))
        if entry is not None and not (entry.result and entry.result.is_ended):
            entry.forget_at = min(entry.forget_at, self._monotonic() + ttl)

    def delete(self, token: str) -> None:
        """Forget the result at once, whatever it is; a lease stays."""
        entry = self._entries.get(_key(token))
        if entry is not None:
            entry.result = None

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def __len__(self) -> int:
        """How many tokens something is known of; entries past their time may still count."""
        return len(self._entries)

    def _remembered(self, token: str) -> RefreshResult | None:
        entry = self._entries.get(_key(token))
        if entry is None or self._monotonic() >= entry.forget_at:
            return None
        return entry.result

    def _entry(self, token: str) -> _Entry:
        now = self._monotonic()
        if len(self._entries) >= self._sweep_at_size or now >= self._sweep_at:
            self._sweep(now)
        return self._entries.setdefault(_key(token), _Entry())

    def _sweep(self, now: float) -> None:
        """Drop what is past its time; doubling the next threshold makes this constant per entry."""
        self._entries = {key: entry for key, entry in self._entries.items() if not entry.idle_at(now)}
        self._sweep_at_size = max(1024, 2 * len(self._entries))
        self._sweep_at = now + _SWEEP_SECONDS


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
