"""The session gate: the ``on_session`` hooks decide once for each session token.

Requirements SG-01, SG-02, SG-03 and SG-04.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fastapi_descope._auth.auth_result import AuthResult
from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope.emulator import JwtPair
from fastapi_descope.errors import (
    ConfigurationError,
    Forbidden,
    MissingRoles,
    NotAuthenticated,
    SessionCheckFailed,
    UpstreamUnavailable,
)
from fastapi_descope.events import SessionCheckFailed as SessionCheckFailedEvent
from fastapi_descope.events import SessionRefused
from fastapi_descope.session import AuthSession, tenant_id_var
from tests.helpers.auth_harness import HANK, AuthHarness, cookies
from tests.helpers.event_loop import VirtualTimeLoop, run_ready

pytestmark = pytest.mark.anyio

ADA_ID = "U22a1322415fff1b1aceaebe7855"
AHEAD = 550
"""An age, in seconds, at which a session is still valid and due for its refresh."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run in virtual time, so that timeouts pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class Suspended(Forbidden):
    """A refusal with a code, an attribute and a constructor of its own."""

    code = "suspended"

    def __init__(self, *, since: int, by: str) -> None:
        self.since = since
        super().__init__(f"Suspended by {by}.")


class NotAllowedByTheSystem(Forbidden, PermissionError):
    """A refusal that is also a built-in exception with state of its own."""

    code = "not_allowed"


@dataclass
class Hook:
    """A hook that records its sessions, waits if told to, and raises the error if there is one."""

    error: BaseException | Callable[[], BaseException] | None = None
    held: asyncio.Event | None = None
    seconds: float = 0.0
    sessions: list[AuthSession] = field(default_factory=list[AuthSession])

    async def __call__(self, session: AuthSession) -> None:
        """Decide on a session."""
        self.sessions.append(session)
        if self.held is not None:
            await self.held.wait()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error() if callable(self.error) else self.error


def bearer(pair: JwtPair) -> Credentials:
    """Return the credentials of a request with the session token as a bearer."""
    return Credentials(bearer=pair.session_jwt)


def session_cookie(pair: JwtPair) -> Credentials:
    """Return the credentials of a request with the session cookie alone."""
    return Credentials(session=pair.session_jwt)


EACH_SOURCE = pytest.mark.parametrize("credentials", [cookies, session_cookie, bearer])


@EACH_SOURCE
async def test_sg01_admitted_session_is_the_session_of_the_request(
    credentials: Callable[[JwtPair], Credentials],
) -> None:
    """The hook gets the session, and later requests with the token do not run it again."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue()

    results = [await core.authenticator.authenticate(credentials(pair)) for _ in range(3)]

    assert [result.session for result in results] == hook.sessions * 3
    assert [session.user.id for session in hook.sessions] == [ADA_ID]
    assert core.recorded_events(SessionRefused, SessionCheckFailedEvent) == []


@EACH_SOURCE
async def test_sg01_refused_session_is_no_session(credentials: Callable[[JwtPair], Credentials]) -> None:
    """The error is the hook's, the cookies are kept, and there is one event for the verdict."""
    hook = Hook(Forbidden("Your account is suspended."))
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue()

    results = [await core.authenticator.authenticate(credentials(pair)) for _ in range(3)]

    assert [result.session for result in results] == [None] * 3
    assert {(type(result.error), str(result.error)) for result in results} == {
        (Forbidden, "Your account is suspended.")
    }
    assert {result.cookies for result in results} == {CookieAction.KEEP}
    assert len(hook.sessions) == 1
    assert core.recorded_events(SessionRefused, SessionCheckFailedEvent) == [
        SessionRefused(ADA_ID, "acme", "forbidden")
    ]


