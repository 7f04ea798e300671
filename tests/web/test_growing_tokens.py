"""A session token that grows past the limit of 8,192 bytes after the login (F-8, CK-08)."""

import json

import httpx
import pytest

from fastapi_descope import events
from fastapi_descope._tokens.claims import TokenPolicy
from fastapi_descope.emulator import Project
from fastapi_descope.events import RefreshFailed
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

ADA = "ada@acme.example"
SESSION_SECONDS = 600
STRICT = Project(rotate_refresh=True, session_seconds=SESSION_SECONDS)
LIMIT = f"{TokenPolicy(project_id='', issuers=frozenset()).max_bytes:,}"


async def signed_in(env: AppHarness) -> Browser:
    """Return a browser whose session token has expired."""
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(SESSION_SECONDS + 60)
    return browser


def grow_next(env: AppHarness, endpoint: str, tenant: str = "acme") -> None:
    """Let the next response of an endpoint have a session token of more than 8,192 bytes."""
    big = env.emulator.issue(ADA, tenant, claims={"bulk": "x" * 9000})
    body = json.dumps({"sessionJwt": big.session_jwt, "refreshJwt": big.refresh_jwt}).encode()
    env.emulator.faults.add(endpoint, status=200, body=body)


def assert_too_large(response: httpx.Response) -> None:
    """Assert the error of the login, which keeps both cookies and names no time for a retry."""
    assert (response.status_code, response.json()["code"]) == (400, "session_too_large")
    assert "set-cookie" not in response.headers
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("path", ["/me", "/maybe", "/session"])
async def test_ck08_token_that_has_grown_too_large_is_the_error_of_the_login(
    make_env: EnvFactory, path: str
) -> None:
    """A 503 would ask the browser to try again for ever."""
    env = make_env(project=STRICT)
    browser = await signed_in(env)
    grow_next(env, "refresh")

    assert_too_large(await browser.get(path))


async def test_ck08_too_large_token_costs_one_call_in_thirty_seconds(make_env: EnvFactory) -> None:
    """The requests in between get the same error."""
    env = make_env(project=STRICT)
    browser = await signed_in(env)
    grow_next(env, "refresh")

    for _ in range(5):
        assert_too_large(await browser.get("/me"))

    assert env.calls("refresh") == 1


async def test_ck08_session_recovers_once_its_token_is_small_enough(make_env: EnvFactory) -> None:
    """With rotation the first refresh token is spent: the one that came with the large token is used."""
    env = make_env(project=STRICT)
    browser = await signed_in(env)
    grow_next(env, "refresh")
    assert_too_large(await browser.get("/me"))
    env.emulator.clock.advance(31)

    response = await browser.get("/me")

    assert response.status_code == 200
    assert env.calls("refresh") == 2


async def test_ck08_live_session_is_served_until_it_expires(make_env: EnvFactory) -> None:
    """The refresh ahead of the expiry gets the large token; the current one is still good."""
    env = make_env(project=STRICT)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(SESSION_SECONDS - 20)
    grow_next(env, "refresh")

    response = await browser.get("/me")

    assert response.status_code == 200
    assert "set-cookie" not in response.headers


async def test_ck08_switch_to_a_tenant_with_too_large_a_token_is_the_same_error(
    make_env: EnvFactory,
) -> None:
    """Descope is not to blame, so it is no 502."""
    env = make_env(project=STRICT)
    browser = await env.signed_in_browser()
    grow_next(env, "select")

    assert_too_large(await browser.post("/tenant/select", {"tenant": "acme"}))


async def test_ck08_other_invalid_tokens_of_a_switch_are_no_matter_of_size(make_env: EnvFactory) -> None:
    """They are Descope's fault."""
    env = make_env(project=STRICT)
    browser = await env.signed_in_browser()
    env.emulator.faults.add("select", status=200, body=b'{"sessionJwt": "a.b.c", "refreshJwt": "a.b.c"}')

    response = await browser.post("/tenant/select", {"tenant": "acme"})

    assert response.json()["code"] == "invalid_upstream_response"


async def test_ck08_log_names_the_limit_and_the_remedy(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for the cause, and the event of the refresh."""
    env = make_env(project=STRICT)
    browser = await signed_in(env)
    grow_next(env, "refresh")
    await browser.get("/me")

    [line] = [message for message in caplog.messages if "upstream_token_rejected" in message]
    assert f"{LIMIT} bytes" in line
    assert "JWT template" in line
    assert [event for event in env.events if isinstance(event, events.RefreshFailed)] == [
        RefreshFailed("too_large")
    ]


async def test_ck08_page_says_that_the_user_is_signed_in_and_offers_the_sign_out(
    make_env: EnvFactory,
) -> None:
    """Signing in again would not help, and without a sign-out the user is stuck."""
    env = make_env(project=STRICT)
    browser = await signed_in(env)
    grow_next(env, "refresh")

    page = await browser.visit("/me")

    assert page.status_code == 400
    assert "You are still signed in" in page.text
    assert 'action="/logout"' in page.text
    assert "Sign in again" not in page.text
