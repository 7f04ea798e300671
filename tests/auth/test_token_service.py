"""Tokens in Descope's responses are verified like tokens from a browser (CB-07, KD-06, TN-07)."""

from collections.abc import Callable

import pytest

from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.emulator import JwtPair, Project
from fastapi_descope.errors import InvalidUpstreamResponse, SessionTooLarge, UpstreamUnavailable
from fastapi_descope.events import UpstreamTokenRejected
from fastapi_descope.session import TokenPair
from tests.helpers.auth_harness import ADA, HANK, NOW, AuthHarness, tokens_of_another_project
from tests.helpers.tampering import segment, with_segment

pytestmark = pytest.mark.anyio


def changed(token: str) -> str:
    """Return the token with one character of its claims changed."""
    claims = segment(token, 1)
    return with_segment(token, 1, claims[:20] + ("A" if claims[20] != "A" else "B") + claims[21:])


def swapped(core: AuthHarness) -> tuple[str, str]:
    """Return a valid pair with the two tokens swapped."""
    session_jwt, refresh_jwt = core.issue()
    return refresh_jwt, session_jwt


def another_projects(_core: AuthHarness) -> tuple[str, str]:
    """Return a valid pair of another project."""
    session_jwt, refresh_jwt = tokens_of_another_project()
    return session_jwt, refresh_jwt


