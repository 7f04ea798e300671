"""The cache of access keys without the web layer: its bounds, and what is emitted once (AK-02)."""

import asyncio
import gc
from hashlib import sha256

import pytest

from fastapi_descope._auth.access_keys import AccessKeys, looks_like_access_key
from fastapi_descope._lru_dict import LruDict
from fastapi_descope.emulator import AccessKey, Project
from fastapi_descope.errors import InvalidAccessKey, TokenError, TooManyAttempts
from fastapi_descope.events import AccessKeyExchanged, Event, EventBus
from tests.helpers.auth_harness import ADA, ADA_ID, AuthHarness
from tests.helpers.event_loop import run_ready

pytestmark = pytest.mark.anyio

PROJECT = Project(access_keys=tuple(AccessKey(f"K2{name}", f"K2secret-{name}") for name in "abc"))


def _access_keys(core: AuthHarness, cache_size: int, events: list[Event] | None = None) -> AccessKeys:
    bus = EventBus()
    if events is not None:
        bus.subscribe(events.append)
    return AccessKeys(
        core.api,
        core.tokens,
        core.verifier,
        events=bus,
        clock=core.clock,
        monotonic=core.clock,
        leeway=5,
        cache_size=cache_size,
    )


async def test_ak02_least_recently_used_machine_is_forgotten_first() -> None:
    """The number of machines in memory is bounded. A forgotten key is exchanged again."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=2)
    for name in "abaca":
        assert (await keys.machine(f"K2secret-{name}", None)).machine.id == f"K2{name}"
    assert core.calls("access_key") == 3

    await keys.machine("K2secret-b", None)
    assert core.calls("access_key") == 4


async def test_ak02_number_of_refusals_in_memory_is_bounded() -> None:
    """The oldest is forgotten first."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=2)
    for name, calls in (("x", 1), ("y", 2), ("x", 2), ("z", 3), ("x", 4)):
        with pytest.raises(InvalidAccessKey):
            await keys.machine(f"K2wrong-{name}", None)
        assert core.calls("access_key") == calls


async def test_ak02_machine_and_refusal_end_at_the_second() -> None:
    """A machine when its session ends less the leeway, and a refusal after 30 seconds."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=2)
    await keys.machine("K2secret-a", None)
    with pytest.raises(InvalidAccessKey):
        await keys.machine("K2wrong-a", None)

    core.clock.advance(30)
    with pytest.raises(InvalidAccessKey):
        await keys.machine("K2wrong-a", None)
    assert core.calls("access_key") == 3

    core.clock.advance(600 - 5 - 30)
    await keys.machine("K2secret-a", None)
    assert core.calls("access_key") == 4


async def test_ak02_event_names_the_tenant_of_the_key() -> None:
    """If the project adds one to the session."""
    core = AuthHarness(PROJECT)
    events: list[Event] = []
    keys = _access_keys(core, cache_size=2, events=events)
    session = core.emulator.issue(ADA, "acme").session_jwt
    core.emulator.faults.add("access_key", body={"keyId": "K2a", "sessionJwt": session})

    await keys.machine("K2secret-a", None)

    assert events == [AccessKeyExchanged("K2a", ADA_ID, "acme")]


async def test_ak02_shutdown_cancels_an_exchange_that_takes_too_long() -> None:
    """Its request does not wait for ever."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=2)
    core.emulator.faults.add("access_key", hold=True)
    request = asyncio.ensure_future(keys.machine("K2secret-a", None))
    await run_ready()

    await keys.drain(0)

    assert request.done()
    assert request.cancelled()


async def _spend(keys: AccessKeys, address: str) -> None:
    """Use up the attempts of a client, less one."""
    for number in range(9):
        with pytest.raises(InvalidAccessKey):
            await keys.machine(f"K2wrong-{number}", address)


