"""Gauges: the age of the keys, and whether the shared store and Descope are available."""

import pytest

from fastapi_descope import events
from fastapi_descope._telemetry.recorder import Recorder
from fastapi_descope.events import Event
from tests.helpers.app_harness import EnvFactory
from tests.helpers.otel_sdk import Sdk

STORE, UPSTREAM = "descope.store.available", "descope.upstream.available"
LAG = "descope.revocation_log.lag"
SESSIONS, LOGINS, KEYS = ((("calls", calls),) for calls in ("sessions", "logins", "access_keys"))


def _recorder(sdk: Sdk, now: list[float], *, shared_store: bool = True) -> Recorder:
    return Recorder(monotonic=lambda: now[0], meter_provider=sdk.meter_provider, shared_store=shared_store)


def test_age_of_the_keys_is_the_time_since_they_were_fetched(sdk: Sdk) -> None:
    """A failed fetch does not make them younger, and without keys there is no age."""
    now = [50.0]
    recorder = _recorder(sdk, now)
    assert sdk.values("descope.keys.age") == {}

    recorder(events.JwksFetched(2))
    now[0] = 80.0
    recorder(events.JwksFetchFailed("ConnectError"))
    assert sdk.values("descope.keys.age") == {(): 30.0}

    recorder(events.JwksFetched(2))
    assert sdk.values("descope.keys.age") == {(): 0.0}


def test_store_is_unavailable_between_an_outage_and_the_recovery(sdk: Sdk) -> None:
    """It is available until its first outage."""
    recorder = _recorder(sdk, [0.0])
    assert sdk.values(STORE) == {(): 1}
    recorder(events.StoreDegraded("ConnectionError"))
    assert sdk.values(STORE) == {(): 0}
    recorder(events.StoreRecovered())
    assert sdk.values(STORE) == {(): 1}


def test_lag_of_the_revocation_log_is_the_time_since_it_could_not_be_read(sdk: Sdk) -> None:
    """It is 0 before, and after the log was read again."""
    now = [50.0]
    recorder = _recorder(sdk, now)
    assert sdk.values(LAG) == {(): 0}
    recorder(events.RevocationLogDegraded("ConnectionError"))
    now[0] = 80.0
    assert sdk.values(LAG) == {(): 30.0}
    recorder(events.RevocationLogRecovered())
    assert sdk.values(LAG) == {(): 0}


def test_without_a_shared_store_its_gauges_have_no_value(sdk: Sdk) -> None:
    """An alert on 0 does not fire."""
    _recorder(sdk, [0.0], shared_store=False)
    assert sdk.values(STORE) == {}
    assert sdk.values(LAG) == {}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.UpstreamDegraded("ConnectError"), {SESSIONS: 0, LOGINS: 1, KEYS: 1}),
        (events.UpstreamDegraded("server_error", "logins"), {SESSIONS: 1, LOGINS: 0, KEYS: 1}),
        (events.UpstreamDegraded("server_error", "access_keys"), {SESSIONS: 1, LOGINS: 1, KEYS: 0}),
    ],
)
def test_outage_of_descope_is_one_of_its_kind_of_calls(
    sdk: Sdk, event: Event, expected: dict[tuple[tuple[str, str]], int]
) -> None:
    """Each kind of calls has its own circuit breaker."""
    recorder = _recorder(sdk, [0.0])
    recorder(event)
    assert sdk.values(UPSTREAM) == expected
    recorder(events.UpstreamRecovered())
    recorder(events.UpstreamRecovered("logins"))
    recorder(events.UpstreamRecovered("access_keys"))
    assert sdk.values(UPSTREAM) == {SESSIONS: 1, LOGINS: 1, KEYS: 1}


@pytest.mark.anyio
async def test_gauges_of_an_app_follow_its_clock(make_env: EnvFactory, sdk: Sdk) -> None:
    """The keys of the app are as old as its clock says."""
    env = make_env(meter_provider=sdk.meter_provider)
    await env.browser().sign_in()
    env.emulator.clock.advance(120)
    assert sdk.values("descope.keys.age") == {(): pytest.approx(120, abs=1)}
    assert sdk.values(STORE) == {}
