"""Refresh coordination: one operation at a time per refresh token, and one result for all requests."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from math import ceil

from .._concurrency import SingleFlight
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

__all__ = ["Exchange", "RefreshCoordinator", "Verify"]

Exchange = Callable[[str], Awaitable[RefreshResult]]
"""Exchanges a refresh token for a new pair: one call to Descope. Raises ``UpstreamError``."""

Verify = Callable[[RefreshResult, RefreshToken], Awaitable[TokenPair]]
"""Verifies the tokens of a result, which must be of the same user as the refresh token.

Raises ``InvalidUpstreamResponse`` if they are not valid, with the reason ``expired`` if they are valid but
expired and ``too_large`` if one is too long, and ``UpstreamUnavailable`` if no signing keys could be fetched.
"""


class RefreshCoordinator:
    """Refreshes, switches and revokes sessions, one operation at a time for each refresh token.

    A browser may send a dozen requests with the same expired session. The first one refreshes, the others
    wait for its result, and later requests with the old refresh token get the cached result. Refresh, tenant
    switch and logout of one session run one after the other, so a slow refresh neither undoes a switch nor
    revives a session after its logout.

    Args:
        store: caches results and grants leases.
        exchange: refreshes at Descope.
        verify: verifies new and cached results.
        events: receives one event for each refresh.
        clock: returns epoch seconds.
        recorder: measures refreshes.
        is_stale: returns whether Descope has changed a user (id) since a session was issued (epoch seconds).
            A cached result that is stale is replaced.
        grace: seconds for which a result stays cached after a browser has presented its refresh token.
        wait_timeout: seconds to wait for another process that holds the lease.
    """

    # TN-09, LO-03

    def __init__(
        self,
        *,
        store: RefreshStore,
        exchange: Exchange,
        verify: Verify,
        events: EventBus,
        clock: Callable[[], float],
        recorder: Recorder | None = None,
        is_stale: Callable[[str, float], bool] = lambda _user_id, _issued_at: False,
        grace: float = 30.0,
        wait_timeout: float = 6.0,
    ) -> None:
        self._store = store
        self._family = TokenFamily(store)
        self._exchange = exchange
        self._verify = verify
        self._events = events
        self._clock = clock
        self._recorder = recorder or Recorder()
        self._cache_policy = CachePolicy(clock)
        self._is_stale = is_stale
        self._grace = grace
        self._wait_timeout = wait_timeout
        self._flights: SingleFlight[bytes, FlightResult] = SingleFlight()
        self._revocations: SingleFlight[bytes, str] = SingleFlight()
        self._idle_waits: SingleFlight[bytes, str | None] = SingleFlight()
        self._presentations: SingleFlight[bytes, None] = SingleFlight()

    async def refresh(self, refresh_token: RefreshToken) -> Outcome:
        """Refresh the session, or return the result of a concurrent or earlier refresh.

        Never raises. At most one call to Descope per refresh token, for all callers together. Cancelling a
        caller does not cancel the refresh.
        """
        if self._flights.current(_key(refresh_token.text)) is None:
            return await self._refreshed(refresh_token)
        with self._recorder.measure(REFRESH, {"source": "joined"}) as measurement:
            return _measured(await self._refreshed(refresh_token), measurement)

    def start_refresh(self, refresh_token: RefreshToken) -> asyncio.Task[FlightResult]:
        """Start a refresh, or join the operation that is running for the token, and return its task.

        The task results in ``SwitchFailed`` if it is a tenant switch that failed. The state of the session is
        then unknown.
        """
        return self._flights.start(_key(refresh_token.text), lambda: self._refresh(refresh_token))

    async def switch(self, refresh_token: RefreshToken, exchange: Exchange, verify: Verify) -> TokenPair:
        """Replace the session's tokens with the pair that ``exchange`` returns, and return that pair.

        Waits for running operations first: ``exchange`` must get the family's current token. Requests that
        arrive later with the old refresh token get the new pair.

        If the new pair could not be verified, because no keys could be fetched or our clock is wrong, it is
        cached nevertheless, and a later request uses it. After any other error the session is unchanged.

        Args:
            refresh_token: the refresh token of the request.
            exchange: calls Descope with the current refresh token.
            verify: verifies what ``exchange`` returns.

        Raises:
            SessionEnded: the session has ended.
            UpstreamError: ``exchange`` or ``verify`` failed, or another process held the lease too long.
        """
        current = await self.current_token(refresh_token)
        # No operation is running for this token: there is no await between the last check in current_token
        # and start.
        flight = self._flights.start(
            _key(current), lambda: self._switch(refresh_token, current, exchange, verify)
        )
        flight_result = await _join(flight)
        if isinstance(flight_result, Renewed):
            return flight_result.pair
        if isinstance(flight_result, SwitchFailed):
            raise flight_result.error
        if isinstance(flight_result, Ended):
            raise SessionEnded
        raise UpstreamUnavailable

    async def current_token(self, refresh_token: RefreshToken) -> str:
        """Wait until this process runs no operation on the session, then return its current refresh token.

        Any other token of the family may be spent: with rotation, Descope treats a second use as theft.
        """
        token = refresh_token.text
        while True:
            while (running := self._flights.current(_key(token))) is not None:
                await asyncio.wait((running,))
            current = await self._family.current_token(token)
            if current == token and self._flights.current(_key(token)) is None:
                return token
            token = current

    async def wait_idle(self, token: str) -> str | None:
        """Wait until no process is refreshing this family, then return its current refresh token.

        Cancelling a caller leaves no lease behind.

        Args:
            token: any refresh token of the family.

        Returns:
            The current token, or None if the session has ended.

        Raises:
            UpstreamUnavailable: another process held the lease for longer than ``wait_timeout``.
        """
        return await self._idle_waits.run(
            _key(token), lambda: self._family.wait_idle(token, self._wait_timeout)
        )

    async def revoke(
        self, refresh_token: RefreshToken, *, wait_timeout: float, ended: set[str] | None = None
    ) -> str:
        """End the session here, so that nothing revives it, and return its current refresh token.

        Waits at most ``wait_timeout`` seconds for running operations, because they may rotate the token. An
        operation that takes longer loses its lease and its result is discarded. Cancelling a caller does not
        cancel the revocation. Makes no call to Descope. The tokens of the session that the store knows are
        added to ``ended``.
        """
        text = refresh_token.text
        return await self._revocations.run(_key(text), lambda: self._family.revoke(text, wait_timeout, ended))

    async def supersede(self, refresh_token: RefreshToken) -> None:
        """End the session here because its browser has signed in again.

        Unlike after ``revoke``, requests that still carry the old token leave the cookies alone. Does not
        wait for running operations.
        """
        await self._family.end(refresh_token.text, RefreshResult.ended(superseded=True))

    async def outcome(self, refresh_token: RefreshToken) -> Outcome | None:
        """Return the cached outcome of the session, or None if there is none.

        Tenant switches and logouts are included. Does not refresh.
        """
        return await self._cached_outcome(refresh_token, refresh_token.text)

    def mark_presented(self, token: str) -> None:
        """Record in the background that a browser has presented the refresh token ``token``.

        So it has received the token, and the one before it is needed for the grace period only. For the first
        request with a token: it costs one round trip to a shared store, or two.
        """
        self._presentations.start(_key(token), lambda: self._store.mark_presented(token, self._grace))

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for running operations, then cancel them: for a clean shutdown."""
        flights = (self._flights, self._revocations, self._idle_waits, self._presentations)
        await asyncio.gather(*(each.drain(seconds) for each in flights))

    async def _refreshed(self, refresh_token: RefreshToken) -> Outcome:
        while True:  # RF-02, RF-06
            flight_result = await _join(self.start_refresh(refresh_token))
            if not isinstance(flight_result, SwitchFailed):
                return flight_result

    # The methods below run as tasks of a SingleFlight, so cancelling a request does not cancel them.

    async def _refresh(self, refresh_token: RefreshToken) -> Outcome:
        with self._recorder.measure(REFRESH, {"source": "cached"}) as measurement:
            return _measured(await self._cached_or_exchanged(refresh_token, measurement), measurement)

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
        cached = await self._cached_outcome(refresh_token, token)
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
        cached = await self._cached_outcome(refresh_token, token)
        if isinstance(acquired, Lease):
            await self._store.complete(token, acquired, None if cached else result, ttl)
        return cached

    async def _switch(
        self, refresh_token: RefreshToken, current: str, exchange: Exchange, verify: Verify
    ) -> FlightResult:
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

    async def _cached_outcome(self, refresh_token: RefreshToken, token: str) -> Outcome | None:
        latest = await self._family.latest_result(token)
        outcome = None if latest is None else await self._use_cached(refresh_token, latest)
        return None if isinstance(outcome, RefreshNeeded) else outcome

    def _emit_outcome(self, exchanged: TokenPair | UpstreamError) -> Outcome:
        outcome, event = classify(exchanged)
        self._events.emit(event)
        return outcome


def _measured(outcome: Outcome, measurement: Measurement) -> Outcome:
    measurement.attributes["result"] = RESULTS[type(outcome)]
    return outcome


async def _join(flight: asyncio.Task[FlightResult]) -> FlightResult:
    """Wait for a flight and return its result; cancelling the caller does not cancel the flight.

    A flight that a shutdown has cancelled leaves the state of the session unknown.
    """
    await asyncio.wait((flight,))
    return Unavailable() if flight.cancelled() else flight.result()


# With rotation, the refresh token of such a response is the only one that Descope still accepts.
def _is_genuine(error: InvalidUpstreamResponse) -> bool:
    """Return whether the response may be Descope's although its session token cannot be used."""
    return error.reason in {TokenReason.EXPIRED, TokenReason.TOO_LARGE}


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
