"""Tokens are verified while keys change: rotation, floods of unknown keys and outages.

Requirements JW-01 to JW-07, F9 and F12, with a fake clock and a fake JWKS endpoint. ``test_jwks_cache`` has
the tests of the key set itself, ``test_token_cache`` those of cached tokens.
"""

import asyncio
import logging
from collections.abc import Coroutine

import pytest

from fastapi_descope._tokens.claims import UnknownKey
from fastapi_descope.errors import (
    TokenError,
    TokenExpired,
    TokenReason,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import Event, EventBus, JwksFetchFailed
from fastapi_descope.session import AuthSession, RefreshToken
from tests.helpers.event_loop import run_ready
from tests.helpers.jwks_publisher import Publisher
from tests.helpers.tampering import NOW, Forge

pytestmark = pytest.mark.anyio


DOWN = UpstreamUnavailable()


async def rejection_reason(call: Coroutine[None, None, object]) -> TokenReason:
    """Return the reason why a token is rejected."""
    with pytest.raises(TokenError) as caught:
        await call
    return caught.value.reason


async def test_a_session_token_is_verified(forge: Forge) -> None:
    """The first token causes a fetch of the keys and returns user and tenant."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    session = await verifier.verify_session(forge.token())
    assert (session.user.id, session.tenant and session.tenant.roles) == ("U2forge", ("admin",))
    assert publisher.fetches == 1


async def test_a_refresh_token_is_verified(forge: Forge) -> None:
    """The result has the text, the user and the times of the token."""
    verifier = Publisher(forge.key_set("A")).verifier()
    text = forge.token(forge.claims(drn="DSR", dsub="U2real"))
    expected = RefreshToken(text, "U2real", NOW, NOW + 600)
    assert [await verifier.verify_refresh_token(text) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "\ud800", "\x00", "\u2026" * 9000, "x" * 8192, "x" * 4_000_000]
)
async def test_tv01_junk_raises_a_token_error(forge: Forge, text: str) -> None:
    """Nothing but a TokenError is raised, and junk over the maximum size is not even hashed."""
    verifier = Publisher(forge.key_set("A")).verifier()
    reason = TokenReason.TOO_LARGE if len(text) > 8192 else TokenReason.MALFORMED
    assert await rejection_reason(verifier.verify_session(text)) is reason
    assert await rejection_reason(verifier.verify_refresh_token(text)) is reason


async def test_warming_fetches_the_keys_once(forge: Forge) -> None:
    """After warming, the first request does not wait."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    await verifier.warm()
    await verifier.warm()
    publisher.gate.clear()
    assert isinstance(await verifier.verify_session(forge.token()), AuthSession)
    assert publisher.fetches == 1


async def test_keys_are_in_force_after_warming(forge: Forge) -> None:
    """Before that, the answer is no."""
    verifier = Publisher(forge.key_set("A")).verifier()
    assert not verifier.has_fresh_keys()
    assert not verifier.has_keys()
    await verifier.warm()
    assert verifier.has_fresh_keys()
    assert verifier.has_keys()


async def test_jw07_warming_in_an_outage_emits_an_event() -> None:
    """A start without Descope does not fail."""
    recorded_events: list[Event] = []
    events = EventBus()
    events.subscribe(recorded_events.append)
    publisher = Publisher(DOWN)
    verifier = publisher.verifier(events=events)
    await verifier.warm()
    assert recorded_events == [JwksFetchFailed("upstream_unavailable")]
    assert publisher.fetches == 1


async def test_the_event_of_an_outage_has_the_kind_of_failure() -> None:
    """Without a response, the event has the name of the network error."""
    recorded_events: list[Event] = []
    events = EventBus()
    events.subscribe(recorded_events.append)
    await Publisher(UpstreamUnavailable(failure="ConnectError")).verifier(events=events).warm()
    assert recorded_events == [JwksFetchFailed("ConnectError")]


@pytest.mark.parametrize(("code", "logged"), [("E011003", "E011003"), ("", "none")])
async def test_an_unknown_project_is_logged(caplog: pytest.LogCaptureFixture, code: str, logged: str) -> None:
    """The event has status and code, and the log line names the settings to check."""
    recorded_events: list[Event] = []
    events = EventBus()
    events.subscribe(recorded_events.append)
    await Publisher(UpstreamRejected(404, code)).verifier(events=events).warm()
    assert recorded_events == [JwksFetchFailed("upstream_rejected", 404, code)]
    (message,) = caplog.messages
    assert message == (
        f"fastapi_descope: Descope knows no keys of this project (status 404, code {logged}):"
        " check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL"
    )


async def test_jw07_without_keys_every_token_is_unavailable(forge: Forge) -> None:
    """Good and bad tokens raise UpstreamUnavailable, because neither can be verified."""
    publisher = Publisher(DOWN)
    verifier = publisher.verifier()
    for token in (forge.token(), forge.token(key="C")):
        with pytest.raises(UpstreamUnavailable) as caught:
            await verifier.verify_session(token)
        assert caught.value.retry_after == 1
    assert publisher.fetches == 1


@pytest.mark.parametrize("token", ["junk", "", "a.b.c", "x" * 10_000])
async def test_jw02_a_malformed_token_is_rejected_without_a_fetch(token: str) -> None:
    """JW-02: a malformed token causes no request to Descope, also before the first fetch or in an outage."""
    publisher = Publisher(DOWN)
    verifier = publisher.verifier()
    with pytest.raises(TokenError):
        await verifier.verify_session(token)
    await run_ready()  # a fetch in the background would begin now
    assert publisher.fetches == 0


async def test_jw03_cancelled_requests_do_not_cancel_the_fetch(forge: Forge) -> None:
    """A thousand concurrent requests make one fetch, which continues after 999 of them are cancelled."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    publisher.gate.clear()
    token = forge.token()
    requests = [asyncio.create_task(verifier.verify_session(token)) for _ in range(1000)]
    await run_ready()
    for request in requests[1:]:
        request.cancel()
    await run_ready()
    publisher.gate.set()
    assert (await requests[0]).user.id == "U2forge"
    assert sum(request.cancelled() for request in requests) == 999
    assert publisher.fetches == 1


async def test_jw03_a_thousand_concurrent_requests_share_one_fetch(forge: Forge) -> None:
    """All of them succeed."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    token = forge.token()
    sessions = await asyncio.gather(*[verifier.verify_session(token) for _ in range(1000)])
    assert {session.user.id for session in sessions} == {"U2forge"}
    assert publisher.fetches == 1


async def test_jw04_two_tokens_share_a_failed_fetch(forge: Forge) -> None:
    """Cookie and bearer token of one request raise the same error, and no second fetch starts (JW-04)."""
    publisher = Publisher(DOWN)
    verifier = publisher.verifier()
    publisher.gate.clear()
    refresh = forge.token(forge.claims(drn="DSR"))
    both = asyncio.gather(
        verifier.verify_session(forge.token()), verifier.verify_refresh_token(refresh), return_exceptions=True
    )
    await run_ready()
    publisher.gate.set()
    assert [type(response) for response in await both] == [UpstreamUnavailable] * 2
    assert publisher.fetches == 1


async def test_jw01_an_overlapping_rotation_rejects_no_token(forge: Forge) -> None:
    """{A} -> {A, B} -> {B}: tokens of B are valid at once, and tokens of A until the set {B} is fetched."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    old, new = forge.token(key="A"), forge.token(key="B")
    await verifier.verify_session(old)
    publisher.publish(forge.key_set("A", "B"))
    assert len(await asyncio.gather(*[verifier.verify_session(new) for _ in range(100)])) == 100
    assert publisher.fetches == 2
    publisher.publish(forge.key_set("B"))
    assert isinstance(await verifier.verify_session(old), AuthSession)
    publisher.now += 599
    assert isinstance(await verifier.verify_session(old), AuthSession)
    publisher.now += 1
    assert isinstance(await verifier.verify_session(old), AuthSession)
    await run_ready()
    assert await rejection_reason(verifier.verify_session(old)) is TokenReason.UNKNOWN_KEY
    assert isinstance(await verifier.verify_session(new), AuthSession)


async def test_jw01_the_first_unknown_key_is_fetched_immediately(forge: Forge) -> None:
    """A rotation right after the start is noticed, although the keys have just been fetched."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    await verifier.warm()
    publisher.publish(forge.key_set("B"))
    assert isinstance(await verifier.verify_session(forge.token(key="B")), AuthSession)


async def test_jw01_a_fetch_that_returns_the_old_set_is_repeated(forge: Forge) -> None:
    """If an unknown key joins a running fetch that returns the old set, another fetch follows."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    new = forge.token(key="B")
    await verifier.warm()
    publisher.now += 600
    publisher.gate.clear()
    requests = [asyncio.create_task(verifier.verify_session(new)) for _ in range(100)]
    await run_ready()
    publisher.gate.set()
    await asyncio.sleep(0)
    publisher.publish(forge.key_set("A", "B"))
    assert {type(response) for response in await asyncio.gather(*requests)} == {AuthSession}
    assert publisher.fetches == 3


async def test_jw02_a_flood_of_unknown_keys_is_rate_limited(forge: Forge) -> None:
    """Plausible forgeries with ever new key ids cause one fetch in 30 seconds, and are all rejected."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    claims = forge.claims(exp=NOW + 3600)
    forged = [forge.token(claims, header={"alg": "RS256", "kid": f"evil{i}"}, key="C") for i in range(50)]
    for second in range(60):
        publisher.now = NOW + second
        responses = await asyncio.gather(
            *[verifier.verify_session(text) for text in forged], return_exceptions=True
        )
        assert {type(response) for response in responses} == {UnknownKey}
        assert publisher.fetches == 2 + second // 30
    assert isinstance(await verifier.verify_session(forge.token()), AuthSession)


IMPLAUSIBLE = {
    "kind": {"drn": "DSR"},
    "issuer": {"iss": "P2other"},
    "audience": {"aud": "P2other"},
    "expired": {"iat": 1, "exp": 2},
}


@pytest.mark.parametrize("changes", IMPLAUSIBLE.values(), ids=IMPLAUSIBLE)
async def test_jw02_an_implausible_token_causes_no_fetch(forge: Forge, changes: dict[str, object]) -> None:
    """A token that no key could make valid is rejected without a fetch."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    await verifier.warm()
    token = forge.token(forge.claims(**changes), key="C")
    assert await rejection_reason(verifier.verify_session(token)) is TokenReason.UNKNOWN_KEY
    assert publisher.fetches == 1


async def test_a_wrong_signature_causes_no_fetch(forge: Forge) -> None:
    """A forgery that names a known key is rejected without a fetch."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    forged = forge.token(header={"alg": "RS256", "kid": "A"}, key="C")
    assert [await rejection_reason(verifier.verify_session(forged)) for _ in range(100)] == [
        TokenReason.SIGNATURE
    ] * 100
    assert publisher.fetches == 1


async def test_f9_f12_an_outage_during_a_rotation_rejects_no_token(forge: Forge) -> None:
    """Known keys still work. An unknown key is UpstreamUnavailable, with one fetch in 30 seconds."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    await verifier.warm()
    publisher.publish(DOWN)
    new = forge.token(forge.claims(exp=NOW + 3600), key="B")
    for second in range(60):
        publisher.now = NOW + second
        with pytest.raises(UpstreamUnavailable):
            await verifier.verify_session(new)
        assert isinstance(await verifier.verify_session(forge.token()), AuthSession)
        assert publisher.fetches == 2 + second // 30
    publisher.publish(forge.key_set("B"))
    publisher.now += 30
    assert isinstance(await verifier.verify_session(new), AuthSession)


async def test_jw05_old_keys_verify_without_waiting_in_an_outage(forge: Forge) -> None:
    """Tokens are verified immediately while a fetch of new keys hangs."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    await verifier.warm()
    publisher.gate.clear()
    publisher.now += 3600
    later = {"iat": NOW + 3600, "exp": NOW + 4200}
    for user in ("U1", "U2"):
        session = verifier.verify_session(forge.token(forge.claims(sub=user, **later)))
        with pytest.raises(StopIteration) as done:
            session.send(None)
        assert done.value.value.user.id == user
    await run_ready()
    assert publisher.fetches == 2
    await verifier.aclose()


async def test_jw06_cached_tokens_count_as_long_as_the_keys(forge: Forge) -> None:
    """A day after the last successful fetch, a token that is cached and not expired is unavailable, too."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    token = forge.token(forge.claims(exp=NOW + 200_000))
    await verifier.verify_session(token)
    publisher.publish(DOWN)
    publisher.now += 86_399
    assert isinstance(await verifier.verify_session(token), AuthSession)
    publisher.now += 1

    with pytest.raises(UpstreamUnavailable):
        await verifier.verify_session(token)


async def test_closing_fails_requests_that_wait_for_keys(forge: Forge) -> None:
    """A request that waits for keys while the app stops gets UpstreamUnavailable."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    publisher.gate.clear()
    request = asyncio.create_task(verifier.verify_session(forge.token()))
    await run_ready()
    await verifier.aclose()
    with pytest.raises(UpstreamUnavailable):
        await request


def test_a_verifier_works_in_consecutive_event_loops(forge: Forge) -> None:
    """A loop that ended during a fetch leaves nothing that a later loop would wait for."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    publisher.gate.clear()

    async def cancel_a_request() -> None:
        request = asyncio.create_task(verifier.verify_session(forge.token()))
        await run_ready()
        request.cancel()

    asyncio.run(cancel_a_request())
    publisher.gate = asyncio.Event()
    publisher.gate.set()
    assert asyncio.run(verifier.verify_session(forge.token())).user.id == "U2forge"
    assert publisher.fetches == 2


async def test_lg02_no_token_reaches_the_log(forge: Forge, caplog: pytest.LogCaptureFixture) -> None:
    """No valid, unknown or expired token is logged."""
    caplog.set_level(logging.DEBUG)
    publisher = Publisher(forge.key_set("A", {"kid": "unfit"}))
    verifier = publisher.verifier()
    await verifier.verify_session(forge.token())
    await rejection_reason(verifier.verify_session(forge.token(key="C")))
    publisher.now += 605
    with pytest.raises(TokenExpired):
        await verifier.verify_session(forge.token())
    for part in forge.token().split("."):
        assert part not in caplog.text
    assert "unfit" not in caplog.text
