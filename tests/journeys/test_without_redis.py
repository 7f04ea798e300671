"""The fleet's Redis is away: nobody notices but those who watch (RD-01, RD-02)."""

import pytest

from fastapi_descope.emulator import Project
from fastapi_descope.events import StoreDegraded
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio

NOBODY_THERE = "redis://127.0.0.1:1/0"


async def test_rd01_tokens_are_verified_without_redis(make_env: EnvFactory) -> None:
    """A live session, known or new, is let in and Redis is not even asked; a forged one is not let in."""
    env = make_env(redis_url=NOBODY_THERE)
    pair = env.emulator.issue("ada@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"

    good = [await env.browser().get("/session-of", cookie=cookie) for _ in range(3)]
    bad = await env.browser().get("/session-of", cookie=f"DS={pair.session_jwt[:-8]}AAAAAAAA")

    assert [response.status_code for response in good] == [200] * 3
    assert bad.status_code == 401
    assert not [event for event in env.events if isinstance(event, StoreDegraded)]


async def test_rd02_a_session_goes_on_without_redis(make_env: EnvFactory) -> None:
    """A refresh and its late twin cost one call still, in this process; one event tells of it."""
    env = make_env(project=Project(rotate_refresh=True), redis_url=NOBODY_THERE)
    pair = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"

    responses = [await env.browser().get("/session-of", cookie=cookie) for _ in range(3)]

    assert [response.status_code for response in responses] == [200] * 3
    assert len({response.headers["set-cookie"] for response in responses}) == 1
    assert env.calls("refresh") == 1
    assert [event for event in env.events if isinstance(event, StoreDegraded)] == [
        StoreDegraded("ConnectionError")
    ]
