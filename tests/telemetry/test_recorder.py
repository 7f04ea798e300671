"""The recorder: the counter, span event and log line of each event, and their limits."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData, Sum
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fastapi_descope import events
from fastapi_descope._telemetry.log_lines import EventLog
from fastapi_descope._telemetry.recorder import Recorder
from fastapi_descope.events import Event

USER, TENANT, ACTOR = "U2canaryuser", "T2canarytenant", "U2canaryactor"

SAMPLES: Mapping[Event, tuple[str, Mapping[str, str], str]] = {
    events.CallbackRepeated(delivered=True): (
        "descope.logins",
        {"result": "repeated", "delivered": "true"},
        "INFO",
    ),
    events.ClaimsRejected("AppClaims", ("plan", "seats")): (
        "descope.claims.rejected",
        {"model": "appclaims"},
        "INFO",
    ),
    events.ConflictingCookies(): ("descope.refused", {"kind": "conflicting_cookies"}, "WARNING"),
    events.CrossSiteRefused(): ("descope.refused", {"kind": "cross_site"}, "WARNING"),
    events.JwksFetchFailed("upstream_unavailable"): (
        "descope.keys.fetches",
        {"result": "failed", "reason": "upstream_unavailable"},
        "WARNING",
    ),
    events.JwksFetched(2): ("descope.keys.fetches", {"result": "fetched"}, "INFO"),
    events.LoginFailed("state"): ("descope.logins", {"result": "failed", "reason": "state"}, "WARNING"),
    events.LoginLoopStopped("session"): (
        "descope.logins",
        {"result": "loop_stopped", "missing": "session"},
        "WARNING",
    ),
    events.LoginStarted(): ("descope.logins", {"result": "started", "method": "sso"}, "INFO"),
    events.ProfileFetched(): ("descope.profile_reads", {}, "INFO"),
    events.RedirectRejected("too_long"): (
        "descope.refused",
        {"kind": "redirect", "reason": "too_long"},
        "WARNING",
    ),
    events.RefreshFailed("rate_limited"): (
        "descope.refreshes",
        {"result": "failed", "reason": "rate_limited"},
        "WARNING",
    ),
    events.AccessKeyExchanged("K2nightly", "K2nightly", "acme"): (
        "descope.access_keys",
        {"result": "exchanged"},
        "INFO",
    ),
    events.AccessKeyRefused(401, "E062803"): ("descope.access_keys", {"result": "refused"}, "WARNING"),
    events.AccessKeysLimited("client"): (
        "descope.access_keys",
        {"result": "limited", "reason": "client"},
        "WARNING",
    ),
    events.RefreshRefused("E064001"): ("descope.refreshes", {"result": "refused"}, "WARNING"),
    events.RevocationLogDegraded("ConnectionError"): (
        "descope.revocation_log",
        {"result": "degraded", "reason": "connectionerror"},
        "WARNING",
    ),
    events.RevocationLogRecovered(): ("descope.revocation_log", {"result": "recovered"}, "INFO"),
    events.UserChanged(USER): ("descope.revocations", {"result": "changed"}, "INFO"),
    events.UserRevoked(USER, "app"): ("descope.revocations", {"result": "revoked", "source": "app"}, "INFO"),
    events.WebhookIgnored("UsersDeleted", "user"): (
        "descope.revocations",
        {"result": "ignored", "action": "usersdeleted", "missing": "user"},
        "WARNING",
    ),
    events.WebhookRefused("signature"): (
        "descope.refused",
        {"kind": "webhook", "reason": "signature"},
        "WARNING",
    ),
    events.SessionCheckFailed("OperationalError"): (
        "descope.session_checks",
        {"result": "failed", "reason": "operationalerror"},
        "WARNING",
    ),
    events.SessionRefused(USER, TENANT, "suspended", ACTOR): (
        "descope.session_checks",
        {"result": "refused", "reason": "suspended"},
        "WARNING",
    ),
    events.SessionRefreshed(USER, TENANT, ACTOR): ("descope.refreshes", {"result": "refreshed"}, "INFO"),
    events.SignedIn(USER, None, first_seen=True, method="notp", actor_id=ACTOR): (
        "descope.logins",
        {"result": "signed_in", "method": "notp"},
        "INFO",
    ),
    events.SignedOut(everywhere=False, confirmed=True, user_id=USER, actor_id=ACTOR): (
        "descope.sign_outs",
        {"everywhere": "false", "confirmed": "true"},
        "INFO",
    ),
    events.StoreDegraded("ConnectionError"): (
        "descope.store",
        {"result": "degraded", "reason": "connectionerror"},
        "WARNING",
    ),
    events.StoreRecovered(): ("descope.store", {"result": "recovered"}, "INFO"),
    events.DuplicateCookiesDeleted(): ("descope.cookies", {"result": "deleted"}, "WARNING"),
    events.SuccessorReplayed(USER, ACTOR): ("descope.refreshes", {"result": "replayed"}, "INFO"),
    events.StrayChunks(): ("descope.cookies", {"result": "stray"}, "WARNING"),
    events.UpstreamTokenRejected("signature"): (
        "descope.answers.suspicious",
        {"reason": "signature"},
        "WARNING",
    ),
    events.TenantSwitched(USER, TENANT, ACTOR): ("descope.tenant_switches", {}, "INFO"),
    events.TokenPairMismatch(): ("descope.refused", {"kind": "token_pair"}, "WARNING"),
    events.TokenRejected("expired", "bearer"): (
        "descope.tokens.rejected",
        {"reason": "expired", "source": "bearer"},
        "WARNING",
    ),
    events.UpstreamDegraded("ConnectError"): (
        "descope.upstream",
        {"result": "degraded", "reason": "connecterror", "calls": "sessions"},
        "WARNING",
    ),
    events.UpstreamRecovered("logins"): (
        "descope.upstream",
        {"result": "recovered", "calls": "logins"},
        "INFO",
    ),
}
"""One event of each class: its counter, its labels, the level of its line."""

EACH = pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.name)


@dataclass(frozen=True, slots=True)
class _AppEvent(Event):
    """An event class of an app."""

    name = "foreign"
    note: str


class _RecordingHandler(logging.Handler):
    """Records log records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Record one log record."""
        self.records.append(record)


@dataclass
class _ObservedRecorder:
    """A recorder with a manual clock, its counters and its log records."""

    now: float = 0.0
    lines: _RecordingHandler = field(default_factory=_RecordingHandler)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self._provider = MeterProvider(metric_readers=[self.reader])
        # A separate tree of loggers, so that tests do not affect each other.
        self.logger = logging.Manager(logging.RootLogger(logging.INFO)).getLogger("test")
        self.logger.addHandler(self.lines)
        log = EventLog(monotonic=lambda: self.now, logger=self.logger)
        self.emit = Recorder(monotonic=lambda: self.now, meter_provider=self._provider, log=log)

    def counts(self) -> dict[tuple[str, tuple[tuple[str, object], ...]], int | float]:
        """Return the value of every series."""
        data = self.reader.get_metrics_data()
        return dict(_series(data)) if data else {}

    def messages(self) -> list[str]:
        """Return the text of every line, without the prefix."""
        texts = [record.getMessage() for record in self.lines.records]
        assert all(text.startswith("fastapi_descope: ") for text in texts)
        return [text.removeprefix("fastapi_descope: ") for text in texts]

    def close(self) -> None:
        """Stop collecting."""
        self._provider.shutdown()


def _series(
    data: MetricsData,
) -> Iterator[tuple[tuple[str, tuple[tuple[str, object], ...]], int | float]]:
    for resource in data.resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            if not isinstance(metric.data, Sum):  # a gauge
                continue
            for point in metric.data.data_points:
                yield (metric.name, tuple(sorted((point.attributes or {}).items()))), point.value


@pytest.fixture
def observe() -> Iterator[Callable[[], _ObservedRecorder]]:
    """Return a factory of observed recorders."""
    made: list[_ObservedRecorder] = []

    def create() -> _ObservedRecorder:
        made.append(_ObservedRecorder())
        return made[-1]

    yield create
    for each in made:
        each.close()


@pytest.fixture
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    """Yield a tracer provider and the exporter of its finished spans."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_every_event_class_has_a_sample() -> None:
    """The tests below therefore cover all event classes."""
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
    assert {type(event) for event in SAMPLES} == kinds - {Event}


