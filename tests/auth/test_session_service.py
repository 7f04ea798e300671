"""Tenant switch, profile and tenant names without a web framework (requirements 2.13)."""

import asyncio
from dataclasses import replace

import pytest

from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope.errors import (
    BadRequest,
    Forbidden,
    InvalidUpstreamResponse,
    NotAuthenticated,
    SessionEnded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import TenantSwitched, UpstreamTokenRejected
from tests.helpers.auth_harness import ADA, STRICT, AuthHarness, cookies
from tests.helpers.event_loop import run_ready

pytestmark = pytest.mark.anyio


async def test_tn08_tenant_switch_returns_verified_tokens_of_the_tenant() -> None:
    """The event has user and tenant; later requests with the old refresh token get the new tokens."""
    core = AuthHarness()
    issued = core.issue()

    pair, _ = await core.session_service.select_tenant(cookies(issued), "globex")

    assert pair.session.tenant_id == "globex"
    assert pair.refresh.text != issued.refresh_jwt
    assert core.recorded_events(TenantSwitched) == [TenantSwitched(pair.session.user.id, "globex")]
    assert (await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))).pair == pair
    assert core.calls("refresh") == 0


async def test_tn08_tenant_switch_needs_the_refresh_token_only() -> None:
    """A browser whose session has expired switches without a refresh."""
    core = AuthHarness()

    pair, _ = await core.session_service.select_tenant(
        Credentials(refresh=core.issue().refresh_jwt), "globex"
    )

    assert pair.session.tenant_id == "globex"
    assert core.calls("refresh") == 0


async def test_tenant_switch_uses_the_current_refresh_token() -> None:
    """The browser tab has an older one, which would end the session."""
    core = AuthHarness()
    issued = core.issue()
    await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))

    pair, _ = await core.session_service.select_tenant(cookies(issued), "globex")

    assert pair.session.tenant_id == "globex"


async def test_tn09_tenant_switch_waits_for_a_concurrent_refresh() -> None:
    """Both succeed, and the tokens of the switch remain."""
    core = AuthHarness()
    issued = core.issue(session_seconds=-60)
    core.emulator.faults.add("refresh", hold=True, when="after")
    request = asyncio.create_task(core.authenticate(issued))
    await core.emulator.faults.wait_until_held()
    switch = asyncio.create_task(core.session_service.select_tenant(cookies(issued), "globex"))
    await run_ready()
    core.emulator.faults.release()

    pair, _ = await switch
    finished = await (await request).finish()

    assert pair.session.tenant_id == "globex"
    assert finished.pair == pair
    assert core.calls("refresh") == core.calls("select") == 1


async def test_switch_to_a_tenant_without_the_user_is_forbidden() -> None:
    """Descope decides, because a membership may be newer than the session, which continues."""
    core = AuthHarness()
    issued = core.issue()
    with pytest.raises(Forbidden) as caught:
        await core.session_service.select_tenant(cookies(issued), "nowhere")
    assert caught.value.__cause__ is None
    assert core.recorded_events(TenantSwitched) == []
    assert (
        await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    ).session is not None


async def test_tenant_switch_of_a_revoked_session_ends_it() -> None:
    """Descope responds with 401."""
    core = AuthHarness()
    issued = core.issue()
    core.emulator.revoke_sessions(ADA)
    with pytest.raises(SessionEnded) as caught:
        await core.session_service.select_tenant(cookies(issued), "globex")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("status", "code"), [(401, "E011003"), (400, "E061005"), (400, "E064001"), (400, "E064006")]
)
async def test_tenant_switch_with_an_invalid_refresh_token_ends_the_session(status: int, code: str) -> None:
    """By the status, or with a 400 by its code, the response is not about the tenant."""
    core = AuthHarness()
    core.set_next_response("select", {"errorCode": code, "errorDescription": "over"}, status)
    with pytest.raises(SessionEnded):
        await core.session_service.select_tenant(cookies(core.issue()), "globex")


