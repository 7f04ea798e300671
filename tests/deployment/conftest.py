"""The upstream of all servers: one emulator and one Redis."""

from collections.abc import Callable, Iterator

import pytest

from fastapi_descope.emulator import Emulator, JwtPair, Project
from fastapi_descope.emulator.server import running
from tests.faults.fleet import LONG_TIMEOUTS
from tests.helpers.redis_server import RedisServer

ADA = "ada@acme.example"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """Run an emulator that rotates refresh tokens and accepts none twice."""
    emulator = Emulator(Project(rotate_refresh=True))
    with running(emulator):
        yield emulator


@pytest.fixture(scope="module")
def variables_for(emulator: Emulator, shared_redis: RedisServer) -> Callable[[str], dict[str, str]]:
    """Return the settings of an app at a URL."""

    def variables(url: str) -> dict[str, str]:
        return {
            "DESCOPE_PROJECT_ID": emulator.project_id,
            "DESCOPE_BASE_URL": emulator.base_url,
            "DESCOPE_PUBLIC_URL": url,
            "DESCOPE_REDIS_URL": shared_redis.url,
            **LONG_TIMEOUTS,
        }

    return variables


@pytest.fixture
def expired_pair(emulator: Emulator) -> JwtPair:
    """Return the tokens of a session that has expired."""
    return emulator.issue(ADA, "acme", session_seconds=-60)
