"""No answer of Descope is believed because of where it came from (CB-07, KD-06, TN-07)."""

from collections.abc import Callable

import pytest

from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.emulator import JwtPair, Project
from fastapi_descope.errors import InvalidUpstreamResponse, SessionTooLarge, UpstreamUnavailable
from fastapi_descope.events import UpstreamTokenRejected
from tests.helpers.auth_harness import ADA, HANK, NOW, AuthHarness, foreign
from tests.helpers.tampering import segment, with_segment

pytestmark = pytest.mark.anyio


def changed(token: str) -> str:
    """The token with the claims of another one."""
    claims = segment(token, 1)
    return with_segment(token, 1, claims[:20] + ("A" if claims[20] != "A" else "B") + claims[21:])


def swapped(core: AuthHarness) -> tuple[str, str]:
    """A genuine pair, each token in the other's place."""
    session_jwt, refresh_jwt = core.issue()
    return refresh_jwt, session_jwt


def another_projects(_core: AuthHarness) -> tuple[str, str]:
    """A pair that is genuine elsewhere."""
    session_jwt, refresh_jwt = foreign()
    return session_jwt, refresh_jwt


ANSWERS: dict[str, tuple[Callable[[AuthHarness], tuple[object, object]], str]] = {
    "nothing": (lambda core: (None, None), "token_missing"),
    "no session": (lambda core: (None, core.issue().refresh_jwt), "token_missing"),
    "no refresh token": (lambda core: (core.issue().session_jwt, None), "token_missing"),
    "empty texts": (lambda core: ("", ""), "token_missing"),
    "a number": (lambda core: (17, core.issue().refresh_jwt), "token_type"),
    "no tokens": (lambda core: ("abc", "def"), "malformed"),
    "two sessions": (lambda core: (core.issue().session_jwt, core.issue().session_jwt), "kind"),
    "two refresh tokens": (lambda core: (core.issue().refresh_jwt, core.issue().refresh_jwt), "kind"),
    "the two swapped": (swapped, "kind"),
    "another project's": (another_projects, "unknown_key"),
    "two users'": (lambda core: (core.issue().session_jwt, core.issue(HANK, None).refresh_jwt), "subject"),
    "a changed session": (
        lambda core: (changed(core.issue().session_jwt), core.issue().refresh_jwt),
        "signature",
    ),
    "a changed refresh token": (
        lambda core: (core.issue().session_jwt, changed(core.issue().refresh_jwt)),
        "signature",
    ),
}


def result(issued: JwtPair) -> RefreshResult:
    """A pair as a store remembers it."""
    return RefreshResult(issued.session_jwt, issued.refresh_jwt)


async def test_a_code_is_traded_for_a_verified_pair() -> None:
    """Both halves, verified, and what Descope said beside them."""
    core = AuthHarness()
    issued = core.issue()
    user = {"userId": "U2ada", "name": "Ada"}
    core.next_answer(
        "exchange",
        {"sessionJwt": issued.session_jwt, "refreshJwt": issued.refresh_jwt, "user": user, "firstSeen": True},
    )

    pair, response = await core.tokens.exchange("code")

    assert (pair.session_jwt, pair.refresh.text) == tuple(issued)
    assert pair.session.tenant_id == "acme"
    assert pair.refresh.subject == pair.session.user.id
    assert pair.refresh_at is None
    assert response.first_seen
    assert response.profile is not None
    assert response.profile.name == "Ada"


@pytest.mark.parametrize("response", ANSWERS)
async def test_cb07_an_exchange_that_brings_anything_else_brings_nothing(response: str) -> None:
    """A precise reason, one event if tokens failed, and never a pair."""
    core = AuthHarness()
    tokens, reason = ANSWERS[response]
    core.next_tokens("exchange", *tokens(core))

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.exchange("code")

    assert caught.value.reason == reason
    assert caught.value.__cause__ is None
    told = [] if reason.startswith("token_") else [UpstreamTokenRejected(reason)]
    assert core.recorded_events(UpstreamTokenRejected) == told


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>sign in</html>", b"null", b"\xff"])
async def test_cb07_an_exchange_that_is_no_json_object_brings_nothing(body: bytes) -> None:
    """A page, half an answer, another type."""
    core = AuthHarness()
    core.next_answer("exchange", body)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.exchange("code")
    assert caught.value.reason == "not_json"


async def test_ck08_a_user_with_too_many_grants_is_told_so() -> None:
    """The tokens are Descope's all right, and fit into no cookie: the app's owner has to mend that."""
    core = AuthHarness()
    big = core.emulator.issue(ADA, "acme", claims={"bulk": "x" * 9000})
    core.next_tokens("exchange", *big)
    with pytest.raises(SessionTooLarge):
        await core.tokens.exchange("code")


