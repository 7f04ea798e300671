"""An unreachable Redis: requests succeed, and one event is emitted (RD-01, RD-02)."""

import pytest

from fastapi_descope.emulator import Project
from fastapi_descope.events import StoreDegraded
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio

UNREACHABLE_REDIS = "redis://127.0.0.1:1/0"


async def test_rd01_tokens_are_verified_without_redis(make_env: EnvFactory) -> None:
    """A valid session is accepted without a call to Redis. A forged token is rejected."""
    env = make_env(redis_url=UNREACHABLE_REDIS)
    pair = env.emulator.issue("ada@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"

    valid = [await env.browser().get("/session-of", cookie=cookie) for _ in range(3)]
    forged = await env.browser().get("/session-of", cookie=f"DS={pair.session_jwt[:-8]}AAAAAAAA")

    assert [response.status_code for response in valid] == [200] * 3
    assert forged.status_code == 401
    assert not [event for event in env.events if isinstance(event, StoreDegraded)]


async def test_rd02_session_is_refreshed_without_redis(make_env: EnvFactory) -> None:
    """A refresh and late requests make one call in this process. One event is emitted."""
    env = make_env(project=Project(rotate_refresh=True), redis_url=UNREACHABLE_REDIS)
    pair = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"

    responses = [await env.browser().get("/session-of", cookie=cookie) for _ in range(3)]

    assert [response.status_code for response in responses] == [200] * 3
    assert len({response.headers["set-cookie"] for response in responses}) == 1
    assert env.calls("refresh") == 1
    assert [event for event in env.events if isinstance(event, StoreDegraded)] == [
        StoreDegraded("ConnectionError")
    ]
