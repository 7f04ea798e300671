"""``on_tenant_switch``: a hook gets the new session, and the switch cannot be lost."""

import pytest
from fastapi import Request

from fastapi_descope import AuthSession, BadRequest, Forbidden, NotAuthenticated, tenant_id_var
from fastapi_descope.emulator import Project
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"


def _rotating(make_env: EnvFactory) -> AppHarness:
    return make_env(project=Project(rotate_refresh=True))


async def _switch(browser: Browser, tenant: str = "globex") -> int:
    return (await browser.post("/tenant/select", {"tenant": tenant})).status_code


async def test_hook_gets_the_new_session_before_the_response(make_env: EnvFactory) -> None:
    """Hooks run in order, and with the new tenant in the context."""
    env = _rotating(make_env)
    seen: list[tuple[str, object]] = []

    @env.descope.on_tenant_switch
    async def first(request: Request, session: AuthSession) -> None:
        seen.append((request.url.path, session.tenant_id))

    @env.descope.on_tenant_switch
    async def second(request: Request, session: AuthSession) -> None:
        seen.append((session.user.id, tenant_id_var.get()))

    assert await _switch(await env.signed_in_browser()) == 200
    assert seen == [("/tenant/select", "globex"), (ADA, "globex")]
    assert tenant_id_var.get() is None


async def test_rejected_switch_calls_no_hook(make_env: EnvFactory) -> None:
    """The session is unchanged."""
    env = _rotating(make_env)
    seen: list[AuthSession] = []

    @env.descope.on_tenant_switch
    async def record(_request: Request, session: AuthSession) -> None:
        seen.append(session)

    assert await _switch(await env.signed_in_browser(), "initech") == 403
    assert seen == []


@pytest.mark.parametrize(
    "error", [Forbidden("Not there."), BadRequest("No seat is free."), NotAuthenticated()]
)
async def test_error_of_the_package_is_the_response_and_the_cookies_are_set(
    make_env: EnvFactory, error: Forbidden | BadRequest | NotAuthenticated
) -> None:
    """Descope has made the switch, so the browser needs the new tokens."""
    env = _rotating(make_env)

    @env.descope.on_tenant_switch
    async def fail(*_: object) -> None:
        raise error

    browser = await env.signed_in_browser()
    response = await browser.post("/tenant/select", {"tenant": "globex"})

    assert (response.status_code, response.json()["code"]) == (error.status, error.code)
    names = [cookie.partition("=")[0] for cookie in response.headers.get_list("set-cookie")]
    assert names == ["DS", "DSR"]
    assert (await browser.get("/me")).json()["tenant"] == "globex"


async def test_any_other_exception_is_a_500_and_the_tokens_are_not_lost(make_env: EnvFactory) -> None:
    """The 500 has no cookies. The next refresh gets the tokens of the switch from the cache."""
    env = _rotating(make_env)

    @env.descope.on_tenant_switch
    async def fail(*_: object) -> None:
        raise KeyError

    browser = await env.signed_in_browser()
    with pytest.raises(KeyError):
        await browser.post("/tenant/select", {"tenant": "globex"})
    assert (await browser.get("/me")).json()["tenant"] == "acme"
    env.emulator.clock.advance(560)

    response = await browser.get("/me")

    assert response.status_code == 200
    assert len(response.headers.get_list("set-cookie")) == 2
    assert env.calls("refresh") == 0
    assert (await browser.get("/me")).json()["tenant"] == "globex"
