"""Fixtures: refresh stores of both kinds, emulators, and clients of Descope's Python SDK."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import certifi
import pytest
from descope import DescopeClient, DescopeClientAsync
from pydantic import SecretStr

from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, AccessKey, Emulator, Grants, Project, SigningKey
from fastapi_descope.emulator.server import running
from fastapi_descope.events import EventBus
from fastapi_descope.testing import StorePair
from tests.helpers.fake_clock import FakeClock
from tests.helpers.redis_topologies import TOPOLOGIES, RunningRedis, StartRedis

TENANT_KEY = AccessKey(
    "K2TENANT", "tenant-access-key", tenants={"acme": Grants(("viewer",), ("reports.read",))}
)

Client = DescopeClient | DescopeClientAsync
Connect = Callable[..., Client]
Serve = Callable[..., tuple[Emulator, str]]


def memory_stores() -> StorePair:
    """Return a store in memory, twice."""
    clock = FakeClock()

    def advance(seconds: float) -> None:
        clock.now += seconds

    store = MemoryRefreshStore(clock)
    return StorePair(store, store, advance)


def redis_stores(server: RunningRedis) -> StorePair:
    """Return the stores of two processes that share a Redis."""
    clock, events = FakeClock(), EventBus()

    def advance(seconds: float) -> None:
        clock.now += seconds
        server.elapse(seconds)

    def store() -> RedisRefreshStore:
        # So long a timeout that a busy machine does not look like an outage.
        url = SecretStr(server.url)
        return RedisRefreshStore(url, project_id="P1", events=events, monotonic=clock, timeout=10.0)

    return StorePair(store(), store(), advance)


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.redis) for name in TOPOLOGIES)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[StorePair]:
    """Return the stores of each kind: in memory, and in Redis in every topology."""
    if request.param == "memory":
        pair = memory_stores()
    else:
        start: StartRedis = request.getfixturevalue("start_redis")
        pair = redis_stores(start(request.param))
    yield pair
    await pair.store.aclose()
    await pair.other.aclose()


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """Return the key of all emulators of the run. Generating a key takes longer than a test."""
    return SigningKey.generate()


@pytest.fixture
def serve(signing_key: SigningKey) -> Iterator[Serve]:
    """Return a function that starts an emulator with a project and returns it with its base URL."""
    with ExitStack() as stack:

        def start(project: Project | None = None) -> tuple[Emulator, str]:
            emulator = Emulator(project, signing_key=signing_key.with_new_kid())
            return emulator, stack.enter_context(running(emulator))

        yield start


@pytest.fixture(scope="session")
def ca_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a bundle with one certificate authority. No test uses TLS, and a full bundle loads slowly."""
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    first, end, _ = Path(certifi.where()).read_text("utf-8").partition("-----END CERTIFICATE-----\n")
    path.write_text(first + end, "utf-8")
    return path


@pytest.fixture(params=["sync", "async"])
async def connect(
    request: pytest.FixtureRequest, ca_bundle: Path, variables: Callable[..., None]
) -> AsyncIterator[Connect]:
    """Return a function that creates clients of Descope's Python SDK, all synchronous or all asynchronous."""
    variables(SSL_CERT_FILE=str(ca_bundle), REQUESTS_CA_BUNDLE=str(ca_bundle))
    async with AsyncExitStack() as stack:

        def create(
            base_url: str, *, auth_key: str | None = None, management_key: str | None = None
        ) -> Client:
            kind = DescopeClient if request.param == "sync" else DescopeClientAsync
            client = kind(
                DEFAULT_PROJECT_ID,
                base_url=base_url,
                auth_management_key=auth_key,
                management_key=management_key,
            )
            if isinstance(client, DescopeClientAsync):
                stack.push_async_callback(client.aclose)
            return client

        yield create
