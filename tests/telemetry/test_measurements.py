"""Spans and durations: calls to Descope, refreshes and callbacks, and which request waits."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from fastapi_descope._telemetry.instruments import BUCKETS, CALL, CALLBACK, REFRESH
from fastapi_descope._telemetry.recorder import Recorder
from fastapi_descope.errors import LoginRejected
from fastapi_descope.login import Login
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.otel_sdk import Sdk

pytestmark = pytest.mark.anyio

SERVER = {"server.address": "127.0.0.1", "server.port": 8787}
EXPIRY = 660
"""Seconds after which a session of the emulator has expired."""


@pytest.fixture
def env(make_env: EnvFactory, sdk: Sdk) -> AppHarness:
    """An app whose Descope uses the SDK of the test."""
    return make_env(meter_provider=sdk.meter_provider, tracer_provider=sdk.tracer_provider)


def _call(method: str, route: str, **more: object) -> dict[str, object]:
    names = {name.replace("_", "."): value for name, value in more.items()}
    return {"http.request.method": method, "url.template": route, **SERVER, **names}


def _parent_id(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _span_id(span: ReadableSpan) -> int:
    return int(span.get_span_context().span_id)  # type: ignore[union-attr]


async def test_call_is_a_client_span_with_the_route_and_the_status(env: AppHarness, sdk: Sdk) -> None:
    """The names are those of the semantic conventions for HTTP."""
    await env.browser().sign_in()

    name = "POST /v1/auth/sso/exchange"
    (span,) = sdk.spans(name)
    expected = _call("POST", "/v1/auth/sso/exchange") | {"http.response.status_code": 200}
    assert sdk.attributes(name) == [expected]
    assert (span.kind, span.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
    (point,) = (
        point
        for labels, point in sdk.durations("http.client.request.duration").items()
        if labels == tuple(sorted(expected.items()))
    )
    assert point.count == 1
    assert tuple(point.explicit_bounds) == BUCKETS


async def test_lg05_span_of_a_call_has_neither_a_query_nor_an_id(env: AppHarness, sdk: Sdk) -> None:
    """The query of a login has its state and the tenant, the path of the keys the project (LG-05)."""
    await env.browser().sign_in()

    names = {span.name for span in sdk.exporter.get_finished_spans() if span.kind is SpanKind.CLIENT}
    assert names == {
        "POST /v1/auth/sso/authorize",
        "POST /v1/auth/sso/exchange",
        "GET /v2/keys/{project_id}",
    }


@pytest.mark.parametrize(("status", "error"), [(503, "503"), (429, "429"), (401, "401")])
async def test_failed_call_has_its_status_as_the_error(
    env: AppHarness, sdk: Sdk, status: int, error: str
) -> None:
    """Also if Descope refuses one user."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(EXPIRY)
    env.emulator.faults.add("refresh", status=status)
    await browser.get("/me")

    (span,) = sdk.spans("POST /v1/auth/refresh")
    expected = {"http.response.status_code": status, "error.type": error}
    assert sdk.attributes("POST /v1/auth/refresh") == [_call("POST", "/v1/auth/refresh") | expected]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)


async def test_call_without_a_response_has_the_kind_of_failure(env: AppHarness, sdk: Sdk) -> None:
    """No text of the exception is recorded: it can contain the request."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(EXPIRY)
    env.emulator.faults.add("refresh", cut="reset")
    await browser.get("/me")

    (span,) = sdk.spans("POST /v1/auth/refresh")
    (attributes,) = sdk.attributes("POST /v1/auth/refresh")
    assert str(attributes["error.type"]).endswith("Error")
    assert "http.response.status_code" not in attributes
    assert "exception" not in {event.name for event in span.events}


async def test_refresh_of_several_requests_is_one_call_and_the_others_join(env: AppHarness, sdk: Sdk) -> None:
    """Each waiting request has a span. The call belongs to the request that started the refresh."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(EXPIRY)
    env.emulator.faults.add("refresh", hold=True)
    requests = [asyncio.create_task(browser.get("/me")) for _ in range(3)]
    await env.emulator.faults.wait_until_held()
    env.emulator.faults.release()
    await asyncio.gather(*requests)

    sources = sorted(str(each["descope.source"]) for each in sdk.attributes("descope.refresh"))
    assert sources == ["exchanged", "joined", "joined"]
    assert {each["descope.result"] for each in sdk.attributes("descope.refresh")} == {"renewed"}
    (exchanged,) = (
        span
        for span in sdk.spans("descope.refresh")
        if (span.attributes or {})["descope.source"] == "exchanged"
    )
    (call,) = sdk.spans("POST /v1/auth/refresh")
    assert _parent_id(call) == _span_id(exchanged)
    counts = {labels: point.count for labels, point in sdk.durations("descope.refresh.duration").items()}
    assert counts == {
        (("result", "renewed"), ("source", "exchanged")): 1,
        (("result", "renewed"), ("source", "joined")): 2,
    }