INVALID_TOKENS: dict[str, tuple[Callable[[AuthHarness], tuple[object, object]], str]] = {
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
    """Return a pair as a store caches it."""
    return RefreshResult(issued.session_jwt, issued.refresh_jwt)


async def exchange(core: AuthHarness) -> TokenPair:
    """Return the verified tokens of the response to an exchange."""
    return await core.tokens.verify_login(await core.api.exchange_code("code"))


async def test_code_is_exchanged_for_verified_tokens() -> None:
    """Both tokens are verified."""
    core = AuthHarness()
    issued = core.issue()
    core.set_next_tokens("exchange", *issued)

    pair = await exchange(core)

    assert (pair.session_jwt, pair.refresh.text) == tuple(issued)
    assert pair.session.tenant_id == "acme"
    assert pair.refresh.subject == pair.session.user.id
    assert pair.refresh_at is None


@pytest.mark.parametrize("response", INVALID_TOKENS)
async def test_cb07_exchange_with_invalid_tokens_is_rejected(response: str) -> None:
    """The error has a precise reason, and rejected tokens cause one event."""
    core = AuthHarness()
    tokens, reason = INVALID_TOKENS[response]
    core.set_next_tokens("exchange", *tokens(core))

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await exchange(core)

    assert caught.value.reason == reason
    assert caught.value.__cause__ is None
    expected = [] if reason.startswith("token_") else [UpstreamTokenRejected(reason)]
    assert core.recorded_events(UpstreamTokenRejected) == expected


async def test_cb07_renamed_cookies_do_not_excuse_other_faults() -> None:
    """Tokens of another project are invalid, whatever the names of the cookies are."""
    core = AuthHarness()
    session_jwt, refresh_jwt = tokens_of_another_project()
    core.set_next_response(
        "exchange", {"sessionJwt": session_jwt, "refreshJwt": refresh_jwt, "cookieName": "rid"}
    )

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await exchange(core)

    assert caught.value.reason == "unknown_key"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>sign in</html>", b"null", b"\xff"])
async def test_cb07_exchange_without_a_json_object_is_rejected(body: bytes) -> None:
    """A page, half a response, or another JSON type is invalid."""
    core = AuthHarness()
    core.set_next_response("exchange", body)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await exchange(core)
    assert caught.value.reason == "not_json"


async def test_ck08_tokens_of_a_user_with_too_many_grants_are_too_large() -> None:
    """Descope's tokens are valid but fit into no cookie; the app's owner has to fix that."""
    core = AuthHarness()
    big = core.emulator.issue(ADA, "acme", claims={"bulk": "x" * 9000})
    core.set_next_tokens("exchange", *big)
    with pytest.raises(SessionTooLarge):
        await exchange(core)


async def test_refresh_without_rotation_keeps_the_refresh_token() -> None:
    """Descope omits it from the response (wire contract, section 5.2)."""
    core = AuthHarness(Project())
    issued = core.issue()

    tokens_result = await core.tokens.refresh(issued.refresh_jwt)

    assert tokens_result.refresh_jwt == issued.refresh_jwt
    assert tokens_result.session_jwt is not None
    assert tokens_result.refresh_at is None
    assert (await core.tokens.verify(tokens_result)).refresh.text == issued.refresh_jwt


async def test_refresh_with_rotation_returns_a_new_refresh_token() -> None:
    """The response also has the time of the next refresh for an inactivity timeout."""
    core = AuthHarness(Project(rotate_refresh=True, inactivity_seconds=1200))
    issued = core.issue()

    tokens_result = await core.tokens.refresh(issued.refresh_jwt)

    assert tokens_result.refresh_jwt not in {None, issued.refresh_jwt}
    assert tokens_result.refresh_at == NOW + 600
    assert (await core.tokens.verify(tokens_result)).refresh_at == NOW + 600


@pytest.mark.parametrize("their", ["session token", "refresh token", "pair"])
async def test_kd06_tokens_of_another_user_are_rejected(their: str) -> None:
    """Both tokens are valid, but one of them belongs to another user than the refresh token."""
    core = AuthHarness()
    ours, theirs = core.issue(), core.issue(HANK, "globex")
    refresh_token = await core.refresh_token(ours)
    mixed = JwtPair(
        ours.session_jwt if their == "refresh token" else theirs.session_jwt,
        ours.refresh_jwt if their == "session token" else theirs.refresh_jwt,
    )
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(result(mixed), refresh_token)
    assert caught.value.reason == "subject"
    assert core.recorded_events(UpstreamTokenRejected) == [UpstreamTokenRejected("subject")]


async def test_result_without_tokens_is_rejected() -> None:
    """That of a logout has none."""
    core = AuthHarness()
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(RefreshResult.ended())
    assert caught.value.reason == "token_missing"


async def test_without_keys_the_verification_is_unavailable() -> None:
    """The tokens may be the only copy of a rotated refresh token, so they are not rejected."""
    core = AuthHarness()
    core.emulator.faults.add("keys", status=503)
    with pytest.raises(UpstreamUnavailable):
        await core.tokens.verify(result(core.issue()))
    assert core.recorded_events(UpstreamTokenRejected) == []


async def test_tokens_under_a_key_that_may_not_be_fetched_yet_are_unavailable() -> None:
    """An unknown key has just caused a fetch; the next one is allowed half a minute later."""
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


async def test_tokens_that_expired_in_the_cache_are_not_suspicious() -> None:
    """The reason is ``expired``, so that a caller can use their refresh token."""
    core = AuthHarness()
    issued = core.issue()
    await core.tokens.verify(result(issued))
    core.clock.advance(700)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(result(issued))
    assert caught.value.reason == "expired"
    assert core.recorded_events(UpstreamTokenRejected) == []


async def test_rf17_tokens_from_the_future_are_unavailable_until_they_are_valid() -> None:
    """Our clock is behind: an event is emitted, and the tokens become valid later."""
    core = AuthHarness()
    times = {"iat": int(NOW) + 60, "exp": int(NOW) + 660}
    early = result(core.emulator.issue(ADA, "acme", claims=times))
    with pytest.raises(UpstreamUnavailable):
        await core.tokens.verify(early)
    assert core.recorded_events(UpstreamTokenRejected) == [UpstreamTokenRejected("not_yet_valid")]

    core.clock.advance(60)

    assert (await core.tokens.verify(early)).session.expires_at == times["exp"]


async def test_tenant_switch_returns_tokens_of_the_tenant() -> None:
    """They are requested with the refresh token, and verified."""
    core = AuthHarness()
    issued = core.issue()
    select, verify = core.switch("globex")

    pair = await verify(await select(issued.refresh_jwt), await core.refresh_token(issued))

    assert pair.session.tenant_id == "globex"
    assert pair.session.tenant is not None
    assert pair.session.tenant.roles == ("viewer",)


@pytest.mark.parametrize("tenant", ["acme", None])
async def test_tn07_tenant_switch_to_another_tenant_is_rejected(tenant: str | None) -> None:
    """The tokens are valid and of the same user, but of another tenant or of none."""
    core = AuthHarness()
    issued = core.issue()
    core.set_next_tokens("select", *core.issue(tenant=tenant))
    select, verify = core.switch("globex")
    tokens_result = await select(issued.refresh_jwt)

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await verify(tokens_result, await core.refresh_token(issued))

    assert caught.value.reason == "tenant"
    assert core.recorded_events(UpstreamTokenRejected) == [UpstreamTokenRejected("tenant")]


async def test_lg02_repr_of_results_and_errors_shows_no_token() -> None:
    """Nor do the cause of the error and the events."""
    core = AuthHarness()
    core.set_next_tokens("refresh", "canary.canary", "canary")
    tokens_result = await core.tokens.refresh(core.issue().refresh_jwt)
    with pytest.raises(InvalidUpstreamResponse) as caught:
        await core.tokens.verify(tokens_result)
    shown = (tokens_result, caught.value, caught.value.args, caught.value.__cause__, core.events)
    assert "canary" not in repr(shown)
