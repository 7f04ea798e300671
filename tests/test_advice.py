"""Advice in the log: once for each cause, and never without end."""

import logging
import subprocess
import sys

import pytest

from fastapi_descope.advice import Advice

_WITHOUT_MIDDLEWARE = """
import asyncio, httpx
from fastapi import FastAPI
from fastapi_descope import CurrentUser

app = FastAPI()

@app.get("/me")
async def me(user: CurrentUser): ...

async def ask():
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        print([(await client.get("/me")).status_code for _ in range(3)])

asyncio.run(ask())
"""


def test_a_sentence_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each one, at the level it deserves; the line says whose it is."""
    advice = Advice()
    for _ in range(3):
        advice.give("Set the clock")
        advice.give("Set the address", level=logging.ERROR)

    assert caplog.record_tuples == [
        ("fastapi_descope", logging.WARNING, "fastapi_descope: Set the clock"),
        ("fastapi_descope", logging.ERROR, "fastapi_descope: Set the address"),
    ]


def test_lg04_there_is_an_end_to_it(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred sentences, in case a stranger finds a way to cause new ones."""
    advice = Advice()
    for number in range(1_000):
        advice.give(f"Mend {number}")

    assert len(caplog.records) == 100


def test_a_missing_middleware_is_advised_on_once() -> None:
    """In an app under a server's own set-up of logs, where the sentence ends a traceback at best."""
    command = [sys.executable, "-W", "error", "-c", _WITHOUT_MIDDLEWARE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own code

    assert done.stdout == "[500, 500, 500]\n"
    assert done.stderr.count("fastapi_descope: DescopeMiddleware has not seen this request") == 1
