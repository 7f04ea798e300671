"""Events: frozen records of logins, refreshes and failures, and the bus that delivers them.

No event has a field for a token, a code, a state, a cookie value or an e-mail address. User and tenant ids
are included for audit trails; they are never metric labels. ``actor_id`` is the user id of the person who
acts as the user, ``unknown`` if the token does not name one, and None if the user acts.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

__all__ = [
    "AccessKeyExchanged",
    "AccessKeyRefused",
    "AccessKeysLimited",
    "CallbackRepeated",
    "ClaimsRejected",
    "ConflictingCookies",
    "CrossSiteRefused",
    "DuplicateCookiesDeleted",
    "Event",
    "EventBus",
    "JwksFetchFailed",
    "JwksFetched",
    "LoginFailed",
    "LoginLoopStopped",
    "LoginMethod",
    "LoginStarted",
    "ProfileFetched",
    "RedirectRejected",
    "RefreshFailed",
    "RefreshRefused",
    "RevocationLogDegraded",
    "RevocationLogRecovered",
    "SessionCheckFailed",
    "SessionRefreshed",
    "SessionRefused",
    "SignedIn",
    "SignedOut",
    "StoreDegraded",
    "StoreRecovered",
    "StrayChunks",
    "Subscriber",
    "SuccessorReplayed",
    "TenantSwitched",
    "TokenPairMismatch",
    "TokenRejected",
    "UpstreamDegraded",
    "UpstreamRecovered",
    "UpstreamTokenRejected",
    "UserChanged",
    "UserRevoked",
    "WebhookIgnored",
    "WebhookRefused",
]

LoginMethod = Literal["sso", "oauth", "magiclink", "notp", "flow", "token"]
"""A way to sign in: single sign-on, a social provider, a link by e-mail, a message from a phone, a flow on a
page of the app, or a refresh token that the app holds."""

logger = logging.getLogger("fastapi_descope")


@dataclass(frozen=True, slots=True)
class Event:  # LG-07: no field can hold a secret.
    """The base class of events. ``name`` is the stable name in logs and metrics."""

    name: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class LoginStarted(Event):
    """A login started: the browser is redirected to Descope, shows a code, or waits for an e-mail."""

    name = "login_started"
    method: LoginMethod = "sso"


@dataclass(frozen=True, slots=True)
class SignedIn(Event):
    """A login succeeded: tokens verified, hooks passed, and the response sets the cookies."""

    name = "signed_in"
    user_id: str
    tenant_id: str | None
    first_seen: bool
    method: LoginMethod = "sso"
    actor_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallbackRepeated(Event):
    """A browser repeated the callback of a login that it had completed, within a minute.

    ``delivered`` is whether it got the tokens again; False if it had them already.
    """

    name = "callback_repeated"
    delivered: bool


@dataclass(frozen=True, slots=True)
class LoginFailed(Event):
    """A login or its callback failed.

    Attributes:
        reason: a word of this package, or the ``reason`` of the ``LoginRejected`` that a hook raised. A hook
            that raised anything else is ``hook_failed``.
        upstream_status: the HTTP status of Descope's refusal, or None.
        upstream_code: Descope's error code or "", or None without a refusal.
    """

    name = "login_failed"
    reason: str
    upstream_status: int | None = None
    upstream_code: str | None = None


@dataclass(frozen=True, slots=True)
class LoginLoopStopped(Event):
    """A browser has just completed a login and still lacks what it was asked for, so it got a page.

    ``missing`` is ``session``, ``step_up`` or ``mfa``.
    """

    name = "login_loop_stopped"
    missing: str


@dataclass(frozen=True, slots=True)
class TokenRejected(Event):
    """A token of a request was refused. ``scheme`` is that of an Authorization header without bearer."""

    name = "token_rejected"
    reason: str
    source: Literal["cookie", "bearer"]
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class AccessKeyExchanged(Event):
    """Descope accepted an access key. Emitted once for each session of the key and process.

    Attributes:
        key_id: the id of the key.
        user_id: the subject of its session: the key, or the user that the key is bound to.
        tenant_id: the current tenant, or None.
    """

    name = "access_key_exchanged"
    key_id: str
    user_id: str
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class AccessKeyRefused(Event):
    """Descope refused an access key. Emitted for each exchange, not for each request.

    Attributes:
        upstream_status: the HTTP status of Descope's refusal.
        upstream_code: Descope's error code or "".
    """

    name = "access_key_refused"
    upstream_status: int
    upstream_code: str


@dataclass(frozen=True, slots=True)
class AccessKeysLimited(Event):
    """An unknown access key was not sent to Descope, because too many others were refused.

    ``reason`` is ``client`` for the limit on one client (429), ``app`` for that on all clients (503).
    """

    name = "access_keys_limited"
    reason: Literal["client", "app"]


@dataclass(frozen=True, slots=True)
class ConflictingCookies(Event):
    """A session cookie was sent with two different values. One was planted, so neither is used."""

    name = "conflicting_cookies"


@dataclass(frozen=True, slots=True)
class StrayChunks(Event):
    """Chunks of a session cookie were ignored: they are malformed, or belong to no complete token."""

    name = "stray_chunks"


@dataclass(frozen=True, slots=True)
class DuplicateCookiesDeleted(Event):
    """A login, callback or logout deleted cookies that conflict with ours, or stray chunks.

    A duplicate that is bound to a path can remain: a response cannot see it.
    """

    name = "duplicate_cookies_deleted"


@dataclass(frozen=True, slots=True)
class TokenPairMismatch(Event):
    """Session and refresh cookie belong to different users: one of them was planted, so neither is used."""

    name = "token_pair_mismatch"


@dataclass(frozen=True, slots=True)
class SessionRefreshed(Event):
    """Descope refreshed a session."""

    name = "session_refreshed"
    user_id: str
    tenant_id: str | None
    actor_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionRefused(Event):
    """An ``on_session`` hook refused a session, or an ``on_caller`` hook an application or a machine.

    Emitted once for each verdict, not for each request. ``reason`` is the ``code`` of the ``Forbidden`` that
    the hook raised. ``user_id`` is the subject of the token, which can be an application or an access key.
    """

    name = "session_refused"
    user_id: str
    tenant_id: str | None
    reason: str
    actor_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionCheckFailed(Event):
    """An ``on_session`` or ``on_caller`` hook failed. Its requests got 503, and no user was signed out.

    ``reason`` is the name of the exception's class, or ``timeout``.
    """

    name = "session_check_failed"
    reason: str


@dataclass(frozen=True, slots=True)
class SuccessorReplayed(Event):
    """A spent refresh token was used again within its grace, after a browser had presented its successor.

    The response carries the successor once more. Concurrent tabs cause this for some seconds after a refresh;
    so does a stolen token.
    """

    name = "successor_replayed"
    user_id: str
    actor_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshRefused(Event):
    """Descope refused a refresh: the session is over. ``upstream_code`` is its error code or ""."""

    name = "refresh_refused"
    upstream_code: str


@dataclass(frozen=True, slots=True)
class RefreshFailed(Event):
    """A refresh got no verdict: outage, rate limit or invalid response. No user was signed out."""

    name = "refresh_failed"
    reason: str


@dataclass(frozen=True, slots=True)
class UpstreamTokenRejected(Event):
    """Descope's response held tokens that fail verification or belong to another user."""

    name = "upstream_token_rejected"
    reason: str