async def test_a_refresh_without_rotation_keeps_the_presented_token() -> None:
    """Descope leaves it out of the answer (wire contract, section 5.2)."""
    core = AuthHarness(Project())
    issued = core.issue()

    brought = await core.tokens.refresh(issued.refresh_jwt)

    assert brought.refresh_jwt == issued.refresh_jwt
    assert brought.session_jwt is not None
    assert brought.refresh_at is None
    assert (await core.tokens.verify(brought)).refresh.text == issued.refresh_jwt


async def test_a_refresh_with_rotation_brings_a_new_token() -> None:
    """And says when an inactive session would be over."""
    core = AuthHarness(Project(rotate_refresh=True, inactivity_seconds=1200))
    issued = core.issue()

    brought = await core.tokens.refresh(issued.refresh_jwt)

    assert brought.refresh_jwt not in {None, issued.refresh_jwt}
    assert brought.refresh_at == NOW + 600
    assert (await core.tokens.verify(brought)).refresh_at == NOW + 600


async def test_kd06_a_pair_of_another_user_than_the_one_who_asked_is_refused() -> None:
    """Both halves are genuine and fit each other; they are somebody else's."""
    core = AuthHarness()
    held = await core.refresh_token(core.issue())
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(result(core.issue(HANK, "globex")), held)
    assert caught.value.reason == "subject"
    assert core.recorded_events(UpstreamTokenRejected) == [UpstreamTokenRejected("subject")]


async def test_a_result_without_tokens_is_refused() -> None:
    """That of a logout, for one."""
    core = AuthHarness()
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(RefreshResult.ended())
    assert caught.value.reason == "token_missing"


async def test_without_keys_a_pair_can_be_neither_believed_nor_refused() -> None:
    """It may be the only copy of a rotated token: no verdict, and no alarm."""
    core = AuthHarness()
    core.emulator.faults.add("keys", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.tokens.verify(result(core.issue()))
    assert core.recorded_events(UpstreamTokenRejected) == []


async def test_a_pair_under_a_key_too_new_to_be_asked_for_has_no_verdict() -> None:
    """Somebody has just asked for an unknown key; ours is there half a minute later."""
    core = AuthHarness()
    await core.authenticate(core.issue())
    core.emulator.rotate_keys()
    await core.tokens.verify(result(core.issue()))
    core.emulator.rotate_keys()
    newest = result(core.issue())
    with pytest.raises(UpstreamUnavailable):
        await core.tokens.verify(newest)
    assert core.recorded_events(UpstreamTokenRejected) == []

    core.clock.advance(30)

    assert (await core.tokens.verify(newest)).session.tenant_id == "acme"


async def test_a_pair_that_has_waited_too_long_is_late_and_not_suspicious() -> None:
    """Its reason tells so, for those who can go on with its refresh token."""
    core = AuthHarness()
    issued = core.issue()
    await core.tokens.verify(result(issued))
    core.clock.advance(700)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(result(issued))
    assert caught.value.reason == "expired"
    assert core.recorded_events(UpstreamTokenRejected) == []


async def test_rf17_a_pair_from_the_future_has_no_verdict_yet() -> None:
    """Our clock is behind: it is told of, and becomes good in time."""
    core = AuthHarness()
    times = {"iat": int(NOW) + 60, "exp": int(NOW) + 660}
    early = result(core.emulator.issue(ADA, "acme", claims=times))
    with pytest.raises(UpstreamUnavailable):
        await core.tokens.verify(early)
    assert core.recorded_events(UpstreamTokenRejected) == [UpstreamTokenRejected("not_yet_valid")]

    core.clock.advance(60)

    assert (await core.tokens.verify(early)).session.expires_at == times["exp"]


async def test_a_switch_brings_a_pair_of_the_tenant() -> None:
    """Asked with the refresh token, verified like any other."""
    core = AuthHarness()
    issued = core.issue()
    select, verify = core.switch("globex")

    pair = await verify(await select(issued.refresh_jwt), await core.refresh_token(issued))

    assert pair.session.tenant_id == "globex"
    assert pair.session.tenant is not None
    assert pair.session.tenant.roles == ("viewer",)


@pytest.mark.parametrize("tenant", ["acme", None])
async def test_tn07_a_switch_to_anywhere_else_is_none(tenant: str | None) -> None:
    """A genuine pair of the same user, in another tenant than was asked for, or in none."""
    core = AuthHarness()
    issued = core.issue()
    core.next_tokens("select", *core.issue(tenant=tenant))
    select, verify = core.switch("globex")
    brought = await select(issued.refresh_jwt)

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await verify(brought, await core.refresh_token(issued))

    assert caught.value.reason == "tenant"
    assert core.recorded_events(UpstreamTokenRejected) == [UpstreamTokenRejected("tenant")]


async def test_neither_an_answer_nor_its_error_shows_a_token() -> None:
    """Nor does what it came from (LG-02)."""
    core = AuthHarness()
    core.next_tokens("refresh", "canary.canary", "canary")
    brought = await core.tokens.refresh(core.issue().refresh_jwt)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(brought)
    shown = (brought, caught.value, caught.value.args, caught.value.__cause__, core.events)
    assert "canary" not in repr(shown)
