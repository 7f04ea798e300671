"""The revocations that one process knows."""

import gc
import itertools
from collections.abc import Callable, Iterator

import pytest

from fastapi_descope._revocation.deny_list import DenyList
from fastapi_descope._revocation.entry import Revocation
from fastapi_descope._revocation.revocations import Revocations
from tests.helpers.fake_clock import FakeClock

ADA, HANK = "U2ada", "U2hank"


def _token(text: str, until: float = 2000) -> Revocation:
    return Revocation.of_token(text, ADA, until=until)


def _user(before: float, until: float = 2000) -> Revocation:
    return Revocation.of_user(ADA, before=before, until=until)


@pytest.fixture
def clock() -> FakeClock:
    """A clock at 1000."""
    return FakeClock()


@pytest.fixture
def deny_list(clock: FakeClock) -> DenyList:
    """An empty list."""
    return DenyList(clock)


def test_rv01_denied_token_is_denied_until_its_entry_expires(deny_list: DenyList, clock: FakeClock) -> None:
    """Other tokens of the user are not."""
    deny_list.add([_token("one")])

    assert deny_list.denies("one", ADA, 900)
    assert not deny_list.denies("two", ADA, 900)
    clock.now = 2001
    assert not deny_list.denies("one", ADA, 900)


@pytest.mark.parametrize(("issued_at", "is_denied"), [(899, True), (900, True), (901, False)])
def test_rv02_cut_off_includes_its_own_second(
    deny_list: DenyList, issued_at: int, *, is_denied: bool
) -> None:
    """The times in tokens are whole seconds."""
    deny_list.add([_user(900.7)])

    assert deny_list.denies("any", ADA, issued_at) is is_denied
    assert not deny_list.denies("any", HANK, issued_at)
    assert not deny_list.is_stale(ADA, issued_at)


@pytest.mark.parametrize("order", list(itertools.permutations([100, 300, 200])))
def test_rv02_of_several_cut_offs_the_latest_counts(order: tuple[int, ...]) -> None:
    """In whatever order they arrive."""
    deny_list = DenyList(FakeClock())

    for before in order:
        deny_list.add([_user(before)])

    assert deny_list.denies("any", ADA, 300)
    assert not deny_list.denies("any", ADA, 301)


def test_stale_entry_denies_nothing(deny_list: DenyList) -> None:
    """It is a reason to refresh."""
    deny_list.add([Revocation.of_user(ADA, before=900, until=2000, kind="stale")])

    assert deny_list.is_stale(ADA, 900)
    assert not deny_list.is_stale(ADA, 901)
    assert not deny_list.denies("any", ADA, 900)


def test_expired_entry_is_not_added(deny_list: DenyList) -> None:
    """A process that reads an old log does nothing for such entries."""
    deny_list.add([_token("one", until=998)])

    assert deny_list.entries() == ()


def test_rv01_new_entries_evict_what_is_cached_for_their_users_once() -> None:
    """An entry that is known evicts nothing."""
    evicted: list[tuple[bool, bool]] = []

    def forget(concerns: Callable[[str], bool]) -> None:
        evicted.append((concerns(ADA), concerns(HANK)))

    deny_list = DenyList(FakeClock(), [forget])
    deny_list.add([_token("one"), _token("two")])
    deny_list.add([_token("one")])
    deny_list.add([])

    assert evicted == [(True, False)]


class _Connection:
    """Counts its notifications."""

    def __init__(self) -> None:
        self.notified = 0

    def notify(self) -> None:
        """Count."""
        self.notified += 1


def test_rv03_watchers_of_a_user_are_notified(deny_list: DenyList) -> None:
    """Each time that an entry about the user arrives."""
    first, second, other = _Connection(), _Connection(), _Connection()
    deny_list.watch(ADA, first.notify)
    deny_list.watch(ADA, second.notify)
    deny_list.watch(HANK, other.notify)

    deny_list.add([_token("one")])
    deny_list.add([_user(900)])

    assert (first.notified, second.notified, other.notified) == (2, 2, 0)


def test_watcher_ends_with_its_object(deny_list: DenyList) -> None:
    """Connections come and go; the list keeps none of them."""
    first, second = _Connection(), _Connection()
    deny_list.watch(ADA, first.notify)
    deny_list.watch(ADA, second.notify)

    del first
    gc.collect()
    deny_list.add([_token("one")])

    assert second.notified == 1
    del second
    gc.collect()
    deny_list.add([_token("two")])
    third = _Connection()
    deny_list.watch(ADA, third.notify)
    deny_list.add([_token("three")])
    assert third.notified == 1


@pytest.fixture
def collect_after() -> Iterator[Callable[[int], None]]:
    """A function that lets the garbage collector run once a number of objects have been created."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()

    def collect_after(created: int) -> None:
        gc.set_threshold(gc.get_count()[0] + created, 1, 1)
        gc.enable()

    yield collect_after
    gc.set_threshold(*thresholds)
    gc.enable()


def _watch_with_garbage(deny_list: DenyList) -> None:
    """Watch with a connection that has ended, and that only the garbage collector frees."""
    connection = _Connection()
    vars(connection)["itself"] = connection
    deny_list.watch(ADA, connection.notify)


@pytest.mark.parametrize("created", range(20))
def test_rv03_watchers_are_notified_while_garbage_is_collected(
    collect_after: Callable[[int], None], created: int
) -> None:
    """The collector runs at any moment, and removes the watchers of connections that have ended."""
    deny_list, connections = DenyList(FakeClock(), [lambda _: collect_after(created)]), list[_Connection]()
    for _ in range(10):
        _watch_with_garbage(deny_list)
        connections.append(_Connection())
        deny_list.watch(ADA, connections[-1].notify)

    deny_list.add([_user(900)])

    assert [each.notified for each in connections] == [1] * 10


@pytest.mark.parametrize("created", range(20))
def test_rv03_connection_is_watched_while_garbage_is_collected(
    deny_list: DenyList, collect_after: Callable[[int], None], created: int
) -> None:
    """The collector removes the only other watcher of the user."""
    _watch_with_garbage(deny_list)
    connection = _Connection()
    collect_after(created)
    deny_list.watch(ADA, connection.notify)

    deny_list.add([_user(900)])

    assert connection.notified == 1


@pytest.mark.anyio
async def test_without_a_log_every_revocation_is_shared() -> None:
    """There is one process."""
    revocations = Revocations(FakeClock(), ttl=1000)
    await revocations.ready()

    assert await revocations.revoke_user(ADA) is True
    assert await revocations.revoke_user(ADA) is False
    assert revocations.are_shared()
    await revocations.aclose()


def test_expired_entries_are_removed(deny_list: DenyList, clock: FakeClock) -> None:
    """The memory of a process that sees many logouts stays bounded."""
    sizes: list[int] = []
    for second in range(5000):
        clock.now = 1000.0 + second
        deny_list.add([_token(str(second), until=clock.now + 10)])
        sizes.append(len(deny_list.entries()))

    assert max(sizes) == 11
    assert len(vars(deny_list)["_entries"]) <= 1024 + 11
