"""The queue in front of Redis: a crowd shares the connections, and what is urgent goes first (RF-03)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from fastapi_descope._refresh.redis.pipeline import Pipeliner, RedisFailure
from fastapi_descope._refresh.redis.scripts import Script, ScriptReply
from tests.helpers.event_loop import run_ready
from tests.helpers.fake_redis import DONE, GatedRedis

pytestmark = pytest.mark.anyio

PATIENT = Script("patient", frozenset({b"done"}))
URGENT = Script("urgent", frozenset({b"done"}), urgent=True)
ODD = Script("odd", frozenset({b"done"}))

Reply = ScriptReply | RedisFailure | None


@pytest.fixture
async def redis() -> AsyncIterator[GatedRedis]:
    """Answers when its gate is open; whatever is odd with an error."""
    async with GatedRedis(lambda text, _keys: b"-ERR canary\r\n" if text == b"odd" else DONE) as redis:
        yield redis


@pytest.fixture
async def line(redis: GatedRedis) -> AsyncIterator[Pipeliner]:
    """A line to it, which waits long for an answer."""
    line = await Pipeliner.open(SecretStr(redis.url), 30.0)
    yield line
    await line.aclose()


async def crowd(line: Pipeliner, size: int, script: Script = PATIENT) -> list[asyncio.Task[Reply]]:
    """So many who ask at once."""
    asking = [asyncio.create_task(line.eval(script, ("key",), (b"x" * 400,))) for _ in range(size)]
    await run_ready()
    return asking


async def occupy(line: Pipeliner, redis: GatedRedis) -> list[asyncio.Task[Reply]]:
    """Have all sixteen connections wait for an answer."""
    asking: list[asyncio.Task[Reply]] = []
    for number in range(16):
        asking += await crowd(line, 1)
        await redis.arrived(number + 1)
    return asking


async def test_a_lone_question_is_one_round_trip(line: Pipeliner, redis: GatedRedis) -> None:
    """Nobody waits for others to come along."""
    redis.gate.set()
    assert await line.eval(PATIENT, ("key",), ()) == (b"done", b"")
    assert redis.packets == [[b"patient"]]


async def test_a_crowd_shares_round_trips(line: Pipeliner, redis: GatedRedis) -> None:
    """Who finds every connection busy is asked for with 34 others: 14 KB. A packet has its script once."""
    first = await occupy(line, redis)
    rest = await crowd(line, 500)
    redis.gate.set()

    assert await asyncio.gather(*first, *rest) == [(b"done", b"")] * 516
    assert sorted(map(len, redis.packets[16:])) == [500 - 14 * 35] + 14 * [35]
    assert all(
        packet == [b"patient", *[PATIENT.sha1.encode()] * (len(packet) - 1)] for packet in redis.packets
    )


async def test_rf03_what_is_urgent_does_not_queue(line: Pipeliner, redis: GatedRedis) -> None:
    """A lease is renewed and a result told before all who only want to know, however many wait already."""
    first = await occupy(line, redis)
    rest = await crowd(line, 1000)
    urgent = await crowd(line, 2, URGENT)
    redis.gate.set()

    await asyncio.gather(*first, *rest, *urgent)
    assert redis.packets[16][:3] == [b"urgent", URGENT.sha1.encode(), b"patient"]


async def test_nobody_is_asked_for_who_gave_up(line: Pipeliner, redis: GatedRedis) -> None:
    """Cancelled in the queue, it is not sent; cancelled on the way, its answer is nobody's."""
    first = await occupy(line, redis)
    rest = await crowd(line, 100)
    for task in (*first[:4], *rest[:99]):
        task.cancel()
    await run_ready()
    redis.gate.set()

    assert await asyncio.gather(*first[4:], rest[99]) == [(b"done", b"")] * 13
    assert redis.packets[16:] == [[b"patient"]]


async def test_a_broken_connection_tells_all_who_wait(line: Pipeliner, redis: GatedRedis) -> None:
    """Once is enough: nobody else is sent to find out."""
    first = await occupy(line, redis)
    rest = await crowd(line, 1000)
    redis.cut()

    assert set(await asyncio.gather(*first, *rest)) == {RedisFailure("ConnectionError")}
    assert len(redis.packets) == 16


async def test_an_error_is_the_answer_to_one_question_alone(line: Pipeliner, redis: GatedRedis) -> None:
    """Its neighbours in the packet have theirs."""
    first = await occupy(line, redis)
    good, odd, more = [(await crowd(line, 1, script))[0] for script in (PATIENT, ODD, PATIENT)]
    redis.gate.set()

    done = (b"done", b"")
    assert list(await asyncio.gather(good, odd, more)) == [done, RedisFailure("ResponseError"), done]
    await asyncio.gather(*first)
    assert redis.packets[16:] == [[b"patient", b"odd", PATIENT.sha1.encode()]]


async def test_closing_tells_all_who_wait_nothing(line: Pipeliner, redis: GatedRedis) -> None:
    """That says nothing of Redis; nobody is left hanging."""
    first = await occupy(line, redis)
    rest = await crowd(line, 100)
    await line.aclose()

    assert set(await asyncio.gather(*first, *rest)) == {None}
