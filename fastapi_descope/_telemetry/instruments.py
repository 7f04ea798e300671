"""The instruments besides the counters: durations of operations, and gauges."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from opentelemetry.trace import SpanKind

__all__ = ["BUCKETS", "CALL", "CALLBACK", "GAUGES", "OPERATIONS", "REFRESH", "Gauge", "Operation"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bucket boundaries of all durations, in seconds: those of the semantic conventions for HTTP."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that has a span, and a histogram of its durations.

    Attributes:
        span: The name of its spans. In that of a call, words in braces stand for values of attributes.
        histogram: The name of the histogram, whose unit is the second.
        description: What is measured.
        kind: The kind of its spans.
        prefix: Precedes the names of the attributes in spans, unless a convention gives them names.
        attributes: The names of the attributes in the histogram.
    """

    span: str
    histogram: str
    description: str
    kind: SpanKind
    prefix: str
    attributes: tuple[str, ...]


# The names of OpenTelemetry's semantic conventions, version 1.37, for HTTP clients. They are fixed there, so
# they have no prefix.
CALL = Operation(
    "{http.request.method} {url.template}",
    "http.client.request.duration",
    "Duration of HTTP client requests.",
    SpanKind.CLIENT,
    "",
    (
        "http.request.method",
        "url.template",
        "server.address",
        "server.port",
        "http.response.status_code",
        "error.type",
    ),
)
"""A call to Descope, with its time in the queue and a second attempt to connect."""

REFRESH = Operation(
    "descope.refresh",
    "descope.refresh.duration",
    "Refreshes, and waits of requests for the refresh of another one",
    SpanKind.INTERNAL,
    "descope.",
    ("source", "result", "error.type"),
)

CALLBACK = Operation(
    "descope.callback",
    "descope.callback.duration",
    "Completions of SSO logins: the exchange of the code, the verification and the hooks",
    SpanKind.INTERNAL,
    "descope.",
    ("result", "error.type"),
)

OPERATIONS = (CALL, REFRESH, CALLBACK)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge that is read when metrics are collected."""

    unit: str
    description: str


GAUGES: Mapping[str, Gauge] = MappingProxyType(
    {
        "descope.keys.age": Gauge("s", "Time since the signing keys were fetched"),
        "descope.revocation_log.lag": Gauge(
            "s", "Time for which the revocations of the other processes could not be read: 0 if they can"
        ),
        "descope.store.available": Gauge(
            "1", "Whether the shared refresh store is used: 1, or 0 in an outage"
        ),
        "descope.upstream.available": Gauge(
            "1", "Whether Descope is called: 1, or 0 in an outage or rate limit"
        ),
    }
)
"""The gauges by name."""
