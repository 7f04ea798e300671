"""Using an emulator from a test while it serves in another thread.

The tests do not depend on chance. A comparison or a hash within an iteration does what the serving thread
could do at that moment.
"""

from collections.abc import Callable
from threading import Thread

import httpx
import pytest
from typing_extensions import override

from fastapi_descope.emulator import Call, Emulator, Journal
from fastapi_descope.emulator.logins import Login, LoginStore
from fastapi_descope.emulator.server import running
from fastapi_descope.emulator.token_families import EndReason, RefreshTokenRecord, TokenFamilies, TokenFamily


class Meddling(str):
    """A string that runs a function whenever it is compared."""

    __slots__ = ("meddle",)
    meddle: Callable[[], None]

    @override
    def __eq__(self, other: object) -> bool:
        self.meddle()
        return str(self) == str(other)

    __hash__ = str.__hash__


class MeddlingFamily(TokenFamily):
    """A token family that runs a function whenever it is hashed."""

    meddle: Callable[[], None] = staticmethod(lambda: None)

    @override
    def __hash__(self) -> int:
        self.meddle()
        return object.__hash__(self)


class MeddlingTime(float):
    """A time that runs a function whenever it is compared."""

    __slots__ = ("meddle",)
    meddle: Callable[[], None]

    @override
    def __ge__(self, other: float) -> bool:
        self.meddle()
        return float(self) >= other


@pytest.fixture
def new_record() -> RefreshTokenRecord:
    """A sign-in that happens during an iteration."""
    return RefreshTokenRecord(
        TokenFamily("U9", ("fed",), started_at=0, ends_at=10**9, last_used=0), None, "kid"
    )


def _filled(family: TokenFamily, count: int = 3) -> TokenFamilies:
    families = TokenFamilies()
    for number in range(count):
        families.add(f"token {number}", RefreshTokenRecord(family, None, "kid"), 0)
    return families


def _adds_token(families: TokenFamilies, new_record: RefreshTokenRecord) -> Callable[[], None]:
    """Return a function that issues a token each time it is called."""

    def arrive() -> None:
        if len(families) < 5000:
            families.add(f"late {len(families)}", new_record, 0)

    return arrive


def test_users_are_revoked_while_others_sign_in(new_record: RefreshTokenRecord) -> None:
    """All sessions of the user end, and no others."""
    family = TokenFamily("U1", ("fed",), started_at=0, ends_at=100, last_used=0)
    families, user = _filled(family), Meddling("U1")
    user.meddle = _adds_token(families, new_record)

    families.revoke_all(user)

    assert (family.end_reason, new_record.family.end_reason) == (EndReason.LOGOUT, None)


def test_sessions_are_listed_while_others_start(new_record: RefreshTokenRecord) -> None:
    """The list has the sessions of the time of the call."""
    family = MeddlingFamily("U1", ("fed",), started_at=0, ends_at=100, last_used=0)
    families = _filled(family)
    family.meddle = _adds_token(families, new_record)

    assert families.active(0) == (family,)


def test_expired_tokens_are_removed_while_others_sign_in(new_record: RefreshTokenRecord) -> None:
    """A token that is issued during the cleanup is kept."""
    families = _filled(TokenFamily("U1", ("fed",), started_at=0, ends_at=100, last_used=0), 1000)
    now = MeddlingTime(200)
    now.meddle = lambda: _adds_token(families, new_record)() if families.find("late 1000") is None else None

    families.add("last", new_record, now)

    assert families.find("token 999") is None
    assert families.find("late 1000") is new_record


def test_the_journal_is_read_while_it_is_written() -> None:
    """The iteration has the requests of the time when it started."""
    journal, endpoint = Journal(), Meddling("refresh")
    journal.record(Call("POST", "/v1/auth/refresh", {}, "refresh", ""))
    endpoint.meddle = lambda: journal.record(Call("POST", "/v1/auth/refresh", {}, "refresh", ""))

    assert len(journal.for_endpoint(endpoint)) == 1


def test_code_is_redeemed_by_one_of_two_threads() -> None:
    """Two concurrent redemptions return the sign-in once."""
    meddles: list[str] = []

    def clock() -> float:
        if meddles:
            assert logins.redeem_code(meddles.pop()) is None
        return 0.0

    logins = LoginStore(clock)
    code = logins.confirm(Login(tenant=None, redirect_url="http://127.0.0.1/"), Emulator().project.users[0])
    meddles.append(code)

    assert logins.redeem_code(code) is not None


def test_running_emulator_is_controlled_from_the_test() -> None:
    """The test issues, lists and revokes sessions while the emulator serves."""
    emulator = Emulator(console="view")
    with running(emulator) as base_url:

        def look() -> None:
            with httpx.Client(base_url=base_url) as visitor:
                seen.extend(visitor.get("/console/api/sessions").status_code for _ in range(20))

        seen: list[int] = []
        visitor = Thread(target=look)
        visitor.start()
        while visitor.is_alive():
            emulator.issue("ada@acme.example", "acme")
            emulator.revoke_sessions("ada@acme.example")
        visitor.join()

    assert seen == [200] * 20
