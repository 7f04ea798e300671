"""Advice in the log: once for each cause, and never without end."""

import logging

import pytest

from fastapi_descope._telemetry.log_once import LogOnce


def test_a_sentence_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each one, at the level it deserves; the line says whose it is."""
    advice = LogOnce()
    for _ in range(3):
        advice.warning("Set the clock")
        advice.warning("Set the address", level=logging.ERROR)

    assert caplog.record_tuples == [
        ("fastapi_descope", logging.WARNING, "fastapi_descope: Set the clock"),
        ("fastapi_descope", logging.ERROR, "fastapi_descope: Set the address"),
    ]


def test_lg04_there_is_an_end_to_it(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred sentences, in case a stranger finds a way to cause new ones."""
    advice = LogOnce()
    for number in range(1_000):
        advice.warning(f"Mend {number}")

    assert len(caplog.records) == 100
