"""A revocation in a fleet: four processes of uvicorn with a real Redis."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.helpers.redis_server import RedisServer
from tests.helpers.revocation_fleet import project_with_users, running_workers, seconds_until_refused

pytestmark = [pytest.mark.anyio, pytest.mark.redis, pytest.mark.slow]

_ROUNDS = 5


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator."""
    emulator = Emulator(project_with_users(_ROUNDS))
    with running(emulator):
        yield emulator


async def test_rv02_rv03_every_process_refuses_a_revoked_user_within_a_second(
    emulator: Emulator, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Requests with a session that is in the cache, idle WebSockets, and idle event streams."""
    with running_workers(emulator, redis_server.url, tmp_path) as urls:
        rounds = [
            await seconds_until_refused(emulator, user.login_id, urls) for user in emulator.project.users
        ]

    # Each round has revoked the user. A process that had to wait for the machine is no reason to fail.
    assert median(max(each.requests, each.websockets, each.streams) for each in rounds) < 1
