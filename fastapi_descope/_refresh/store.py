"""Refresh store: caches refresh results and grants leases. The protocol and its values."""

from dataclasses import dataclass, field, replace
from typing import Protocol, Self

__all__ = ["SHARED_LEASE_SECONDS", "Lease", "RefreshResult", "RefreshStore"]

SHARED_LEASE_SECONDS = 5.0
"""How long a crashed process of a fleet delays the next refresh of a session (F8)."""


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of a refresh, a tenant switch or a logout, to be cached under a refresh token.

    One of three kinds:

    - New tokens: ``session_jwt`` and ``refresh_jwt``, as Descope sent them. They are verified again whenever
      a cached result is used, so a store need not be trusted.
    - Ended: no tokens and no ``refresh_at``.
    - Backoff: no tokens, but a ``refresh_at``. The state of the session is unknown, and Descope must not be
      called before that time.

    Attributes:
        session_jwt: the session token, or None.
        refresh_jwt: the refresh token, or None.
        refresh_at: when to refresh next, in epoch seconds. For new tokens it comes from Descope's
            ``nextRefreshSeconds``.
        superseded: the session has ended because its browser has signed in again. The browser has the
            cookies of the new session.
        delivered: a browser has presented the new refresh token, or one that followed it. A store sets it.
    """

    # RD-03

    session_jwt: str | None = field(repr=False)
    refresh_jwt: str | None = field(repr=False)
    refresh_at: float | None = None
    superseded: bool = False
    delivered: bool = field(default=False, repr=False, compare=False)

    @property
    def is_ended(self) -> bool:
        """Whether the session has ended."""
        return self.session_jwt is None and self.refresh_at is None

    @property
    def retry_at(self) -> float | None:
        """When Descope may be called again (epoch seconds) if this is a backoff result, else None."""
        return self.refresh_at if self.session_jwt is None else None

    def as_delivered(self) -> "RefreshResult":
        """Return this result with ``delivered`` set."""
        return replace(self, delivered=True)

    @classmethod
    def ended(cls, *, superseded: bool = False) -> Self:
        """Return the result of a logout, a rejected refresh, or (``superseded``) a new login."""
        return cls(session_jwt=None, refresh_jwt=None, superseded=superseded)

    @classmethod
    def backoff(cls, until: float) -> Self:
        """Return a result that blocks calls to Descope until ``until`` (epoch seconds), as after a 429."""
        return cls(session_jwt=None, refresh_jwt=None, refresh_at=until)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh one token.

    ``id`` is a fencing token: a holder that has lost the lease cannot overwrite a newer result.
    """

    id: str


class RefreshStore(Protocol):
    """A cache of refresh results, with one lease per refresh token.

    For each refresh token a store holds two independent things:

    - The cached result of exchanging the token, for a limited time (TTL). A request that arrives late with
      the old token (another tab, a retry after a lost response) gets it instead of causing a second call to
      Descope.
    - The lease: the exclusive right to exchange the token. Of many processes, only the holder calls Descope.
      A lease expires by itself if its holder crashes.

    It also remembers which token a new one has replaced, so that it can reduce the TTL of a result that has
    reached its browser.

    A token is the string that Descope issued. It is a credential, so an implementation should store a hash
    of it as the key, and should encrypt results that it sends over a network.

    Methods never wait for a lease, and never raise because the store is unreachable: an implementation that
    uses a network continues with what this process knows, and emits an event.
    """

    # RF-03, RF-04, RD-02

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """Return the cached result, or else acquire the lease.

        Args:
            token: the refresh token to exchange.
            ignore_cached: acquire the lease even if a result is cached, in order to replace it.

        Returns:
            The cached result; a new lease if there is none; or None while the lease is held.
        """
        ...

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """Cache a result and release the lease, in one atomic step.

        Args:
            token: the refresh token.
            lease: the lease that ``acquire`` granted for it.
            result: the result to cache. None releases the lease only; a cached result stays.
            ttl: seconds until the result expires.

        Returns:
            False if the lease was lost, because it expired and was granted again, or because of
            ``force_set``. The result is not cached then.
        """
        ...

    async def get(self, token: str) -> RefreshResult | None:
        """Return the cached result, or None if there is none or it has expired."""
        ...

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Cache a result and revoke the lease of any holder, in one atomic step.

        The result of a concurrent ``complete`` is therefore either returned here or discarded.

        Args:
            token: the refresh token.
            result: the result to cache.
            ttl: seconds until the result expires.

        Returns:
            The result that was cached before, or None.
        """
        ...

    async def mark_presented(self, token: str, ttl: float) -> None:
        """Record that a browser has presented ``token``, which proves that a response has delivered it.

        The result with ``token`` as its new refresh token, the result that led to the token of that result,
        and so on are marked as delivered and expire after ``ttl`` seconds, unless they expire sooner. A
        result that says that the session has ended keeps its TTL. Other tokens are not affected.

        Args:
            token: the refresh token of a request.
            ttl: seconds until the results expire.
        """
        ...

    async def aclose(self) -> None:
        """Close network connections. Cached results and leases stay."""
        ...
