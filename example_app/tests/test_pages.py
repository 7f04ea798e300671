"""The pages: who may see which, and what is on them."""

from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from example_app.samples import sample_library
from fastapi_descope.emulator import Emulator

from .conftest import Visit

pytestmark = pytest.mark.anyio

ADA, GRACE, HANK = "ada@acme.example", "grace@acme.example", "hank@globex.example"


async def test_home_is_public(visit: Visit, emulator: Emulator) -> None:
    """A stranger gets the sign-in form; nothing is set and nobody is called."""
    browser = await visit()

    answer = await browser.get("/")

    assert answer.status_code == 200
    assert 'action="/login/sso"' in answer.text
    assert "set-cookie" not in answer.headers
    assert answer.headers["vary"] == "Cookie, Authorization"
    assert len(emulator.requests) == 0
