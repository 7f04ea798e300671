"""Descope's Python SDK, whose clients are synchronous or asynchronous, in one way of speaking."""

# The SDK is typed with bare dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

import pytest
from descope import AuthException, DescopeClient, DescopeClientAsync, LoginOptions

from tests.helpers.sign_in_page import choose

ADA = "ada@acme.example"
CALLBACK = "http://localhost:8000/callback?state=xyz"

_Answer = TypeVar("_Answer")


async def told(answer: Awaitable[_Answer] | _Answer) -> _Answer:
    """What either kind of client answers."""
    if isinstance(answer, Awaitable):
        return await cast("Awaitable[_Answer]", answer)
    return answer


async def sign_in(
    client: DescopeClient | DescopeClientAsync,
    *,
    tenant: str = "acme",
    login_id: str = ADA,
    login_options: LoginOptions | None = None,
    refresh_token: str | None = None,
) -> dict[str, Any]:
    """Start, pick a user on the page, exchange; the value is the SDK's answer."""
    started = await told(
        client.sso.start(tenant, CALLBACK, login_options=login_options, refresh_token=refresh_token)
    )
    back = choose(started["url"], login_id)
    return await told(client.sso.exchange_token(back.params["code"]))


def error_of(caught: pytest.ExceptionInfo[AuthException]) -> tuple[object, object]:
    """HTTP status and Descope's error code of what the SDK raised."""
    error = caught.value
    return error.status_code, json.loads(str(error.error_message))["errorCode"]
