"""OpenTelemetry metrics, span events and log lines for our events.

Attributes of metrics and spans have few possible values and contain no ids. User and tenant ids are
only in the extra fields of log records, where an audit trail needs them.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from opentelemetry import metrics, trace

from ..events import (
    CallbackRepeated,
    ClaimsRejected,
    ConflictingCookies,
    CrossSiteRefused,
    DuplicateCookiesDeleted,
    Event,
    JwksFetched,
    JwksFetchFailed,
    LoginFailed,
    LoginLoopStopped,
    LoginStarted,
    ProfileFetched,
    RedirectRejected,
    RefreshFailed,
    RefreshRefused,
    SessionCheckFailed,
    SessionRefreshed,
    SessionRefused,
    SignedIn,
    SignedOut,
    StoreDegraded,
    StoreRecovered,
    StrayChunks,
    SuccessorReplayed,
    TenantSwitched,
    TokenPairMismatch,
    TokenRejected,
    UpstreamDegraded,
    UpstreamRecovered,
    UpstreamTokenRejected,
)

__all__ = ["Telemetry"]

# LG-04: a flood of requests must not become a flood of lines.
_INTERVAL_SECONDS = 60.0
_LINES_PER_INTERVAL = 10
_MAX_VALUE_CHARACTERS = 128
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,40}")

# LG-05: never in metrics and spans.
_ID_FIELDS = frozenset({"user_id", "tenant_id"})
"""Fields that identify a user or a tenant, which appear only in the extra fields of a log record."""

_TOKEN_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "expired": "this host's clock is ahead of Descope's; have NTP set it",
        "not_yet_valid": "this host's clock is behind Descope's; have NTP set it",
        "subject": "the user id is an address or malformed; a JWT template that changes sub keeps dsub",
        "client": "it was issued to the client in azp: DESCOPE_FIRST_PARTY_CLIENTS lists clients of this app",
        "too_large": "a token has more than 8,192 bytes, the limit for cookies: remove custom claims from the"
        " JWT template of the project, or roles and permissions from the user",
    }
)
"""The likely cause or the remedy if a token fails verification that Descope has just issued, by reason."""

_CONFLICT_HINT = (
    "another host of this domain, or an earlier release, has set a cookie of this name:"
    " DESCOPE_COOKIE_PREFIX=__Host- prevents it, and a new sign-in removes it"
)

_NOT_GRANTED_HINT = "Descope signed the user in without it: check the flow or the SSO settings of the project"

_WORD_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "session": "the browser does not send the session cookies back, or a page rejects each session: check"
        " DESCOPE_PUBLIC_URL, DESCOPE_COOKIE_DOMAIN and the size of the cookies",
        "step_up": _NOT_GRANTED_HINT,
        "mfa": _NOT_GRANTED_HINT,
        "too_long": "a return path has at most 1,024 characters: the default is used",
        "encoded": "a return path has no %2F, %5C or %25: the default is used",
    }
)
"""How to fix a login loop, or a link with a return path that is dropped, by what is missing or the reason."""

_PROJECT_HINT = "the audit log of the Descope project says why"

_LOGIN_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "state": "the browser has no login cookie for this callback: the login took over ten minutes, or"
        " began in another browser, or its cookie was blocked; check DESCOPE_PUBLIC_URL",
        "refused": f"the user cancelled, or the identity provider refused: {_PROJECT_HINT}",
        "code": "the callback has no code: check the redirect URL of the project",
        "code_refused": f"the code was used or has expired: {_PROJECT_HINT}",
        "idp_initiated": "the identity provider started this login: make the app's login page its start URL",
        "repeated": "a callback was sent again after its session had ended; nothing has to be done",
        "other_host": "redirect other hosts to DESCOPE_PUBLIC_URL, or correct it",
    }
)
"""The remedy for each reason of a failed login."""

_COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "descope.answers.suspicious": "Responses of Descope with a token that failed verification",
        "descope.cookies": "Requests with stray chunks of session cookies, and deletions of duplicates",
        "descope.claims.rejected": "Requests of sessions whose claims do not fit a model of the app",
        "descope.events": "Events without their own counter",
        "descope.keys.fetches": "Fetches of the signing keys",
        "descope.logins": "Logins, by result",
        "descope.profile_reads": "Fetches of user profiles",
        "descope.refreshes": "Session refreshes",
        "descope.refused": "Requests that were refused as a possible attack",
        "descope.session_checks": "Sessions that an on_session hook refused or could not check",
        "descope.sign_outs": "Logouts, and whether Descope confirmed them",
        "descope.store": "Outages and recoveries of the shared refresh store",
        "descope.tenant_switches": "Tenant switches",
        "descope.tokens.rejected": "Tokens in requests that failed verification",
        "descope.upstream": "Outages and recoveries of Descope",
    }
)


@dataclass(frozen=True, slots=True)
class _EventMapping:
    """The counter, attributes and log level of one type of event.

    ``labels`` names the fields of the event that become attributes, because they have few possible values.
    """

    counter: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: tuple[str, ...] = ()
    level: int = logging.INFO


def _result(counter: str, result: str, *labels: str, level: int = logging.INFO) -> _EventMapping:
    return _EventMapping(counter, {"result": result}, labels, level)


def _refused(kind: str) -> _EventMapping:
    return _EventMapping("descope.refused", {"kind": kind}, level=logging.WARNING)


_MAPPINGS: Mapping[type[Event], _EventMapping] = MappingProxyType(
    {
        CallbackRepeated: _result("descope.logins", "repeated", "delivered"),
        # At INFO: claims_as has logged a warning with the same names.
        ClaimsRejected: _EventMapping("descope.claims.rejected", labels=("model",)),
        ConflictingCookies: _refused("conflicting_cookies"),
        CrossSiteRefused: _refused("cross_site"),
        DuplicateCookiesDeleted: _result("descope.cookies", "deleted", level=logging.WARNING),
        JwksFetchFailed: _result("descope.keys.fetches", "failed", "reason", level=logging.WARNING),
        JwksFetched: _result("descope.keys.fetches", "fetched"),
        LoginFailed: _result("descope.logins", "failed", "reason", level=logging.WARNING),
        LoginLoopStopped: _result("descope.logins", "loop_stopped", "missing", level=logging.WARNING),
        LoginStarted: _result("descope.logins", "started", "method"),
        ProfileFetched: _EventMapping("descope.profile_reads"),
        RedirectRejected: _EventMapping(
            "descope.refused", {"kind": "redirect"}, ("reason",), level=logging.WARNING
        ),
        RefreshFailed: _result("descope.refreshes", "failed", "reason", level=logging.WARNING),
        RefreshRefused: _result("descope.refreshes", "refused", level=logging.WARNING),
        SessionCheckFailed: _result("descope.session_checks", "failed", "reason", level=logging.WARNING),
        SessionRefused: _result("descope.session_checks", "refused", "reason", level=logging.WARNING),
        SessionRefreshed: _result("descope.refreshes", "refreshed"),
        SignedIn: _result("descope.logins", "signed_in", "method"),
        SignedOut: _EventMapping("descope.sign_outs", labels=("everywhere", "confirmed")),
        StoreDegraded: _result("descope.store", "degraded", "reason", level=logging.WARNING),
        StoreRecovered: _result("descope.store", "recovered"),
        StrayChunks: _result("descope.cookies", "stray", level=logging.WARNING),
        SuccessorReplayed: _result("descope.refreshes", "replayed"),
        UpstreamTokenRejected: _EventMapping(
            "descope.answers.suspicious", labels=("reason",), level=logging.WARNING
        ),
        TenantSwitched: _EventMapping("descope.tenant_switches"),
        TokenPairMismatch: _refused("token_pair"),
        TokenRejected: _EventMapping(
            "descope.tokens.rejected", labels=("reason", "source"), level=logging.WARNING
        ),
        UpstreamDegraded: _result("descope.upstream", "degraded", "reason", "calls", level=logging.WARNING),
        UpstreamRecovered: _result("descope.upstream", "recovered", "calls"),
    }
)


class Telemetry:
    """A subscriber that counts every event, adds it to the current span and logs it.

    Without an OpenTelemetry SDK, counters and spans cost next to nothing. Refusals and failures are logged
    as warnings, other events at INFO. The record has the fields of the event as extra fields, with the prefix
    ``descope_``.

    Events that unauthenticated clients can cause are limited to ten lines a minute for each type and reason.
    The next line then has the number of suppressed lines in ``descope_suppressed``. Lines about
    logins, refreshes, tenant switches and confirmed logouts are never suppressed.

    Args:
        monotonic: Returns seconds, which the rate limit is measured in.
        meter: Replaces the meter ``fastapi_descope``.
        logger: Replaces the logger ``fastapi_descope.events``.
        base_url: The URL of Descope to name in lines about outages.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        meter: metrics.Meter | None = None,
        logger: logging.Logger | None = None,
        base_url: str | None = None,
    ) -> None:
        meter = meter or metrics.get_meter("fastapi_descope")
        self._counters = {
            name: meter.create_counter(name, unit="{event}", description=description)
            for name, description in _COUNTERS.items()
        }
        self._logger = logger or logging.getLogger("fastapi_descope.events")
        self._rate_limiter = _LogRateLimiter(monotonic)
        self._base_url = base_url
        self._outage_reasons: frozenset[str] = frozenset()

    def __call__(self, event: Event) -> None:
        """Record one event. It does not block, unless a handler of the logger does."""
        mapping = _MAPPINGS.get(type(event)) or _EventMapping("descope.events", {"event": event.name})
        labels = {label: _label(getattr(event, label)) for label in mapping.labels}
        attributes = {**mapping.attributes, **labels}
        self._counters[mapping.counter].add(1, attributes)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(
                f"descope.{event.name}",
                {f"descope.{name}": value for name, value in attributes.items()},
            )
        if not self._is_repeat(event) and self._logger.isEnabledFor(mapping.level):
            self._log(event, mapping.level, (event.name, *labels.values()))

    def _log(self, event: Event, level: int, key: tuple[str, ...]) -> None:
        permit = _LogPermit(0) if _requires_session(event) else self._rate_limiter.acquire(key)
        if permit is None:
            return
        values = {each.name: _log_value(getattr(event, each.name)) for each in fields(event)}
        if permit.suppressed:
            values["suppressed"] = permit.suppressed
        shown = {
            name: value for name, value in values.items() if name not in _ID_FIELDS and value is not None
        }
        parts = [event.name, *(f"{name}={value}" for name, value in shown.items())]
        if hint := self._hint(event):
            parts.append(f"({hint})")
        if permit.is_last:
            parts.append(f"(more of these within {_INTERVAL_SECONDS:.0f} s are counted, not logged)")
        extra = {f"descope_{name}": value for name, value in values.items()}
        # In uvicorn's default configuration a line has neither the name of the logger nor a level.
        text = f"fastapi_descope: {' '.join(parts)}"
        self._logger.log(level, "%s", text, extra={"descope_event": event.name, **extra})

    def _hint(self, event: Event) -> str | None:
        """Return what helps the operator to fix the cause of the event, or None."""
        match event:
            case UpstreamTokenRejected(reason=reason):
                return _TOKEN_HINTS.get(reason)
            case TokenRejected(reason="client" as reason):
                return _TOKEN_HINTS[reason]
            case ConflictingCookies() | TokenPairMismatch() | StrayChunks():
                return _CONFLICT_HINT
            case JwksFetchFailed() | UpstreamDegraded() if self._base_url:
                return f"at {self._base_url}"
            case LoginLoopStopped(missing=word) | RedirectRejected(reason=word):
                return _WORD_HINTS.get(word)
            case LoginFailed(reason=reason):
                return _LOGIN_HINTS.get(reason)
            case SessionCheckFailed():
                return "an on_session hook raised this or took longer than two seconds: requests get 503"
            case _:
                return None

    def _is_repeat(self, event: Event) -> bool:
        """Return whether the event repeats a failed key fetch of the same outage: one outage, one line."""
        match event:
            case JwksFetchFailed(reason=reason):
                is_repeat = reason in self._outage_reasons
                self._outage_reasons |= {reason}
                return is_repeat
            case JwksFetched():
                self._outage_reasons = frozenset()
                return False
            case _:
                return False


