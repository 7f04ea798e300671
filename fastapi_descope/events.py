"""What happened, as frozen records, and those who want to know.

No record can hold a token, a code, a state, a cookie value or an e-mail: there is no field for one
(requirement LG-07). User and tenant ids are here for audit trails and stay out of metric labels.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

__all__ = [
    "ConflictingCookies",
    "CrossSiteRefused",
    "Event",
    "EventBus",
    "JwksFetchFailed",
    "JwksFetched",
    "LoginFailed",
    "LoginStarted",
    "ProfileFetched",
    "RedirectRejected",
    "RefreshFailed",
    "RefreshRefused",
    "SessionRefreshed",
    "SignedIn",
    "SignedOut",
    "StoreDegraded",
    "StoreRecovered",
    "Subscriber",
    "TenantSwitched",
    "TokenPairMismatch",
    "TokenRejected",
    "UpstreamDegraded",
    "UpstreamRecovered",
    "UpstreamTokenRejected",
]

logger = logging.getLogger("fastapi_descope")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``name`` is its stable name in logs and metrics."""

    name: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class LoginStarted(Event):
    """A browser was sent to Descope."""

    name = "login_started"


@dataclass(frozen=True, slots=True)
class SignedIn(Event):
    """A code was exchanged, both tokens verified, the app's hooks agreed, and cookies are on their way."""

    name = "signed_in"
    user_id: str
    tenant_id: str | None
    first_seen: bool


@dataclass(frozen=True, slots=True)
class LoginFailed(Event):
    """A login start or callback ended without a session; ``reason`` is a word of ours.

    Or it is that of the ``LoginRejected`` with which a hook refused the user; one that failed instead is
    ``hook_failed``. Where Descope refused, ``upstream_status`` and ``upstream_code`` (or "") are what it
    said.
    """

    name = "login_failed"
    reason: str
    upstream_status: int | None = None
    upstream_code: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRejected(Event):
    """A presented token was refused; ``scheme`` is that of an Authorization header that is no bearer."""

    name = "token_rejected"
    reason: str
    source: Literal["cookie", "bearer"]
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class ConflictingCookies(Event):
    """A session cookie came with two different values: somebody planted one, so neither counts (CK-02)."""

    name = "conflicting_cookies"


@dataclass(frozen=True, slots=True)
class TokenPairMismatch(Event):
    """Session and refresh cookie belong to different users: one of them was planted (KD-05)."""

    name = "token_pair_mismatch"


@dataclass(frozen=True, slots=True)
class SessionRefreshed(Event):
    """A refresh succeeded upstream."""

    name = "session_refreshed"
    user_id: str
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class RefreshRefused(Event):
    """Descope said that the session is over; ``upstream_code`` is its error code or ""."""

    name = "refresh_refused"
    upstream_code: str


@dataclass(frozen=True, slots=True)
class RefreshFailed(Event):
    """No verdict on a refresh: an outage, a rate limit, nonsense. Nobody was logged out."""

    name = "refresh_failed"
    reason: str


@dataclass(frozen=True, slots=True)
class UpstreamTokenRejected(Event):
    """Descope answered with tokens that fail verification or belong to somebody else (KD-06)."""

    name = "upstream_token_rejected"
    reason: str


@dataclass(frozen=True, slots=True)
class TenantSwitched(Event):
    """The current tenant of a session changed."""

    name = "tenant_switched"
    user_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class SignedOut(Event):
    """Cookies were cleared; ``everywhere`` if all of the user's sessions were to end.

    ``confirmed`` tells whether Descope took note: False if it was unreachable or refused.
    """

    name = "signed_out"
    everywhere: bool
    confirmed: bool


@dataclass(frozen=True, slots=True)
class ProfileFetched(Event):
    """The user object was asked of Descope."""

    name = "profile_fetched"


@dataclass(frozen=True, slots=True)
class CrossSiteRefused(Event):
    """A foreign page's request with the user's cookies was refused."""

    name = "cross_site_refused"


@dataclass(frozen=True, slots=True)
class RedirectRejected(Event):
    """A return path was replaced by the default because it could lead off-site."""

    name = "redirect_rejected"


@dataclass(frozen=True, slots=True)
class JwksFetched(Event):
    """A key set was loaded; ``keys`` is how many keys of it are usable."""

    name = "jwks_fetched"
    keys: int


@dataclass(frozen=True, slots=True)
class JwksFetchFailed(Event):
    """A key set could not be loaded or used; the last good one stays in force.

    Where Descope refused, ``upstream_status`` and ``upstream_code`` (or "") are what it said.
    """

    name = "jwks_fetch_failed"
    reason: str
    upstream_status: int | None = None
    upstream_code: str | None = None


@dataclass(frozen=True, slots=True)
class StoreDegraded(Event):
    """The shared refresh store does not answer; this process goes on alone.

    ``reason`` is the name of redis-py's error, or ``RedisCluster``, which is not supported.
    """

    name = "store_degraded"
    reason: str


@dataclass(frozen=True, slots=True)
class StoreRecovered(Event):
    """The shared refresh store takes writes again."""

    name = "store_recovered"


@dataclass(frozen=True, slots=True)
class UpstreamDegraded(Event):
    """Descope fails, or limits all of us: for a while it is not called. Once per outage or limit (RF-09).

    ``reason`` is ``rate_limited``, ``server_error``, or the kind of the last failure, like ``ConnectError``.
    ``calls`` are ``logins``, which strangers can begin at will, or ``sessions``, all others.
    """

    name = "upstream_degraded"
    reason: str
    calls: str = "sessions"


@dataclass(frozen=True, slots=True)
class UpstreamRecovered(Event):
    """Descope was called again, and answered; ``calls`` as in ``UpstreamDegraded``."""

    name = "upstream_recovered"
    calls: str = "sessions"


Subscriber = Callable[[Event], None]


class EventBus:
    """Those who want to know, told in the order in which they subscribed."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have ``subscriber`` called with every event from now on; the result ends that.

        It runs inside the request, so it must be quick and must not block. What it raises is
        logged and swallowed: an audit sink that fails never fails a sign-in.
        """
        self._subscribers += (subscriber,)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Tell every subscriber. Never raises."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # the user's code, not ours
                logger.exception("An event subscriber failed on %s", event.name)
