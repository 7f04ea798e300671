"""Pacing: a burst is spread over iterations of the event loop, and a single caller never waits (RF-10)."""

import asyncio
from collections import Counter

import pytest

from fastapi_descope._concurrency import Pacer
from tests.helpers.event_loop import IterationCounter


@pytest.mark.anyio
async def test_a_caller_does_not_wait_while_the_iteration_has_turns_left() -> None:
    """The next iteration has new ones."""
    pacer = Pacer(3)
    for _ in range(2):
        for _ in range(3):
            with pytest.raises(StopIteration):
                pacer.turn().send(None)
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_a_burst_passes_a_few_per_iteration_in_order_of_arrival() -> None:
    """At most three pass in one iteration."""
    pacer, iterations = Pacer(3), IterationCounter()
    passed: list[tuple[int, int]] = []

    async def take_turn(caller: int) -> None:
        await pacer.turn()
        passed.append((iterations.number, caller))

    await asyncio.gather(*(take_turn(caller) for caller in range(20)))

    assert [caller for _, caller in passed] == list(range(20))
    assert max(Counter(iteration for iteration, _ in passed).values()) == 3


@pytest.mark.anyio
async def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    """It waits although a turn has just been released."""
    pacer, order = Pacer(1), list[str]()

    async def take_turn(caller: str) -> None:
        await pacer.turn()
        order.append(caller)

    async def arrive_later() -> None:
        await asyncio.sleep(0)
        await take_turn("newcomer")

    await asyncio.gather(*(take_turn(name) for name in ("first", "second", "third")), arrive_later())

    assert order == ["first", "second", "third", "newcomer"]


@pytest.mark.anyio
async def test_a_cancelled_caller_delays_no_other() -> None:
    """A client that disconnects while it waits takes no turn, and no longer counts as waiting."""
    pacer = Pacer(1)
    callers = [asyncio.create_task(pacer.turn()) for _ in range(4)]
    await asyncio.sleep(0)
    assert pacer.waiting == 3
    for caller in callers[1:3]:
        caller.cancel()

    await asyncio.wait(callers)

    assert [caller.cancelled() for caller in callers] == [False, True, True, False]
    assert pacer.waiting == 0


def test_a_pacer_serves_several_event_loops_in_turn() -> None:
    """In each of them callers wait, and pass."""
    pacer = Pacer(1)

    async def burst() -> None:
        callers = [asyncio.create_task(pacer.turn()) for _ in range(3)]
        await asyncio.sleep(0)
        assert pacer.waiting == 2
        await asyncio.gather(*callers)

    for _ in range(2):
        asyncio.run(burst())