async def test_sg01_refreshed_session_is_checked() -> None:
    """The old token was admitted, and the new one is not."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue()
    assert (await core.authenticate(pair)).session is not None
    core.clock.advance(660)
    hook.error = Forbidden()

    result = await core.finish(pair)

    assert (result.session, type(result.error)) == (None, Forbidden)
    assert [session.issued_at for session in hook.sessions] == [1_800_000_000, 1_800_000_660]


async def test_sg04_pair_of_a_refused_refresh_is_written() -> None:
    """Descope has rotated the token, so the browser needs the new one, for example to log out."""
    hook = Hook(Forbidden())
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue(session_seconds=-60)

    result = await core.finish(pair)

    assert (result.session, type(result.error)) == (None, Forbidden)
    assert result.cookies is CookieAction.WRITE
    assert result.pair is not None
    assert result.pair.refresh.text != pair.refresh_jwt


async def test_sg04_pair_of_a_refresh_is_written_when_the_check_fails() -> None:
    """No user is signed out because a database is down."""
    hook = Hook(OSError("db.internal"))
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue(session_seconds=-60)

    failed = await core.finish(pair)
    hook.error = None
    later = await core.finish(pair)

    assert (failed.session, type(failed.error)) == (None, SessionCheckFailed)
    assert failed.cookies is CookieAction.WRITE
    assert failed.pair is not None
    assert later.session is not None
    assert core.calls("refresh") == 1


async def test_sg04_refused_session_deletes_a_session_token_in_the_refresh_cookie() -> None:
    """The verdict changes nothing about the cookies (KD-02)."""
    core = AuthHarness(session_hooks=[Hook(Forbidden())])
    pair = core.issue()

    result = await core.authenticator.authenticate(
        Credentials(session=pair.session_jwt, refresh=pair.session_jwt)
    )

    assert (result.session, result.cookies) == (None, CookieAction.CLEAR_REFRESH)


async def test_refused_session_is_not_refreshed_ahead_of_its_expiry() -> None:
    """It would cost a call to Descope, and the verdict on the current token counts."""
    core = AuthHarness(session_hooks=[Hook(Forbidden())])
    pair = core.issue()
    core.clock.advance(AHEAD)

    result = await core.finish(pair)

    assert (type(result.error), result.cookies) == (Forbidden, CookieAction.KEEP)
    assert core.calls("refresh") == 0


async def test_sg01_concurrent_refresh_replaces_the_session_if_the_new_one_is_admitted() -> None:
    """The response gets the new session and its cookies."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue()
    core.clock.advance(AHEAD)
    first = await core.authenticate(pair)

    finished = await first.finish()

    assert finished.cookies is CookieAction.WRITE
    assert finished.session == hook.sessions[1]
    assert first.session == hook.sessions[0]


async def _session_after_a_concurrent_refresh(core: AuthHarness, hook: Hook, **then: object) -> AuthResult:
    """Authenticate a session that is due, change the hook, and return the result for the response."""
    pair = core.issue()
    core.clock.advance(AHEAD)
    result = await core.authenticate(pair)
    for name, value in then.items():
        setattr(hook, name, value)
    return await result.finish()


@pytest.mark.parametrize("error", [Forbidden(), OSError()])
async def test_sg04_concurrent_refresh_keeps_the_old_session_if_the_new_one_is_not_admitted(
    error: Exception,
) -> None:
    """The old session was admitted and is still valid. The new cookies are written."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook])

    finished = await _session_after_a_concurrent_refresh(core, hook, error=error)

    assert finished.session == hook.sessions[0]
    assert (finished.error, finished.cookies) == (None, CookieAction.WRITE)
    assert finished.pair is not None
    again = await core.authenticator.authenticate(
        Credentials(session=finished.pair.session_jwt, refresh=finished.pair.refresh.text)
    )
    assert again.session is None
    assert isinstance(again.error, Forbidden if isinstance(error, Forbidden) else SessionCheckFailed)


async def test_response_waits_one_second_for_a_concurrent_refresh_and_its_check() -> None:
    """The hook continues, and the next request gets its verdict."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook])

    finished = await _session_after_a_concurrent_refresh(core, hook, seconds=1.5)
    assert asyncio.get_running_loop().time() == pytest.approx(1)
    assert finished.session == hook.sessions[0]
    assert finished.cookies is CookieAction.WRITE
    assert finished.pair is not None
    next_request = Credentials(session=finished.pair.session_jwt, refresh=finished.pair.refresh.text)
    later = await core.authenticator.authenticate(next_request)

    assert asyncio.get_running_loop().time() == pytest.approx(1.5)
    assert later.session == hook.sessions[1]
    assert len(hook.sessions) == 2


