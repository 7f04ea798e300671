"""Events as OpenTelemetry metrics, as events of the current span, and as log lines.

Metrics and spans carry words from short lists and never an id: their values must stay few (LG-05). User
and tenant ids are in the log lines' extra fields alone, where an audit trail needs them.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from opentelemetry import metrics, trace

from ..events import (
    ConflictingCookies,
    CrossSiteRefused,
    Event,
    JwksFetched,
    JwksFetchFailed,
    LoginFailed,
    LoginStarted,
    ProfileFetched,
    RedirectRejected,
    RefreshFailed,
    RefreshRefused,
    SessionRefreshed,
    SignedIn,
    SignedOut,
    StoreDegraded,
    StoreRecovered,
    TenantSwitched,
    TokenPairMismatch,
    TokenRejected,
    UpstreamDegraded,
    UpstreamRecovered,
    UpstreamTokenRejected,
)

__all__ = ["Telemetry"]

_INTERVAL_SECONDS = 60.0
_LINES = 10
_VALUE_CHARACTERS = 128
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")

_IDS = frozenset({"user_id", "tenant_id"})
"""Fields that say who it was: for the extra fields of a line only."""

_CLOCKS: Mapping[str, str] = MappingProxyType(
    {
        "expired": "this host's clock is ahead of Descope's; have NTP set it",
        "not_yet_valid": "this host's clock is behind Descope's; have NTP set it",
    }
)
"""What most likely makes tokens wrong that come fresh from Descope, by the reason."""

_COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "descope.answers.suspicious": "Answers of Descope that were not believed",
        "descope.events": "Events of kinds that have no counter of their own",
        "descope.keys.fetches": "Attempts to load the signing keys",
        "descope.logins": "Sign-ins, by how far they came",
        "descope.profile_reads": "User objects asked of Descope",
        "descope.refreshes": "Refreshes of sessions at Descope",
        "descope.refused": "Requests that looked like an attack on a user",
        "descope.sign_outs": "Sign-outs, and whether Descope took note",
        "descope.store": "Changes in the reach of the shared refresh store",
        "descope.tenant_switches": "Changes of the current tenant",
        "descope.tokens.rejected": "Presented tokens that were refused",
        "descope.upstream": "Changes in the reach of Descope",
    }
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of event is told: its counter, its attributes, how loud its line is.

    ``labels`` names fields of the event whose values are words from a short list.
    """

    counter: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: tuple[str, ...] = ()
    level: int = logging.INFO


def _result(counter: str, result: str, *labels: str, level: int = logging.INFO) -> _Kind:
    return _Kind(counter, {"result": result}, labels, level)


def _refused(kind: str) -> _Kind:
    return _Kind("descope.refused", {"kind": kind}, level=logging.WARNING)


_KINDS: Mapping[type[Event], _Kind] = MappingProxyType(
    {
        ConflictingCookies: _refused("conflicting_cookies"),
        CrossSiteRefused: _refused("cross_site"),
        JwksFetchFailed: _result("descope.keys.fetches", "failed", "reason", level=logging.WARNING),
        JwksFetched: _result("descope.keys.fetches", "fetched"),
        LoginFailed: _result("descope.logins", "failed", "reason", level=logging.WARNING),
        LoginStarted: _result("descope.logins", "started"),
        ProfileFetched: _Kind("descope.profile_reads"),
        RedirectRejected: _refused("redirect"),
        RefreshFailed: _result("descope.refreshes", "failed", "reason", level=logging.WARNING),
        RefreshRefused: _result("descope.refreshes", "refused", level=logging.WARNING),
        SessionRefreshed: _result("descope.refreshes", "refreshed"),
        SignedIn: _result("descope.logins", "signed_in"),
        SignedOut: _Kind("descope.sign_outs", labels=("everywhere", "confirmed")),
        StoreDegraded: _result("descope.store", "degraded", "reason", level=logging.WARNING),
        StoreRecovered: _result("descope.store", "recovered"),
        UpstreamTokenRejected: _Kind("descope.answers.suspicious", labels=("reason",), level=logging.WARNING),
        TenantSwitched: _Kind("descope.tenant_switches"),
        TokenPairMismatch: _refused("token_pair"),
        TokenRejected: _Kind("descope.tokens.rejected", labels=("reason", "source"), level=logging.WARNING),
        UpstreamDegraded: _result("descope.upstream", "degraded", "reason", "calls", level=logging.WARNING),
        UpstreamRecovered: _result("descope.upstream", "recovered", "calls"),
    }
)


