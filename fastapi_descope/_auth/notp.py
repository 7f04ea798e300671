"""nOTP sign-ins: the user confirms on their phone, and the browser polls for the session."""

import math
from collections.abc import Callable
from hashlib import sha256

from .._concurrency import SingleFlight
from .._lru_dict import LruDict
from .._telemetry.log_once import LogOnce
from .._upstream.api import DescopeApi
from .._upstream.login_options import LoginOptions
from .._upstream.responses import NotpStart
from ..errors import LoginRejected, UpstreamError, UpstreamRejected, UpstreamUnavailable
from ..events import EventBus, LoginFailed
from ..page_texts import ENGLISH
from ..session import TokenPair
from .login import Admission, LoginFlow

__all__ = ["POLL_SECONDS", "NotpFlow"]

POLL_SECONDS = 1
"""The shortest time between two polls of one sign-in (wire contract, section 2.16)."""

_MAX_REFERENCES = 1_024


class NotpFlow:
    """Starts nOTP sign-ins, and completes them. Holds the polls in flight and the times of recent ones."""

    def __init__(
        self, api: DescopeApi, login_flow: LoginFlow, events: EventBus, monotonic: Callable[[], float]
    ) -> None:
        self._api = api
        self._login_flow = login_flow
        self._events = events
        self._schedule = _PollSchedule(monotonic)
        self._polls: SingleFlight[bytes, TokenPair | None] = SingleFlight()
        self._log = LogOnce()

    async def start(self, options: LoginOptions) -> NotpStart:
        """Start a sign-in. One call to Descope.

        Raises:
            LoginRejected: Descope refuses, for example because the project does not offer nOTP.
            UpstreamError: The call failed.
        """
        try:
            return await self._api.start_notp(options)
        except UpstreamRejected as rejection:
            self._log.warning(
                f"Descope refuses to start a WhatsApp sign-in (status {rejection.upstream_status}, code"
                f" {rejection.upstream_code or 'none'}): enable nOTP for the project, or remove notp from"
                " DESCOPE_LOGIN_METHODS"
            )
            detail = ENGLISH.notp_unavailable
            raise self._login_flow.rejected("notp_start_refused", detail, rejection) from None
        except UpstreamError as error:
            self._events.emit(LoginFailed(error.code))
            raise

    async def complete(self, pending_ref: str, admit: Admission) -> TokenPair | None:
        """Return the verified tokens if the user has confirmed the sign-in and ``admit`` returns, else None.

        One call to Descope, or none within a second of the previous one. Concurrent polls of one sign-in
        share the call, and ``admit`` is awaited once. After any error but ``UpstreamUnavailable`` the sign-in
        is over. It is over for all later polls, too.

        Raises:
            LoginRejected: The sign-in is over.
            SessionTooLarge: The tokens do not fit into cookies.
            UpstreamUnavailable: Descope cannot be reached; the next poll may succeed.
            UpstreamError: The response or its tokens are invalid.
            Exception: Whatever ``admit`` raises.
        """
        key = sha256(pending_ref.encode()).digest()
        if self._polls.current(key) is None:
            if self._schedule.is_over(key):
                self._events.emit(LoginFailed("notp_over"))
                raise LoginRejected(ENGLISH.login_too_late, reason="notp_over")
            if not self._schedule.is_due(key):
                return None
        return await self._polls.run(key, lambda: self._poll(key, pending_ref, admit))

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for polls in flight."""
        await self._polls.drain(seconds)

    async def _poll(self, key: bytes, pending_ref: str, admit: Admission) -> TokenPair | None:
        # NP-04
        self._schedule.end(key)  # until the response says otherwise: a session is returned only once
        try:
            response = await self._api.fetch_pending_session(pending_ref)
        except UpstreamUnavailable:
            self._schedule.postpone(key)
            raise
        except UpstreamRejected as rejection:
            raise self._login_flow.rejected("notp_refused", ENGLISH.login_too_late, rejection) from None
        except UpstreamError as error:
            self._events.emit(LoginFailed(error.code))
            raise
        if response is None:
            self._schedule.postpone(key)
            return None
        return await self._login_flow.finish(response, admit, method="notp")


# NP-03
class _PollSchedule:
    """When each sign-in may be polled next, for the 1,024 sign-ins that were polled last.

    ``monotonic`` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due = LruDict[bytes, float](_MAX_REFERENCES)

    def is_due(self, key: bytes) -> bool:
        """Return whether the sign-in may be polled now."""
        return self._due.get(key, -math.inf) <= self._monotonic()

    def is_over(self, key: bytes) -> bool:
        """Return whether the sign-in is over."""
        return self._due.get(key) == math.inf

    def postpone(self, key: bytes) -> None:
        """Allow the next poll a second from now."""
        self._due.put(key, self._monotonic() + POLL_SECONDS)

    def end(self, key: bytes) -> None:
        """Allow no further poll."""
        self._due.put(key, math.inf)
