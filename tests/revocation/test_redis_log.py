"""The revocation log in a real Redis: every process knows every entry, also after faults (RV-04, RV-05)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self, cast

import pytest
from pydantic import SecretStr

from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._revocation.redis_log import RedisRevocationLog
from fastapi_descope._revocation.revocations import Revocations
from fastapi_descope.events import (
    Event,
    EventBus,
    RevocationLogDegraded,
    RevocationLogRecovered,
    StoreDegraded,
)
from tests.faults.redis_proxy import Lost, RedisProxy
from tests.helpers.event_loop import run_ready
from tests.helpers.redis_server import RedisServer
from tests.helpers.redis_topologies import (
    DOCUMENTED_LOG_COMMANDS,
    DOCUMENTED_USER,
    TOPOLOGIES,
    StartRedis,
)

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
ADA = "U2ada"
_DAY = 24 * 3600


class Process:
    """The revocations of one process, and its events."""

    def __init__(self, url: str, *, ttl: float = 30 * _DAY) -> None:
        self.now = 1_800_000_000.0
        self.events: list[Event] = []
        bus = EventBus()
        bus.subscribe(self._record)
        self._changed = asyncio.Condition()
        self._store = RedisRefreshStore(SecretStr(url), project_id=PROJECT, events=bus)
        self.revocations = Revocations(
            self._clock,
            ttl=ttl,
            forget=[lambda _concerns: self._notify()],
            log=lambda deny_list: RedisRevocationLog(
                self._store.client,
                prefix=self._store.prefix,
                deny_list=deny_list,
                clock=self._clock,
                ttl=ttl,
                events=bus,
            ),
        )

    def denies(self, user: str = ADA) -> bool:
        """Return whether a token that was issued now would be denied."""
        return self.revocations.denies("header.payload.signature", user, self.now)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. It is checked after each event and each new entry."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(condition)

    async def until_denied(self, user: str = ADA) -> None:
        """Wait until this process denies the tokens of a user."""
        await self.until(lambda: self.denies(user))

    async def until_shared(self) -> None:
        """Wait until the log has all entries of this process: on a busy machine, writes are repeated."""
        await _poll(self.revocations.are_shared)

    async def until_known(self) -> None:
        """Wait until this process has read the log to its end. It is ready after a second in any case."""
        await _poll(self.revocations.are_known)

    async def __aenter__(self) -> Self:
        await self.revocations.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.revocations.aclose()
        await self._store.aclose()

    def _clock(self) -> float:
        return self.now

    def _record(self, event: Event) -> None:
        self.events.append(event)
        self._notify()

    def _notify(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._notify_all())

    async def _notify_all(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _poll(condition: Callable[[], bool], iterations: int = 10) -> None:
    """Wait until a condition holds. It is checked after so many iterations of the event loop each time."""
    async with asyncio.timeout(60):
        while not condition():
            await run_ready(iterations)


async def _lost(process: Process) -> None:
    await process.until(lambda: any(isinstance(each, RevocationLogDegraded) for each in process.events))


async def _recovered(process: Process) -> None:
    await process.until(lambda: RevocationLogRecovered() in process.events)


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[RedisProxy]:
    """A proxy in front of the Redis, which a test may cut."""
    async with RedisProxy(redis_server.port) as proxy:
        yield proxy


async def test_rv04_revocation_reaches_every_process(redis_server: RedisServer) -> None:
    """Those that are running, and those that start later."""
    async with Process(redis_server.url) as one, Process(redis_server.url) as other:
        await one.revocations.revoke_user(ADA)
        await other.until_denied()

        async with Process(redis_server.url) as late:
            await late.until_known()
            assert late.denies()


@pytest.mark.parametrize("topology", TOPOLOGIES)
async def test_rv04_revocation_reaches_every_process_in_every_topology(
    start_redis: StartRedis, topology: str
) -> None:
    """The user that connects needs only the rights that the documentation names."""
    servers = start_redis(topology)
    for server in servers.servers:
        server.command("ACL", "SETUSER", "app", *DOCUMENTED_USER, *DOCUMENTED_LOG_COMMANDS)
    url = servers.url.replace("//", "//app:password@")
    async with Process(url) as one, Process(url) as other:
        await one.revocations.revoke_user(ADA)
        await other.until_denied()
        async with Process(url) as late:
            await late.until_known()
            assert late.denies()


async def test_rv04_token_of_a_logout_reaches_every_process(redis_server: RedisServer) -> None:
    """It is in the short stream, and a token with a long life in the other."""
    async with Process(redis_server.url) as one, Process(redis_server.url) as other:
        await one.revocations.revoke_tokens(ADA, ["brief"], until=one.now + 600)
        await one.revocations.revoke_tokens(ADA, ["long"])

        await other.until(
            lambda: all(other.revocations.denies(each, ADA, other.now) for each in ("brief", "long"))
        )
        assert not other.denies()
    assert redis_server.command("XLEN", _stream("brief")) == 1
    assert redis_server.command("XLEN", _stream("long")) == 1


def _stream(name: str) -> str:
    return f"fastapi-descope:{PROJECT}:{{revocations}}:{name}"


async def test_rv04_long_log_is_read_to_its_end(redis_server: RedisServer) -> None:
    """In pages, before the first request is authenticated."""
    async with Process(redis_server.url) as one:
        await asyncio.gather(*(one.revocations.revoke_user(f"U2user{number}") for number in range(1200)))
        await one.until_shared()

        async with Process(redis_server.url) as late:
            await late.until_known()
            assert all(late.denies(f"U2user{number}") for number in range(1200))


async def test_rv05_keys_expire_and_hold_no_id(redis_server: RedisServer) -> None:
    """Every key belongs to one slot of a cluster."""
    async with Process(redis_server.url) as one:
        await one.revocations.revoke_user(ADA)
        await one.revocations.revoke_tokens(ADA, ["header.payload.signature"], until=one.now + 600)
        await one.until_shared()

    keys = redis_server.keys()
    assert len(keys) == 4
    for key in keys:
        assert "{revocations}" in key
        assert 0 < cast("int", redis_server.command("PTTL", key)) <= 30 * _DAY * 1000 + 1
    dump = repr([redis_server.command("XRANGE", _stream(name), "-", "+") for name in ("brief", "long")])
    assert not [text for text in (ADA, "header", "payload", "signature") if text in dump + repr(keys)]


async def test_repeated_entry_is_written_once(redis_server: RedisServer) -> None:
    """A retry, and several processes that restore a lost log, do not lengthen it."""
    async with Process(redis_server.url) as one, Process(redis_server.url) as other:
        await asyncio.gather(*(each.revocations.revoke_user(ADA) for each in (one, other, one)))
        await asyncio.gather(one.until_shared(), other.until_shared())

    assert redis_server.command("XLEN", _stream("long")) == 1


async def test_rv05_malformed_entries_are_ignored(redis_server: RedisServer) -> None:
    """Entries before and after them count."""
    async with Process(redis_server.url) as one:
        await one.revocations.revoke_user(ADA)
        for number in range(501):
            redis_server.command("XADD", _stream("long"), "*", "entry", f"{{{number}")
        redis_server.command("XADD", _stream("long"), "*", "another", "field")
        await one.revocations.revoke_user("U2hank")
        await one.until_shared()

        async with Process(redis_server.url) as late:
            await late.until_known()
            assert late.denies()
            assert late.denies("U2hank")


async def test_rv04_partitioned_process_knows_everything_afterwards(
    redis_server: RedisServer, proxy: RedisProxy
) -> None:
    """What others have revoked, and others know what it has revoked itself."""
    async with Process(redis_server.url) as one, Process(proxy.url) as cut_off:
        proxy.cut()
        await one.revocations.revoke_user(ADA)
        await cut_off.revocations.revoke_user("U2hank")
        await _lost(cut_off)
        assert not cut_off.denies()
        assert cut_off.denies("U2hank")

        proxy.restore()

        await cut_off.until_denied()
        await one.until_denied("U2hank")
        assert [type(each) for each in cut_off.events if not isinstance(each, StoreDegraded)][:2] == [
            RevocationLogDegraded,
            RevocationLogRecovered,
        ]


async def test_rv04_silent_connection_is_noticed(redis_server: RedisServer, proxy: RedisProxy) -> None:
    """A NAT that has forgotten it drops its packets. TCP alone would notice it after minutes."""
    async with Process(redis_server.url) as one, Process(proxy.url) as other:
        proxy.lose_connections(Lost.FORGOTTEN)
        await one.revocations.revoke_user(ADA)

        await other.until_denied()


async def test_rv04_empty_redis_gets_back_what_the_processes_know(redis_victim: RedisServer) -> None:
    """A process that starts afterwards knows it, too."""
    async with Process(redis_victim.url) as one, Process(redis_victim.url) as other:
        await one.revocations.revoke_user(ADA)
        await other.until_denied()
        redis_victim.stop()
        await asyncio.gather(_lost(one), _lost(other))
        redis_victim.start()
        await asyncio.gather(_recovered(one), _recovered(other))
        await one.revocations.revoke_user("U2hank")

        async with Process(redis_victim.url) as late:
            await late.until_denied("U2hank")
            await late.until_denied()


async def test_rv04_long_log_is_restored_in_pages(redis_victim: RedisServer) -> None:
    """A task for each entry would hold the event loop, and new entries would not be read meanwhile."""
    users = [f"U2user{number}" for number in range(1200)]
    async with Process(redis_victim.url) as one:
        await asyncio.gather(*(one.revocations.revoke_user(user) for user in users))
        redis_victim.stop()
        await _lost(one)
        redis_victim.start()
        most = 0
        while redis_victim.command("XLEN", _stream("long")) != len(users):
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)

        async with Process(redis_victim.url) as late:
            await late.until_known()
            assert all(late.denies(user) for user in users)
    assert most < 600


async def test_rv04_without_redis_a_process_goes_on_alone(redis_victim: RedisServer) -> None:
    """The first request waits a second at most. A revocation counts in this process."""
    redis_victim.stop()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with Process(redis_victim.url) as alone:
        assert loop.time() - begun < 10
        await alone.revocations.revoke_user(ADA)

        assert alone.denies()
        redis_victim.start()
        await _recovered(alone)
        async with Process(redis_victim.url) as other:
            await other.until_denied()


async def test_rv04_write_that_redis_rejects_is_repeated(redis_victim: RedisServer) -> None:
    """Reading works all the time: no new connection would repeat it."""
    async with Process(redis_victim.url) as one, Process(redis_victim.url) as other:
        redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "1")
        await one.revocations.revoke_user(ADA)
        assert one.denies()
        redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "0")

        await other.until_denied()
        assert [type(each) for each in one.events][:1] == [StoreDegraded]


async def test_rv04_revocation_is_shared_when_redis_has_it(redis_victim: RedisServer) -> None:
    """Not while it is sent: the webhook reports success to Descope, which then never repeats the event."""
    async with RedisProxy(redis_victim.port) as proxy, Process(proxy.url) as process:
        redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "1")
        await process.revocations.revoke_user(ADA)
        assert not process.revocations.are_shared()
        redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await _poll(process.revocations.are_shared, iterations=1)
        assert redis_victim.command("EXISTS", _stream("long")) == 1


async def test_entry_that_expires_before_it_can_be_written_is_dropped(redis_victim: RedisServer) -> None:
    """It would concern no token."""
    async with Process(redis_victim.url) as one:
        redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "1")
        await one.revocations.revoke_tokens(ADA, ["brief"], until=one.now + 600)
        one.now += 700
        redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await one.revocations.revoke_user(ADA)
        async with Process(redis_victim.url) as other:
            await other.until_denied()

    assert redis_victim.command("EXISTS", _stream("brief")) == 0


async def test_long_outage_is_one_event() -> None:
    """However often the process tries again."""
    attempts = asyncio.Queue[None]()

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.put_nowait(None)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Process(url) as alone:
        for _ in range(5):  # redis-py makes two for each of ours
            await asyncio.wait_for(attempts.get(), 60)

    assert [type(each) for each in alone.events] == [RevocationLogDegraded]


async def test_log_that_is_closed_can_be_closed_again(redis_server: RedisServer) -> None:
    """And to wait for it again does not suspend the request."""
    async with Process(redis_server.url) as one:
        await one.until_known()
        with pytest.raises(StopIteration):
            one.revocations.ready().send(None)
        await one.revocations.aclose()


async def test_process_reads_in_each_event_loop(redis_server: RedisServer) -> None:
    """And after it was closed."""
    process = Process(redis_server.url)
    async with process, Process(redis_server.url) as other:
        await process.revocations.aclose()
        await other.revocations.revoke_user(ADA)
        await process.revocations.ready()
        await process.until_denied()


def test_two_event_loops_one_after_the_other(redis_server: RedisServer) -> None:
    """A test client starts one for each request."""
    process = Process(redis_server.url)

    async def run(step: Callable[[], Awaitable[None]]) -> None:
        async with process:
            await step()

    async def nothing() -> None:
        assert not process.denies()

    async def revoked() -> None:
        await process.until_denied()

    async def revoke() -> None:
        async with Process(redis_server.url) as other:
            await other.revocations.revoke_user(ADA)
            await other.until_shared()

    asyncio.run(run(nothing))
    asyncio.run(revoke())
    asyncio.run(run(revoked))
