"""What the emulator remembers of sessions: enough, and not for ever."""

import tracemalloc

import pytest

from fastapi_descope.emulator import Clock, Project
from fastapi_descope.emulator.auth_server import AuthServer
from fastapi_descope.emulator.token_families import EndReason, RefreshTokenRecord, TokenFamilies, TokenFamily
from fastapi_descope.emulator.tokens import Principal


def _family(ends_at: int) -> TokenFamily:
    return TokenFamily("U1", ("fed",), started_at=0, ends_at=ends_at, last_used=0)


def test_expired_families_are_forgotten() -> None:
    """However many sign-ins there were, what is kept is of the order of what is alive."""
    families = TokenFamilies()
    for now in range(20_000):
        families.add(f"token {now}", RefreshTokenRecord(_family(now + 100), None, "kid"), now)
        assert len(families) <= 1000
    assert families.find("token 0") is None
    assert families.find("token 19999") is not None


def test_live_families_are_kept() -> None:
    """No token is forgotten before its time, however many there are."""
    families = TokenFamilies()
    for number in range(5000):
        families.add(f"token {number}", RefreshTokenRecord(_family(100), None, "kid"), 99)
    assert all(families.find(f"token {number}") for number in range(5000))
    assert len(families.active(99)) == 5000
    assert families.active(100) == ()


def test_ended_families_are_remembered_until_their_time() -> None:
    """A revoked token has its own error for as long as it would have lived."""
    families, family = TokenFamilies(), _family(100)
    families.add("token", RefreshTokenRecord(family, "acme", "kid"), 0)
    families.revoke_all("U1")
    assert family.end_reason is EndReason.LOGOUT
    assert families.active(0) == ()
    assert families.find("token") is not None


@pytest.fixture
def authority(clock: Clock) -> AuthServer:
    """The authority of the default project."""
    return AuthServer(Project(), clock, "http://127.0.0.1")


def _bearer(authority: AuthServer, tenant: str | None = None) -> Principal:
    return Principal(authority.project.users[0], tenant, ("fed",))


def test_history_is_bounded(authority: AuthServer) -> None:
    """The last hundred sign-ins of a user are remembered."""
    for _ in range(101):
        authority.start_session(_bearer(authority))
    assert len(authority.login_history(authority.project.users[0])) == 100


def test_sessions_that_are_alive(authority: AuthServer, clock: Clock) -> None:
    """Each session is listed with its user, its tenant now, since when and until when."""
    minted = authority.start_session(_bearer(authority, "acme"))
    clock.advance(60)
    authority.select_tenant(minted.refresh_jwt, "globex")
    authority.start_session(_bearer(authority))
    first, second = authority.active_sessions()
    assert (first.tenant, first.last_used - first.started_at) == ("globex", 60)
    assert (second.tenant, second.user_id) == (None, authority.project.users[0].user_id)
    assert first.ends_at - first.started_at == 28 * 24 * 3600
    assert first.id == minted.session_id != second.id


def test_one_session_ends(authority: AuthServer) -> None:
    """A session is ended by its id, once, and its twin goes on."""
    one, other = (authority.start_session(_bearer(authority)) for _ in range(2))
    assert authority.revoke_session(one.session_id) is True
    assert authority.revoke_session(one.session_id) is False
    assert [session.id for session in authority.active_sessions()] == [other.session_id]


def test_a_session_of_a_dropped_key_is_over(authority: AuthServer) -> None:
    """Nobody can refresh it; one that was renewed under the new key since is alive."""
    authority.start_session(_bearer(authority))
    renewed = authority.start_session(_bearer(authority, "acme"))
    authority.keys.rotate()
    authority.select_tenant(renewed.refresh_jwt, "globex")
    assert len(authority.active_sessions()) == 2
    authority.keys.drop_old()
    assert [session.id for session in authority.active_sessions()] == [renewed.session_id]


def test_a_thousand_sign_ins(clock: Clock) -> None:
    """A thousand sessions that are alive take less than a megabyte."""
    authority = AuthServer(Project(), clock, "http://127.0.0.1")
    authority.start_session(_bearer(authority))
    tracemalloc.start()
    for _ in range(1000):
        authority.start_session(_bearer(authority))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1_000_000
