"""Hints in log lines: the URL of Descope, and the likely cause."""

import logging
from collections.abc import Callable

import pytest

from fastapi_descope import events
from fastapi_descope._telemetry.log_lines import EventLog
from fastapi_descope._telemetry.recorder import Recorder
from fastapi_descope.events import Event

API = "https://api.example.com"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Record log lines of level WARNING and above."""
    caplog.set_level(logging.WARNING, "fastapi_descope")
    return caplog


def _log(*logged: Event) -> None:
    recorder = Recorder(log=EventLog(base_url=API))
    for event in logged:
        recorder(event)


@pytest.mark.parametrize(("reason", "side"), [("expired", "ahead of"), ("not_yet_valid", "behind")])
def test_rejected_upstream_token_hints_at_a_wrong_clock(
    lines: pytest.LogCaptureFixture, reason: str, side: str
) -> None:
    """A token that Descope has just issued is expired or not yet valid only if a clock is wrong."""
    _log(events.UpstreamTokenRejected(reason))

    assert lines.messages[0].endswith(f"(this host's clock is {side} Descope's; have NTP set it)")


def test_other_rejected_upstream_tokens_have_no_clock_hint(lines: pytest.LogCaptureFixture) -> None:
    """The line has the reason only."""
    _log(events.UpstreamTokenRejected("signature"))

    assert lines.messages == ["fastapi_descope: upstream_token_rejected reason=signature"]


@pytest.mark.parametrize(
    ("code", "hint"),
    [("E062804", "the key is wrong"), ("", "the key is wrong"), ("E011003", "DESCOPE_PROJECT_ID")],
)
def test_refused_access_key_hints_at_the_key_or_at_the_project(
    lines: pytest.LogCaptureFixture, code: str, hint: str
) -> None:
    """With a wrong project or management key Descope refuses every access key, with another code."""
    _log(events.AccessKeyRefused(401, code))

    assert hint in lines.messages[0]


def test_outage_is_logged_once_per_reason_with_the_base_url(lines: pytest.LogCaptureFixture) -> None:
    """Repetitions are only counted until the keys are fetched again."""
    failed = events.JwksFetchFailed("ConnectError")
    _log(failed, failed, events.JwksFetchFailed("TimeoutError"), failed, events.JwksFetched(1), failed)

    assert lines.messages == [
        f"fastapi_descope: jwks_fetch_failed reason={reason} (at {API})"
        for reason in ("ConnectError", "TimeoutError", "ConnectError")
    ]


def test_emulator_that_is_not_running_is_named(lines: pytest.LogCaptureFixture) -> None:
    """A base URL with plain http is an emulator, and a developer may have stopped it."""
    emulator = "http://127.0.0.1:8787"
    recorder = Recorder(log=EventLog(base_url=emulator))
    for reason in ("ConnectError", "server_error"):
        recorder(events.JwksFetchFailed(reason))

    assert lines.messages == [
        f"fastapi_descope: jwks_fetch_failed reason=ConnectError (at {emulator}: is the emulator running?)",
        f"fastapi_descope: jwks_fetch_failed reason=server_error (at {emulator})",
    ]


@pytest.mark.parametrize("degraded", [events.StoreDegraded, events.RevocationLogDegraded])
def test_outage_of_redis_names_its_effect_and_the_setting(
    lines: pytest.LogCaptureFixture, degraded: Callable[[str], Event]
) -> None:
    """The names of the events do not mention Redis."""
    _log(degraded("ConnectionError"))

    assert lines.messages[0].endswith(
        "reason=ConnectionError"
        " (Redis is unavailable, and this process works alone until it recovers; check DESCOPE_REDIS_URL)"
    )


def test_recovery_of_the_keys_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The end of an outage is one line."""
    caplog.set_level(logging.INFO, "fastapi_descope")
    _log(events.JwksFetchFailed("ConnectError"), events.JwksFetched(2))

    assert caplog.messages[-1] == "fastapi_descope: jwks_fetched keys=2"


def test_line_contains_the_status_and_code_of_descope(lines: pytest.LogCaptureFixture) -> None:
    """A field without a value is left out."""
    _log(events.LoginFailed("authorize_refused", 400, "E011004"), events.LoginFailed("tenant"))

    assert lines.messages == [
        "fastapi_descope: login_failed reason=authorize_refused upstream_status=400 upstream_code=E011004",
        "fastapi_descope: login_failed reason=tenant",
    ]


def test_rejected_token_of_another_client_names_the_setting(lines: pytest.LogCaptureFixture) -> None:
    """The operator may own that client."""
    _log(events.TokenRejected("client", "bearer"), events.TokenRejected("issuer", "bearer"))

    assert "DESCOPE_FIRST_PARTY_CLIENTS" in lines.messages[0]
    assert "DESCOPE" not in lines.messages[1]
