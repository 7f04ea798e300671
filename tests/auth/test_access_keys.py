"""The cache of access keys without the web layer: its bounds, and what is emitted once (AK-02)."""

import gc
from collections import OrderedDict, deque
from hashlib import sha256

import pytest

from fastapi_descope._auth.access_keys import AccessKeys, looks_like_access_key
from fastapi_descope.emulator import AccessKey, Project
from fastapi_descope.errors import InvalidAccessKey, TokenError
from fastapi_descope.events import EventBus
from tests.helpers.auth_harness import AuthHarness

pytestmark = pytest.mark.anyio

PROJECT = Project(access_keys=tuple(AccessKey(f"K2{name}", f"K2secret-{name}") for name in "abc"))


def _access_keys(core: AuthHarness, cache_size: int) -> AccessKeys:
    return AccessKeys(
        core.api,
        core.tokens,
        core.verifier,
        events=EventBus(),
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


_CONTAINERS = {dict, list, tuple, deque, OrderedDict}
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
