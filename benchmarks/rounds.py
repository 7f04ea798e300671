"""How long things take compared with each other: many short batches in shuffled order, paired by round.

A busy machine slows down all of a round alike, so what counts is the ratio within a round, and of all
rounds the median. Time is the thread's own CPU time.
"""

import gc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from time import thread_time_ns

__all__ = ["Contender", "Spread", "Timings", "measure"]

_SEED = 20_261_121


@dataclass(frozen=True)
class Contender:
    """Something to be timed: ``prepare(size)`` gives a batch of that many operations, ready to be awaited.

    What ``prepare`` does is not timed.
    """

    size: int
    prepare: Callable[[int], Callable[[], Awaitable[None]]]


@dataclass(frozen=True)
class Spread:
    """The median of all rounds, and the quartiles around it."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """The spread of at least two values."""
        low, _, high = quantiles(values, n=4)
        return cls(median(values), low, high)


@dataclass(frozen=True)
class Timings:
    """Microseconds an operation took, by contender and round."""

    rounds: Mapping[str, list[float]]

    def time(self, name: str) -> Spread:
        """Microseconds of one operation."""
        return Spread.of(self.rounds[name])

    def ratio(self, name: str, to: str) -> Spread:
        """How many times as long as another one it took in the same round."""
        pairs = zip(self.rounds[name], self.rounds[to], strict=True)
        return Spread.of([mine / other for mine, other in pairs])


async def measure(contenders: Mapping[str, Contender], *, rounds: int) -> Timings:
    """Time all contenders, each once a round, in an order that differs by round but not by run."""
    order = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in order}
    random = Random(_SEED)  # noqa: S311 - an order, not a secret
    gc.collect()
    gc.freeze()
    try:
        for number in range(-2, rounds):
            random.shuffle(order)
            for name in order:
                spent = await _spent(contenders[name])
                if number >= 0:  # the first ones warm up
                    taken[name].append(spent)
    finally:
        gc.unfreeze()
    return Timings(taken)


async def _spent(contender: Contender) -> float:
    batch = contender.prepare(contender.size)
    begun = thread_time_ns()
    await batch()
    return (thread_time_ns() - begun) / contender.size / 1000
