"""What a log line says beyond the event: where the trouble is, and what most likely causes it."""

import logging

import pytest

from fastapi_descope import events
from fastapi_descope._telemetry.otel import Telemetry
from fastapi_descope.events import Event

API = "https://api.example.com"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, from warnings on."""
    caplog.set_level(logging.WARNING, "fastapi_descope")
    return caplog


def _log(*logged: Event) -> None:
    telemetry = Telemetry(base_url=API)
    for event in logged:
        telemetry(event)


@pytest.mark.parametrize(("reason", "side"), [("expired", "ahead of"), ("not_yet_valid", "behind")])
def test_a_wrong_clock_is_called_one(lines: pytest.LogCaptureFixture, reason: str, side: str) -> None:
    """Tokens fresh from Descope that are of another time: the line says where to look."""
    _log(events.UpstreamTokenRejected(reason))

    assert lines.messages[0].endswith(f"(this host's clock is {side} Descope's; have NTP set it)")


def test_other_suspicious_answers_are_no_matter_of_clocks(lines: pytest.LogCaptureFixture) -> None:
    """They say what was wrong, and guess nothing."""
    _log(events.UpstreamTokenRejected("signature"))

    assert lines.messages == ["fastapi_descope: upstream_token_rejected reason=signature"]


def test_an_outage_is_one_line_with_its_address(lines: pytest.LogCaptureFixture) -> None:
    """The base URL and the failure are in it; the same again is counted alone, until the keys come back."""
    failed = events.JwksFetchFailed("ConnectError")
    _log(failed, failed, events.JwksFetchFailed("TimeoutError"), failed, events.JwksFetched(1), failed)

    assert lines.messages == [
        f"fastapi_descope: jwks_fetch_failed reason={reason} (at {API})"
        for reason in ("ConnectError", "TimeoutError", "ConnectError")
    ]


def test_keys_that_come_back_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """The end of an outage is news."""
    caplog.set_level(logging.INFO, "fastapi_descope")
    _log(events.JwksFetchFailed("ConnectError"), events.JwksFetched(2))

    assert caplog.messages[-1] == "fastapi_descope: jwks_fetched keys=2"


def test_what_descope_said_is_in_the_line(lines: pytest.LogCaptureFixture) -> None:
    """Status and code of a refusal; nothing where there was none."""
    _log(events.LoginFailed("authorize_refused", 400, "E011004"), events.LoginFailed("state"))

    assert lines.messages == [
        "fastapi_descope: login_failed reason=authorize_refused upstream_status=400 upstream_code=E011004",
        "fastapi_descope: login_failed reason=state",
    ]
