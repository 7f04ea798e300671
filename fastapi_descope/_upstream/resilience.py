"""Whether Descope may be called now, or is left alone because it fails or told us to wait (RF-09)."""

import math
from collections.abc import Callable
from hashlib import sha256
from random import random
from types import TracebackType
from typing import Self

from .._concurrency.circuit_breaker import Breaker
from ..errors import CircuitOpen, RateLimited, UpstreamNonsense, UpstreamRefused, UpstreamUnavailable
from ..events import Events, UpstreamDegraded, UpstreamRecovered
from .rate_limit import RateLimit

__all__ = ["Attempt", "Restraint"]

_FAILURES = 5
_WITHIN_SECONDS = 10.0

# Less up to half of it, so that no two waits are alike: 5 to 10 seconds at first, 15 to 30 in the end.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 10.0, 30.0


class Restraint:
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
    together often enough, and ``KeyRing`` takes a call that was held back for what it is. One restraint
    serves one ``Outbound``, in however many event loops. While ``also`` holds its calls back, ours are held
    back too; it learns nothing from ours. ``monotonic`` returns seconds; ``longest_call`` is for how many of
    them a call may be under way; ``jitter`` is ``Breaker``'s.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        events: Events,
        longest_call: float,
        calls: str = "sessions",
        also: "Restraint | None" = None,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._breaker = Breaker(
            monotonic,
            failures=_FAILURES,
            within=_WITHIN_SECONDS,
            shortest=_SHORTEST_SECONDS,
            longest=_LONGEST_SECONDS,
            trial=longest_call + 1,
            jitter=jitter,
        )
        self._limit = RateLimit(monotonic)
        self._monotonic = monotonic
        self._events = events
        self._calls = calls
        self._also = also
        self._trial: Attempt | None = None
        self._first_failure = math.inf
        self._is_degraded = False

    def attempt(self, bearer: str) -> "Attempt":
        """A call that is about to be made with ``bearer``, to be entered with ``with``.

        Raises ``RateLimited`` or ``CircuitOpen`` if Descope is to be left alone.
        """
        self.check()
        return Attempt(self, sha256(bearer.encode()).digest())

    def admit(self, attempt: "Attempt") -> None:
        """Have ``attempt`` go out now; raises like ``attempt``, for things change while a call queues."""
        self.check()
        attempt.began_at = self._monotonic()
        if self._breaker.claim_trial():
            self._trial = attempt

    def settle(self, attempt: "Attempt", error: BaseException | None) -> None:
        """Learn from how a call ended that did go out: with ``error``, or with a yes."""
        is_trial = self._trial is attempt
        if is_trial:
            self._trial = None
        is_news = is_trial or attempt.began_at >= self._first_failure
        match error:
            case RateLimited(retry_after=seconds):
                self._answered(is_news=is_news)
                if self._limit.met(attempt.caller, seconds):
                    self._degrade(error.code)
            case UpstreamUnavailable(retry_after=seconds) if attempt.failure:
                self._failed(attempt, attempt.failure, seconds)
            case None | UpstreamRefused() | UpstreamNonsense():
                self._limit.answered()
                self._answered(is_news=is_news)
            case _ if is_trial:  # cancelled, say: nothing was learnt
                self._breaker.give_back_trial()
            case _:
                pass

    def check(self) -> None:
        """Raise ``RateLimited`` or ``CircuitOpen`` if Descope is to be left alone."""
        if self._also is not None:
            self._also.check()
        if (pause := self._limit.seconds_left()) > 0:
            raise RateLimited(math.ceil(pause))
        if (wait := self._breaker.seconds_left()) > 0:
            raise CircuitOpen(math.ceil(wait))

    def _failed(self, attempt: "Attempt", reason: str, seconds: float) -> None:
        if not self._breaker.is_open():
            self._first_failure = min(self._first_failure, attempt.began_at)
        if self._breaker.trip(seconds):
            self._degrade(reason)

    def _answered(self, *, is_news: bool) -> None:
        # An answer to a call from before the outage may be as old as that call.
        if self._breaker.is_open() and not is_news:
            return
        self._first_failure = math.inf
        self._breaker.close()
        if self._is_degraded and self._limit.seconds_left() == 0:
            self._is_degraded = False
            self._events.emit(UpstreamRecovered(self._calls))

    def _degrade(self, reason: str) -> None:
        self._is_degraded = True
        self._events.emit(UpstreamDegraded(reason, self._calls))


class Attempt:
    """One call to Descope, from before it queues until its verdict is read, as a context.

    What is raised in the context is what became of the call. ``caller`` identifies its bearer; ``began_at``
    is when it went out, by the clock of the restraint; ``failure`` is a word for why it failed, to be
    replaced by whoever knows better, with None if it was not Descope.
    """

    def __init__(self, restraint: Restraint, caller: bytes) -> None:
        self.caller = caller
        self.began_at = 0.0
        self.failure: str | None = "server_error"
        self._restraint = restraint
        self._has_begun = False

    def begin(self) -> None:
        """The request goes out now. Raises ``RateLimited`` or ``CircuitOpen`` if it must not any more."""
        self._restraint.admit(self)
        self._has_begun = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._has_begun:
            self._restraint.settle(self, error)
