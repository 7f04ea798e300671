"""The guard of calls to Descope: a circuit breaker for outages, and a rate limit shared by all callers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import random
from types import TracebackType
from typing import Self

from .._concurrency import CircuitBreaker
from ..errors import CircuitOpen, InvalidUpstreamResponse, RateLimited, UpstreamRejected, UpstreamUnavailable
from ..events import EventBus, UpstreamDegraded, UpstreamRecovered

__all__ = ["CallPermit", "SharedRateLimit", "UpstreamGuard"]

# RF-09: outages and rate limits are waited out.
_FAILURES = 5
_WINDOW_SECONDS = 10.0

# Jitter takes off up to half: 5 to 10 seconds for the first delay, 15 to 30 for the longest.
_MIN_DELAY_SECONDS, _MAX_DELAY_SECONDS = 10.0, 30.0


class UpstreamGuard:
    """Rejects calls to Descope during an outage or a rate limit, before anything is sent.

    **Outages.** Five failures in a row within ten seconds open the circuit breaker; a failure is a 5xx or no
    response. All calls are then rejected for 5 to 30 seconds, or longer if a 5xx asked for that. After this
    delay one call is the probe: any response but a 5xx closes the breaker, and a failure makes the next
    delay longer. Any other response also resets the count of failures, so refusals of users never add up to
    an outage. While the breaker is open, the response to an older call closes it too, if that call was sent
    no earlier than the first failure. A call that timed out mostly in our own queue is not counted.

    **Rate limits.** See ``SharedRateLimit``: all calls are rejected until its time is over.

    One guard serves one ``UpstreamTransport``, in any number of event loops.

    Args:
        monotonic: Returns seconds.
        events: Receives ``UpstreamDegraded`` and ``UpstreamRecovered``.
        call_timeout: The longest time in seconds that a call can take.
        calls: The name of this kind of calls in events.
        parent: A guard whose rejections apply here too. Results of calls through this guard are not
            recorded in it.
        jitter: As in ``CircuitBreaker``.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        events: EventBus,
        call_timeout: float,
        calls: str = "sessions",
        parent: "UpstreamGuard | None" = None,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._breaker = CircuitBreaker(
            monotonic,
            failures=_FAILURES,
            window=_WINDOW_SECONDS,
            min_delay=_MIN_DELAY_SECONDS,
            max_delay=_MAX_DELAY_SECONDS,
            probe_timeout=call_timeout + 1,
            jitter=jitter,
        )
        self._limit = SharedRateLimit(monotonic)
        self._monotonic = monotonic
        self._events = events
        self._calls = calls
        self._parent = parent
        self._probe: CallPermit | None = None
        self._first_failure = math.inf
        self._is_degraded = False

    def call(self, bearer: str) -> "CallPermit":
        """Return the context of a call that is about to be made with ``bearer``.

        Raises:
            RateLimited: all callers have to wait.
            CircuitOpen: Descope is failing.
        """
        self.check()
        return CallPermit(self, sha256(bearer.encode()).digest())

    def acquire(self, permit: "CallPermit") -> None:
        """Admit a call that is about to be sent; it may have waited in a queue since ``call``.

        Raises:
            RateLimited: all callers have to wait.
            CircuitOpen: Descope is failing.
        """
        self.check()
        permit.sent_at = self._monotonic()
        if self._breaker.try_probe():
            self._probe = permit

    def record(self, permit: "CallPermit", error: BaseException | None) -> None:
        """Record how a call that was sent has ended; ``error`` is None for success."""
        is_probe = self._probe is permit
        if is_probe:
            self._probe = None
        is_current = is_probe or permit.sent_at >= self._first_failure
        match error:
            case RateLimited(retry_after=seconds):
                self._record_response(is_current=is_current)
                if self._limit.record_429(permit.caller, seconds):
                    self._degrade(error.code)
            case UpstreamUnavailable(retry_after=seconds) if permit.failure_reason:
                self._record_failure(permit, permit.failure_reason, seconds)
            case None | UpstreamRejected() | InvalidUpstreamResponse():
                self._limit.record_success()
                self._record_response(is_current=is_current)
            case _ if is_probe:  # such as a cancellation, which leaves the state of Descope unknown
                self._breaker.release_probe()
            case _:
                pass

    def check(self) -> None:
        """Raise if no call may be made now.

        Raises:
            RateLimited: all callers have to wait.
            CircuitOpen: Descope is failing.
        """
        if self._parent is not None:
            self._parent.check()
        if (wait := self._limit.seconds_left()) > 0:
            raise RateLimited(math.ceil(wait))
        if (wait := self._breaker.seconds_left()) > 0:
            raise CircuitOpen(math.ceil(wait))

    def _record_failure(self, permit: "CallPermit", reason: str, seconds: float) -> None:
        if not self._breaker.is_open():
            self._first_failure = min(self._first_failure, permit.sent_at)
        if self._breaker.record_failure(seconds):
            self._degrade(reason)

    def _record_response(self, *, is_current: bool) -> None:
        # A call that was sent before the outage may have been processed before it, too.
        if self._breaker.is_open() and not is_current:
            return
        self._first_failure = math.inf
        self._breaker.record_success()
        if self._is_degraded and self._limit.seconds_left() == 0:
            self._is_degraded = False
            self._events.emit(UpstreamRecovered(self._calls))

    def _degrade(self, reason: str) -> None:
        self._is_degraded = True
        self._events.emit(UpstreamDegraded(reason, self._calls))


