"""One exchange of a refresh token under the lease of its family: a refresh or a tenant switch."""

from collections.abc import Awaitable, Callable
from math import ceil

from .._telemetry.instruments import REFRESH
from .._telemetry.recorder import Measurement, Recorder
from ..errors import (
    InvalidUpstreamResponse,
    SessionEnded,
    TokenError,
    TokenReason,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import EventBus, SuccessorReplayed
from ..session import RefreshToken, TokenPair
from .cache_policy import NEGATIVE_TTL, CachePolicy
from .family import TokenFamily
from .outcome import (
    RESULTS,
    Ended,
    FlightResult,
    Outcome,
    RefreshNeeded,
    Renewed,
    SwitchFailed,
    TooLarge,
    Unavailable,
    classify,
)
from .store import Lease, RefreshResult, RefreshStore

__all__ = ["Exchange", "LeasedExchange", "Verify", "measured"]

Exchange = Callable[[str], Awaitable[RefreshResult]]
"""Exchanges a refresh token for a new pair: one call to Descope. Raises ``UpstreamError``."""

Verify = Callable[[RefreshResult, RefreshToken], Awaitable[TokenPair]]
"""Verifies the tokens of a result, which must be of the same user as the refresh token.

Raises ``InvalidUpstreamResponse`` if they are not valid, with the reason ``expired`` if they are valid but
expired and ``too_large`` if one is too long, and ``UpstreamUnavailable`` if no signing keys could be fetched.
"""


class LeasedExchange:
    """Exchanges the current token of a family while it holds the family's lease, and caches the result.

    ``RefreshCoordinator`` runs its methods as tasks, one at a time for each refresh token of this process.
    The lease excludes the other processes. The arguments are those of ``RefreshCoordinator``.
    """

    def __init__(
        self,
        *,
        store: RefreshStore,
        family: TokenFamily,
        exchange: Exchange,
        verify: Verify,
        events: EventBus,
        clock: Callable[[], float],
        recorder: Recorder,
        is_stale: Callable[[str, float], bool],
        wait_timeout: float,
    ) -> None:
        self._store = store
        self._family = family
        self._exchange = exchange
        self._verify = verify
        self._events = events
        self._clock = clock
        self._recorder = recorder
        self._cache_policy = CachePolicy(clock)
        self._is_stale = is_stale
        self._wait_timeout = wait_timeout

    async def refresh(self, refresh_token: RefreshToken) -> Outcome:
        """Refresh the session, or return the outcome of a cached result. At most one call to Descope."""
        with self._recorder.measure(REFRESH, {"source": "cached"}) as measurement:
            return measured(await self._cached_or_exchanged(refresh_token, measurement), measurement)

    async def switch(
        self, refresh_token: RefreshToken, current: str, exchange: Exchange, verify: Verify
    ) -> FlightResult:
        """Exchange the token that follows ``current`` with ``exchange``, whatever the store has."""
        try:
            token, lease = await self._family.acquire_current(current, self._wait_timeout)
        except SessionEnded:
            return Ended()
        except UpstreamUnavailable as error:
            return SwitchFailed(error)
        exchanged, result = await self._exchange_and_verify(refresh_token, token, exchange, verify)
        outcome = Renewed(exchanged) if isinstance(exchanged, TokenPair) else SwitchFailed(exchanged)
        ttl = self._cache_policy.ttl(token, result, outcome)
        if await self._store.complete(token, lease, result, ttl):
            return outcome
        if isinstance(outcome, SwitchFailed):
            # Without the lease, a rejection may only mean that the new holder has spent the token (RF-05).
            is_rejection = isinstance(outcome.error, UpstreamRejected)
            return SwitchFailed(UpstreamUnavailable()) if is_rejection else outcome
        latest = await self._family.latest_result(token)
        return Ended() if latest is not None and latest.is_ended else outcome

    async def cached_outcome(self, refresh_token: RefreshToken, token: str) -> Outcome | None:
        """Return the outcome of the latest result that follows ``token``, or None if none can be used."""
        latest = await self._family.latest_result(token)
        outcome = None if latest is None else await self._use_cached(refresh_token, latest)
        return None if isinstance(outcome, RefreshNeeded) else outcome

    async def _cached_or_exchanged(self, refresh_token: RefreshToken, measurement: Measurement) -> Outcome:
        token = refresh_token.text
        acquired = await self._family.acquire_lease(token, self._wait_timeout)
        while isinstance(acquired, RefreshResult):
            outcome = await self._use_cached(refresh_token, acquired)
            if isinstance(outcome, Renewed):
                session = outcome.pair.session
                if self._is_stale(session.user.id, session.issued_at):
                    outcome = RefreshNeeded(outcome.pair.refresh.text)
            if not isinstance(outcome, RefreshNeeded):
                if acquired.delivered and isinstance(outcome, Renewed):
                    self._events.emit(SuccessorReplayed(refresh_token.subject, refresh_token.actor))
                return outcome
            if outcome.token == token:
                acquired = await self._family.acquire_if_unchanged(token, self._wait_timeout, cached=acquired)
            else:
                token = outcome.token
                acquired = await self._family.acquire_lease(token, self._wait_timeout)
        if acquired is None:
            return self._emit_outcome(UpstreamUnavailable())
        measurement.attributes["source"] = "exchanged"
        return await self._refresh_with_lease(refresh_token, token, acquired)

    async def _refresh_with_lease(self, refresh_token: RefreshToken, token: str, lease: Lease) -> Outcome:
        exchanged, result = await self._exchange_and_verify(
            refresh_token, token, self._exchange, self._verify
        )
        outcome = self._emit_outcome(exchanged)
        result = self._cache_policy.result_to_cache(exchanged, result, outcome)
        ttl = self._cache_policy.ttl(token, result, outcome)
        if await self._store.complete(token, lease, result, ttl):
            return outcome
        # The lease was lost: to a logout, or to a process that took over because this one was slow. The
        # result of that process counts (RF-05).
        cached = await self.cached_outcome(refresh_token, token)
        if cached is None and isinstance(outcome, Renewed):
            cached = await self._wait_for_new_holder(refresh_token, token, result, ttl)
        if isinstance(cached, Ended):
            # The response to the logout has cleared the cookies, and a login may have followed.
            return Ended(superseded=True)
        return cached or (Unavailable() if isinstance(outcome, Ended) else outcome)

    async def _wait_for_new_holder(
        self, refresh_token: RefreshToken, token: str, result: RefreshResult | None, ttl: float
    ) -> Outcome | None:
        """Wait for the process that took over the lease and return its outcome.

        If it has none, store our result and return None: otherwise our new pair would be lost (RF-04).
        """
        acquired = await self._family.acquire_lease(token, self._wait_timeout, ignore_cached=True)
        cached = await self.cached_outcome(refresh_token, token)
        if isinstance(acquired, Lease):
            await self._store.complete(token, acquired, None if cached else result, ttl)
        return cached

    async def _exchange_and_verify(
        self, refresh_token: RefreshToken, token: str, exchange: Exchange, verify: Verify
    ) -> tuple[TokenPair | UpstreamError, RefreshResult | None]:
        """Return the verified pair or the error, and the result to cache, if any."""
        try:
            result = await exchange(token)
        except UpstreamError as error:
            return error, None
        except TokenError:  # a cached token, stored unverified, that no header can carry
            return InvalidUpstreamResponse("refresh_token"), None
        try:
            pair = await verify(result, refresh_token)
        # No keys could be fetched, or our clock is wrong. If Descope rotated, the old token is spent and this
        # result is the only copy of the new one. So it is cached, and verified when it is read.
        except UpstreamUnavailable as error:
            return error, result
        except InvalidUpstreamResponse as error:
            return error, self._cache_policy.with_delayed_refresh(result) if _is_genuine(error) else None
        if self._cache_policy.is_nearly_expired(pair.session):
            return pair, self._cache_policy.with_delayed_refresh(result)
        return pair, result

    async def _use_cached(
        self, refresh_token: RefreshToken, cached: RefreshResult
    ) -> Outcome | RefreshNeeded:
        """Return the outcome of a cached result, or ``RefreshNeeded`` if it cannot be used.

        If the cached session token has expired, the family's latest token must be exchanged: older ones may
        be spent.
        """
        if cached.retry_at is not None:
            return Unavailable(max(1, ceil(cached.retry_at - self._clock())))
        if cached.refresh_jwt and cached.refresh_jwt != refresh_token.text:
            cached = await self._family.latest_result(cached.refresh_jwt) or cached
        if cached.is_ended:
            return Ended(cached.superseded)
        try:
            return Renewed(await self._verify(cached, refresh_token))
        except UpstreamUnavailable as error:
            return Unavailable(error.retry_after)
        except InvalidUpstreamResponse as error:
            delay = (cached.refresh_at or 0) - self._clock()
            if _is_genuine(error) and 0 < delay <= NEGATIVE_TTL:  # see CachePolicy.with_delayed_refresh
                return TooLarge() if error.reason == TokenReason.TOO_LARGE else Unavailable(ceil(delay))
            return RefreshNeeded((_is_genuine(error) and cached.refresh_jwt) or refresh_token.text)

    def _emit_outcome(self, exchanged: TokenPair | UpstreamError) -> Outcome:
        outcome, event = classify(exchanged)
        self._events.emit(event)
        return outcome


def measured(outcome: Outcome, measurement: Measurement) -> Outcome:
    """Add the outcome to the attributes of a measurement, and return it."""
    measurement.attributes["result"] = RESULTS[type(outcome)]
    return outcome


# With rotation, the refresh token of such a response is the only one that Descope still accepts.
def _is_genuine(error: InvalidUpstreamResponse) -> bool:
    """Return whether the response may be Descope's although its session token cannot be used."""
    return error.reason in {TokenReason.EXPIRED, TokenReason.TOO_LARGE}
