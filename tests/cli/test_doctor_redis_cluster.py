"""The check of a Redis Cluster, which responds but cannot be used."""

import httpx
import pytest

from fastapi_descope._cli.checks import CheckResult, Severity
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope.emulator import Emulator
from tests.helpers.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def test_a_redis_cluster_fails(redis_victim: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node responds to pings, but holds only some of the keys."""
    redis_victim.stop()
    redis_victim.start("--cluster-enabled", "yes")
    emulator = Emulator()
    monkeypatch.setenv("DESCOPE_PROJECT_ID", emulator.project_id)
    monkeypatch.setenv("DESCOPE_BASE_URL", "http://127.0.0.1:8787")
    monkeypatch.setenv("DESCOPE_REDIS_URL", redis_victim.url)

    results = list(await Doctor(variables={}, transport=httpx.ASGITransport(emulator)).run_checks())

    text = "Redis Cluster is not supported; use a Redis with one primary, with or without replicas"
    assert CheckResult("redis.cluster", Severity.FAIL, text) in results
