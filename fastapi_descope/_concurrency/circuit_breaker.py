"""A circuit breaker: a service that fails is left alone for a while, and then tried once."""

import math
from collections import deque
from collections.abc import Callable
from random import random

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Closed while the service answers; open from too many failures until a trial has succeeded.

    Too many means ``failures`` of them in a row, the last at most ``within`` seconds after the first of
    them. The first trial is due after ``shortest`` seconds, each further one after twice the time, up to
    ``longest``; less up to half of it, so that many processes do not try in step. A trial may take
    ``trial`` seconds: for so long there is no other, and one that is never heard of again holds up nobody
    for longer. ``monotonic`` returns seconds; ``jitter`` a number from 0 to 1, at 1 the whole wait.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        failures: int = 1,
        window: float = math.inf,
        min_delay: float = 1.0,
        max_delay: float = 30.0,
        probe_timeout: float = 0.0,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._monotonic = monotonic
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._failures = failures
        self._within = window
        self._shortest = min_delay
        self._longest = max_delay
        self._trial_seconds = probe_timeout
        self._jitter = jitter
        self._wait = min_delay
        self._trial_at: float | None = None

    def is_open(self) -> bool:
        """Whether the service is to be left alone."""
        return self._trial_at is not None

    def seconds_left(self) -> float:
        """How long the service is to be left alone altogether: 0 if a trial is due, and while closed."""
        return 0.0 if self._trial_at is None else max(0.0, self._trial_at - self._monotonic())

    def record_failure(self, wait: float = 0.0) -> bool:
        """Count a failure. True if it opens the breaker; if that was open already, it stays as it is.

        No trial is due before ``wait`` seconds from now: what the service itself asked for.
        """
        now = self._monotonic()
        if self._trial_at is not None:
            self._trial_at = max(self._trial_at, now + wait)
            return False
        self._failed_at.append(now)
        if len(self._failed_at) < self._failures or now - self._failed_at[0] > self._within:
            return False
        self._schedule(self._shortest, at_least=wait)
        return True

    def try_probe(self) -> bool:
        """Whether the caller is to try the service now. The next trial is due later in any case."""
        if self._trial_at is None or self.seconds_left() > 0:
            return False
        self._schedule(min(2 * self._wait, self._longest), at_least=self._trial_seconds)
        return True

    def release_probe(self) -> None:
        """The trial came to nothing, good or bad: the next caller is to try."""
        if self._trial_at is not None:
            self._wait, self._trial_at = self._wait / 2, self._monotonic()

    def record_success(self) -> None:
        """The service answered: failures before are forgotten."""
        self._trial_at = None
        self._failed_at.clear()

    def _schedule(self, wait: float, *, at_least: float) -> None:
        self._wait = wait
        self._trial_at = self._monotonic() + max(wait * (1 + self._jitter()) / 2, at_least)
