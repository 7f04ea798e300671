"""The recorder: events to metrics, span events, log lines and the audit stream; operations to spans.

Attributes of metrics and spans have few possible values and contain no ids.
"""

# LG-05. A request passes through this module only, unless it causes a log line: scripts/bench modules.

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from opentelemetry import metrics, trace
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.trace import StatusCode, Tracer, TracerProvider
from opentelemetry.util.types import AttributeValue

from ..errors import CircuitOpen, DescopeError, InvalidUpstreamResponse, UpstreamUnavailable
from ..events import Event, JwksFetched
from .audit import AuditLog
from .event_table import COUNTERS, MAPPINGS, label, mapping_of
from .gauges import GaugeEvent, Gauges
from .instruments import BUCKETS, OPERATIONS, Operation
from .log_lines import EventLog

__all__ = ["Measurement", "Recorder"]

_SCOPE = "fastapi_descope"


class Recorder:
    """Records events and operations. It is a subscriber of the event bus.

    Without an OpenTelemetry SDK, instruments and spans cost next to nothing.

    Args:
        monotonic: Returns seconds, which durations and the age of the keys are measured in.
        meter_provider: Replaces the global provider of metrics.
        tracer_provider: Replaces the global provider of traces.
        log: Writes the log lines.
        audit: Writes the audit stream.
        shared_store: Whether a store is configured that processes share.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        log: EventLog | None = None,
        audit: AuditLog | None = None,
        shared_store: bool = False,
    ) -> None:
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._counters = {
            name: meter.create_counter(name, unit="{event}", description=description)
            for name, description in COUNTERS.items()
        }
        self._histograms = {
            each.histogram: meter.create_histogram(
                each.histogram, "s", each.description, explicit_bucket_boundaries_advisory=BUCKETS
            )
            for each in OPERATIONS
        }
        self._gauges = Gauges(meter, monotonic=monotonic, shared_store=shared_store)
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._monotonic = monotonic
        self._log = log or EventLog(monotonic=monotonic)
        self._audit = audit or AuditLog()

    def __call__(self, event: Event) -> None:
        """Record one event. It does not block, unless a handler of a logger does."""
        mapping = MAPPINGS.get(type(event)) or mapping_of(event)
        labels = {each: label(getattr(event, each)) for each in mapping.labels}
        attributes = {**mapping.attributes, **labels}
        self._counters[mapping.counter].add(1, attributes)
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(
                f"descope.{event.name}",
                {f"descope.{name}": value for name, value in attributes.items()},
            )
        if isinstance(event, GaugeEvent):
            self._gauges.update(event)
        # A fetch ends an outage of the keys also if it is not logged.
        if self._log.logger.isEnabledFor(mapping.level) or isinstance(event, JwksFetched):
            self._log.write(event, mapping.level, labels)
        if self._audit.logger.level:  # its own: the stream is off by default
            self._audit.write(event)

    def measure(
        self,
        operation: Operation,
        attributes: Mapping[str, AttributeValue] = MappingProxyType({}),
        *,
        name: str | None = None,
    ) -> "Measurement":
        """Return the context of one operation, which gets a span and adds its duration to a histogram.

        ``attributes`` are those that are known already. ``name`` is that of the span, if it varies.
        """
        histogram = self._histograms[operation.histogram]
        return Measurement(
            self._tracer, histogram, operation, dict(attributes), name=name, monotonic=self._monotonic
        )


class Measurement:
    """The context of one operation.

    An exception that leaves the context becomes the attribute ``error.type``. Its text is not recorded.

    Attributes:
        attributes: Those of the operation. More may be added until the context ends.
    """

    def __init__(
        self,
        tracer: Tracer,
        histogram: Histogram,
        operation: Operation,
        attributes: dict[str, AttributeValue],
        *,
        name: str | None,
        monotonic: Callable[[], float],
    ) -> None:
        self.attributes = attributes
        self._histogram = histogram
        self._operation = operation
        self._monotonic = monotonic
        self._started = monotonic()
        self._span = tracer.start_span(
            name or operation.span,
            kind=operation.kind,
            attributes=_span_attributes(operation, attributes),
        )
        # LG-02: the text of an exception may hold a secret.
        self._scope = trace.use_span(
            self._span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        )

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.attributes.setdefault("error.type", _error_type(error))
        if self._span.is_recording():
            self._span.set_attributes(_span_attributes(self._operation, self.attributes))
            if "error.type" in self.attributes:
                self._span.set_status(StatusCode.ERROR)
        self._histogram.record(self._monotonic() - self._started, self.attributes)
        self._scope.__exit__(kind, error, traceback)


def _span_attributes(
    operation: Operation, attributes: Mapping[str, AttributeValue]
) -> dict[str, AttributeValue]:
    """Return the attributes with the names that they have in spans. Standard names contain a dot."""
    return {name if "." in name else operation.prefix + name: value for name, value in attributes.items()}


def _error_type(error: BaseException) -> str:
    """Return a word for the error, of which there are few."""
    match error:
        case CircuitOpen():
            return "circuit_open"
        case UpstreamUnavailable(failure=str(failure)):
            return failure
        case InvalidUpstreamResponse(reason=reason):
            return reason
        case DescopeError(code=code):
            return code
        case _:
            return type(error).__name__
