"""The two kinds of refresh store, each with what a test needs from outside."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from fastapi_descope.core.redis_store import RedisRefreshStore
from fastapi_descope.core.refresh_store import MemoryRefreshStore, RefreshStore
from fastapi_descope.events import Events
from tests.support.hand_clock import HandClock
from tests.support.redis_server import RedisServer


@dataclass(frozen=True, slots=True)
class Bench:
    """A store, the store that another process would have (the same one, if there is one process only).

    ``elapse`` lets seconds pass for both.
    """

    store: RefreshStore
    other: RefreshStore
    elapse: Callable[[float], None]


def bench_in_memory() -> Bench:
    """The store of one process."""
    clock = HandClock()

    def elapse(seconds: float) -> None:
        clock.now += seconds

    store = MemoryRefreshStore(clock)
    return Bench(store, store, elapse)


def bench_on_redis(server: RedisServer) -> Bench:
    """The store of a fleet of two."""
    clock, events = HandClock(), Events()

    def elapse(seconds: float) -> None:
        clock.now += seconds
        server.elapse(seconds)

    def store() -> RedisRefreshStore:
        return RedisRefreshStore(SecretStr(server.url), project_id="P1", events=events, monotonic=clock)

    return Bench(store(), store(), elapse)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A bench of each kind."""
    made = bench_in_memory()
    if request.param == "redis":
        made = bench_on_redis(request.getfixturevalue("redis_server"))
    yield made
    await made.store.aclose()
    await made.other.aclose()