@EACH
def test_event_adds_one_to_its_counter(observe: Callable[[], _ObservedRecorder], event: Event) -> None:
    """It changes one series of one counter."""
    observed = observe()
    observed.emit(event)
    counter, labels, _ = SAMPLES[event]
    assert observed.counts() == {(counter, tuple(sorted(labels.items()))): 1}


@EACH
def test_event_is_added_to_the_current_span(
    observe: Callable[[], _ObservedRecorder],
    spans: tuple[TracerProvider, InMemorySpanExporter],
    event: Event,
) -> None:
    """It has the same labels as the counter, and no id."""
    provider, exporter = spans
    with provider.get_tracer("test").start_as_current_span("request"):
        observe().emit(event)
    (span,) = exporter.get_finished_spans()
    (marked,) = span.events
    expected = {f"descope.{name}": value for name, value in SAMPLES[event][1].items()}
    assert (marked.name, dict(marked.attributes or {})) == (f"descope.{event.name}", expected)


@EACH
def test_event_is_one_log_line_with_extra_fields(
    observe: Callable[[], _ObservedRecorder], event: Event
) -> None:
    """Every field of the event is an extra field of the record."""
    observed = observe()
    observed.emit(event)
    (record,) = observed.lines.records
    extra = {name: value for name, value in vars(record).items() if name.startswith("descope_")}
    expected = {f"descope_{each.name}": getattr(event, each.name) for each in fields(event)}
    assert extra == {"descope_event": event.name, **expected}
    assert record.levelname == SAMPLES[event][2]
    assert record.getMessage().split()[:2] == ["fastapi_descope:", event.name]


