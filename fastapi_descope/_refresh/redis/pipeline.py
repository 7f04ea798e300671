"""The connections of one event loop to Redis, and the queue in front of them. No other file knows redis-py.

Whoever asks while every connection is busy shares the next one that gets free with all who wait: some thirty
questions are one round trip. So a crowd costs a slow Redis a few round trips rather than one each, and what
must not come late, a lease that has to be renewed or a result that others wait for, stands behind nobody
who only wants to see whether it is there yet.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pydantic import SecretStr
from redis.asyncio import from_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    InvalidResponse,
    RedisError,
)

from ..._concurrency.loop_finalizer import LoopFinalizer
from ...errors import ConfigurationError
from .lag_tolerant_timeout import lag_tolerant_timeout
from .scripts import Script, ScriptReply

__all__ = ["Pipeliner", "RedisFailure"]

_CONNECTIONS = 16

_PACKET_BYTES = 14_000
"""How much goes out as one: what TCP sends over a new connection before it waits for an answer itself."""

_PING = b"*2\r\n$4\r\nPING\r\n$1\r\n1\r\n"
"""A command as Redis reads it, which some encodings that a URL may ask for are not."""

_CLUSTER_ANSWERS = (AskError, ClusterCrossSlotError, ClusterDownError)
"""What only the node of a cluster says, a ``MOVED`` among them."""


@dataclass(frozen=True, slots=True)
class RedisFailure:
    """Why there is no answer, in a word; and whether the word is one that only a cluster says."""

    reason: str
    of_cluster: bool = False

    @classmethod
    def of(cls, error: Exception) -> "RedisFailure":
        """What an error of redis-py comes down to: its text may hold anything, its name may be told."""
        of_cluster = isinstance(error, _CLUSTER_ANSWERS)
        return cls("RedisCluster" if of_cluster else type(error).__name__, of_cluster)


_Reply = ScriptReply | RedisFailure | None
"""None if the line was closed meanwhile, which says nothing of Redis."""


@dataclass(eq=False, frozen=True, slots=True)
class _Command:
    """What somebody asked, and who is to be told the answer."""

    script: Script
    parts: Sequence[bytes | str | int]
    reply: asyncio.Future[_Reply]

    def command(self, *, known: bool) -> Sequence[bytes | str | int]:
        """What Redis is sent: by its name, a script that was sent whole in the same packet before."""
        how = ("EVALSHA", self.script.sha1) if known else ("EVAL", self.script.text)
        return (*how, *self.parts)

    def settle(self, reply: _Reply) -> None:
        """Tell whoever asked, unless nobody waits any more."""
        if not self.reply.done():
            self.reply.set_result(reply)


class Pipeliner:
    """Asks one Redis, in one event loop. An answer may take ``seconds`` from when its question went out.

    The time in the queue is not counted: in a crowd it is this process that is slow.
    """

    def __init__(self, client: "_Client", seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._client = client
        self._seconds = seconds
        self._urgent, self._waiting = deque[_Command](), deque[_Command]()
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._finalizer = LoopFinalizer(partial(_close, client, self._tasks))

    @classmethod
    async def open(cls, url: SecretStr, seconds: float) -> "Pipeliner":
        """A line to ``url``; nothing is sent yet. Raises ``ConfigurationError``, as ``check`` does."""
        line = cls(_client(url, seconds), seconds)
        await line._finalizer.register()
        return line

    @classmethod
    def check(cls, url: SecretStr) -> None:
        """Raise ``ConfigurationError``, without the URL in it, if redis-py cannot read it."""
        _client(url, 1.0)

    async def eval(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> ScriptReply | RedisFailure | None:
        """What the script answers, or why nothing came; None if the line was closed meanwhile.

        A connection that fails fails for all who wait: none of them has to find out again.
        """
        question = _Command(script, (len(keys), *keys, *arguments), self.loop.create_future())
        (self._urgent if script.urgent else self._waiting).append(question)
        if self._busy < _CONNECTIONS:
            self._busy += 1
            self.spawn(self._carry())
        return await question.reply

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the line is closed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Close everything; or leave it to the line's own loop, if that is another one."""
        if self.loop is asyncio.get_running_loop():
            await self._finalizer.aclose()
            self._settle_all(None)

    async def _carry(self) -> None:
        """Use one connection until nobody waits."""
        try:
            while questions := self._next():
                try:
                    await self._deliver(questions)
                finally:  # cut off by the end of the line
                    _settle(questions, None)
        finally:
            self._busy -= 1

    def _next(self) -> list[_Command]:
        """Those whose turn it is and who still wait, the urgent ones first."""
        questions: list[_Command] = []
        size = 0
        for queue in (self._urgent, self._waiting):
            while queue and size < _PACKET_BYTES:
                if not (question := queue.popleft()).reply.done():
                    questions.append(question)
                    size += sum(len(part) for part in question.parts if not isinstance(part, int))
        return questions

    async def _deliver(self, questions: Sequence[_Command]) -> None:
        try:
            answers = await self._answers(questions)
        except Exception as error:  # noqa: BLE001 - Redis is away, slow, unwilling or insane: parsers raise anything
            failure = RedisFailure.of(error)
            _settle(questions, failure)
            self._settle_all(failure)
            return
        for question, answer in zip(questions, answers, strict=True):
            question.settle(_read(question.script, answer))

    async def _answers(self, questions: Sequence[_Command]) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        known: set[Script] = set()
        for question in questions:
            pipeline.execute_command(*question.command(known=question.script in known))
            known.add(question.script)
        async with lag_tolerant_timeout(self._seconds):
            return await pipeline.execute(raise_on_error=False)

    def _settle_all(self, reply: _Reply) -> None:
        for queue in (self._urgent, self._waiting):
            _settle(queue, reply)
            queue.clear()


