"""Descope has changed a user: the sessions of the user refresh at their next request (RV-06)."""

import pytest

from fastapi_descope._auth.auth_result import AuthResult
from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope.emulator import JwtPair, Project
from fastapi_descope.errors import Forbidden, SessionEnded
from fastapi_descope.session import AuthSession
from tests.helpers.auth_harness import ADA_ID, HANK, STRICT, AuthHarness

pytestmark = pytest.mark.anyio

_KINDS = pytest.mark.parametrize("project", [STRICT, Project()], ids=["rotation", "no rotation"])


async def _change(core: AuthHarness) -> None:
    """Let Descope change Ada, a second after her session was issued and a second before its next request."""
    core.clock.advance(1)
    await core.revocations.refresh_user(ADA_ID, at=core.clock())
    core.clock.advance(1)


async def _finish(core: AuthHarness, pair: JwtPair) -> AuthResult:
    return await (await core.authenticate(pair)).finish()


@_KINDS
async def test_rv06_session_is_refreshed_at_its_next_request(project: Project) -> None:
    """Once. The request gets the new session, and the browser its tokens."""
    core = AuthHarness(project)
    pair = core.issue()
    await core.authenticate(pair)

    await _change(core)
    renewed = await _finish(core, pair)

    assert renewed.session is not None
    assert renewed.session.issued_at == core.clock()
    assert renewed.cookies is CookieAction.WRITE
    assert renewed.pair is not None
    again = await _finish(core, JwtPair(renewed.pair.session_jwt, renewed.pair.refresh.text))
    late = await _finish(core, pair)
    assert again.session == late.session == renewed.session
    assert core.calls("refresh") == 1


@_KINDS
async def test_rv06_result_of_an_earlier_refresh_does_not_count(project: Project) -> None:
    """It shows the user as before the change."""
    core = AuthHarness(project)
    pair = core.issue(session_seconds=-60)
    first = await _finish(core, pair)
    assert first.pair is not None

    await _change(core)
    second = await _finish(core, JwtPair(first.pair.session_jwt, first.pair.refresh.text))

    assert second.session is not None
    assert second.session.issued_at == core.clock()
    assert core.calls("refresh") == 2


async def test_rv06_other_users_are_not_refreshed() -> None:
    """Nor is a session that was issued after the change."""
    core = AuthHarness()
    hank = core.issue(HANK, "globex")
    await _change(core)
    later = core.issue()

    assert (await _finish(core, hank)).pair is None
    assert (await _finish(core, later)).pair is None
    assert core.calls("refresh") == 0


async def test_rv06_outage_keeps_the_session() -> None:
    """The refresh is tried again at the next request."""
    core = AuthHarness()
    pair = core.issue()
    await _change(core)
    core.emulator.faults.add("refresh", status=500)

    during = await _finish(core, pair)
    assert during.session is not None
    assert (during.error, during.cookies, during.repeats_until) == (None, CookieAction.KEEP, 0)

    core.clock.advance(60)
    assert (await _finish(core, pair)).pair is not None


async def test_rv06_session_of_a_user_that_descope_refuses_is_over() -> None:
    """The change was that the user is disabled."""
    core = AuthHarness()
    pair = core.issue()
    await _change(core)
    core.emulator.revoke_sessions(ADA_ID)

    result = await _finish(core, pair)

    assert (result.session, result.cookies) == (None, CookieAction.CLEAR)
    assert isinstance(result.error, SessionEnded)


async def test_rv06_request_that_may_not_refresh_keeps_its_session() -> None:
    """As for a prefetch, and for a bearer, which has no refresh token."""
    core = AuthHarness()
    pair = core.issue()
    await _change(core)

    prefetch = Credentials(session=pair.session_jwt, refresh=pair.refresh_jwt, may_refresh=False)
    results = [
        await core.authenticator.authenticate(each)
        for each in (prefetch, Credentials(bearer=pair.session_jwt, scheme="bearer"))
    ]

    assert [result.session is not None for result in results] == [True, True]
    assert core.calls("refresh") == 0


async def test_rv06_hooks_decide_on_the_session_that_counts() -> None:
    """On the new one, or on the old one during an outage."""
    seen: list[int] = []

    async def refuse(session: AuthSession) -> None:
        seen.append(session.issued_at)
        raise Forbidden

    core = AuthHarness(session_hooks=[refuse])
    pair = core.issue()
    issued_at = int(core.clock())
    await _change(core)
    core.emulator.faults.add("refresh", status=500)
    assert isinstance((await core.authenticate(pair)).error, Forbidden)
    core.clock.advance(60)

    result = await core.authenticate(pair)

    assert isinstance(result.error, Forbidden)
    assert result.cookies is CookieAction.WRITE
    assert seen == [issued_at, int(core.clock())]


async def test_time_of_a_change_is_at_most_now() -> None:
    """The clocks of two hosts differ; sessions would refresh at every request until then."""
    core = AuthHarness()
    await core.revocations.refresh_user(ADA_ID, at=core.clock() + 3600)
    await core.revocations.revoke_user(HANK, at=core.clock() + 3600)
    core.clock.advance(1)

    assert not core.revocations.is_stale(ADA_ID, core.clock())
    assert not core.revocations.denies("any", HANK, core.clock())
