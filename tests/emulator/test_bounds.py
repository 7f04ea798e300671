"""An emulator may run for days: what it keeps of the past has an end."""

import gc
from collections import Counter
from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Call, Clock, Emulator, Journal
from fastapi_descope.emulator.logins import ConfirmedLogin, Login
from fastapi_descope.emulator.token_families import TokenFamily

pytestmark = pytest.mark.anyio

Make = Callable[..., Emulator]
Ask = Callable[..., Coroutine[None, None, httpx.Response]]

WEEK = 7 * 24 * 3600


def _alive(*kinds: type) -> Counter[type]:
    """How many objects of these kinds there are in the process, on top of what the test has not made."""
    gc.collect()
    found: list[object] = gc.get_objects()
    return Counter(kind for kind in kinds for each in found if type(each) is kind)


async def test_sign_ins_that_came_to_nothing_are_forgotten(
    make: Make, clock: Clock, call: Ask, get_code: Callable[..., Coroutine[None, None, str]]
) -> None:
    """Pages that nobody answered, and codes that nobody exchanged, are gone when their time is over."""
    emulator, before = make(), _alive(Login, ConfirmedLogin)
    query = {"tenant": "acme", "redirectURL": "http://localhost:8000/callback"}
    most: Counter[type] = Counter()
    for _ in range(4):
        for _ in range(10):
            await call(emulator, "POST", "/v1/auth/sso/authorize", params=query)
            await get_code(emulator)
        most |= _alive(Login, ConfirmedLogin) - before
        clock.advance(3600)

    assert most == {Login: 20, ConfirmedLogin: 10}  # of one hour, and a code still knows its login


async def test_sessions_are_forgotten_after_their_end(make: Make, clock: Clock) -> None:
    """However many there were, there are not many more than are alive; ended or not."""
    emulator, before = make(), _alive(TokenFamily)
    alive: list[int] = []
    for _ in range(6):
        for _ in range(250):
            emulator.issue("ada@acme.example", "acme")
        emulator.revoke_sessions("ada@acme.example")
        clock.advance(5 * WEEK)
        alive.append((_alive(TokenFamily) - before)[TokenFamily])

    assert max(alive) <= 1000


async def test_the_history_of_a_user_has_an_end(make: Make, call: Ask) -> None:
    """A test user signs in very often; the newest sign-ins are kept."""
    emulator = make()
    refresh = [emulator.issue("ada@acme.example", "acme").refresh_jwt for _ in range(150)]

    history = (await call(emulator, "GET", "/v1/auth/me/history", token=refresh[-1])).json()

    assert len(history) == 100


async def test_the_journal_has_an_end() -> None:
    """The newest 10,000 requests are kept."""
    journal = Journal()
    for number in range(10_100):
        journal.record(Call("GET", f"/{number}", {}, "keys", ""))

    assert len(journal) == 10_000
    assert next(iter(journal)).path == "/100"