class _Pipeline(Protocol):
    """What is used of redis-py's pipeline."""

    def execute_command(self, *parts: bytes | str | int) -> object: ...

    async def execute(self, *, raise_on_error: bool) -> list[object]: ...


class _Connection(Protocol):
    """What is used of redis-py's connection."""

    def pack_command(self, *parts: str) -> Iterable[bytes]: ...


class _Client(Protocol):
    """What is used of redis-py's client, which leaves its types open."""

    def pipeline(self, *, transaction: bool) -> _Pipeline: ...

    async def aclose(self) -> None: ...


def _read(script: Script, answer: object) -> _Reply:
    """An answer that fits the question; any other is a failure."""
    match answer:
        case [bytes(word), bytes(text)] if word in script.replies:
            return word, text
        case Exception():
            return RedisFailure.of(answer)
        case _:
            return RedisFailure(InvalidResponse.__name__)


def _settle(questions: Collection[_Command], reply: _Reply) -> None:
    for question in questions:
        question.settle(reply)


async def _close(client: _Client, tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel ``tasks`` and close ``client``."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(Exception):  # a line that is broken anyway
        await client.aclose()


def _client(url: SecretStr, seconds: float) -> _Client:
    """A client that has not connected yet; raises ``ConfigurationError`` without the URL in it."""
    ours = {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),  # a second try would take a second timeout
        "socket_connect_timeout": seconds,
        "socket_timeout": None,  # the deadline of a call covers it
    }
    with suppress(TypeError, ValueError, LookupError, RedisError):
        client = from_url(url.get_secret_value(), protocol=2)  # 3 takes a further round trip to connect
        # Over what the URL's query may say.
        client.connection_pool.max_connections = _CONNECTIONS
        client.connection_pool.connection_kwargs.update(ours)
        connection: _Connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
        if b"".join(connection.pack_command("PING", "1")) == _PING:
            return client
    raise ConfigurationError("DESCOPE_REDIS_URL is not a URL that redis-py can read")