@dataclass(frozen=True, slots=True)
class _LogPermit:
    """Permission to log a line. ``suppressed`` counts the lines that were suppressed before it."""

    suppressed: int
    is_last: bool = False


@dataclass(slots=True)
class _Interval:
    """The numbers of lines with one key that were written and suppressed since a time."""

    since: float
    written: int = 0
    suppressed: int = 0


class _LogRateLimiter:
    """Permits at most ten lines a minute with the same key."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._intervals: dict[tuple[str, ...], _Interval] = {}

    def acquire(self, key: tuple[str, ...]) -> _LogPermit | None:
        """Return permission to log a line with ``key``, or None, which counts the line as suppressed."""
        now = self._monotonic()
        interval = self._intervals.setdefault(key, _Interval(now))
        suppressed = 0
        if now - interval.since >= _INTERVAL_SECONDS:
            suppressed = interval.suppressed
            interval = self._intervals[key] = _Interval(now)
        if interval.written == _LINES_PER_INTERVAL:
            interval.suppressed += 1
            return None
        interval.written += 1
        return _LogPermit(suppressed, is_last=interval.written == _LINES_PER_INTERVAL)


def _requires_session(event: Event) -> bool:
    """Return whether only a client with genuine tokens can cause the event and so cannot flood the log."""
    match event:
        case SignedIn() | SessionRefreshed() | TenantSwitched() | SignedOut(confirmed=True):
            return True
        case _:
            return False


def _label(value: object) -> str:
    """Return ``value`` as a label, or ``other`` if it is free text: each new label is a new series."""
    text = str(value).lower()
    return text if _LABEL.fullmatch(text) else "other"


def _log_value(value: object) -> object:
    """Return ``value`` without line breaks, escape sequences and e-mail addresses.

    A JWT template can use an e-mail address as the user id, so an id with an @ is replaced.
    """
    if not isinstance(value, str):
        return value
    if "@" in value:
        return "(address)"
    # LG-03: a line break would forge another line.
    return value.encode("unicode_escape").decode()[:_MAX_VALUE_CHARACTERS]
