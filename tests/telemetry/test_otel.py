"""What an event becomes: a count, an event on a span, a log line; and what none of them may hold."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData, Sum
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fastapi_descope import events
from fastapi_descope._telemetry.otel import Telemetry
from fastapi_descope.events import Event

USER, TENANT = "U2canaryuser", "T2canarytenant"

SAMPLES: Mapping[Event, tuple[str, Mapping[str, str], str]] = {
    events.ConflictingCookies(): ("descope.refused", {"kind": "conflicting_cookies"}, "WARNING"),
    events.CrossSiteRefused(): ("descope.refused", {"kind": "cross_site"}, "WARNING"),
    events.JwksFetchFailed("upstream_unavailable"): (
        "descope.keys.fetches",
        {"result": "failed", "reason": "upstream_unavailable"},
        "WARNING",
    ),
    events.JwksFetched(2): ("descope.keys.fetches", {"result": "fetched"}, "INFO"),
    events.LoginFailed("state"): ("descope.logins", {"result": "failed", "reason": "state"}, "WARNING"),
    events.LoginStarted(): ("descope.logins", {"result": "started"}, "INFO"),
    events.ProfileFetched(): ("descope.profile_reads", {}, "INFO"),
    events.RedirectRejected(): ("descope.refused", {"kind": "redirect"}, "WARNING"),
    events.RefreshFailed("rate_limited"): (
        "descope.refreshes",
        {"result": "failed", "reason": "rate_limited"},
        "WARNING",
    ),
    events.RefreshRefused("E064001"): ("descope.refreshes", {"result": "refused"}, "WARNING"),
    events.SessionRefreshed(USER, TENANT): ("descope.refreshes", {"result": "refreshed"}, "INFO"),
    events.SignedIn(USER, None, first_seen=True): ("descope.logins", {"result": "signed_in"}, "INFO"),
    events.SignedOut(everywhere=False, confirmed=True): (
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
    events.UpstreamTokenRejected("signature"): (
        "descope.answers.suspicious",
        {"reason": "signature"},
        "WARNING",
    ),
    events.TenantSwitched(USER, TENANT): ("descope.tenant_switches", {}, "INFO"),
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
"""One event of each kind: its counter, its labels, the level of its line."""

EACH = pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.name)


@dataclass(frozen=True, slots=True)
class _AppEvent(Event):
    """An event that somebody else defined."""

    name = "foreign"
    note: str


class _RecordingHandler(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.records.append(record)


@dataclass
class _ObservedTelemetry:
    """A telemetry whose clock is moved by hand, and everything that comes out of it."""

    now: float = 0.0
    lines: _RecordingHandler = field(default_factory=_RecordingHandler)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self._provider = MeterProvider(metric_readers=[self.reader])
        # A tree of loggers of its own: what a test sets on it, no other test sees.
        self.logger = logging.Manager(logging.RootLogger(logging.INFO)).getLogger("test")
        self.logger.addHandler(self.lines)
        meter = self._provider.get_meter("test")
        self.emit = Telemetry(monotonic=lambda: self.now, meter=meter, logger=self.logger)

    def counts(self) -> dict[tuple[str, tuple[tuple[str, object], ...]], int | float]:
        """Every series that was counted, and how far."""
        data = self.reader.get_metrics_data()
        return dict(_series(data)) if data else {}

    def messages(self) -> list[str]:
        """The text of every line, behind the name that each begins with."""
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
            assert isinstance(metric.data, Sum)
            for point in metric.data.data_points:
                yield (metric.name, tuple(sorted((point.attributes or {}).items()))), point.value


@pytest.fixture
def observe() -> Iterator[Callable[[], _ObservedTelemetry]]:
    """Makes a telemetry to watch."""
    made: list[_ObservedTelemetry] = []

    def observed() -> _ObservedTelemetry:
        made.append(_ObservedTelemetry())
        return made[-1]

    yield observed
    for each in made:
        each.close()


@pytest.fixture
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    """A tracer provider, and where its finished spans land."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_no_kind_is_forgotten() -> None:
    """Every event class has a sample here, so each of the tests below is about all of them."""
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
    assert {type(event) for event in SAMPLES} == kinds - {Event}


@EACH
def test_counted_once(observe: Callable[[], _ObservedTelemetry], event: Event) -> None:
    """An event adds one to one series of its own counter."""
    watched = observe()
    watched.emit(event)
    counter, labels, _ = SAMPLES[event]
    assert watched.counts() == {(counter, tuple(sorted(labels.items()))): 1}


@EACH
def test_marked_on_the_span(
    observe: Callable[[], _ObservedTelemetry],
    spans: tuple[TracerProvider, InMemorySpanExporter],
    event: Event,
) -> None:
    """The span of the request gets an event with the same labels, and nobody's id."""
    provider, exporter = spans
    with provider.get_tracer("test").start_as_current_span("request"):
        observe().emit(event)
    (span,) = exporter.get_finished_spans()
    (marked,) = span.events
    expected = {f"descope.{name}": value for name, value in SAMPLES[event][1].items()}
    assert (marked.name, dict(marked.attributes or {})) == (f"descope.{event.name}", expected)


@EACH
def test_one_line(observe: Callable[[], _ObservedTelemetry], event: Event) -> None:
    """One line at the kind's level; every field of the event is an extra field of the record."""
    watched = observe()
    watched.emit(event)
    (record,) = watched.lines.records
    extra = {name: value for name, value in vars(record).items() if name.startswith("descope_")}
    expected = {f"descope_{each.name}": getattr(event, each.name) for each in fields(event)}
    assert extra == {"descope_event": event.name, **expected}
    assert record.levelname == SAMPLES[event][2]
    assert record.getMessage().split()[:2] == ["fastapi_descope:", event.name]