async def test_ak05_request_joins_an_exchange_without_an_attempt_of_its_own() -> None:
    """The client has none left, but its key is on its way to Descope."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=20)
    await _spend(keys, "192.0.2.1")
    core.emulator.faults.add("access_key", hold=True)
    requests = [asyncio.ensure_future(keys.machine("K2secret-a", "192.0.2.1")) for _ in range(2)]
    await run_ready()
    requests.append(asyncio.ensure_future(keys.machine("K2secret-a", "192.0.2.1")))
    await run_ready()
    core.emulator.faults.release()

    known = await asyncio.gather(*requests)

    assert {each.machine.id for each in known} == {"K2a"}
    assert core.calls("access_key") == 10


async def test_ak05_client_without_attempts_does_not_wait_for_a_connection() -> None:
    """Nor does it occupy a place in the queue of those who have some."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=20)
    await _spend(keys, "192.0.2.1")
    with pytest.raises(InvalidAccessKey):
        await keys.machine("K2wrong-last", "192.0.2.1")
    core.emulator.faults.add("access_key", hold=True, times=4)
    held = [asyncio.ensure_future(keys.machine(f"K2held-{n}", f"198.51.100.{n}")) for n in range(4)]
    await run_ready()

    refused = asyncio.ensure_future(keys.machine("K2secret-a", "192.0.2.1"))
    await run_ready()

    assert isinstance(refused.exception(), TooManyAttempts)
    core.emulator.faults.clear()
    await asyncio.gather(*held, return_exceptions=True)


async def test_ak02_memory_has_digests_instead_of_keys() -> None:
    """After an exchange, whether the key was accepted or refused."""
    core = AuthHarness(PROJECT)
    keys = _access_keys(core, cache_size=2)
    accepted, refused = "K2secret-a", "K2wrong-a"
    await keys.machine(accepted, "192.0.2.1")
    with pytest.raises(InvalidAccessKey):
        await keys.machine(refused, "192.0.2.1")

    texts = _texts_in_memory(keys)

    assert texts.issuperset(sha256(key.encode()).digest() for key in (accepted, refused))
    for key in (accepted, refused):
        assert key not in "".join(each for each in texts if isinstance(each, str))
        assert key.encode() not in b"".join(each for each in texts if isinstance(each, bytes))


def _texts_in_memory(root: object) -> set[str | bytes]:
    """Return the texts that an object refers to, through containers and other objects of ``_auth``."""
    seen: set[int] = set()
    texts: set[str | bytes] = set()
    queue = [root]
    while queue:
        each = queue.pop()
        if isinstance(each, (str, bytes)):
            texts.add(each)
        elif id(each) not in seen and (type(each) in _CONTAINERS or type(each).__module__ in _MODULES):
            seen.add(id(each))
            queue.extend(gc.get_referents(each))
    return texts


_CONTAINERS = {dict, list, tuple, LruDict}
_MODULES = {
    "fastapi_descope._auth.access_keys",
    "fastapi_descope._auth.attempt_limits",
    "fastapi_descope._concurrency",
    "fastapi_descope.callers",
}


@pytest.mark.parametrize("bearer", ["K2secret:a", "K2secret,a", "K2secret a", "K2secret\x7f", "K2secret\n"])
def test_ak01_access_key_has_no_character_with_a_meaning_in_a_header(bearer: str) -> None:
    """A colon separates the parts of the bearer that Descope gets, and a comma the values of a header."""
    assert not looks_like_access_key(bearer)
    assert looks_like_access_key("K2secret-a")


@pytest.mark.parametrize("key", ["", "a:b", "line\nbreak", "K2\u20ac"])
async def test_ak01_key_that_no_header_can_carry_is_not_sent(key: str) -> None:
    """The client of the API checks it too: the text of an error of h11 would contain the header."""
    core = AuthHarness(PROJECT)
    with pytest.raises(TokenError):
        await core.api.exchange_access_key(key)
    assert not looks_like_access_key(key)
    assert core.calls("access_key") == 0
