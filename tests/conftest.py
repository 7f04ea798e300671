"""Fixtures that every test may use."""

import gc
import os
from collections.abc import Callable, Iterator

import greenlet  # type: ignore[import-untyped] # its wheels have no types
import pytest
from hypothesis import Phase, settings

from tests.helpers.app_harness import EnvFactory, build_app_harness
from tests.helpers.emulator import emulator_process
from tests.helpers.otel_sdk import Sdk
from tests.helpers.postgres_server import PostgresServer, postgres_server
from tests.helpers.redis_server import RedisServer
from tests.helpers.redis_topologies import TOPOLOGIES, RunningRedis, StartRedis

# On a busy machine an example may take long for no fault of its own. The suite tries the same examples
# each time; HYPOTHESIS_PROFILE=slow tries new ones, and 50 000 of each.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("slow", deadline=None, max_examples=50_000)
# That a test fails is enough: its example is not shrunk.
settings.register_profile("removals", settings.get_profile("suite"), phases=(Phase.explicit, Phase.generate))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_configure() -> None:
    """Of the processes that a worker of pytest-xdist starts, none is measured."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.pop("COVERAGE_PROCESS_START", None)
    if os.environ.get("COVERAGE_GREENLET") == "thread":
        greenlet.settrace(_refuse_greenlets)


def _refuse_greenlets(event: str, _: object) -> None:
    # Coverage does not follow them in this run, and would take lines of one module for those of another.
    pytest.fail(f"greenlet {event}: add this test to `greenlets` or `unmeasured` in scripts/test")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from visiting all tests again and again."""
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """The package is asyncio's: uvicorn, redis-py and background refreshes all live there."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a ``DESCOPE_*`` variable that it did not set itself."""
    for name in os.environ:
        if name.upper().startswith("DESCOPE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets environment variables; those of the ``DESCOPE_`` ones that a test sets are all there are."""

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.fixture
def make_env() -> EnvFactory:
    """Builds a make_env: an app, the emulator and browsers, all in this process."""
    return build_app_harness


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    """An OpenTelemetry SDK in memory, without series and spans."""
    made = Sdk()
    yield made
    made.close()


@pytest.fixture(scope="session")
def typed_emulator() -> Iterator[str]:
    """The URL of the one emulator of the run that is a process of its own, started by its command."""
    with emulator_process() as url:
        yield url


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The real Redis of the run; scripts/setup installs it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    print(f"redis-server {server.version} on port {server.port}")  # noqa: T201 - which one it was
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRedis]:
    """Start a Redis of a topology once in a run."""
    started: dict[str, RunningRedis] = {}

    def start(name: str) -> RunningRedis:
        if name not in started:
            started[name] = TOPOLOGIES[name](tmp_path_factory.mktemp(name))
        return started[name]

    yield start
    for each in started.values():
        each.stop()


@pytest.fixture
def start_redis(redis_of_the_run: StartRedis) -> StartRedis:
    """Return a Redis of a topology without keys; not to be ill-treated."""

    def start(name: str) -> RunningRedis:
        running = redis_of_the_run(name)
        running.flush()
        return running

    return start


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """A Redis that knows nothing yet; not to be ill-treated."""
    shared_redis.command("FLUSHALL")
    return shared_redis


@pytest.fixture
def redis_victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for one test, which may stop it, suspend it or spoil its configuration."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The real PostgreSQL of the run; scripts/setup installs it. Each test creates a database of its own."""
    with postgres_server() as server:
        yield server