class Telemetry:
    """A subscriber that counts every event, marks it on the current span and writes a line about it.

    Without an OpenTelemetry SDK in the process, counters and spans cost next to nothing. The lines go to
    the logger ``fastapi_descope.events``: refusals and failures as warnings, the rest as information.
    Each has the event's fields as extra fields, prefixed with ``descope_``.

    What strangers can cause at will has at most ten lines a minute for each kind and reason; the next
    line after that tells in ``descope_suppressed`` how many were left out (LG-04). Lines about sign-ins,
    refreshes, tenant switches and confirmed sign-outs are never left out.

    ``monotonic`` (seconds) measures that minute; ``meter`` and ``logger`` replace the package's own.
    Lines about an outage name ``base_url``.
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
        self._limit = _LogRateLimiter(monotonic)
        self._base_url = base_url
        self._outage: frozenset[str] = frozenset()

    def __call__(self, event: Event) -> None:
        """Tell of one event. Does not block, but for what handlers of the logger do."""
        kind = _KINDS.get(type(event)) or _Kind("descope.events", {"event": event.name})
        labels = {label: _label(getattr(event, label)) for label in kind.labels}
        attributes = {**kind.attributes, **labels}
        self._counters[kind.counter].add(1, attributes)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(
                f"descope.{event.name}",
                {f"descope.{name}": value for name, value in attributes.items()},
            )
        if not self._is_repeat(event) and self._logger.isEnabledFor(kind.level):
            self._write(event, kind.level, (event.name, *labels.values()))

    def _write(self, event: Event, level: int, subject: tuple[str, ...]) -> None:
        line = _Line(0) if _proves_a_session(event) else self._limit.admit(subject)
        if line is None:
            return
        values = {each.name: _shown(getattr(event, each.name)) for each in fields(event)}
        if line.suppressed:
            values["suppressed"] = line.suppressed
        told = {name: value for name, value in values.items() if name not in _IDS and value is not None}
        words = [event.name, *(f"{name}={value}" for name, value in told.items())]
        if note := self._note(event):
            words.append(f"({note})")
        if line.is_last:
            words.append(f"(more of these within {_INTERVAL_SECONDS:.0f} s are counted, not logged)")
        extra = {f"descope_{name}": value for name, value in values.items()}
        # Under uvicorn's own set-up a line has neither the logger's name nor a level.
        text = f"fastapi_descope: {' '.join(words)}"
        self._logger.log(level, "%s", text, extra={"descope_event": event.name, **extra})

    def _note(self, event: Event) -> str | None:
        """What the reader of the line has to know or mend beyond the event itself."""
        match event:
            case UpstreamTokenRejected(reason=reason):
                return _CLOCKS.get(reason)
            case JwksFetchFailed() | UpstreamDegraded() if self._base_url:
                return f"at {self._base_url}"
            case _:
                return None

    def _is_repeat(self, event: Event) -> bool:
        """Whether it says that the keys still cannot be had for the same reason: one outage, one line."""
        match event:
            case JwksFetchFailed(reason=reason):
                is_old = reason in self._outage
                self._outage |= {reason}
                return is_old
            case JwksFetched():
                self._outage = frozenset()
                return False
            case _:
                return False


@dataclass(frozen=True, slots=True)
class _Line:
    """Permission to write a line: how many were left out before it, and whether silence follows."""

    suppressed: int
    is_last: bool = False


@dataclass(slots=True)
class _Interval:
    """How many lines on one subject were written, and left out, since a time."""

    since: float
    written: int = 0
    suppressed: int = 0


class _LogRateLimiter:
    """At most ten lines a minute on one subject."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._intervals: dict[tuple[str, ...], _Interval] = {}

    def admit(self, subject: tuple[str, ...]) -> _Line | None:
        """Permission to write, or None: the line is then counted as left out."""
        now = self._monotonic()
        interval = self._intervals.setdefault(subject, _Interval(now))
        suppressed = 0
        if now - interval.since >= _INTERVAL_SECONDS:
            suppressed = interval.suppressed
            interval = self._intervals[subject] = _Interval(now)
        if interval.written == _LINES:
            interval.suppressed += 1
            return None
        interval.written += 1
        return _Line(suppressed, is_last=interval.written == _LINES)


def _proves_a_session(event: Event) -> bool:
    """Whether only the holder of genuine tokens can cause it, so that its lines cannot become a flood."""
    match event:
        case SignedIn() | SessionRefreshed() | TenantSwitched() | SignedOut(confirmed=True):
            return True
        case _:
            return False


def _label(value: object) -> str:
    """A word for a label; whatever is no word is one and the same, so that nothing can multiply series."""
    text = str(value).lower()
    return text if _WORD.fullmatch(text) else "other"


def _shown(value: object) -> object:
    """A value that may stand in a log: no line breaks or escapes in it (LG-03), and no address.

    A JWT template can make an e-mail address the user's id, so an id that holds an @ is not shown.
    """
    if not isinstance(value, str):
        return value
    if "@" in value:
        return "(address)"
    return value.encode("unicode_escape").decode()[:_VALUE_CHARACTERS]
