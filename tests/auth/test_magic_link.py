"""Links by e-mail without a web framework: the calls to Descope and their results."""

import pytest

from fastapi_descope._upstream.login_options import LoginOptions
from fastapi_descope.errors import LoginRejected, TooManyAttempts, UpstreamUnavailable
from fastapi_descope.events import LoginFailed
from tests.helpers.auth_harness import ADA, AuthHarness, admit_all

pytestmark = pytest.mark.anyio

LINK = "http://127.0.0.1:8000/login/magiclink/verify?state=canary-state"


async def _send(core: AuthHarness, email: str = ADA, client: str | None = "192.0.2.1") -> None:
    await core.magic_link_flow.send(email, LINK, LoginOptions(), client=client)


async def test_ml02_refusal_is_an_event_and_one_line_without_the_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line says what to check if no user gets a link."""
    core = AuthHarness()

    for _ in range(2):
        await _send(core, "nobody@acme.example")

    assert core.events[-2:] == [LoginFailed("link_not_sent", 400, "E062108")] * 2
    (line,) = [each for each in caplog.messages if "refuses" in each]
    assert line == (
        "fastapi_descope: Descope refuses to send a link (status 400, code E062108). That is normal for an"
        " unknown address. If no user gets a link, enable magic links for the project, and approve"
        " http://127.0.0.1:8000/login/magiclink/verify"
    )


async def test_ml06_client_causes_ten_e_mails_in_a_minute() -> None:
    """A refused address counts too, and so does an outage, which may have sent the e-mail."""
    core = AuthHarness()
    for number in range(10):
        await _send(core, ADA if number % 2 else "nobody@acme.example")

    with pytest.raises(TooManyAttempts):
        await _send(core)
    await _send(core, client="192.0.2.2")
    core.clock.advance(60)
    await _send(core)


async def test_ml06_all_clients_together_cause_a_hundred_e_mails_in_a_minute() -> None:
    """So that a flood from many addresses leaves Descope's limit to other logins."""
    core = AuthHarness()
    for number in range(100):
        await _send(core, client=f"192.0.2.{number}")

    with pytest.raises(UpstreamUnavailable):
        await _send(core, client=None)
    assert core.calls("magiclink_start") == 100


async def test_ml05_refused_token_is_over() -> None:
    """A second attempt with the same login cookie does not call Descope."""
    core = AuthHarness()
    with pytest.raises(LoginRejected, match="used already") as caught:
        await core.login_flow.complete_login("unknown-token", admit_all, secret="s", method="magiclink")

    assert caught.value.reason == "link_refused"
    assert core.events[-1] == LoginFailed("link_refused", 401, "E062504")
    assert await core.login_flow.complete_login("x" * 9, admit_all, secret="s", method="magiclink") is None
