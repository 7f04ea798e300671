"""The reference of metrics and spans lists what the package records, and nothing else."""

import logging
import re
import typing
from pathlib import Path

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest

from fastapi_descope import events
from fastapi_descope._telemetry.event_table import COUNTERS, MAPPINGS
from fastapi_descope._telemetry.instruments import BUCKETS, GAUGES, OPERATIONS, REFRESH
from fastapi_descope._telemetry.recorder import Recorder
from fastapi_descope.errors import TokenReason
from tests.telemetry.test_recorder import SAMPLES

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


def _rows(section: str) -> list[list[str]]:
    """Return the cells of the first table of a section, without the header and without code marks."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table
    lines = table[0].splitlines()[2:]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def _values(attribute: str) -> str:
    """Return the values that the page gives for an attribute."""
    row = re.search(rf"^\| {re.escape(attribute)} \| (.*) \|$", PAGE, re.MULTILINE)
    assert row, attribute
    return row[1]


def test_each_counter_has_a_row() -> None:
    """With its description."""
    expected = [[name, f"{name.replace('.', '_')}_total", text] for name, text in COUNTERS.items()]
    assert _rows("Counters") == expected


def test_each_event_has_a_row_with_its_attributes_and_level() -> None:
    """The order is that of the table in the code."""
    expected = [
        [
            kind.name,
            mapping.counter,
            ", ".join([*(f"{name}={value}" for name, value in mapping.attributes.items()), *mapping.labels]),
            logging.getLevelName(mapping.level),
        ]
        for kind, mapping in MAPPINGS.items()
    ]
    assert _rows("Events") == expected


def test_each_operation_has_a_row_with_its_span_and_attributes() -> None:
    """And the bucket boundaries of all are on the page."""
    expected = [
        [
            each.histogram,
            f"{each.histogram.replace('.', '_')}_seconds",
            each.span,
            each.kind.name,
            ", ".join(each.attributes),
        ]
        for each in OPERATIONS
    ]
    assert _rows("Durations and spans") == expected
    assert ", ".join(f"{each:g}" for each in BUCKETS) in PAGE


def test_each_gauge_has_a_row() -> None:
    """With its unit and meaning."""
    rows = [(name, unit, text) for name, _, unit, text in _rows("Gauges")]
    assert rows == [(name, gauge.unit or "none", gauge.description) for name, gauge in GAUGES.items()]


def test_names_in_prometheus_are_those_of_the_exporter() -> None:
    """All of them, after one event of each class and one operation of each kind."""
    reader = PrometheusMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    recorder = Recorder(meter_provider=provider, shared_store=True)
    for event in SAMPLES:
        recorder(event)
    for operation in OPERATIONS:
        with recorder.measure(operation):
            pass
    text = generate_latest(REGISTRY).decode()
    provider.shutdown()
    exported = set(re.findall(r"^# TYPE (\S+) \w+$", text, re.MULTILINE))
    named = {row[1] for section in ("Durations and spans", "Gauges", "Counters") for row in _rows(section)}
    assert named - exported == {"descope_events_total"}  # for events of the app


def test_attributes_with_fixed_values_list_all_of_them() -> None:
    """Each value that the type of an event allows."""
    for row, kind, name in (
        ("`method`", events.SignedIn, "method"),
        ("`source` of a rejected token", events.TokenRejected, "source"),
        ("`source` of `user_revoked`", events.UserRevoked, "source"),
        ("`reason` of `access_keys_limited`", events.AccessKeysLimited, "reason"),
        ("`reason` of `redirect_rejected`", events.RedirectRejected, "reason"),
        ("`reason` of `webhook_refused`", events.WebhookRefused, "reason"),
    ):
        values = typing.get_args(typing.get_type_hints(kind)[name])
        assert _values(row) == ", ".join(f"`{each}`" for each in values)
    assert _values("`reason` of `token_rejected` and `upstream_token_rejected`") == ", ".join(
        f"`{each}`" for each in TokenReason
    )


def test_each_label_of_an_event_has_a_row_with_its_values() -> None:
    """A row names the label alone, or with the events that it is about."""
    rows = re.findall(r"^\| (`.*?) \| .* \|$", PAGE.split("\n## Events\n")[1], re.MULTILINE)
    missing = {
        (kind.name, name)
        for kind, mapping in MAPPINGS.items()
        for name in mapping.labels
        if not any(
            f"`{name}`" in row.partition(" of ")[0] and (" of " not in row or f"`{kind.name}`" in row)
            for row in rows
        )
    }
    assert missing == {("token_rejected", "source")}  # "of a rejected token"


def test_attributes_of_an_operation_have_their_values_on_the_page() -> None:
    """The names of the attributes occur in the table below the histograms."""
    names = {name for operation in OPERATIONS for name in operation.attributes}
    described = set(re.findall(r"`([\w.]+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert names <= described
    assert all(each in _values("`result` of a refresh") for each in ("renewed", "ended", "unavailable"))
    assert "joined" in _values("`source`")
    assert REFRESH.span == "descope.refresh"
