"""Relative timings: many short batches in random order, compared within a round.

A busy machine slows down all batches of a round, so the ratio within a round is meaningful, and the median of
all rounds is reported. Time is the CPU time of the thread, unless another clock is given.
"""

import gc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from time import thread_time_ns

__all__ = ["Benchmark", "Spread", "Timings", "measure"]

_SEED = 20_261_121


@dataclass(frozen=True)
class Benchmark:
    """An operation to time. ``prepare(size)`` returns a batch of ``size`` operations to await.

    ``prepare`` itself is not timed.
    """

    size: int
    prepare: Callable[[int], Callable[[], Awaitable[None]]]


@dataclass(frozen=True)
class Spread:
    """The median of all rounds, and the quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def from_values(cls, values: list[float]) -> "Spread":
        """Return the spread of at least two values."""
        low, _, high = quantiles(values, n=4)
        return cls(median(values), low, high)


@dataclass(frozen=True)
class Timings:
    """Microseconds per operation, by benchmark and round."""

    rounds: Mapping[str, list[float]]

    def time(self, name: str) -> Spread:
        """Return the microseconds per operation."""
        return Spread.from_values(self.rounds[name])

    def ratio(self, name: str, to: str) -> Spread:
        """Return the time of ``name`` divided by the time of ``to`` in the same round."""
        pairs = zip(self.rounds[name], self.rounds[to], strict=True)
        return Spread.from_values([time / other for time, other in pairs])


async def measure(
    benchmarks: Mapping[str, Benchmark], *, rounds: int, clock: Callable[[], int] = thread_time_ns
) -> Timings:
    """Time every benchmark once per round, in an order that differs between rounds but not between runs.

    ``clock`` returns nanoseconds.
    """
    order = list(benchmarks)
    times: dict[str, list[float]] = {name: [] for name in order}
    random = Random(_SEED)
    gc.collect()
    gc.freeze()
    try:
        for number in range(-2, rounds):
            random.shuffle(order)
            for name in order:
                microseconds = await _time_batch(benchmarks[name], clock)
                if number >= 0:  # the first two rounds are a warm-up
                    times[name].append(microseconds)
    finally:
        gc.unfreeze()
    return Timings(times)


async def _time_batch(benchmark: Benchmark, clock: Callable[[], int]) -> float:
    batch = benchmark.prepare(benchmark.size)
    started = clock()
    await batch()
    return (clock() - started) / benchmark.size / 1000
