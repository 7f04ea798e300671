"""A circuit breaker: a service that fails is left alone for a while, and then tried once."""

from collections.abc import Callable
from random import SystemRandom

__all__ = ["Breaker"]


class Breaker:
    """Closed while the service answers; open from its first failure until a trial has succeeded.

    The first trial is due after ``shortest`` seconds, each further one after twice the time, up to
    ``longest``; less up to half of it, so that many processes do not try in step. ``monotonic`` returns
    seconds.
    """

    def __init__(
        self, monotonic: Callable[[], float], *, shortest: float = 1.0, longest: float = 30.0
    ) -> None:
        self._monotonic = monotonic
        self._shortest = shortest
        self._longest = longest
        self._random = SystemRandom()
        self._wait = shortest
        self._trial_at: float | None = None

    def is_open(self) -> bool:
        """Whether the service is to be left alone."""
        return self._trial_at is not None

    def trip(self) -> bool:
        """Open, because of a failure. False if it was open already: then nothing changes."""
        if self._trial_at is not None:
            return False
        self._schedule(self._shortest)
        return True

    def claim_trial(self) -> bool:
        """Whether the caller is to try the service now. The next trial is due later in any case."""
        if self._trial_at is None or self._monotonic() < self._trial_at:
            return False
        self._schedule(min(2 * self._wait, self._longest))
        return True

    def close(self) -> None:
        """The trial succeeded."""
        self._trial_at = None

    def _schedule(self, wait: float) -> None:
        self._wait = wait
        self._trial_at = self._monotonic() + wait * self._random.uniform(0.5, 1.0)
