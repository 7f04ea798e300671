"""Single flight: concurrent callers share one call, which outlives them (RF-02, RF-06)."""

import asyncio
import gc
import weakref
from collections.abc import Coroutine

import pytest

from fastapi_descope._concurrency import SingleFlight

pytestmark = pytest.mark.anyio


class Call:
    """A call that counts how often it started and finished. The test decides how it ends."""

    def __init__(self) -> None:
        self.started = 0
        self.finished = 0
        self._outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        """Wait for the outcome that ``finish`` sets."""
        self.started += 1
        outcome = await asyncio.shield(self._outcome)
        self.finished += 1
        return outcome

    def finish(self, outcome: str | BaseException) -> None:
        """End the call with a result or an error."""
        if isinstance(outcome, str):
            self._outcome.set_result(outcome)
        else:
            self._outcome.set_exception(outcome)
            self._outcome.exception()


async def turn(times: int = 3) -> None:
    """Let all tasks run that are ready."""
    for _ in range(times):
        await asyncio.sleep(0)


def create_waiter(waiting: Coroutine[None, None, str]) -> asyncio.Task[str]:
    """Create a task that waits for the result."""
    return asyncio.get_running_loop().create_task(waiting)


async def test_a_thousand_callers_share_one_call() -> None:
    """All of them get its result."""
    flights, call = SingleFlight[str, str](), Call()
    waiters = [create_waiter(flights.run("key", call)) for _ in range(1000)]
    await turn()
    call.finish("result")
    assert await asyncio.gather(*waiters) == ["result"] * 1000
    assert call.started == 1


async def test_every_waiter_gets_the_error() -> None:
    """The next caller then makes a new call."""
    flights, call, retry = SingleFlight[str, str](), Call(), Call()
    waiters = [create_waiter(flights.run("key", call)) for _ in range(3)]
    await turn()
    error = LookupError("no")
    call.finish(error)
    assert await asyncio.gather(*waiters, return_exceptions=True) == [error] * 3
    retry.finish("better")
    assert await flights.run("key", retry) == "better"


async def test_calls_with_different_keys_are_independent() -> None:
    """While one call hangs, a call with another key finishes."""
    flights, slow, quick = SingleFlight[str, str](), Call(), Call()
    waiter = create_waiter(flights.run("slow", slow))
    quick.finish("quick")
    assert await flights.run("quick", quick) == "quick"
    assert not waiter.done()
    slow.finish("slow")
    assert await waiter == "slow"


async def test_caller_after_the_end_makes_a_new_call() -> None:
    """Single flight does not cache results."""
    flights, first, second = SingleFlight[str, str](), Call(), Call()
    first.finish("first")
    second.finish("second")
    assert await flights.run("key", first) == "first"
    assert await flights.run("key", second) == "second"
    assert (first.started, second.started) == (1, 1)


async def test_cancelled_waiter_does_not_cancel_the_call() -> None:
    """The other waiters get the result (RF-06)."""
    flights, call = SingleFlight[str, str](), Call()
    impatient, patient = (create_waiter(flights.run("key", call)) for _ in range(2))
    await turn()
    impatient.cancel()
    await turn()
    assert impatient.cancelled()
    call.finish("result")
    assert await patient == "result"
    assert (call.started, call.finished) == (1, 1)


@pytest.mark.parametrize("turns", range(6))
async def test_call_finishes_after_its_only_waiter_was_cancelled(turns: int) -> None:
    """This holds at every step at which the waiter is cancelled."""
    flights, call = SingleFlight[str, str](), Call()
    waiter = create_waiter(flights.run("key", call))
    await turn(turns)
    flight = flights.current("key")
    waiter.cancel()
    await turn()
    assert (flight is None) == (turns == 0)
    call.finish("result")
    await turn()
    assert call.finished == call.started == min(turns, 1)
    assert flights.current("key") is None