@EACH
def test_lg05_im05_ids_are_extra_fields_only(observe: Callable[[], _ObservedRecorder], event: Event) -> None:
    """Neither the text of a line nor a label contains an id (LG-05, IM-05)."""
    observed = observe()
    observed.emit(event)
    seen = repr(observed.counts()) + observed.messages()[0]
    assert USER not in seen
    assert TENANT not in seen
    assert ACTOR not in seen


def test_line_text_has_the_name_and_fields_of_the_event(observe: Callable[[], _ObservedRecorder]) -> None:
    """A plain log file needs no formatter for extra fields."""
    observed = observe()
    observed.emit(events.TokenRejected("signature", "cookie"))
    assert observed.messages() == ["token_rejected reason=signature source=cookie"]


def test_default_logger_is_the_logger_of_the_package(caplog: pytest.LogCaptureFixture) -> None:
    """It is ``fastapi_descope.events``."""
    with caplog.at_level(logging.INFO, "fastapi_descope.events"):
        Recorder()(events.LoginStarted())
    assert caplog.record_tuples == [
        ("fastapi_descope.events", logging.INFO, "fastapi_descope: login_started method=sso")
    ]


def test_disabled_log_level_does_not_use_up_the_rate_limit(observe: Callable[[], _ObservedRecorder]) -> None:
    """A line below the level of the logger does not count."""
    observed = observe()
    observed.logger.setLevel(logging.ERROR)
    for _ in range(20):
        observed.emit(events.LoginStarted())
    observed.logger.setLevel(logging.INFO)
    observed.emit(events.LoginStarted())
    assert observed.messages() == ["login_started method=sso"]


def test_lg04_flood_is_ten_lines_and_one_count(observe: Callable[[], _ObservedRecorder]) -> None:
    """10,000 refused tokens are ten short lines (LG-04)."""
    observed = observe()
    for _ in range(10_000):
        observed.emit(events.TokenRejected("signature", "bearer"))
    messages = observed.messages()
    line = "token_rejected reason=signature source=bearer"
    assert messages[:9] == [line] * 9
    assert messages[9:] == [f"{line} (more of these within 60 s are counted, not logged)"]
    series = ("descope.tokens.rejected", (("reason", "signature"), ("source", "bearer")))
    assert observed.counts() == {series: 10_000}


