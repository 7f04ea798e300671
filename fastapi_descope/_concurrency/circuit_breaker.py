"""A circuit breaker: rejects calls to a failing service for a while, then lets one probe through."""

import math
from collections import deque
from collections.abc import Callable
from random import random

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Closed while the service responds; open from repeated failures until a probe has succeeded.

    The first probe is due after ``min_delay`` seconds. Each later delay is twice as long, up to
    ``max_delay``. Jitter takes off up to half of a delay, so that many processes do not probe in step.

    Args:
        monotonic: Returns seconds.
        failures: How many failures in a row open the breaker.
        window: How many seconds may pass between the first and the last of them.
        min_delay: Seconds before the first probe.
        max_delay: The longest delay in seconds.
        probe_timeout: Seconds that a probe may take. No other probe is due during that time; a
            probe whose result is never recorded blocks the next for no longer than this.
        jitter: Returns a number from 0 to 1; at 1 the delay is not shortened.
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
        self._window = window
        self._min_delay = min_delay
        self._max_delay = max_delay
        self._probe_timeout = probe_timeout
        self._jitter = jitter
        self._delay = min_delay
        self._probe_at: float | None = None

    def is_open(self) -> bool:
        """Return whether the breaker is open, a probe in flight included."""
        return self._probe_at is not None

    def seconds_left(self) -> float:
        """Return the seconds until the next probe is due: 0 if it is due now, and while closed."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - self._monotonic())

    def record_failure(self, min_wait: float = 0.0) -> bool:
        """Record a failure; return True if it opens the breaker, which was closed until now.

        The service asked for ``min_wait`` seconds: no probe is due earlier.
        """
        now = self._monotonic()
        if self._probe_at is not None:
            self._probe_at = max(self._probe_at, now + min_wait)
            return False
        self._failed_at.append(now)
        if len(self._failed_at) < self._failures or now - self._failed_at[0] > self._window:
            return False
        self._schedule_probe(self._min_delay, at_least=min_wait)
        return True

    def try_probe(self) -> bool:
        """Return whether the caller is to probe the service now, and schedule the next probe."""
        if self._probe_at is None or self.seconds_left() > 0:
            return False
        self._schedule_probe(min(2 * self._delay, self._max_delay), at_least=self._probe_timeout)
        return True

    def release_probe(self) -> None:
        """Record that the probe had no result, so that the next caller probes."""
        if self._probe_at is not None:
            self._delay, self._probe_at = self._delay / 2, self._monotonic()

    def record_success(self) -> None:
        """Close the breaker and forget earlier failures."""
        self._probe_at = None
        self._failed_at.clear()

    def _schedule_probe(self, delay: float, *, at_least: float) -> None:
        self._delay = delay
        self._probe_at = self._monotonic() + max(delay * (1 + self._jitter()) / 2, at_least)
