"""The Redis client: how many commands run at once, and what becomes of those that wait (RF-03, RD-02)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from fastapi_descope._refresh.redis.client import ResilientRedis
from fastapi_descope._refresh.redis.scripts import Script, ScriptReply
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.events import Event, EventBus, StoreDegraded
from tests.helpers.event_loop import run_ready
from tests.helpers.fake_redis import GatedRedis

pytestmark = pytest.mark.anyio

SCRIPT = Script("script", frozenset({b"ok"}))

Reply = ScriptReply | None


async def nothing() -> None:
    """Send nothing after an outage."""


@pytest.fixture
async def redis() -> AsyncIterator[GatedRedis]:
    """Replies ``ok`` when its gate is open."""
    async with GatedRedis() as redis:
        yield redis


@pytest.fixture
def events() -> list[Event]:
    """The events that the client has emitted."""
    return []


@pytest.fixture
async def client(redis: GatedRedis, events: list[Event]) -> AsyncIterator[ResilientRedis]:
    """A client with a long timeout."""
    bus = EventBus()
    bus.subscribe(events.append)
    client = ResilientRedis(
        SecretStr(redis.url), timeout=30.0, events=bus, on_recovery=nothing, probe_delay=60.0
    )
    yield client
    await client.aclose()


async def start(client: ResilientRedis, count: int) -> list[asyncio.Task[Reply]]:
    """Start that many commands concurrently."""
    tasks = [asyncio.create_task(client.eval(SCRIPT, ("key",), ())) for _ in range(count)]
    await run_ready()
    return tasks


async def test_sixteen_commands_run_at_once(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """Others wait for one of them to end, and none fails."""
    tasks = await start(client, 500)
    await redis.arrived(16)
    await run_ready()
    assert redis.packets == [[b"script"]] * 16
    redis.gate.set()
    assert await asyncio.gather(*tasks) == [(b"ok", b"")] * 500
    assert (len(redis.packets), events) == (500, [])


async def test_waiting_commands_of_cancelled_callers_are_not_sent(
    client: ResilientRedis, redis: GatedRedis
) -> None:
    """Neither do the others get the replies of those that were sent."""
    tasks = await start(client, 116)
    await redis.arrived(16)
    for task in (*tasks[:4], *tasks[16:115]):
        task.cancel()
    redis.gate.set()
    assert await asyncio.gather(*tasks[4:16], tasks[115]) == [(b"ok", b"")] * 13
    assert len(redis.packets) == 17


async def test_failure_ends_all_waiting_commands(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """They are not sent, only to fail like the first."""
    tasks = await start(client, 1000)
    await redis.arrived(16)
    redis.cut()
    assert set(await asyncio.gather(*tasks)) == {None}
    assert len(redis.packets) == 16
    assert events == [StoreDegraded("ConnectionError")]


async def test_closing_ends_all_waiting_commands(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """Closing is no failure of Redis, and no caller waits forever."""
    tasks = await start(client, 100)
    await redis.arrived(16)
    await client.aclose()
    redis.gate.set()
    assert (await asyncio.gather(*tasks))[:16] == [None] * 16
    assert events == []


async def test_closing_ends_a_task_that_drops_a_cancellation(client: ResilientRedis) -> None:
    """As a write of redis-py does on Python 3.11. The close of a process does not hang."""
    cancellations = list[str]()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancellations.append("dropped")
        await asyncio.Event().wait()

    task = await client.spawn(work())
    await run_ready()

    async with asyncio.timeout(60):
        await client.aclose()

    assert task.cancelled()
    assert cancellations == ["dropped"]


@pytest.mark.parametrize(
    "url", ["redis+sentinel://127.0.0.1:26379", "redis+sentinel://127.0.0.1/", "redis+sentinel:///primary"]
)
async def test_rd06_sentinel_url_without_a_host_or_a_service_is_refused(url: str) -> None:
    """When the client is created, and without the URL in the message."""
    with pytest.raises(ConfigurationError) as caught:
        _client(url)

    assert url not in str(caught.value)


def _client(url: str) -> ResilientRedis:
    return ResilientRedis(
        SecretStr(url), timeout=1.0, events=EventBus(), on_recovery=nothing, probe_delay=60.0
    )