class CallPermit:
    """The context of one call to Descope, from before it queues until its response is interpreted.

    An exception raised in the context is the result of the call.

    Attributes:
        caller: Digest of the bearer, which tells one caller from another.
        sent_at: When the call was sent, by the guard's clock.
        failure_reason: The reason for events if the call fails. The transport replaces it with a more exact
            one, or with None if the failure was not Descope's.
    """

    def __init__(self, guard: UpstreamGuard, caller: bytes) -> None:
        self.caller = caller
        self.sent_at = 0.0
        self.failure_reason: str | None = "server_error"
        self._guard = guard
        self._is_sent = False

    def acquire(self) -> None:
        """Admit the call, which is sent now.

        Raises:
            RateLimited: all callers have to wait.
            CircuitOpen: Descope is failing.
        """
        self._guard.acquire(self)
        self._is_sent = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._is_sent:
            self._guard.record(self, error)


@dataclass(frozen=True, slots=True)
class _LimitedCaller:
    """The caller of the last 429, and when its limit ends."""

    caller: bytes
    until: float


class SharedRateLimit:
    """Distinguishes a rate limit on all callers from a limit on one user.

    A 429 does not say what Descope counts. Most of its limits count addresses (wire contract, section 6),
    and all callers of this process share one address. A single caller's 429 is taken for a limit on that
    caller. It is a limit on all callers once a second caller gets a 429 before the first one's time is over
    and without a success in between; all callers then wait until the later of the two times.

    ``monotonic`` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: _LimitedCaller | None = None
        self._until = -math.inf

    def seconds_left(self) -> float:
        """Return the seconds that all callers have to wait, or 0."""
        return max(0.0, self._until - self._monotonic())

    def record_429(self, caller: bytes, seconds: float) -> bool:
        """Record a 429 of ``caller`` for ``seconds``; return True if it starts a limit on all callers."""
        now = self._monotonic()
        previous, last = self._last, _LimitedCaller(caller, now + seconds)
        self._last = last
        if now < self._until:
            self._until = max(self._until, last.until)
            return False
        if previous is None or previous.caller == caller or previous.until <= now:
            return False
        self._until = max(previous.until, last.until)
        return True

    def record_success(self) -> None:
        """Forget the last 429: a call succeeded, so the limit was not on all callers."""
        self._last = None
