"""nOTP sign-ins without a web framework: the calls to Descope, how often, and their results.

Requirements NP-01, NP-03 and NP-04.
"""

import asyncio

import httpx
import pytest

from fastapi_descope._upstream.login_options import LoginOptions
from fastapi_descope._upstream.responses import NotpStart
from fastapi_descope.errors import (
    DescopeError,
    Forbidden,
    InvalidUpstreamResponse,
    LoginRejected,
    RateLimited,
    SessionTooLarge,
    UpstreamUnavailable,
)
from fastapi_descope.events import Event, LoginFailed, SignedIn, UpstreamDegraded
from fastapi_descope.login import Login
from fastapi_descope.session import TokenPair
from tests.helpers.app_harness import IDP, Browser
from tests.helpers.auth_harness import ADA, AuthHarness, admit_all
from tests.helpers.event_loop import run_ready

pytestmark = pytest.mark.anyio

NOTHING = LoginOptions()


async def confirm(core: AuthHarness, started: NotpStart, user: str = ADA) -> None:
    """Confirm a sign-in on the emulator's page, as the user does by sending the message."""
    phone = Browser(httpx.AsyncClient(mounts={f"{IDP}/": httpx.ASGITransport(core.emulator)}))
    await phone.choose(await phone.visit(started.url), user)


async def confirmed(core: AuthHarness) -> NotpStart:
    """Return a sign-in that the user has confirmed."""
    started = await core.notp_flow.start(NOTHING)
    await confirm(core, started)
    return started


async def refuse(pair: TokenPair, login: Login) -> None:
    """Refuse every user who logs in."""
    raise Forbidden


async def test_a_confirmed_sign_in_returns_verified_tokens_of_the_user() -> None:
    """It is pending until the user confirms. One event is emitted, which names the method."""
    core = AuthHarness()
    started = await core.notp_flow.start(NOTHING)
    assert await core.notp_flow.complete(started.pending_ref, admit_all) is None
    assert core.events == []

    await confirm(core, started)
    core.clock.advance(1)
    pair = await core.notp_flow.complete(started.pending_ref, admit_all)

    assert pair is not None
    assert (pair.session.user.email, pair.session.amr) == (ADA, ("whatsapp",))
    assert core.recorded_events(SignedIn) == [SignedIn(pair.session.user.id, None, True, "notp")]


async def test_np01_repr_shows_neither_the_link_nor_the_reference() -> None:
    """The link has the code that confirms the sign-in, and the reference is enough to get its session."""
    started = await AuthHarness().notp_flow.start(NOTHING)
    assert repr(started) == "NotpStart()"


async def test_np03_polls_within_a_second_make_no_call() -> None:
    """A hundred polls in ten seconds make at most ten calls. Every sign-in has its own schedule."""
    core = AuthHarness()
    started, other = await core.notp_flow.start(NOTHING), await core.notp_flow.start(NOTHING)

    for _ in range(100):
        assert await core.notp_flow.complete(started.pending_ref, admit_all) is None
        core.clock.advance(0.1)
    assert 9 <= core.calls("notp_pending") <= 10

    calls = core.calls("notp_pending")
    assert await core.notp_flow.complete(other.pending_ref, admit_all) is None
    assert core.calls("notp_pending") == calls + 1


async def test_np03_concurrent_polls_share_one_call_and_run_hooks_once() -> None:
    """Two tabs that show one sign-in get the same session."""
    core = AuthHarness()
    started = await confirmed(core)
    admitted: list[str | None] = []

    async def admit(pair: TokenPair, login: Login) -> None:
        admitted.append(pair.session.user.email)

    pairs = await asyncio.gather(*[core.notp_flow.complete(started.pending_ref, admit) for _ in range(10)])

    assert len({pair.refresh.text for pair in pairs if pair}) == 1
    assert core.calls("notp_pending") == 1
    assert admitted == [ADA]
    assert len(core.recorded_events(SignedIn)) == 1


async def test_np03_a_poll_joins_the_one_in_flight() -> None:
    """It gets the same session, although Descope returns it only once."""
    core = AuthHarness()
    started = await confirmed(core)
    core.emulator.faults.add("notp_pending", hold=True)
    polls = [asyncio.ensure_future(core.notp_flow.complete(started.pending_ref, admit_all))]
    await core.emulator.faults.wait_until_held()
    polls.append(asyncio.ensure_future(core.notp_flow.complete(started.pending_ref, admit_all)))
    await run_ready()
    core.emulator.faults.release()

    first, second = await asyncio.gather(*polls)

    assert first is second is not None


async def test_np03_a_disconnected_poll_completes() -> None:
    """Descope returns the session only once: the call outlives the request, and a shutdown waits for it."""
    core = AuthHarness()
    started = await confirmed(core)
    core.emulator.faults.add("notp_pending", hold=True)
    poll = asyncio.ensure_future(core.notp_flow.complete(started.pending_ref, admit_all))
    await core.emulator.faults.wait_until_held()
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)

    shutdown = asyncio.ensure_future(core.drain(5))
    await run_ready()
    assert not shutdown.done()
    core.emulator.faults.release()
    await shutdown

    assert len(core.recorded_events(SignedIn)) == 1


async def test_np03_the_schedule_of_polls_is_bounded() -> None:
    """Of a flood of references the newest 1,024 are kept; a forgotten one may be polled earlier."""
    core = AuthHarness()
    started = await core.notp_flow.start(NOTHING)
    await core.notp_flow.complete(started.pending_ref, admit_all)
    for number in range(1_023):
        await core.notp_flow.complete(f"made-up-{number}", admit_all)
    calls = core.calls("notp_pending")
    await core.notp_flow.complete(started.pending_ref, admit_all)
    assert core.calls("notp_pending") == calls

    await core.notp_flow.complete("one-more", admit_all)
    await core.notp_flow.complete(started.pending_ref, admit_all)

    assert core.calls("notp_pending") == calls + 2


