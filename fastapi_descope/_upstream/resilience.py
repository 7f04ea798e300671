"""Whether Descope may be called now, or is left alone because it fails or told us to wait (RF-09)."""

import math
from collections.abc import Callable
from hashlib import sha256
from random import random
from types import TracebackType
from typing import Self

from .._concurrency.circuit_breaker import CircuitBreaker
from ..errors import CircuitOpen, InvalidUpstreamResponse, RateLimited, UpstreamRejected, UpstreamUnavailable
from ..events import EventBus, UpstreamDegraded, UpstreamRecovered
from .rate_limit import SharedRateLimit

__all__ = ["CallPermit", "UpstreamGuard"]

_FAILURES = 5
_WITHIN_SECONDS = 10.0

# Less up to half of it, so that no two waits are alike: 5 to 10 seconds at first, 15 to 30 in the end.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 10.0, 30.0


class UpstreamGuard:
    """Holds calls back while they would do no good. Costs no time, and no byte is sent for a call held back.

    **Failures.** No answer, or a 5xx, to five calls in a row within ten seconds: all calls fail for 5 to
    30 seconds, for longer if a 5xx asked for that. Then one call goes through while the others still fail,
    and its answer, whatever it says, ends it; each such trial that fails makes the next wait longer. Every
    answer but a 5xx starts the count anew, so verdicts on users never add up to an outage. A failure is often
    known before an answer: an answer to a call that went out no earlier than those that failed shows that
    Descope is there, and ends the wait as well. A call that ended in our own queue, or had spent most of its
    time there, says nothing of Descope and is not counted.

    **Rate limits.** See ``RateLimit``; all calls fail until the time is over.

    All ``calls`` of one kind, a word for the events, count as one: refreshes and the key set stand and fall
    together often enough, and ``JwksCache`` takes a call that was held back for what it is. One restraint
    serves one ``Outbound``, in however many event loops. While ``also`` holds its calls back, ours are held
    back too; it learns nothing from ours. ``monotonic`` returns seconds; ``longest_call`` is for how many of
    them a call may be under way; ``jitter`` is ``Breaker``'s.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        events: EventBus,
        longest_call: float,
        calls: str = "sessions",
        parent: "UpstreamGuard | None" = None,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._breaker = CircuitBreaker(
            monotonic,
            failures=_FAILURES,
            window=_WITHIN_SECONDS,
            min_delay=_SHORTEST_SECONDS,
            max_delay=_LONGEST_SECONDS,
            probe_timeout=longest_call + 1,
            jitter=jitter,
        )
        self._limit = SharedRateLimit(monotonic)
        self._monotonic = monotonic
        self._events = events
        self._calls = calls
        self._parent = parent
        self._trial: CallPermit | None = None
        self._first_failure = math.inf
        self._is_degraded = False

    def call(self, bearer: str) -> "CallPermit":
        """A call that is about to be made with ``bearer``, to be entered with ``with``.

        Raises ``RateLimited`` or ``CircuitOpen`` if Descope is to be left alone.
        """
        self.check()
        return CallPermit(self, sha256(bearer.encode()).digest())

    def acquire(self, attempt: "CallPermit") -> None:
        """Have ``attempt`` go out now; raises like ``attempt``, for things change while a call queues."""
        self.check()
        attempt.began_at = self._monotonic()
        if self._breaker.try_probe():
            self._trial = attempt

    def record(self, attempt: "CallPermit", error: BaseException | None) -> None:
        """Learn from how a call ended that did go out: with ``error``, or with a yes."""
        is_trial = self._trial is attempt
        if is_trial:
            self._trial = None
        is_news = is_trial or attempt.began_at >= self._first_failure
        match error:
            case RateLimited(retry_after=seconds):
                self._answered(is_news=is_news)
                if self._limit.record_429(attempt.caller, seconds):
                    self._degrade(error.code)
            case UpstreamUnavailable(retry_after=seconds) if attempt.failure:
                self._failed(attempt, attempt.failure, seconds)
            case None | UpstreamRejected() | InvalidUpstreamResponse():
                self._limit.record_success()
                self._answered(is_news=is_news)
            case _ if is_trial:  # cancelled, say: nothing was learnt
                self._breaker.release_probe()
            case _:
                pass

    def check(self) -> None:
        """Raise ``RateLimited`` or ``CircuitOpen`` if Descope is to be left alone."""
        if self._parent is not None:
            self._parent.check()
        if (pause := self._limit.seconds_left()) > 0:
            raise RateLimited(math.ceil(pause))
        if (wait := self._breaker.seconds_left()) > 0:
            raise CircuitOpen(math.ceil(wait))

    def _failed(self, attempt: "CallPermit", reason: str, seconds: float) -> None:
        if not self._breaker.is_open():
            self._first_failure = min(self._first_failure, attempt.began_at)
        if self._breaker.record_failure(seconds):
            self._degrade(reason)

    def _answered(self, *, is_news: bool) -> None:
        # An answer to a call from before the outage may be as old as that call.
        if self._breaker.is_open() and not is_news:
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
    """One call to Descope, from before it queues until its verdict is read, as a context.

    What is raised in the context is what became of the call. ``caller`` identifies its bearer; ``began_at``
    is when it went out, by the clock of the restraint; ``failure`` is a word for why it failed, to be
    replaced by whoever knows better, with None if it was not Descope.
    """

    def __init__(self, restraint: UpstreamGuard, caller: bytes) -> None:
        self.caller = caller
        self.began_at = 0.0
        self.failure: str | None = "server_error"
        self._restraint = restraint
        self._has_begun = False

    def begin(self) -> None:
        """The request goes out now. Raises ``RateLimited`` or ``CircuitOpen`` if it must not any more."""
        self._restraint.acquire(self)
        self._has_begun = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._has_begun:
            self._restraint.record(self, error)
