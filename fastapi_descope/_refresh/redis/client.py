"""Redis as seen from here: it answers, or it is away, which is an answer too.

The first failure costs ``timeout`` at most; then Redis is left alone until a trial, made beside the
requests, finds that it takes writes again (RD-02).
"""

import asyncio
from collections.abc import Coroutine, Sequence

from pydantic import SecretStr

from ..._concurrency.circuit_breaker import CircuitBreaker
from ...events import EventBus, StoreDegraded, StoreRecovered
from . import scripts as redis_scripts
from .pipeline import Pipeliner, RedisFailure
from .scripts import Script, ScriptReply

__all__ = ["ResilientRedis"]


class ResilientRedis:
    """One Redis, in one event loop after another, each with connections of its own.

    Says so when it goes away and when it is back. ``trial_key`` is one that it may write to. A Redis Cluster
    is not supported: it counts as away, and stays so. Opens nothing until the first question. Raises
    ``ConfigurationError`` for a URL that redis-py cannot read (RD-06).
    """

    def __init__(
        self, url: SecretStr, *, trial_key: str, timeout: float, breaker: CircuitBreaker, events: EventBus
    ) -> None:
        Pipeliner.check(url)  # a URL that is no good is refused now rather than by a request
        self._url = url
        self._trial_keys: tuple[str, ...] = (trial_key,)
        self._scattered_keys = (f"{trial_key}:{{one slot}}", f"{trial_key}:{{another}}")
        self._timeout = timeout
        self._breaker = breaker
        self._events = events
        self._line: Pipeliner | None = None

    async def eval(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> ScriptReply | None:
        """What the script answers; None if Redis is away, which is found out in ``timeout`` seconds."""
        if self._breaker.is_open():
            if self._breaker.try_probe():
                await self.spawn(self.probe())
            return None
        answer = await (await self._connected()).eval(script, keys, arguments)
        if not isinstance(answer, RedisFailure):
            return answer
        self._fail(answer)
        return None

    async def probe(self) -> None:
        """See whether Redis is back; it has to take a write, as everything here does."""
        line = await self._connected()
        # Twice in one packet, the second time by its name, as in a crowd.
        answers = await asyncio.gather(
            *(line.eval(redis_scripts.PROBE, self._trial_keys, ()) for _ in range(2))
        )
        if all(isinstance(answer, tuple) for answer in answers) and self._breaker.is_open():
            self._breaker.record_success()
            self._events.emit(StoreRecovered())

    async def is_cluster(self) -> bool:
        """Whether it is a Redis Cluster, which takes no script over keys of two of its slots."""
        answer = await (await self._connected()).eval(redis_scripts.PROBE, self._scattered_keys, ())
        return isinstance(answer, RedisFailure) and answer.of_cluster

    async def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the requests, until it ends or the connections are closed."""
        return (await self._connected()).spawn(work)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()

    def _fail(self, failure: RedisFailure) -> None:
        if failure.of_cluster:
            # A node answers for its own slots, a single trial key among them, and for no others: found to
            # be back again and again, it would be lost again with every second session.
            self._trial_keys = self._scattered_keys
        if self._breaker.record_failure():
            self._events.emit(StoreDegraded(failure.reason))

    async def _connected(self) -> Pipeliner:
        line = self._line
        if line is None or line.loop is not asyncio.get_running_loop():
            line = self._line = await Pipeliner.open(self._url, self._timeout)
        return line
