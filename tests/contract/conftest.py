"""The two kinds of refresh store and of Descope's Python client, with what a test needs from outside."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import certifi
import pytest
from descope import DescopeClient, DescopeClientAsync
from pydantic import SecretStr

from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import MemoryRefreshStore, RefreshStore
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, AccessKey, Emulator, Grants, Project, SigningKey
from fastapi_descope.emulator.server import running
from fastapi_descope.events import EventBus
from tests.helpers.fake_clock import FakeClock
from tests.helpers.redis_server import RedisServer

TENANT_KEY = AccessKey(
    "K2TENANT", "tenant-access-key", tenants={"acme": Grants(("viewer",), ("reports.read",))}
)

Client = DescopeClient | DescopeClientAsync
Connect = Callable[..., Client]
Serve = Callable[..., tuple[Emulator, str]]


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
    clock = FakeClock()

    def elapse(seconds: float) -> None:
        clock.now += seconds

    store = MemoryRefreshStore(clock)
    return Bench(store, store, elapse)


def bench_on_redis(server: RedisServer) -> Bench:
    """The store of a fleet of two."""
    clock, events = FakeClock(), EventBus()

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


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """One for all emulators of the run, under another id in each: to make it takes longer than a test."""
    return SigningKey.generate()


@pytest.fixture
def serve(signing_key: SigningKey) -> Iterator[Serve]:
    """Starts an emulator with a project; the value is the emulator and its base URL."""
    with ExitStack() as stack:

        def start(project: Project | None = None) -> tuple[Emulator, str]:
            emulator = Emulator(project, signing_key=signing_key.with_new_kid())
            return emulator, stack.enter_context(running(emulator))

        yield start


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of one certificate authority. There is no TLS here, and all of them take long to load."""
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    first, end, _ = Path(certifi.where()).read_text("utf-8").partition("-----END CERTIFICATE-----\n")
    path.write_text(first + end, "utf-8")
    return path


@pytest.fixture(params=["sync", "async"])
async def connect(
    request: pytest.FixtureRequest, one_authority: Path, variables: Callable[..., None]
) -> AsyncIterator[Connect]:
    """Makes clients of Descope's Python SDK, all synchronous or all asynchronous ones."""
    variables(SSL_CERT_FILE=str(one_authority), REQUESTS_CA_BUNDLE=str(one_authority))
    async with AsyncExitStack() as stack:

        def made(base_url: str, *, auth_key: str | None = None, management_key: str | None = None) -> Client:
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

        yield made