@dataclass(frozen=True, slots=True)
class TenantSwitched(Event):
    """The current tenant of a session changed."""

    name = "tenant_switched"
    user_id: str
    tenant_id: str
    actor_id: str | None = None


@dataclass(frozen=True, slots=True)
class SignedOut(Event):
    """A logout cleared the cookies.

    Attributes:
        everywhere: whether all sessions of the user were to end.
        confirmed: whether Descope confirmed the logout; False if it was unreachable or refused.
        user_id: the user of the refresh token, or None without a valid one or with those of several users.
        actor_id: the actor of the refresh token; ``unknown`` if there are several with different actors.
    """

    name = "signed_out"
    everywhere: bool
    confirmed: bool
    user_id: str | None = None
    actor_id: str | None = None


@dataclass(frozen=True, slots=True)
class UserRevoked(Event):
    """All sessions of a user were ended in this app. Only the process that began it emits the event.

    ``source`` is ``app`` for ``Descope.revoke_user``, and ``webhook`` if Descope reported that the user is
    disabled or deleted.
    """

    name = "user_revoked"
    user_id: str
    source: Literal["app", "webhook"]


@dataclass(frozen=True, slots=True)
class UserChanged(Event):
    """Descope reported that a user was modified: the user's sessions are refreshed at their next request."""

    name = "user_changed"
    user_id: str


