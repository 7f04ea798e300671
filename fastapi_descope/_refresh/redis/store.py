"""The refresh store of a fleet: one store for all processes that share a Redis.

Each operation is one round trip; an uncontended refresh takes two. A refresh token has at most four keys,
where ``h`` is a hash of project and token:

    fastapi-descope:<project>:refresh:{h}        the result, encrypted; for ten minutes at most
    fastapi-descope:<project>:lease:{h}          the lease id; for seconds, renewed during the refresh
    fastapi-descope:<project>:predecessor:{h}    the hash of the token that this one replaced; like its result
    fastapi-descope:<project>:replaced:{h}       the result that the end of the session replaced; like that

The braces put these keys into one slot, as a cluster requires for the keys of one script.

Redis is optional, and no token is verified with it (RD-01). While it is unavailable, each process goes on
alone with its local cache. The first failure costs at most two timeouts; then nothing is sent to Redis until
a probe, which runs concurrently with the requests, finds that it accepts writes again (RD-02). Results are
also kept in the local cache, so that neither an outage nor an eviction nor a failover loses a rotated token.
Writes that failed are sent again later.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import SecretStr

from ...events import EventBus
from ..memory_store import Layer, LocalCache
from ..store import SHARED_LEASE_SECONDS, Lease, RefreshResult
from . import scripts
from .client import ResilientRedis
from .encryption import ResultCipher
from .outbox import Outbox
from .scripts import DELIVERED, NORMAL, TERMINAL, TTL_DIGITS, Script, ScriptReply
from .topology import topology_of

__all__ = ["RedisRefreshStore"]

_READ_CACHE_TTL = 30.0
"""How long a result that Redis returned counts here if Redis loses it: a response may be carrying it."""

_MAX_LEASE_SECONDS = 60.0
"""When a holder that never finishes loses its lease for good. A call to Descope takes seconds."""

_LOST = (b"lost", b"")

_TOKEN_HASH = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _StoredValue:
    """The result under a token: its ciphertext, empty if there is none, and its TTL in seconds.

    ``delivered`` is that of the result.
    """

    ciphertext: bytes
    ttl: float
    delivered: bool

    @classmethod
    def parse(cls, text: bytes) -> "_StoredValue":
        """Parse the value of a reply, whatever it is. A key without a TTL of ours lasts forever."""
        milliseconds, value = text[:TTL_DIGITS], text[TTL_DIGITS:]
        ttl = int(milliseconds) / 1000 if milliseconds.isdigit() else math.inf
        return cls(value[len(NORMAL) :], ttl, value.startswith(DELIVERED))


@dataclass(frozen=True, slots=True)
class _SharedLease(Lease):
    """A lease that Redis granted, the version of the value stored then, and the task that renews it."""

    version: bytes
    renewal: asyncio.Task[None] = field(repr=False, compare=False)


class RedisRefreshStore:
    """A ``RefreshStore`` for all processes with the same Redis and the same project.

    A lease lasts ``lease_seconds`` and is renewed for up to a minute while its holder works. If the holder
    crashes, the next request waits that long, so it is shorter than the wait timeout of
    ``RefreshCoordinator`` (F8). Every call costs one round trip, and at most twice ``timeout`` seconds once
    it is sent. During an outage it costs nothing.

    No connection is opened before the first call. Several event loops can use the store one after the other,
    each with its own connections.

    Attributes:
        topology: what the URL names: one server, Sentinels or a cluster.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        project_id: str,
        events: EventBus,
        monotonic: Callable[[], float] = time.monotonic,
        lease_seconds: float = SHARED_LEASE_SECONDS,
        timeout: float = 0.25,
        probe_delay: float = 1.0,
    ) -> None:
        """Create the store; the URL is checked, nothing is sent.

        During an outage, a probe is sent every ``probe_delay`` seconds.

        Raises:
            ConfigurationError: redis-py cannot read the URL (RD-06).
        """
        self._prefix = f"fastapi-descope:{project_id}"
        self.topology = topology_of(url)
        self._client = ResilientRedis(
            url,
            timeout=timeout,
            events=events,
            on_recovery=self._flush,
            probe_delay=probe_delay,
        )
        self._outbox = Outbox(self._client, monotonic)
        self._cache = LocalCache(monotonic, lease_seconds=_MAX_LEASE_SECONDS)
        self._cipher = ResultCipher(project_id)
        self._renewal_interval = lease_seconds / 3
        self._lease_ttl = _milliseconds(lease_seconds)
        self._max_lease_ttl = _milliseconds(max(_MAX_LEASE_SECONDS, lease_seconds))

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """Implement ``RefreshStore.acquire``.

        While Redis is unavailable, a lease holds in this process only.
        """
        cached = not ignore_cached and (
            self._cache.get(token, Layer.READ) or self._cache.get(token, Layer.OWN)
        )
        lease = None if cached else self._cache.acquire_lease(token)
        if lease is None:
            return None if ignore_cached else await self.get(token)
        acquired: RefreshResult | Lease | None = None
        try:
            acquired = await self._acquire_in_redis(token, lease, ignore_cached=ignore_cached)
        finally:
            if not isinstance(acquired, Lease):
                self._cache.release_lease(token, lease.id)
        return acquired

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """Implement ``RefreshStore.complete``.

        A lease that Redis lost without granting another one still counts, unless a newer result is stored
        (RD-05). A lease that was granted while Redis was unavailable counts in this process. Its result is
        shared if no other process has a lease or a result.
        """
        shared = lease if isinstance(lease, _SharedLease) else None
        if shared is not None:
            shared.renewal.cancel()
        if not self._cache.release_lease(token, lease.id):
            return False
        version = b"" if shared is None else shared.version
        if result is None:
            reply = await self._eval(scripts.COMPLETE, token, lease.id, version, b"", 0)
        else:
            self._cache.set(token, Layer.OWN, result, ttl)
            self._cache.delete(token, Layer.READ)
            self._cache.set_predecessor(result, token, ttl)
            arguments = (lease.id, version, self._encrypt(token, result))
            reply, _ = await asyncio.gather(
                self._outbox.send(scripts.COMPLETE, self._keys(scripts.COMPLETE, token), arguments, ttl),
                self._set_predecessor(result, token, ttl),
            )
        if reply == _LOST and shared is not None:
            self._cache.delete(token, Layer.OWN)
            return False
        return True

    async def get(self, token: str) -> RefreshResult | None:
        """Implement ``RefreshStore.get``. Falls back to the local cache if Redis has no result."""
        if (ended := self._cache.get(token, Layer.ENDED)) is not None:
            return ended
        reply = await self._eval(scripts.GET, token)
        if (result := self._decode(token, reply)) is not None:
            if result.is_ended:
                # Otherwise our own older result would count again if Redis lost this one.
                self._cache.delete(token, Layer.OWN)
            return result
        cached = self._cache.get(token, Layer.READ) or self._cache.get(token, Layer.OWN)
        if cached is None or reply is None or not await self._has_expired(token, cached):
            return cached
        self._cache.delete(token, Layer.READ)
        self._cache.delete(token, Layer.OWN)
        return None

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Implement ``RefreshStore.force_set``.

        During an outage, other processes see the result when it is over.

        The end of a session then also ends every token that other processes have got for this one in the
        meantime, because no logout will follow those.
        """
        replaced = self._cache.get(token, Layer.OWN)
        self._cache.revoke_lease(token)
        self._cache.set(token, Layer.OWN, result, ttl)
        if result.is_ended:
            self._cache.set(token, Layer.ENDED, result, ttl)
        on_late_reply = partial(self._end_successors, token, result, ttl) if result.is_ended else None
        arguments = (self._encrypt(token, result),)
        keys = self._keys(scripts.FORCE_SET, token)
        reply = await self._outbox.send(scripts.FORCE_SET, keys, arguments, ttl, on_late_reply)
        return self._replaced(token, reply) or replaced

    async def mark_presented(self, token: str, ttl: float) -> None:
        """Implement ``RefreshStore.mark_presented``.

        One round trip, and one more for each result with a reduced TTL. During an outage, the results in
        Redis keep their TTL.
        """
        self._cache.mark_presented(token, ttl)
        token_hash, max_ttl, seen = self._cipher.token_hash(token), "", set[str]()
        while token_hash not in seen:
            seen.add(token_hash)
            keys = self._keys_of(scripts.MARK_PRESENTED, token_hash)
            reply = await self._client.eval(scripts.MARK_PRESENTED, keys, (max_ttl,))
            if reply is None or not _TOKEN_HASH.fullmatch(reply[1]):
                return
            token_hash, max_ttl = reply[1].decode(), str(_milliseconds(ttl))

    @property
    def client(self) -> ResilientRedis:
        """The client, which the revocation log shares."""
        return self._client

    @property
    def prefix(self) -> str:
        """The beginning of all keys."""
        return self._prefix

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and stop renewing its leases.

        Writes that failed are tried once more.
        """
        await self._outbox.aclose()
        await self._client.aclose()

    async def _flush(self) -> None:
        await self._outbox.flush()

    async def _acquire_in_redis(
        self, token: str, lease: Lease, *, ignore_cached: bool
    ) -> RefreshResult | Lease | None:
        arguments = (lease.id, self._lease_ttl, self._max_lease_ttl, int(ignore_cached))
        reply = await self._eval(scripts.ACQUIRE, token, *arguments)
        match reply:
            case None:
                return (None if ignore_cached else self._cache.get(token, Layer.READ)) or lease
            case (b"granted", version):
                renewal = await self._client.spawn(self._renew_lease(token, lease))
                return _SharedLease(lease.id, version, renewal)
            case (b"cached", _) if not ignore_cached:
                # A value that cannot be decrypted is garbage or forged: ignore and soon overwrite it.
                result = self._decode(token, reply) or self._cache.get(token, Layer.READ)
                return result or await self._acquire_in_redis(token, lease, ignore_cached=True)
            case _:
                return None

    async def _end_successors(self, token: str, ended: RefreshResult, ttl: float, reply: ScriptReply) -> None:
        """End the token that the replaced result led to, then the successor of that, and so on."""
        replaced, seen = self._replaced(token, reply), {token}
        while replaced is not None and (successor := replaced.refresh_jwt) and successor not in seen:
            seen.add(successor)
            replaced = await self.force_set(successor, ended, ttl)

    def _replaced(self, token: str, reply: ScriptReply | None) -> RefreshResult | None:
        result = self._decode(token, reply) or self._cache.get(token, Layer.READ)
        self._cache.delete(token, Layer.READ)
        return result

    def _decode(self, token: str, reply: ScriptReply | None) -> RefreshResult | None:
        """Return the result in ``reply``, or None. It counts here for a while if Redis loses it.

        Not for longer than Redis would have kept it: a result that expired was not lost.
        """
        stored = _StoredValue.parse(reply[1] if reply else b"")
        result = self._cipher.decrypt(token, stored.ciphertext) if stored.ciphertext else None
        if result is None:
            return None
        # A backoff may end sooner than the session before it, which stays cached.
        if result.session_jwt:
            result = replace(result, delivered=stored.delivered)
            ttl = min(_READ_CACHE_TTL, stored.ttl)
            self._cache.set(token, Layer.READ, result, ttl)
            self._cache.set_predecessor(result, token, ttl)
        elif result.is_ended:
            self._cache.delete(token, Layer.READ)
        return result

    def _encrypt(self, token: str, result: RefreshResult) -> bytes:
        marker = TERMINAL if result.is_ended else NORMAL
        return marker + self._cipher.encrypt(token, result)

    async def _set_predecessor(self, result: RefreshResult, predecessor: str, ttl: float) -> None:
        """Remember in Redis that ``result`` replaced ``predecessor`` by a new refresh token."""
        if result.refresh_jwt and result.refresh_jwt != predecessor and ttl > 0:
            keys = self._keys(scripts.SET_PREDECESSOR, result.refresh_jwt)
            arguments = (self._cipher.token_hash(predecessor),)
            await self._outbox.send(scripts.SET_PREDECESSOR, keys, arguments, ttl)

    async def _has_expired(self, token: str, cached: RefreshResult) -> bool:
        """Return whether ``cached``, which Redis does not have, has expired there rather than being lost.

        Another process has reduced its TTL, because a browser has presented its new refresh token.
        """
        if not cached.refresh_jwt or cached.refresh_jwt == token:
            return False
        reply = await self._eval(scripts.GET_PREDECESSOR, cached.refresh_jwt)
        return reply is not None and reply[1].startswith(DELIVERED)

    async def _renew_lease(self, token: str, lease: Lease) -> None:
        """Renew a lease every third of its TTL. Stops after a minute, in case the holder hangs."""
        for _ in range(int(_MAX_LEASE_SECONDS / self._renewal_interval)):
            await asyncio.sleep(self._renewal_interval)
            if await self._eval(scripts.RENEW, token, lease.id, self._lease_ttl) == _LOST:
                return

    async def _eval(self, script: Script, token: str, *arguments: bytes | str | int) -> ScriptReply | None:
        return await self._client.eval(script, self._keys(script, token), arguments)

    def _keys(self, script: Script, token: str) -> tuple[str, ...]:
        return self._keys_of(script, self._cipher.token_hash(token))

    def _keys_of(self, script: Script, token_hash: str) -> tuple[str, ...]:
        return tuple(f"{self._prefix}:{kind}:{{{token_hash}}}" for kind in script.keys)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
