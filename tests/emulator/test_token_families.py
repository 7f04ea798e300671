"""The store of token families: what it keeps, and for how long."""

import tracemalloc

import pytest

from fastapi_descope.emulator import Clock, Project
from fastapi_descope.emulator.auth_server import AuthServer
from fastapi_descope.emulator.token_families import EndReason, RefreshTokenRecord, TokenFamilies, TokenFamily
from fastapi_descope.emulator.tokens import Principal


def _family(ends_at: int) -> TokenFamily:
    return TokenFamily("U1", ("fed",), started_at=0, ends_at=ends_at, last_used=0)


def test_expired_families_are_removed() -> None:
    """The number of stored tokens follows the number of active ones."""
    families = TokenFamilies()
    for now in range(20_000):
        families.add(f"token {now}", RefreshTokenRecord(_family(now + 100), None, "kid"), now)
        assert len(families) <= 1000
    assert families.find("token 0") is None
    assert families.find("token 19999") is not None


def test_active_families_are_kept() -> None:
    """No token is removed before it expires, however many there are."""
    families = TokenFamilies()
    for number in range(5000):
        families.add(f"token {number}", RefreshTokenRecord(_family(100), None, "kid"), 99)
    assert all(families.find(f"token {number}") for number in range(5000))
    assert len(families.active(99)) == 5000
    assert families.active(100) == ()


def test_ended_families_are_kept_until_they_expire() -> None:
    """A revoked token has its own error until it would have expired."""
    families, family = TokenFamilies(), _family(100)
    families.add("token", RefreshTokenRecord(family, "acme", "kid"), 0)
    families.revoke_all("U1")
    assert family.end_reason is EndReason.LOGOUT
    assert families.active(0) == ()
    assert families.find("token") is not None


@pytest.fixture
def auth_server(clock: Clock) -> AuthServer:
    """The authorization server of the default project."""
    return AuthServer(Project(), clock, "http://127.0.0.1")


def _bearer(auth_server: AuthServer, tenant: str | None = None) -> Principal:
    return Principal(auth_server.project.users[0], tenant, ("fed",))


def test_history_is_bounded(auth_server: AuthServer) -> None:
    """The last hundred sign-ins of a user are stored."""
    for _ in range(101):
        auth_server.start_session(_bearer(auth_server))
    assert len(auth_server.login_history(auth_server.project.users[0])) == 100


def test_active_sessions(auth_server: AuthServer, clock: Clock) -> None:
    """Each session is listed with its user, current tenant, start and expiry."""
    minted = auth_server.start_session(_bearer(auth_server, "acme"))
    clock.advance(60)
    auth_server.select_tenant(minted.refresh_jwt, "globex")
    auth_server.start_session(_bearer(auth_server))
    first, second = auth_server.active_sessions()
    assert (first.tenant, first.last_used - first.started_at) == ("globex", 60)
    assert (second.tenant, second.user_id) == (None, auth_server.project.users[0].user_id)
    assert first.ends_at - first.started_at == 28 * 24 * 3600
    assert first.id == minted.session_id != second.id


def test_revoke_session_ends_one_session(auth_server: AuthServer) -> None:
    """A session is ended by its id, once, and the user's other one stays."""
    one, other = (auth_server.start_session(_bearer(auth_server)) for _ in range(2))
    assert auth_server.revoke_session(one.session_id) is True
    assert auth_server.revoke_session(one.session_id) is False
    assert [session.id for session in auth_server.active_sessions()] == [other.session_id]


def test_session_of_a_dropped_key_has_ended(auth_server: AuthServer) -> None:
    """It cannot be refreshed; a session that was refreshed with the new key stays active."""
    auth_server.start_session(_bearer(auth_server))
    renewed = auth_server.start_session(_bearer(auth_server, "acme"))
    auth_server.keys.rotate()
    auth_server.select_tenant(renewed.refresh_jwt, "globex")
    assert len(auth_server.active_sessions()) == 2
    auth_server.keys.drop_old()
    assert [session.id for session in auth_server.active_sessions()] == [renewed.session_id]


def test_memory_of_a_thousand_sessions(clock: Clock) -> None:
    """A thousand active sessions take less than a megabyte."""
    auth_server = AuthServer(Project(), clock, "http://127.0.0.1")
    auth_server.start_session(_bearer(auth_server))
    tracemalloc.start()
    for _ in range(1000):
        auth_server.start_session(_bearer(auth_server))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1_000_000
