"""Helpers for tests of Descope's Python SDK, with its synchronous and its asynchronous client."""

# The SDK is typed with bare dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import re
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

import httpx
import pytest
from descope import AuthException, DescopeClient, DescopeClientAsync, LoginOptions

from fastapi_descope.emulator import SeedUser

ADA = "ada@acme.example"
CALLBACK = "http://localhost:8000/callback?state=xyz"

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the default ones takes longer than a test

_Result = TypeVar("_Result")


async def resolve(result: Awaitable[_Result] | _Result) -> _Result:
    """Return the result of a call of either client, awaiting it if necessary."""
    if isinstance(result, Awaitable):
        return await cast("Awaitable[_Result]", result)
    return result


async def sign_in(
    client: DescopeClient | DescopeClientAsync,
    *,
    tenant: str = "acme",
    login_id: str = ADA,
    login_options: LoginOptions | None = None,
    refresh_token: str | None = None,
) -> dict[str, Any]:
    """Start a login, pick a user on the sign-in page, exchange the code, and return the SDK's result."""
    started = await resolve(
        client.sso.start(tenant, CALLBACK, login_options=login_options, refresh_token=refresh_token)
    )
    callback = submit_sign_in_page(started["url"], login_id)
    return await resolve(client.sso.exchange_token(callback.params["code"]))


def submit_sign_in_page(page_url: str, login_id: str | None) -> httpx.URL:
    """Press the button of a user, or *Refuse* for None, and return the URL of the redirect."""
    with httpx.Client(verify=_NO_AUTHORITIES) as browser:
        page = browser.get(page_url)
        form_token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert form_token is not None
        choice = {"refuse": "yes"} if login_id is None else {"user": SeedUser(login_id).user_id}
        response = browser.post(page_url, data={"form_token": form_token[1]} | choice)
    assert response.status_code == 303
    return httpx.URL(response.headers["location"])


def error_of(caught: pytest.ExceptionInfo[AuthException]) -> tuple[object, object]:
    """Return the HTTP status and Descope's error code of an exception that the SDK raised."""
    error = caught.value
    return error.status_code, json.loads(str(error.error_message))["errorCode"]
