"""Refresh coordination: one operation at a time per refresh token, and one result for all requests."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from .._concurrency import SingleFlight
from .._telemetry.instruments import REFRESH
from .._telemetry.recorder import Recorder
from ..errors import SessionEnded, UpstreamUnavailable
from ..events import EventBus
from ..session import RefreshToken, TokenPair
from .family import TokenFamily
from .leased_exchange import Exchange, LeasedExchange, Verify, measured
from .outcome import Ended, FlightResult, Outcome, Renewed, SwitchFailed, Unavailable
from .store import RefreshResult, RefreshStore

__all__ = ["RefreshCoordinator"]

R = TypeVar("R", bound=Outcome | None)


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
        denies: returns whether a verified refresh token was revoked. Its session has ended then, whatever
            Descope has answered.
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
        denies: Callable[[RefreshToken], bool] = lambda _token: False,
        grace: float = 30.0,
        wait_timeout: float = 6.0,
    ) -> None:
        self._store = store
        self._family = TokenFamily(store)
        self._recorder = recorder or Recorder()
        self._leased = LeasedExchange(
            store=store,
            family=self._family,
            exchange=exchange,
            verify=verify,
            events=events,
            clock=clock,
            recorder=self._recorder,
            is_stale=is_stale,
            wait_timeout=wait_timeout,
        )
        self._denies = denies
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
            return measured(await self._refreshed(refresh_token), measurement)

    def start_refresh(self, refresh_token: RefreshToken) -> asyncio.Task[FlightResult]:
        """Start a refresh, or join the operation that is running for the token, and return its task.

        The task results in ``SwitchFailed`` if it is a tenant switch that failed. The state of the session is
        then unknown.
        """
        return self._flights.start(_key(refresh_token.text), lambda: self._leased.refresh(refresh_token))

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
            _key(current), lambda: self._leased.switch(refresh_token, current, exchange, verify)
        )
        flight_result = await _join(flight)
        if isinstance(flight_result, SwitchFailed):
            raise flight_result.error
        outcome = self._unless_revoked(refresh_token, flight_result)
        if isinstance(outcome, Renewed):
            return outcome.pair
        if isinstance(outcome, Ended):
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

        Tenant switches, logouts and revocations are included. Does not refresh.
        """
        cached = await self._leased.cached_outcome(refresh_token, refresh_token.text)
        return self._unless_revoked(refresh_token, cached)

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
                return self._unless_revoked(refresh_token, flight_result)

    # RV-02: a revocation can arrive during the operation, and the new tokens would be newer than it.
    def _unless_revoked(self, refresh_token: RefreshToken, outcome: R) -> R | Ended:
        """Return ``outcome``, or ``Ended`` if the refresh token was revoked."""
        return outcome if isinstance(outcome, Ended) or not self._denies(refresh_token) else Ended()


async def _join(flight: asyncio.Task[FlightResult]) -> FlightResult:
    """Wait for a flight and return its result; cancelling the caller does not cancel the flight.

    A flight that a shutdown has cancelled leaves the state of the session unknown.
    """
    await asyncio.wait((flight,))
    return Unavailable() if flight.cancelled() else flight.result()


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