async def test_np03_pending_polls_are_no_outage() -> None:
    """However many sign-ins are pending, the circuit breaker stays closed."""
    core = AuthHarness()
    started = [await core.notp_flow.start(NOTHING) for _ in range(20)]

    for each in started:
        assert await core.notp_flow.complete(each.pending_ref, admit_all) is None

    assert core.calls("notp_pending") == 20
    assert core.recorded_events(UpstreamDegraded, LoginFailed) == []


async def test_np04_a_sign_in_completes_once() -> None:
    """A later poll is rejected without a call."""
    core = AuthHarness()
    started = await confirmed(core)
    await core.notp_flow.complete(started.pending_ref, admit_all)
    core.clock.advance(60)

    with pytest.raises(LoginRejected) as caught:
        await core.notp_flow.complete(started.pending_ref, admit_all)

    assert caught.value.reason == "notp_over"
    assert core.calls("notp_pending") == 1
    assert core.recorded_events(LoginFailed) == [LoginFailed("notp_over")]


async def test_np04_a_refused_user_cannot_poll_again() -> None:
    """The event has the reason of the hook, and Descope is not called again."""
    core = AuthHarness()
    started = await confirmed(core)

    with pytest.raises(Forbidden):
        await core.notp_flow.complete(started.pending_ref, refuse)
    with pytest.raises(LoginRejected):
        await core.notp_flow.complete(started.pending_ref, admit_all)

    assert core.recorded_events(LoginFailed, SignedIn) == [LoginFailed("forbidden"), LoginFailed("notp_over")]


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_np04_a_reference_that_descope_refuses_is_over(status: int) -> None:
    """Only E066103 means pending; any other refusal ends the sign-in."""
    core = AuthHarness()
    started = await confirmed(core)
    core.emulator.faults.add("notp_pending", status=status)

    for _ in range(2):
        with pytest.raises(LoginRejected) as caught:
            await core.notp_flow.complete(started.pending_ref, admit_all)
        assert caught.value.detail == "The sign-in took too long, or was finished already."

    assert core.recorded_events(LoginFailed) == [
        LoginFailed("notp_refused", status, "E011001"),
        LoginFailed("notp_over"),
    ]


@pytest.mark.parametrize(("status", "error"), [(503, UpstreamUnavailable), (429, RateLimited)])
async def test_np04_a_sign_in_survives_an_outage(status: int, error: type[DescopeError]) -> None:
    """There is no verdict, so no event either; the next poll a second later succeeds."""
    core = AuthHarness()
    started = await confirmed(core)
    core.emulator.faults.add("notp_pending", status=status)
    with pytest.raises(error):
        await core.notp_flow.complete(started.pending_ref, admit_all)
    assert core.events == []
    assert await core.notp_flow.complete(started.pending_ref, admit_all) is None

    core.clock.advance(1)

    assert await core.notp_flow.complete(started.pending_ref, admit_all) is not None


async def test_np04_unverified_tokens_sign_no_user_in() -> None:
    """A response with invalid tokens ends the sign-in."""
    core = AuthHarness()
    core.set_next_tokens("notp_pending", *reversed([*core.issue()]))
    with pytest.raises(InvalidUpstreamResponse):
        await core.notp_flow.complete("reference", admit_all)
    assert core.recorded_events(LoginFailed, SignedIn) == [LoginFailed("invalid_upstream_response")]


async def test_np04_a_response_that_is_not_descopes_ends_the_sign_in() -> None:
    """Half a response may be that of a confirmed sign-in, which Descope returns only once."""
    core = AuthHarness()
    core.set_next_response("notp_pending", b"{")
    with pytest.raises(InvalidUpstreamResponse):
        await core.notp_flow.complete("reference", admit_all)
    assert core.recorded_events(LoginFailed) == [LoginFailed("invalid_upstream_response")]


async def test_tokens_that_fit_into_no_cookie_are_too_large() -> None:
    """The app's owner has to give the user fewer grants."""
    core = AuthHarness()
    core.set_next_tokens("notp_pending", *core.emulator.issue(ADA, "acme", claims={"bulk": "x" * 9000}))
    with pytest.raises(SessionTooLarge):
        await core.notp_flow.complete("reference", admit_all)


async def test_a_refused_start_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The project may not offer nOTP. The user sees our own text, the log names the setting."""
    core = AuthHarness()
    for _ in range(2):
        core.emulator.faults.add("notp_start", status=400)
        with pytest.raises(LoginRejected) as caught:
            await core.notp_flow.start(NOTHING)
        assert caught.value.detail == "Signing in with WhatsApp is not available here."
    (message,) = caplog.messages
    assert message == (
        "fastapi_descope: Descope refuses to start a WhatsApp sign-in (status 400, code E011001): enable nOTP"
        " for the project, or remove notp from DESCOPE_LOGIN_METHODS"
    )
    expected: list[Event] = [LoginFailed("notp_start_refused", 400, "E011001")] * 2
    assert core.events == expected


async def test_a_start_during_an_outage_is_unavailable() -> None:
    """A 503 with the time to wait, and an event."""
    core = AuthHarness()
    core.emulator.faults.add("notp_start", status=503, retry_after=11)
    with pytest.raises(UpstreamUnavailable) as caught:
        await core.notp_flow.start(NOTHING)
    assert caught.value.retry_after == 11
    assert core.recorded_events(LoginFailed) == [LoginFailed("upstream_unavailable")]
