"""An OpenTelemetry SDK in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Labels = tuple[tuple[str, object], ...]


@dataclass
class Sdk:
    """The providers of metrics and traces, and what they have exported."""

    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        self.meter_provider = MeterProvider(metric_readers=[self.reader])
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the finished spans with a name, oldest first."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def attributes(self, name: str) -> list[dict[str, object]]:
        """Return the attributes of each finished span with a name."""
        return [dict(span.attributes or {}) for span in self.spans(name)]

    def durations(self, name: str) -> Mapping[Labels, HistogramDataPoint]:
        """Return the series of a histogram."""
        points = self._points(name)
        return {labels: point for labels, point in points.items() if isinstance(point, HistogramDataPoint)}

    def values(self, name: str) -> Mapping[Labels, int | float]:
        """Return the value of each series of a counter or gauge."""
        points = self._points(name)
        return {labels: point.value for labels, point in points.items() if isinstance(point, NumberDataPoint)}

    def _points(self, name: str) -> Mapping[Labels, object]:
        return {labels: point for each, labels, point in self._collect() if each == name}

    def _collect(self) -> Iterator[tuple[str, Labels, object]]:
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in metric.data.data_points:
                    yield metric.name, tuple(sorted((point.attributes or {}).items())), point

    def exported(self) -> list[str]:
        """Return all metrics, and each span of the package, as JSON."""
        data = self.reader.get_metrics_data()
        spans = [
            span.to_json()
            for span in self.exporter.get_finished_spans()
            if span.instrumentation_scope and span.instrumentation_scope.name == "fastapi_descope"
        ]
        return [data.to_json(), *spans] if data else spans

    def close(self) -> None:
        """Stop collecting."""
        self.meter_provider.shutdown()
        self.tracer_provider.shutdown()
