"""Warnings that are logged once."""

import logging

import pytest

from fastapi_descope._telemetry.log_once import LogOnce


def test_message_is_logged_once_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    """Each message has the name of the package."""
    advice = LogOnce()
    for _ in range(3):
        advice.warning("Set the clock")
        advice.warning("Set the address", level=logging.ERROR)

    assert caplog.record_tuples == [
        ("fastapi_descope", logging.WARNING, "fastapi_descope: Set the clock"),
        ("fastapi_descope", logging.ERROR, "fastapi_descope: Set the address"),
    ]


def test_lg04_at_most_a_hundred_messages_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The limit holds even if a client finds a way to cause new messages."""
    advice = LogOnce()
    for number in range(1_000):
        advice.warning(f"Mend {number}")

    assert len(caplog.records) == 100
