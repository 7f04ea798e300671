"""Dashboard and alert rules: each metric and label in them is exported, and each alert has a runbook."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations"
RUNBOOK = (OPERATIONS / "monitoring.md").read_text(encoding="utf-8")
ADDRESS = "https://fastapi-descope.readthedocs.io/operations/monitoring/#"

_METRIC = re.compile(r"\b((?:descope|http|target|otel)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\bby\s*\(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def _rules() -> list[dict[str, Any]]:
    text = (OPERATIONS / "alerts.yml").read_text(encoding="utf-8")
    (group,) = cast("dict[str, Any]", yaml.safe_load(text))["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


def _panels() -> list[dict[str, Any]]:
    text = (OPERATIONS / "grafana-dashboard.json").read_text(encoding="utf-8")
    return cast("list[dict[str, Any]]", json.loads(text)["panels"])


def _expressions() -> list[tuple[str, str]]:
    """Return each PromQL expression with the texts that use its labels."""
    rules = [(rule["expr"], rule["annotations"]["summary"]) for rule in _rules()]
    panels = [(each["expr"], each["legendFormat"]) for panel in _panels() for each in panel["targets"]]
    return [*rules, *panels]


async def _journey(env: AppHarness, redis: RedisServer) -> None:
    """Sign in, refresh, switch, fail, revoke, and sign out, with an outage of Descope and of Redis."""
    hooks = iter([None, ValueError])

    @env.descope.on_session
    async def check(session: object) -> None:
        if error := next(hooks, None):
            raise error

    browser = await env.signed_in_browser()
    await env.browser().visit("/callback?state=unknown&code=unknown")
    env.emulator.clock.advance(660)
    await browser.get("/me")  # refreshed, and the hook fails
    await browser.post("/tenant/select", {"tenant": "globex"})
    forged = env.emulator.issue("ada@acme.example", "acme").session_jwt[:-6] + "AAAAAA"
    await env.browser().get("/me", authorization=f"Bearer {forged}")
    await browser.post("/logout", origin="https://evil.example", sec_fetch_site="cross-site")
    env.emulator.faults.add("refresh", times=9, status=503)
    for _ in range(6):
        pair = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
        await env.browser().get("/me", cookie=f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}")
    env.emulator.faults.clear()
    env.emulator.clock.advance(60)
    env.emulator.faults.add("exchange", body={"sessionJwt": forged, "refreshJwt": forged})
    await env.browser().sign_in()
    await env.descope.revoke_user("U2canaryuser")
    redis.stop()
    await browser.post("/logout")


def _scrape() -> str:
    """Return the page of a real exporter."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=REGISTRY)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as response:
            return cast("str", response.read().decode())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
async def scraped(make_env: EnvFactory, redis_victim: RedisServer) -> list[Sample]:
    """Run the journey of an app with the exporter, and read its metrics as Prometheus does."""
    reader = PrometheusMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    env = make_env(meter_provider=provider, redis_url=redis_victim.url)
    try:
        await _journey(env, redis_victim)
        text = await asyncio.to_thread(_scrape)
    finally:
        await env.descope.aclose()
        provider.shutdown()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _selected(samples: list[Sample], metric: str, matchers: str) -> Iterator[Mapping[str, str]]:
    """Return the labels of the samples that the selector finds. Only equality selects by value."""
    wanted = {name: value for name, kind, value in _MATCHER.findall(matchers) if kind == "="}
    for sample in samples:
        if sample.name == metric and wanted.items() <= sample.labels.items():
            yield sample.labels


@pytest.mark.anyio
@pytest.mark.redis
async def test_each_metric_and_label_of_dashboard_and_alerts_is_exported(scraped: list[Sample]) -> None:
    """By a real exporter, after a journey in which everything happens once."""
    unknown: list[str] = []
    for expression, text in _expressions():
        available: set[str] = set()
        used = set(_LEGEND.findall(text))
        selectors = _METRIC.findall(expression)
        assert selectors, expression
        for metric, matchers in selectors:
            labels = list(_selected(scraped, metric, matchers))
            available |= {name for each in labels for name in each}
            unknown += [] if labels else [f"{metric}{{{matchers}}}"]
            used |= {name for name, _, _ in _MATCHER.findall(matchers)}
        used |= {name.strip() for names in _GROUPING.findall(expression) for name in names.split(",")}
        unknown += [f"{name} in {expression}" for name in used - available]
    assert unknown == []
    assert len(_expressions()) > 25


def test_each_alert_has_a_section_of_its_name() -> None:
    """Its link leads to the section, and there is no section without an alert."""
    names = [rule["alert"] for rule in _rules()]
    assert re.findall(r"^### (Descope\w+)$", RUNBOOK, re.MULTILINE) == names
    assert [rule["annotations"]["runbook_url"] for rule in _rules()] == [
        ADDRESS + name.lower() for name in names
    ]
    assert {rule["labels"]["severity"] for rule in _rules()} == {"critical", "warning"}


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    """Grafana would move them."""
    cells: set[tuple[int, int]] = set()
    for panel in _panels():
        place = panel["gridPos"]
        area = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & area, panel["title"]
        assert panel["description"]
        cells |= area
    assert max(x for x, _ in cells) == 23


@pytest.mark.slow  # needs promtool
def test_alerts_are_valid_and_fire_when_they_should() -> None:
    """Prometheus's own tool checks the rules and runs their unit tests."""
    tool = shutil.which("promtool", path=f"{os.environ['PATH']}:{ROOT / '.tools' / 'bin'}")
    assert tool, "scripts/setup installs promtool"
    tested = (OPERATIONS / "alerts.test.yml").read_text(encoding="utf-8")
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([tool, *command], cwd=OPERATIONS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {rule["alert"] for rule in _rules()} == set(re.findall(r"alertname: (\w+)", tested))
