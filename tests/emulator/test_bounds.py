"""An emulator may run for days, so what it stores is bounded."""

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
    """Return the number of objects of these types in the process that the test did not make itself."""
    gc.collect()
    found: list[object] = gc.get_objects()
    return Counter(kind for kind in kinds for each in found if type(each) is kind)


async def test_unfinished_sign_ins_are_removed(
    make: Make, clock: Clock, call: Ask, get_code: Callable[..., Coroutine[None, None, str]]
) -> None:
    """Pages without a form and codes without an exchange are removed when they expire."""
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


async def test_expired_sessions_are_removed(make: Make, clock: Clock) -> None:
    """The number of stored sessions follows the number of active ones, revoked or not."""
    emulator, before = make(), _alive(TokenFamily)
    alive: list[int] = []
    for _ in range(6):
        for _ in range(250):
            emulator.issue("ada@acme.example", "acme")
        emulator.revoke_sessions("ada@acme.example")
        clock.advance(5 * WEEK)
        alive.append((_alive(TokenFamily) - before)[TokenFamily])

    assert max(alive) <= 1000


async def test_login_history_is_bounded(make: Make, call: Ask) -> None:
    """Only the newest sign-ins of a user are stored."""
    emulator = make()
    refresh = [emulator.issue("ada@acme.example", "acme").refresh_jwt for _ in range(150)]

    history = (await call(emulator, "GET", "/v1/auth/me/history", token=refresh[-1])).json()

    assert len(history) == 100


async def test_journal_is_bounded() -> None:
    """The newest 10,000 requests are stored."""
    journal = Journal()
    for number in range(10_100):
        journal.record(Call("GET", f"/{number}", {}, "keys", ""))

    assert len(journal) == 10_000
    assert next(iter(journal)).path == "/100"