async def test_tn07_tenant_switch_to_another_tenant_is_rejected_and_changes_nothing() -> None:
    """The error and the event name the reason, and the session is unchanged."""
    core = AuthHarness(replace(STRICT, rotate_refresh=False))
    issued = core.issue()
    core.set_next_tokens("select", *core.issue(tenant="globex"))

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.session_service.select_tenant(cookies(issued), "initech")

    assert caught.value.reason == "tenant"
    assert core.recorded_events(UpstreamTokenRejected, TenantSwitched) == [UpstreamTokenRejected("tenant")]
    renewed = await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    assert renewed.session is not None
    assert renewed.session.tenant_id == "acme"


async def test_tenant_switch_during_an_outage_is_unavailable() -> None:
    """The session is unchanged."""
    core = AuthHarness()
    issued = core.issue()
    core.emulator.faults.add("select", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.session_service.select_tenant(cookies(issued), "globex")
    assert (await core.authenticate(issued)).session is not None


async def test_tenant_switch_requires_a_refresh_token() -> None:
    """Without one the request is unauthenticated, and nothing is called."""
    core = AuthHarness()
    session = core.issue().session_jwt
    with pytest.raises(NotAuthenticated):
        await core.session_service.select_tenant(Credentials(session=session), "globex")
    with pytest.raises(BadRequest):
        await core.session_service.select_tenant(Credentials(bearer=session), "globex")
    assert core.calls("select") == 0


async def test_the_profile_is_descopes_user_object() -> None:
    """It is requested with the refresh token."""
    core = AuthHarness()
    issued = core.issue()
    profile = await core.session_service.profile(cookies(issued), await core.authenticate(issued))
    assert profile.name == "Ada Lovelace"
    assert profile.email == ADA
    assert [tenant.name for tenant in profile.tenants.values()] == ["Acme Corp", "Globex"]


async def test_profile_of_a_session_that_this_request_refreshed_uses_the_new_token() -> None:
    """That of the request is spent."""
    core = AuthHarness()
    issued = core.issue(session_seconds=-60)
    result = await core.authenticate(issued)
    assert result.cookies is CookieAction.WRITE
    core.clock.advance(700)  # and no store knows of the new one any more
    assert (await core.session_service.profile(cookies(issued), result)).email == ADA


@pytest.mark.parametrize("age", [0, 550], ids=["renewed before", "renewed beside"])
async def test_profile_of_a_session_that_another_request_refreshed_uses_the_current_token(age: int) -> None:
    """Another tab refreshed a moment ago, or a refresh runs concurrently and is waited for."""
    core = AuthHarness()
    issued = core.issue()
    if age == 0:
        await core.authenticator.authenticate(Credentials(refresh=issued.refresh_jwt))
    core.clock.advance(age)
    result = await core.authenticate(issued)
    assert result.is_final is (age == 0)

    assert (await core.session_service.profile(cookies(issued), result)).email == ADA
    assert core.calls("refresh") == 1


async def test_profile_of_a_revoked_session_ends_it() -> None:
    """Descope's response overrides a session token that is still valid."""
    core = AuthHarness()
    issued = core.issue()
    result = await core.authenticate(issued)
    core.emulator.revoke_sessions(ADA)
    with pytest.raises(SessionEnded):
        await core.session_service.profile(cookies(issued), result)


async def test_profile_that_descope_rejects_for_another_reason_is_an_error() -> None:
    """It says nothing about the session."""
    core = AuthHarness()
    issued = core.issue()
    result = await core.authenticate(issued)
    core.emulator.faults.add("me", status=404)
    with pytest.raises(UpstreamRejected):
        await core.session_service.profile(cookies(issued), result)


async def test_tenant_names_are_those_of_all_tenants_of_the_user() -> None:
    """They are returned by id, and not only for the current tenant."""
    core = AuthHarness()
    issued = core.issue()
    names = await core.session_service.tenant_names(cookies(issued), await core.authenticate(issued))
    assert names == {"acme": "Acme Corp", "globex": "Globex"}


async def test_tenant_names_of_a_user_without_tenants_cost_no_call() -> None:
    """Neither do those of an unauthenticated request."""
    core = AuthHarness()
    nomad = core.issue("nomad@example.org", None)
    assert await core.session_service.tenant_names(cookies(nomad), await core.authenticate(nomad)) == {}
    anonymous = await core.authenticator.authenticate(Credentials())
    assert await core.session_service.tenant_names(Credentials(), anonymous) == {}
    assert core.calls("my_tenants") == 0