async def test_unretrieved_error_is_not_reported_to_the_loop() -> None:
    """A call that fails after all its waiters left is not a bug."""
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    flights, call = SingleFlight[str, str](), Call()
    flights.start("key", call)
    await turn()
    call.finish(LookupError("no"))
    await turn()
    gc.collect()
    assert flights.current("key") is None
    assert reports == []


async def test_start_and_run_share_a_flight() -> None:
    """``current`` returns the same flight."""
    flights, call = SingleFlight[str, str](), Call()
    assert flights.current("key") is None
    flight = flights.start("key", call)
    waiter = create_waiter(flights.run("key", call))
    assert flights.start("key", call) is flight
    assert flights.current("key") is flight
    call.finish("result")
    assert (await flight, await waiter, call.started) == ("result", "result", 1)


async def test_cancelled_flight_cancels_its_waiters() -> None:
    """Only a shutdown cancels a flight. The key is then free."""
    flights, call = SingleFlight[str, str](), Call()
    waiter = create_waiter(flights.run("key", call))
    await turn()
    flights.start("key", call).cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert flights.current("key") is None


async def test_drain_waits_for_all_flights() -> None:
    """A shutdown loses no result that arrives in time (F15)."""
    flights, calls = SingleFlight[int, str](), [Call() for _ in range(100)]
    for key, call in enumerate(calls):
        flights.start(key, call)
    draining = asyncio.get_running_loop().create_task(flights.drain(60))
    await turn()
    assert not draining.done()
    for call in calls:
        call.finish("result")
    await draining
    assert [call.finished for call in calls] == [1] * 100


async def test_drain_cancels_late_flights() -> None:
    """They have ended when ``drain`` returns."""
    flights, late, early = SingleFlight[str, str](), Call(), Call()
    flight = flights.start("late", late)
    flights.start("early", early)
    early.finish("result")
    await flights.drain(0.01)
    assert flight.cancelled()
    assert (early.finished, late.finished) == (1, 0)
    assert flights.current("late") is None


async def test_drain_without_flights_returns_immediately() -> None:
    """There is nothing to wait for."""
    await asyncio.wait_for(SingleFlight[str, str]().drain(3600), 5)


def test_flights_of_an_ended_loop_are_ignored() -> None:
    """They are neither joined nor drained; the next loop makes its own call."""
    flights = SingleFlight[str, str]()
    left_behind = asyncio.new_event_loop()
    never = left_behind.create_future()

    async def hang() -> str:
        return str(await never)

    async def leave() -> asyncio.Task[str]:
        return flights.start("key", hang)

    async def arrive() -> str:
        assert flights.current("key") is None
        await asyncio.wait_for(flights.drain(3600), 5)
        call = Call()
        call.finish("result")
        return await flights.run("key", call)

    flight = left_behind.run_until_complete(leave())
    assert asyncio.run(arrive()) == "result"
    flight.cancel()
    left_behind.run_until_complete(asyncio.gather(flight, return_exceptions=True))
    left_behind.close()
    held = weakref.ref(flight)
    del flight
    gc.collect()
    assert held() is None


def test_a_late_landing_does_not_take_the_new_flight_along() -> None:
    """If the old loop ends after the new one has begun its flight, the new flight stays known."""
    flights = SingleFlight[str, str]()
    old, new = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def wait_on(future: asyncio.Future[str]) -> str:
        return await future

    async def start(future: asyncio.Future[str]) -> asyncio.Task[str]:
        return flights.start("key", lambda: wait_on(future))

    async def current() -> asyncio.Task[str] | None:
        return flights.current("key")

    outcomes = (old.create_future(), new.create_future())
    first = old.run_until_complete(start(outcomes[0]))
    second = new.run_until_complete(start(outcomes[1]))
    outcomes[0].set_result("old")
    assert old.run_until_complete(first) == "old"
    assert new.run_until_complete(current()) is second
    outcomes[1].set_result("new")
    assert new.run_until_complete(second) == "new"
    old.close()
    new.close()