@EACH
def test_lg05_ids_are_extra_fields_only(observe: Callable[[], _ObservedTelemetry], event: Event) -> None:
    """Who it was is in neither the text of a line nor a label (LG-05)."""
    watched = observe()
    watched.emit(event)
    seen = repr(watched.counts()) + watched.messages()[0]
    assert USER not in seen
    assert TENANT not in seen


def test_text_of_a_line(observe: Callable[[], _ObservedTelemetry]) -> None:
    """A plain log file shows what happened and why, without a formatter for extra fields."""
    watched = observe()
    watched.emit(events.TokenRejected("signature", "cookie"))
    assert watched.messages() == ["token_rejected reason=signature source=cookie"]


def test_the_package_logger_by_default(caplog: pytest.LogCaptureFixture) -> None:
    """Without a logger of one's own the lines go to ``fastapi_descope.events``."""
    with caplog.at_level(logging.INFO, "fastapi_descope.events"):
        Telemetry()(events.LoginStarted())
    assert caplog.record_tuples == [
        ("fastapi_descope.events", logging.INFO, "fastapi_descope: login_started")
    ]


def test_a_silenced_logger_costs_nothing(observe: Callable[[], _ObservedTelemetry]) -> None:
    """Below the logger's level nothing is written, and nothing is held against the limit."""
    watched = observe()
    watched.logger.setLevel(logging.ERROR)
    for _ in range(20):
        watched.emit(events.LoginStarted())
    watched.logger.setLevel(logging.INFO)
    watched.emit(events.LoginStarted())
    assert watched.messages() == ["login_started"]


def test_lg04_flood(observe: Callable[[], _ObservedTelemetry]) -> None:
    """10,000 refused tokens make ten short lines and one count (LG-04)."""
    watched = observe()
    for _ in range(10_000):
        watched.emit(events.TokenRejected("signature", "bearer"))
    messages = watched.messages()
    line = "token_rejected reason=signature source=bearer"
    assert messages[:9] == [line] * 9
    assert messages[9:] == [f"{line} (more of these within 60 s are counted, not logged)"]
    series = ("descope.tokens.rejected", (("reason", "signature"), ("source", "bearer")))
    assert watched.counts() == {series: 10_000}


def test_after_a_flood(observe: Callable[[], _ObservedTelemetry]) -> None:
    """The first line of the next minute says how many were left out; the one after that has none to tell."""
    watched = observe()
    for _ in range(25):
        watched.emit(events.RedirectRejected())
    watched.now = 59.9
    watched.emit(events.RedirectRejected())
    watched.now = 60.0
    watched.emit(events.RedirectRejected())
    watched.emit(events.RedirectRejected())
    assert watched.messages()[10:] == ["redirect_rejected suppressed=16", "redirect_rejected"]
    assert vars(watched.lines.records[10])["descope_suppressed"] == 16


def test_a_flood_hides_nothing_else(observe: Callable[[], _ObservedTelemetry]) -> None:
    """Another reason has lines of its own."""
    watched = observe()
    for _ in range(50):
        watched.emit(events.TokenRejected("expired", "bearer"))
    watched.emit(events.TokenRejected("signature", "bearer"))
    assert watched.messages()[-1] == "token_rejected reason=signature source=bearer"


@pytest.mark.parametrize(
    "event",
    [
        events.SignedIn(USER, TENANT, first_seen=False),
        events.SessionRefreshed(USER, TENANT),
        events.TenantSwitched(USER, TENANT),
        events.SignedOut(everywhere=True, confirmed=True),
    ],
)
def test_an_audit_trail_has_no_holes(observe: Callable[[], _ObservedTelemetry], event: Event) -> None:
    """What takes a genuine token is always written."""
    watched = observe()
    for _ in range(100):
        watched.emit(event)
    assert len(watched.messages()) == 100


def test_anybody_can_press_sign_out(observe: Callable[[], _ObservedTelemetry]) -> None:
    """A sign-out that Descope did not confirm takes no token, so its lines are limited."""
    watched = observe()
    for _ in range(100):
        watched.emit(events.SignedOut(everywhere=False, confirmed=False))
    assert len(watched.messages()) == 10


def test_a_foreign_event(observe: Callable[[], _ObservedTelemetry]) -> None:
    """An event class of somebody else's is counted by its name and written like ours."""
    watched = observe()
    watched.emit(_AppEvent("hello"))
    assert watched.counts() == {("descope.events", (("event", "foreign"),)): 1}
    assert watched.messages() == ["foreign note=hello"]


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
def test_lg03_ids_as_they_are_shown(
    observe: Callable[[], _ObservedTelemetry], tenant: str, shown: str
) -> None:
    """No line break, no escape, no address, no end of text in a log (LG-03, LG-04)."""
    watched = observe()
    watched.emit(events.TenantSwitched(USER, tenant))
    assert vars(watched.lines.records[0])["descope_tenant_id"] == shown


@settings(deadline=None)  # making a meter provider takes its time now and then
@given(reason=st.text())
def test_no_reason_can_spoil_a_line_or_a_label(reason: str) -> None:
    """Whatever the reason: one printable line below 1 KB, and a label that is a word."""
    watched = _ObservedTelemetry()
    watched.emit(events.LoginFailed(reason))
    ((_, labels),) = watched.counts()
    (message,) = watched.messages()
    watched.close()
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 1024
    assert re.fullmatch(r"[a-z0-9_.-]{1,40}", str(dict(labels)["reason"]))
