"""Profile and tenant names beside a switch or a refresh of the same session: nobody is signed out (RF-05)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fastapi_descope._auth.authenticator import AuthResult, Credentials
from fastapi_descope.emulator import JwtPair
from fastapi_descope.errors import SessionEnded
from tests.helpers.auth_harness import ADA, AuthHarness, cookies

pytestmark = pytest.mark.anyio

Question = Callable[[AuthHarness, Credentials, AuthResult], Coroutine[Any, Any, object]]


async def profile(core: AuthHarness, presented: Credentials, result: AuthResult) -> object:
    """The user's e-mail."""
    return (await core.session_service.profile(presented, result)).email


async def tenant_names(core: AuthHarness, presented: Credentials, result: AuthResult) -> object:
    """Names by tenant id."""
    return await core.session_service.tenant_names(presented, result)


async def asked(core: AuthHarness, issued: JwtPair, ask: Question, endpoint: str) -> asyncio.Task[object]:
    """The question under way: Descope has it, and holds it back."""
    result = await core.authenticate(issued)
    core.emulator.faults.add(endpoint, hold=True)
    asking = asyncio.create_task(ask(core, cookies(issued), result))
    await core.emulator.faults.wait_until_held()
    return asking


QUESTIONS = pytest.mark.parametrize(
    ("ask", "endpoint", "response"),
    [(profile, "me", ADA), (tenant_names, "my_tenants", {"acme": "Acme Corp", "globex": "Globex"})],
)


@QUESTIONS
async def test_rf05_a_question_that_a_switch_overtook_is_asked_with_the_new_token(
    ask: Question, endpoint: str, response: object
) -> None:
    """Descope refuses the token that the switch has spent meanwhile: no word on the session."""
    core = AuthHarness()
    issued = core.issue()
    asking = await asked(core, issued, ask, endpoint)

    pair = await core.session_service.select_tenant(cookies(issued), "globex")
    core.emulator.faults.release()

    assert await asking == response
    assert core.calls(endpoint) == 2
    assert (await core.authenticator.authenticate(Credentials(refresh=pair.refresh.text))).session is not None


@QUESTIONS
async def test_a_question_of_a_session_that_was_signed_out_meanwhile_ends(
    ask: Question, endpoint: str, response: object
) -> None:
    """Nothing took the place of the refused token; it is not asked twice."""
    core = AuthHarness()
    issued = core.issue()
    asking = await asked(core, issued, ask, endpoint)

    await core.session_service.logout(cookies(issued))
    core.emulator.faults.release()

    with pytest.raises(SessionEnded):
        await asking
    assert core.calls(endpoint) == 1