def test_first_line_of_the_next_minute_has_the_suppressed_count(
    observe: Callable[[], _ObservedRecorder],
) -> None:
    """The line after it has no count."""
    observed = observe()
    for _ in range(25):
        observed.emit(events.RedirectRejected())
    observed.now = 59.9
    observed.emit(events.RedirectRejected())
    observed.now = 60.0
    observed.emit(events.RedirectRejected())
    observed.emit(events.RedirectRejected())
    assert observed.messages()[10:] == [
        "redirect_rejected reason=unsafe suppressed=16",
        "redirect_rejected reason=unsafe",
    ]
    assert vars(observed.lines.records[10])["descope_suppressed"] == 16


def test_rate_limit_applies_to_each_reason(observe: Callable[[], _ObservedRecorder]) -> None:
    """Another reason has its own limit."""
    observed = observe()
    for _ in range(50):
        observed.emit(events.TokenRejected("expired", "bearer"))
    observed.emit(events.TokenRejected("signature", "bearer"))
    assert observed.messages()[-1] == "token_rejected reason=signature source=bearer"


@pytest.mark.parametrize(
    "event",
    [
        events.SignedIn(USER, TENANT, first_seen=False),
        events.SessionRefreshed(USER, TENANT),
        events.TenantSwitched(USER, TENANT),
        events.SignedOut(everywhere=True, confirmed=True),
    ],
)
def test_events_that_require_a_session_are_never_suppressed(
    observe: Callable[[], _ObservedRecorder], event: Event
) -> None:
    """Only a client with a genuine token can cause them."""
    observed = observe()
    for _ in range(100):
        observed.emit(event)
    assert len(observed.messages()) == 100


def test_unconfirmed_logouts_are_rate_limited(observe: Callable[[], _ObservedRecorder]) -> None:
    """A logout that Descope did not confirm requires no token."""
    observed = observe()
    for _ in range(100):
        observed.emit(events.SignedOut(everywhere=False, confirmed=False))
    assert len(observed.messages()) == 10


def test_event_class_of_an_app_is_counted_and_logged(observe: Callable[[], _ObservedRecorder]) -> None:
    """It is counted by its name."""
    observed = observe()
    observed.emit(_AppEvent("hello"))
    assert observed.counts() == {("descope.events", (("event", "foreign"),)): 1}
    assert observed.messages() == ["foreign note=hello"]


@pytest.mark.parametrize(
    ("tenant", "shown"),
    [
        ("acme", "acme"),
        ("a\r\nWARNING forged", "a\\r\\nWARNING forged"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("ada@acme.example", "(address)"),
        ("x" * 5000, "x" * 128),
    ],
)
def test_lg03_ids_in_log_records_are_sanitised(
    observe: Callable[[], _ObservedRecorder], tenant: str, shown: str
) -> None:
    """They have no line breaks, escape sequences or addresses, and a maximum length (LG-03, LG-04)."""
    observed = observe()
    observed.emit(events.TenantSwitched(USER, tenant))
    assert vars(observed.lines.records[0])["descope_tenant_id"] == shown


@settings(deadline=None)  # creating a meter provider is sometimes slow
@given(reason=st.text())
def test_any_reason_is_one_printable_line_and_a_short_label(reason: str) -> None:
    """The line is shorter than 1 KB."""
    observed = _ObservedRecorder()
    observed.emit(events.LoginFailed(reason))
    ((_, labels),) = observed.counts()
    (message,) = observed.messages()
    observed.close()
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 1024
    assert re.fullmatch(r"[a-z0-9_.-]{1,40}", str(dict(labels)["reason"]))


@pytest.mark.parametrize(("reason", "limit"), [("too_long", "1,024"), ("encoded", "%2F")])
def test_line_of_a_rejected_return_path_has_the_rule(
    observe: Callable[[], _ObservedRecorder], reason: Literal["too_long", "encoded"], limit: str
) -> None:
    """A link of the app itself broke it, so the line says how."""
    observed = observe()
    observed.emit(events.RedirectRejected(reason))
    assert f"redirect_rejected reason={reason} (" in observed.messages()[0]
    assert limit in observed.messages()[0]