async def test_late_request_with_the_old_token_takes_the_cached_result(env: AppHarness, sdk: Sdk) -> None:
    """It makes no call."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(EXPIRY)
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    await browser.get("/me")
    await env.browser().get("/me", cookie=old)

    assert [each["descope.source"] for each in sdk.attributes("descope.refresh")] == ["exchanged", "cached"]
    assert env.calls("refresh") == 1


@pytest.mark.parametrize(("status", "result"), [(401, "ended"), (503, "unavailable")])
async def test_refresh_has_its_result(env: AppHarness, sdk: Sdk, status: int, result: str) -> None:
    """An ended session and an unknown one differ."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(EXPIRY)
    env.emulator.faults.add("refresh", status=status)
    await browser.get("/me")

    assert sdk.attributes("descope.refresh") == [{"descope.source": "exchanged", "descope.result": result}]


async def test_event_of_a_refresh_is_in_its_span(env: AppHarness, sdk: Sdk) -> None:
    """With the labels of the counter."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(EXPIRY)
    await browser.get("/me")

    (span,) = sdk.spans("descope.refresh")
    (event,) = span.events
    assert (event.name, dict(event.attributes or {})) == (
        "descope.session_refreshed",
        {"descope.result": "refreshed"},
    )


async def test_callback_is_a_span_around_the_exchange_and_the_hooks(env: AppHarness, sdk: Sdk) -> None:
    """A hook can find out what it is part of."""
    seen: list[int] = []

    @env.descope.on_login
    async def note(request: object, login: Login) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    await env.browser().sign_in()

    (span,) = sdk.spans("descope.callback")
    (call,) = sdk.spans("POST /v1/auth/sso/exchange")
    assert dict(span.attributes or {}) == {"descope.result": "signed_in"}
    assert _parent_id(call) == _span_id(span)
    assert seen == [_span_id(span)]
    (point,) = sdk.durations("descope.callback.duration").values()
    assert point.count == 1


async def test_callback_that_a_hook_rejects_has_failed(env: AppHarness, sdk: Sdk) -> None:
    """The error is the code of its class, not the reason, which the app can choose freely."""

    @env.descope.on_login
    async def reject(request: object, login: Login) -> None:
        raise LoginRejected("No seat is left.", reason="U2canaryuser")

    await env.browser().sign_in()

    (span,) = sdk.spans("descope.callback")
    assert dict(span.attributes or {}) == {"descope.result": "failed", "error.type": "login_rejected"}
    assert (span.status.status_code, span.status.description, span.events[-1].name) == (
        StatusCode.ERROR,
        None,
        "descope.login_failed",
    )


async def test_duration_is_measured_by_the_clock_of_the_recorder(sdk: Sdk) -> None:
    """Seconds, whatever the wall clock does."""
    now = [100.0]
    recorder = Recorder(monotonic=lambda: now[0], meter_provider=sdk.meter_provider)

    with recorder.measure(CALLBACK, {"result": "failed"}) as measurement:
        now[0] += 1.5
        measurement.attributes["result"] = "signed_in"

    assert {labels: point.sum for labels, point in sdk.durations("descope.callback.duration").items()} == {
        (("result", "signed_in"),): 1.5
    }


async def test_cancelled_operation_is_measured_and_stays_cancelled(sdk: Sdk) -> None:
    """A shutdown cancels refreshes."""
    recorder = Recorder(meter_provider=sdk.meter_provider, tracer_provider=sdk.tracer_provider)

    with pytest.raises(asyncio.CancelledError), recorder.measure(REFRESH, {"source": "exchanged"}):
        raise asyncio.CancelledError

    assert sdk.attributes("descope.refresh") == [
        {"descope.source": "exchanged", "error.type": "CancelledError"}
    ]


async def test_name_of_a_call_is_not_that_of_the_operation(sdk: Sdk) -> None:
    """The operation names a pattern."""
    recorder = Recorder(tracer_provider=sdk.tracer_provider)
    with recorder.measure(CALL, {}, name="GET /v1/auth/me"):
        pass
    assert [span.name for span in sdk.exporter.get_finished_spans()] == ["GET /v1/auth/me"]
