"""Profile and tenant names during a tenant switch or a refresh of the same session (RF-05)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fastapi_descope._auth.auth_result import AuthResult
from fastapi_descope._auth.credentials import Credentials
from fastapi_descope.emulator import JwtPair
from fastapi_descope.errors import SessionEnded
from tests.helpers.auth_harness import ADA, AuthHarness, cookies

pytestmark = pytest.mark.anyio

Query = Callable[[AuthHarness, Credentials, AuthResult], Coroutine[Any, Any, object]]


async def profile(core: AuthHarness, credentials: Credentials, result: AuthResult) -> object:
    """Return the user's e-mail address."""
    return (await core.session_service.profile(credentials, result)).email


async def tenant_names(core: AuthHarness, credentials: Credentials, result: AuthResult) -> object:
    """Return the tenant names by id."""
    return await core.session_service.tenant_names(credentials, result)


async def start_query(
    core: AuthHarness, issued: JwtPair, query: Query, endpoint: str
) -> asyncio.Task[object]:
    """Start a query, and return it once Descope has received it and holds the response back."""
    result = await core.authenticate(issued)
    core.emulator.faults.add(endpoint, hold=True)
    running = asyncio.create_task(query(core, cookies(issued), result))
    await core.emulator.faults.wait_until_held()
    return running


QUERIES = pytest.mark.parametrize(
    ("query", "endpoint", "response"),
    [(profile, "me", ADA), (tenant_names, "my_tenants", {"acme": "Acme Corp", "globex": "Globex"})],
)


@QUERIES
async def test_rf05_query_whose_token_a_switch_replaced_is_repeated_with_the_new_token(
    query: Query, endpoint: str, response: object
) -> None:
    """Descope rejects the old token, which says nothing about the session."""
    core = AuthHarness()
    issued = core.issue()
    running = await start_query(core, issued, query, endpoint)

    pair, _ = await core.session_service.select_tenant(cookies(issued), "globex")
    core.emulator.faults.release()

    assert await running == response
    assert core.calls(endpoint) == 2
    assert (await core.authenticator.authenticate(Credentials(refresh=pair.refresh.text))).session is not None


@QUERIES
async def test_query_during_a_logout_ends_with_session_ended(
    query: Query, endpoint: str, response: object
) -> None:
    """There is no newer token, so the query is not repeated."""
    core = AuthHarness()
    issued = core.issue()
    running = await start_query(core, issued, query, endpoint)

    await core.session_service.logout(cookies(issued))
    core.emulator.faults.release()

    with pytest.raises(SessionEnded):
        await running
    assert core.calls(endpoint) == 1
