"""``Descope.ready``: whether an app can verify sessions, for readiness probes."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope.events import (
    Event,
    JwksFetched,
    JwksFetchFailed,
    RevocationLogDegraded,
    RevocationLogRecovered,
)
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.event_loop import run_ready
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def _next_fetch(env: AppHarness) -> Event:
    """Wait until the running fetch has ended, and return its event."""
    events = asyncio.Queue[Event]()
    stop = env.descope.events.subscribe(events.put_nowait)
    async with asyncio.timeout(30):  # no fetch is running if ready() has started none
        event = await events.get()
    stop()
    await run_ready()
    return event


async def test_an_app_is_ready_once_its_keys_are_loaded(make_env: EnvFactory) -> None:
    """The first probe starts the fetch, so an app without a lifespan becomes ready too."""
    env = make_env()
    assert not env.descope.ready()

    assert await _next_fetch(env) == JwksFetched(1)

    assert env.descope.ready()
    assert env.calls("keys") == 1


async def test_the_lifespan_makes_an_app_ready(make_env: EnvFactory) -> None:
    """No probe is needed for the first fetch."""
    env = make_env()

    async with env.descope.lifespan(env.app):
        assert await _next_fetch(env) == JwksFetched(1)
        assert env.descope.ready()


async def test_probes_make_an_app_ready_after_descope_was_down_at_its_start(make_env: EnvFactory) -> None:
    """An app that gets no requests until it is ready fetches the keys all the same, at most once a second."""
    env = make_env()
    env.emulator.faults.add("keys", status=500)
    assert not env.descope.ready()
    assert isinstance(await _next_fetch(env), JwksFetchFailed)
    assert [env.descope.ready() for _ in range(10)] == [False] * 10
    await run_ready()
    assert env.calls("keys") == 1

    env.emulator.clock.advance(1)
    assert not env.descope.ready()
    assert await _next_fetch(env) == JwksFetched(1)

    assert env.descope.ready()


async def test_an_outage_of_descope_changes_nothing_while_the_keys_may_be_used(make_env: EnvFactory) -> None:
    """Until DESCOPE_JWKS_MAX_STALE seconds after the last fetch."""
    env = make_env(jwks_max_stale=3600)
    assert not env.descope.ready()
    assert await _next_fetch(env) == JwksFetched(1)
    env.emulator.faults.add("keys", status=500, times=10)

    env.emulator.clock.advance(3599)
    assert env.descope.ready()
    assert isinstance(await _next_fetch(env), JwksFetchFailed)
    env.emulator.clock.advance(1)

    assert not env.descope.ready()


async def test_an_outage_of_redis_does_not_count(make_env: EnvFactory) -> None:
    """Without Redis each process works alone."""
    env = make_env(redis_url="redis://127.0.0.1:1/0")

    await env.browser().sign_in()

    assert env.descope.ready()


@pytest.mark.redis
async def test_rv04_process_that_starts_without_redis_does_not_know_the_revocations(
    make_env: EnvFactory, redis_victim: RedisServer
) -> None:
    """It is ready all the same, unless the probe requires them. Later outages do not count."""
    env = make_env(redis_url=redis_victim.url)
    events = asyncio.Queue[Event]()
    env.descope.events.subscribe(events.put_nowait)
    redis_victim.stop()
    async with asyncio.timeout(30), env.descope.lifespan(env.app):
        await _until(events, JwksFetched, RevocationLogDegraded)
        assert (env.descope.ready(), env.descope.ready(revocations=True)) == (True, False)

        redis_victim.start()
        await _until(events, RevocationLogRecovered)
        assert env.descope.ready(revocations=True)

        redis_victim.stop()
        await _until(events, RevocationLogDegraded)
        assert env.descope.ready(revocations=True)


async def test_without_redis_there_are_no_revocations_to_know(make_env: EnvFactory) -> None:
    """Those of this process are all there are."""
    env = make_env()
    await env.browser().sign_in()

    assert env.descope.ready(revocations=True)


async def _until(events: asyncio.Queue[Event], *kinds: type[Event]) -> None:
    """Wait until an event of each kind was emitted."""
    missing = set(kinds)
    while missing:
        missing.discard(type(await events.get()))


async def test_an_endpoint_without_async_gets_an_error(make_env: EnvFactory) -> None:
    """A thread could not start the fetch, and the app would never become ready."""
    env = make_env()
    app = FastAPI()

    @app.get("/readyz")
    def readyz() -> bool:
        return env.descope.ready()

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example") as client:
        with pytest.raises(RuntimeError, match="no running event loop"):
            await client.get("/readyz")