async def test_response_waits_one_second_in_total() -> None:
    """A refresh of 0.6 seconds leaves 0.4 seconds for the hook."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook])
    core.emulator.faults.add("refresh", hold=True)
    asyncio.get_running_loop().call_later(0.6, core.emulator.faults.release)

    finished = await _session_after_a_concurrent_refresh(core, hook, seconds=0.5)

    assert asyncio.get_running_loop().time() == pytest.approx(1)
    assert (finished.session, finished.cookies) == (hook.sessions[0], CookieAction.WRITE)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        NotAuthenticated(),
        UpstreamUnavailable(),
        ConfigurationError(),
        ExceptionGroup("tasks", [Forbidden()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_sg02_any_other_exception_is_no_verdict(error: Exception) -> None:
    """The session is neither admitted nor refused, cookies are kept, and the next request tries again."""
    hook = Hook(error)
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue()

    failed = await core.authenticate(pair)
    hook.error = None
    later = await core.authenticate(pair)

    assert (failed.session, type(failed.error)) == (None, SessionCheckFailed)
    assert failed.cookies is CookieAction.KEEP
    assert later.session is not None
    assert core.recorded_events(SessionRefused, SessionCheckFailedEvent) == [
        SessionCheckFailedEvent(type(error).__name__)
    ]


async def test_sg02_hook_that_awaits_a_cancelled_task_is_no_verdict() -> None:
    """The request is not cancelled."""

    async def hook(session: AuthSession) -> None:
        task = asyncio.ensure_future(asyncio.sleep(10))
        task.cancel()
        await task

    core = AuthHarness(session_hooks=[hook])

    result = await core.authenticate(core.issue())

    assert (result.session, type(result.error)) == (None, SessionCheckFailed)


async def test_sg02_hooks_have_two_seconds_together() -> None:
    """Then there is no verdict, and the hook that was running is cancelled."""
    hooks = [Hook(seconds=1.5), Hook(seconds=1.5), Hook()]
    core = AuthHarness(session_hooks=hooks)
    pair = core.issue()

    result = await core.authenticate(pair)

    assert asyncio.get_running_loop().time() == pytest.approx(2)
    assert (result.session, type(result.error)) == (None, SessionCheckFailed)
    assert [len(hook.sessions) for hook in hooks] == [1, 1, 0]
    assert core.recorded_events(SessionRefused, SessionCheckFailedEvent) == [
        SessionCheckFailedEvent("timeout")
    ]


async def test_sg02_timeout_inside_a_hook_has_its_own_reason() -> None:
    """The reason tells whether the hook or something that it awaited took too long."""
    core = AuthHarness(session_hooks=[Hook(TimeoutError())])
    await core.authenticate(core.issue())

    assert core.recorded_events(SessionRefused, SessionCheckFailedEvent) == [
        SessionCheckFailedEvent("TimeoutError")
    ]


async def test_hooks_run_in_order_and_the_first_refusal_counts() -> None:
    """Later hooks do not run."""
    hooks = [Hook(), Hook(Suspended(since=1, by="the owner")), Hook(Forbidden())]
    core = AuthHarness(session_hooks=hooks)

    result = await core.authenticate(core.issue())

    assert isinstance(result.error, Suspended)
    assert [len(hook.sessions) for hook in hooks] == [1, 1, 0]


@pytest.mark.parametrize(
    "error", [Suspended(since=7, by="the owner"), MissingRoles(("admin",)), NotAllowedByTheSystem("No.")]
)
async def test_each_request_gets_a_new_error_like_that_of_the_hook(error: Forbidden) -> None:
    """With its class and attributes, and without the traceback, context and notes of other requests."""
    error.__context__ = ValueError("the reason")
    error.add_note("a note")
    core = AuthHarness(session_hooks=[Hook(error)])
    pair = core.issue()

    errors: list[Forbidden] = []
    depths: list[int] = []
    for _ in range(3):
        with pytest.raises(type(error)) as raised:
            raise (await core.authenticate(pair)).error or AssertionError
        raised.value.add_note("raised")
        errors.append(raised.value)
        depths.append(len(raised.traceback))

    assert len({id(each) for each in [error, *errors]}) == 4
    for each in errors:
        assert (str(each), each.code, each.detail) == (str(error), error.code, error.detail)
        assert vars(each) == vars(error) | {"__notes__": ["raised"]}
        assert (each.__context__, each.__cause__) == (None, None)
    assert depths == [1, 1, 1]


async def test_sg03_two_hundred_requests_with_one_new_token_run_the_hook_once() -> None:
    """All of them wait for its verdict."""
    hook = Hook(held=asyncio.Event())
    core = AuthHarness(session_hooks=[hook])
    await core.verifier.warm()
    pair, other = core.issue(), core.issue(HANK, "globex")
    requests = [asyncio.ensure_future(core.authenticate(pair)) for _ in range(200)]
    await run_ready()
    assert not any(request.done() for request in requests)
    another = asyncio.ensure_future(core.authenticate(other))
    await run_ready()
    assert len(hook.sessions) == 2

    assert hook.held is not None
    hook.held.set()
    results = await asyncio.gather(*requests)

    assert [result.session for result in results] == [hook.sessions[0]] * 200
    assert (await another).session == hook.sessions[1]
    assert len(hook.sessions) == 2


async def test_sg03_cancelling_a_request_does_not_cancel_the_check_of_the_others() -> None:
    """The first request started the hook."""
    hook = Hook(held=asyncio.Event())
    core = AuthHarness(session_hooks=[hook])
    pair = core.issue()
    first, second = (asyncio.ensure_future(core.authenticate(pair)) for _ in range(2))
    await run_ready()

    first.cancel()
    await run_ready()
    assert hook.held is not None
    hook.held.set()

    assert (await second).session == hook.sessions[0]
    assert first.cancelled()
    assert len(hook.sessions) == 1


@pytest.mark.parametrize("error", [None, Forbidden()])
async def test_sg03_without_a_cache_each_request_runs_the_hook(error: Exception | None) -> None:
    """A cache size of 0 caches no verdict."""
    hook = Hook(error)
    core = AuthHarness(session_hooks=[hook], token_cache_size=0)
    pair = core.issue()

    results = [await core.authenticate(pair) for _ in range(3)]

    assert {result.session is None for result in results} == {error is not None}
    assert len(hook.sessions) == 3


async def test_sg03_evicted_token_is_checked_again() -> None:
    """The cache of verdicts has the size of the cache of tokens."""
    hook = Hook()
    core = AuthHarness(session_hooks=[hook], token_cache_size=2)
    pairs = [core.issue(), core.issue(HANK, "globex"), core.issue(tenant="globex")]

    for pair in (*pairs, pairs[2], pairs[0]):
        assert (await core.authenticator.authenticate(bearer(pair))).session is not None

    assert len(hook.sessions) == 4


async def test_expired_token_is_rejected_before_its_verdict_counts() -> None:
    """A verdict needs no expiry of its own."""
    core = AuthHarness(session_hooks=[Hook()])
    pair = core.issue()
    assert (await core.authenticator.authenticate(bearer(pair))).session is not None
    core.clock.advance(660)

    result = await core.authenticator.authenticate(bearer(pair))

    assert isinstance(result.error, NotAuthenticated)


async def test_hook_runs_with_the_tenant_of_the_session_in_the_context() -> None:
    """The context of the request is not changed."""
    seen: list[str | None] = []

    async def hook(session: AuthSession) -> None:
        seen.append(tenant_id_var.get())

    core = AuthHarness(session_hooks=[hook])
    await core.authenticate(core.issue())
    await core.authenticate(core.issue(HANK, None))

    assert seen == ["acme", None]
    assert tenant_id_var.get() is None


async def test_refresh_token_can_be_required_although_the_session_is_refused() -> None:
    """For the logout, a tenant switch and a step-up."""
    core = AuthHarness(session_hooks=[Hook(Forbidden())])
    pair = core.issue()
    await core.authenticate(pair)

    refresh_token = await core.browser_tokens.require_refresh_token(cookies(pair))

    assert refresh_token.text == pair.refresh_jwt


async def test_shutdown_waits_for_hooks_and_then_cancels_them() -> None:
    """The request that waits for a cancelled hook gets an error."""
    quick, hanging = Hook(seconds=0.5), Hook(held=asyncio.Event())
    core = AuthHarness(session_hooks=[quick])
    request = asyncio.ensure_future(core.authenticate(core.issue()))
    await run_ready()
    await core.drain(1)
    assert asyncio.get_running_loop().time() == pytest.approx(0.5)
    assert (await request).session is not None

    core = AuthHarness(session_hooks=[hanging])
    request = asyncio.ensure_future(core.authenticate(core.issue()))
    await run_ready()
    await core.drain(1)

    assert asyncio.get_running_loop().time() == pytest.approx(1.5)
    assert isinstance((await request).error, SessionCheckFailed)