@dataclass(frozen=True, slots=True)
class WebhookIgnored(Event):
    """Descope reported a change of users that names no user or no time. No session has ended.

    Attributes:
        action: Descope's name for what happened, such as ``UsersDeleted``.
        missing: ``user`` or ``time``.
    """

    name = "webhook_ignored"
    action: str
    missing: Literal["user", "time"]


@dataclass(frozen=True, slots=True)
class WebhookRefused(Event):
    """A request to the route of Descope's audit webhook was refused.

    ``reason`` is ``content_type``, ``too_large``, ``signature`` or ``malformed``.
    """

    name = "webhook_refused"
    reason: Literal["content_type", "too_large", "signature", "malformed"]


@dataclass(frozen=True, slots=True)
class ProfileFetched(Event):
    """A user profile was fetched from Descope."""

    name = "profile_fetched"


@dataclass(frozen=True, slots=True)
class ClaimsRejected(Event):
    """``current_claims`` refused a session, whose claims do not fit the model.

    Attributes:
        model: the name of the model.
        fields: the names of its fields with a missing or invalid value.
    """

    name = "claims_rejected"
    model: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CrossSiteRefused(Event):
    """A cross-site request with the user's cookies was refused."""

    name = "cross_site_refused"


@dataclass(frozen=True, slots=True)
class RedirectRejected(Event):
    """A return path was replaced by the default.

    ``reason`` is ``too_long``, ``encoded`` for an escape such as ``%2F`` or ``%25``, which a later decoding
    can turn into a separator, or ``unsafe`` for any other path that could lead off-site or loop.
    """

    name = "redirect_rejected"
    reason: Literal["too_long", "encoded", "unsafe"] = "unsafe"


@dataclass(frozen=True, slots=True)
class JwksFetched(Event):
    """A JWKS was fetched. ``keys`` is the number of its usable keys."""

    name = "jwks_fetched"
    keys: int


@dataclass(frozen=True, slots=True)
class JwksFetchFailed(Event):
    """A JWKS could not be fetched or used; the previous one stays in use.

    Attributes:
        reason: a word for the failure.
        upstream_status: the HTTP status of Descope's refusal, or None.
        upstream_code: Descope's error code or "", or None without a refusal.
    """

    name = "jwks_fetch_failed"
    reason: str
    upstream_status: int | None = None
    upstream_code: str | None = None


@dataclass(frozen=True, slots=True)
class StoreDegraded(Event):
    """The shared refresh store is unavailable; this process continues with its local store.

    In a cluster, one node is enough for this event; the process goes on using the others. ``reason`` is the
    name of redis-py's error.
    """

    name = "store_degraded"
    reason: str


@dataclass(frozen=True, slots=True)
class StoreRecovered(Event):
    """The shared refresh store accepts writes again, on every node of a cluster."""

    name = "store_recovered"


@dataclass(frozen=True, slots=True)
class RevocationLogDegraded(Event):
    """This process cannot read the revocations of the fleet: what others revoke counts here later.

    ``reason`` is the name of the error.
    """

    name = "revocation_log_degraded"
    reason: str


@dataclass(frozen=True, slots=True)
class RevocationLogRecovered(Event):
    """This process has read all revocations of the fleet again."""

    name = "revocation_log_recovered"


@dataclass(frozen=True, slots=True)
class UpstreamDegraded(Event):
    """Descope is failing or limits all callers: for a while no call is made. Emitted once per outage.

    Attributes:
        reason: ``rate_limited``, ``server_error``, or the kind of the last failure, such as ``ConnectError``.
        calls: ``logins`` or ``access_keys``, which unauthenticated clients can start, or ``sessions`` for all
            other calls.
    """

    name = "upstream_degraded"
    reason: str
    calls: str = "sessions"


@dataclass(frozen=True, slots=True)
class UpstreamRecovered(Event):
    """A call to Descope succeeded again; ``calls`` as in ``UpstreamDegraded``."""

    name = "upstream_recovered"
    calls: str = "sessions"


Subscriber = Callable[[Event], None]


class EventBus:
    """Delivers events to subscribers in the order of their subscription."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every event from now on.

        It runs inside the request, so it must not block. An exception that it raises is logged and
        swallowed: a failing audit sink never fails a login.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers += (subscriber,)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Call every subscriber. Never raises."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # the user's code, not ours
                logger.exception("An event subscriber failed on %s", event.name)
