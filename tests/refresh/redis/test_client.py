"""The Redis client: concurrent commands share connections, and urgent commands are sent first (RF-03)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from fastapi_descope._concurrency import CircuitBreaker
from fastapi_descope._refresh.redis.client import ResilientRedis
from fastapi_descope._refresh.redis.scripts import Script, ScriptReply
from fastapi_descope.events import Event, EventBus, StoreDegraded
from tests.helpers.event_loop import run_ready
from tests.helpers.fake_redis import OK, GatedRedis

pytestmark = pytest.mark.anyio

NORMAL = Script("normal", frozenset({b"ok"}))
URGENT = Script("urgent", frozenset({b"ok"}), urgent=True)
FAILING = Script("failing", frozenset({b"ok"}))

Reply = ScriptReply | None


@pytest.fixture
async def redis() -> AsyncIterator[GatedRedis]:
    """Replies when its gate is open: to FAILING with an error, to other scripts with ``ok``."""
    async with GatedRedis(lambda text, _keys: b"-ERR canary\r\n" if text == b"failing" else OK) as redis:
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
        SecretStr(redis.url),
        probe_key="probe",
        timeout=30.0,
        breaker=CircuitBreaker(lambda: 0.0),
        events=bus,
    )
    yield client
    await client.aclose()


async def start(client: ResilientRedis, count: int, script: Script = NORMAL) -> list[asyncio.Task[Reply]]:
    """Start that many commands concurrently."""
    tasks = [asyncio.create_task(client.eval(script, ("key",), (b"x" * 400,))) for _ in range(count)]
    await run_ready()
    return tasks


async def occupy(client: ResilientRedis, redis: GatedRedis) -> list[asyncio.Task[Reply]]:
    """Make all sixteen connections wait for a reply."""
    tasks: list[asyncio.Task[Reply]] = []
    for number in range(16):
        tasks += await start(client, 1)
        await redis.arrived(number + 1)
    return tasks


async def test_a_single_command_is_one_round_trip(client: ResilientRedis, redis: GatedRedis) -> None:
    """It does not wait for other commands to share the pipeline."""
    redis.gate.set()
    assert await client.eval(NORMAL, ("key",), ()) == (b"ok", b"")
    assert redis.packets == [[b"normal"]]


async def test_waiting_commands_share_round_trips(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """While all connections are busy, commands wait. 35 of them (14 KB) share a pipeline and one script."""
    first = await occupy(client, redis)
    rest = await start(client, 500)
    redis.gate.set()

    assert await asyncio.gather(*first, *rest) == [(b"ok", b"")] * 516
    assert sorted(map(len, redis.packets[16:])) == [500 - 14 * 35] + 14 * [35]
    assert all(packet == [b"normal", *[NORMAL.sha1.encode()] * (len(packet) - 1)] for packet in redis.packets)
    assert events == []


async def test_rf03_urgent_commands_are_sent_first(client: ResilientRedis, redis: GatedRedis) -> None:
    """Renewals of leases and new results overtake all reads that are already in the queue."""
    first = await occupy(client, redis)
    rest = await start(client, 1000)
    urgent = await start(client, 2, URGENT)
    redis.gate.set()

    await asyncio.gather(*first, *rest, *urgent)
    assert redis.packets[16][:3] == [b"urgent", URGENT.sha1.encode(), b"normal"]


async def test_commands_of_cancelled_callers_are_not_sent(client: ResilientRedis, redis: GatedRedis) -> None:
    """A command that is cancelled in the queue is not sent; if it was sent, its reply is dropped."""
    first = await occupy(client, redis)
    rest = await start(client, 100)
    for task in (*first[:4], *rest[:99]):
        task.cancel()
    await run_ready()
    redis.gate.set()

    assert await asyncio.gather(*first[4:], rest[99]) == [(b"ok", b"")] * 13
    assert redis.packets[16:] == [[b"normal"]]


async def test_a_broken_connection_fails_all_waiting_commands(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """Commands in the queue fail with it, without being sent to fail again."""
    first = await occupy(client, redis)
    rest = await start(client, 1000)
    redis.cut()

    assert set(await asyncio.gather(*first, *rest)) == {None}
    assert len(redis.packets) == 16
    assert events == [StoreDegraded("ConnectionError")]


async def test_an_error_reply_fails_one_command_only(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """The other commands of the pipeline get their own replies."""
    first = await occupy(client, redis)
    good, failing, more = [(await start(client, 1, script))[0] for script in (NORMAL, FAILING, NORMAL)]
    redis.gate.set()

    ok = (b"ok", b"")
    assert list(await asyncio.gather(good, failing, more)) == [ok, None, ok]
    assert events == [StoreDegraded("ResponseError")]
    await asyncio.gather(*first)
    assert redis.packets[16:] == [[b"normal", b"failing", NORMAL.sha1.encode()]]


async def test_closing_ends_all_waiting_commands(
    client: ResilientRedis, redis: GatedRedis, events: list[Event]
) -> None:
    """Closing is no failure of Redis, and no caller waits forever."""
    first = await occupy(client, redis)
    rest = await start(client, 100)
    await client.aclose()

    assert set(await asyncio.gather(*first, *rest)) == {None}
    assert events == []
