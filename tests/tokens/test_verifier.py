"""Tokens verified under keys that come and go: rotation, floods of unknown keys, outages.

Requirements JW-01 to JW-07, F9 and F12, on a fake clock, from a scripted Descope. What the key set itself
goes through is in ``test_key_ring``, what is remembered of verified tokens in ``test_verified_tokens``.
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


async def refused(response: Coroutine[None, None, object]) -> TokenReason:
    """Why a token is refused."""
    with pytest.raises(TokenError) as caught:
        await response
    return caught.value.reason


async def test_a_token_becomes_a_session(forge: Forge) -> None:
    """The first token costs a fetch of the keys, and proves who is calling in which tenant."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    session = await cache.verify_session(forge.token())
    assert (session.user.id, session.tenant and session.tenant.roles) == ("U2forge", ("admin",))
    assert descope.fetches == 1


async def test_a_token_becomes_a_refresh_token(forge: Forge) -> None:
    """A refresh token comes back with its text, its user and its times."""
    cache = Publisher(forge.key_set("A")).cache()
    text = forge.token(forge.claims(drn="DSR", dsub="U2real"))
    expected = RefreshToken(text, "U2real", NOW, NOW + 600)
    assert [await cache.verify_refresh_token(text) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "\ud800", "\x00", "\u2026" * 9000, "x" * 8192, "x" * 4_000_000]
)
async def test_tv01_junk_is_refused_whatever_it_is(forge: Forge, text: str) -> None:
    """Nothing but a TokenError comes of junk, and too much of it is not even hashed."""
    cache = Publisher(forge.key_set("A")).cache()
    reason = TokenReason.TOO_LARGE if len(text) > 8192 else TokenReason.MALFORMED
    assert await refused(cache.verify_session(text)) is reason
    assert await refused(cache.verify_refresh_token(text)) is reason


async def test_warming_fetches_once(forge: Forge) -> None:
    """After warming, the first request waits for nothing."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    await cache.warm()
    await cache.warm()
    descope.gate.clear()
    assert isinstance(await cache.verify_session(forge.token()), AuthSession)
    assert descope.fetches == 1


async def test_jw07_warming_in_an_outage_is_an_event() -> None:
    """A start-up without Descope does not fail; it is told."""
    told: list[Event] = []
    events = EventBus()
    events.subscribe(told.append)
    descope = Publisher(DOWN)
    cache = descope.cache(events=events)
    await cache.warm()
    assert told == [JwksFetchFailed("upstream_unavailable")]
    assert descope.fetches == 1


async def test_an_outage_is_told_with_its_kind() -> None:
    """What failed on the way, where there was no answer."""
    told: list[Event] = []
    events = EventBus()
    events.subscribe(told.append)
    await Publisher(UpstreamUnavailable(failure="ConnectError")).cache(events=events).warm()
    assert told == [JwksFetchFailed("ConnectError")]


async def test_a_project_that_descope_does_not_know_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The event has status and code; a sentence in the log names the settings to look at."""
    told: list[Event] = []
    events = EventBus()
    events.subscribe(told.append)
    await Publisher(UpstreamRejected(404, "E011003")).cache(events=events).warm()
    assert told == [JwksFetchFailed("upstream_rejected", 404, "E011003")]
    (message,) = caplog.messages
    assert message == (
        "fastapi_descope: Descope knows no keys of this project (status 404, code E011003):"
        " check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL"
    )


async def test_jw07_a_cold_outage_refuses_nobody(forge: Forge) -> None:
    """Without keys there is no verdict, so tokens good and bad get "come back later"."""
    descope = Publisher(DOWN)
    cache = descope.cache()
    for token in (forge.token(), forge.token(key="C")):
        with pytest.raises(UpstreamUnavailable) as caught:
            await cache.verify_session(token)
        assert caught.value.retry_after == 1
    assert descope.fetches == 1


@pytest.mark.parametrize("token", ["junk", "", "a.b.c", "x" * 10_000])
async def test_jw02_nonsense_is_refused_without_keys_and_fetches_none(token: str) -> None:
    """JW-02: what is no token at all costs nothing upstream, also in a cold start or an outage."""
    descope = Publisher(DOWN)
    cache = descope.cache()
    with pytest.raises(TokenError):
        await cache.verify_session(token)
    await run_ready()  # a fetch in the background would begin now
    assert descope.fetches == 0


async def test_jw03_one_of_a_thousand_waiters_remains(forge: Forge) -> None:
    """A thousand requests at once cost one fetch, and 999 that hang up do not take it with them."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    descope.gate.clear()
    token = forge.token()
    requests = [asyncio.create_task(cache.verify_session(token)) for _ in range(1000)]
    await run_ready()
    for request in requests[1:]:
        request.cancel()
    await run_ready()
    descope.gate.set()
    assert (await requests[0]).user.id == "U2forge"
    assert sum(request.cancelled() for request in requests) == 999
    assert descope.fetches == 1


async def test_jw03_a_thousand_first_requests_all_succeed(forge: Forge) -> None:
    """All who wait for the one fetch are answered."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    token = forge.token()
    sessions = await asyncio.gather(*[cache.verify_session(token) for _ in range(1000)])
    assert {session.user.id for session in sessions} == {"U2forge"}
    assert descope.fetches == 1


async def test_jw04_two_tokens_wait_for_a_fetch_that_fails(forge: Forge) -> None:
    """Cookie and bearer of one request both get an answer, and no second fetch is begun."""
    descope = Publisher(DOWN)
    cache = descope.cache()
    descope.gate.clear()
    refresh = forge.token(forge.claims(drn="DSR"))
    both = asyncio.gather(
        cache.verify_session(forge.token()), cache.verify_refresh_token(refresh), return_exceptions=True
    )
    await run_ready()
    descope.gate.set()
    assert [type(response) for response in await both] == [UpstreamUnavailable] * 2
    assert descope.fetches == 1


async def test_jw01_rotation_with_an_overlap_is_not_noticed(forge: Forge) -> None:
    """{A} -> {A, B} -> {B}: every token of B passes, those of A until the set without A is fetched."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    old, new = forge.token(key="A"), forge.token(key="B")
    await cache.verify_session(old)
    descope.publish(forge.key_set("A", "B"))
    assert len(await asyncio.gather(*[cache.verify_session(new) for _ in range(100)])) == 100
    assert descope.fetches == 2
    descope.publish(forge.key_set("B"))
    assert isinstance(await cache.verify_session(old), AuthSession)
    descope.now += 599
    assert isinstance(await cache.verify_session(old), AuthSession)
    descope.now += 1
    assert isinstance(await cache.verify_session(old), AuthSession)
    await run_ready()
    assert await refused(cache.verify_session(old)) is TokenReason.UNKNOWN_KEY
    assert isinstance(await cache.verify_session(new), AuthSession)


async def test_jw01_the_first_unknown_key_is_looked_for_at_once(forge: Forge) -> None:
    """A rotation right after the start is found, although the keys were loaded only a moment ago."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    await cache.warm()
    descope.publish(forge.key_set("B"))
    assert isinstance(await cache.verify_session(forge.token(key="B")), AuthSession)


async def test_jw01_a_fetch_begun_too_early_is_followed_by_another(forge: Forge) -> None:
    """A token of a new key that meets a fetch under way, whose answer is of before, still passes."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    new = forge.token(key="B")
    await cache.warm()
    descope.now += 600
    descope.gate.clear()
    requests = [asyncio.create_task(cache.verify_session(new)) for _ in range(100)]
    await run_ready()
    descope.gate.set()
    await asyncio.sleep(0)
    descope.publish(forge.key_set("A", "B"))
    assert {type(response) for response in await asyncio.gather(*requests)} == {AuthSession}
    assert descope.fetches == 3


async def test_jw02_a_flood_of_unknown_keys_is_rationed(forge: Forge) -> None:
    """Plausible forgeries under ever new key ids cost one fetch in 30 seconds, and are all refused."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    claims = forge.claims(exp=NOW + 3600)
    forged = [forge.token(claims, header={"alg": "RS256", "kid": f"evil{i}"}, key="C") for i in range(50)]
    for second in range(60):
        descope.now = NOW + second
        responses = await asyncio.gather(
            *[cache.verify_session(text) for text in forged], return_exceptions=True
        )
        assert {type(response) for response in responses} == {UnknownKey}
        assert descope.fetches == 2 + second // 30
    assert isinstance(await cache.verify_session(forge.token()), AuthSession)


IMPLAUSIBLE = {
    "kind": {"drn": "DSR"},
    "issuer": {"iss": "P2other"},
    "audience": {"aud": "P2other"},
    "expired": {"iat": 1, "exp": 2},
}


@pytest.mark.parametrize("changes", IMPLAUSIBLE.values(), ids=IMPLAUSIBLE)
async def test_jw02_an_implausible_token_causes_no_fetch(forge: Forge, changes: dict[str, object]) -> None:
    """What no key could make valid is refused without asking anybody."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    await cache.warm()
    token = forge.token(forge.claims(**changes), key="C")
    assert await refused(cache.verify_session(token)) is TokenReason.UNKNOWN_KEY
    assert descope.fetches == 1


async def test_a_wrong_signature_causes_no_fetch(forge: Forge) -> None:
    """A forgery under a known key is refused without asking anybody."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    forged = forge.token(header={"alg": "RS256", "kid": "A"}, key="C")
    assert [await refused(cache.verify_session(forged)) for _ in range(100)] == [TokenReason.SIGNATURE] * 100
    assert descope.fetches == 1


async def test_f9_f12_an_outage_during_a_rotation_refuses_nobody(forge: Forge) -> None:
    """Known keys go on; whether an unknown one exists cannot be told: 503, at one fetch in 30 seconds."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    await cache.warm()
    descope.publish(DOWN)
    new = forge.token(forge.claims(exp=NOW + 3600), key="B")
    for second in range(60):
        descope.now = NOW + second
        with pytest.raises(UpstreamUnavailable):
            await cache.verify_session(new)
        assert isinstance(await cache.verify_session(forge.token()), AuthSession)
        assert descope.fetches == 2 + second // 30
    descope.publish(forge.key_set("B"))
    descope.now += 30
    assert isinstance(await cache.verify_session(new), AuthSession)


async def test_jw05_an_outage_is_not_waited_for(forge: Forge) -> None:
    """With keys past their time and Descope hanging, tokens are verified at once."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    await cache.warm()
    descope.gate.clear()
    descope.now += 3600
    later = {"iat": NOW + 3600, "exp": NOW + 4200}
    for user in ("U1", "U2"):
        session = cache.verify_session(forge.token(forge.claims(sub=user, **later)))
        with pytest.raises(StopIteration) as done:
            session.send(None)
        assert done.value.value.user.id == user
    await run_ready()
    assert descope.fetches == 2
    await cache.aclose()


async def test_closing_answers_those_who_wait(forge: Forge) -> None:
    """A request that waits for keys while the app stops is told to come back."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    descope.gate.clear()
    request = asyncio.create_task(cache.verify_session(forge.token()))
    await run_ready()
    await cache.aclose()
    with pytest.raises(UpstreamUnavailable):
        await request


def test_a_cache_serves_one_event_loop_after_the_other(forge: Forge) -> None:
    """A loop that ended amid a fetch leaves nothing behind that a later loop would wait for."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    descope.gate.clear()

    async def give_up() -> None:
        request = asyncio.create_task(cache.verify_session(forge.token()))
        await run_ready()
        request.cancel()

    asyncio.run(give_up())
    descope.gate = asyncio.Event()
    descope.gate.set()
    assert asyncio.run(cache.verify_session(forge.token())).user.id == "U2forge"
    assert descope.fetches == 2


async def test_lg02_no_token_reaches_the_log(forge: Forge, caplog: pytest.LogCaptureFixture) -> None:
    """Neither good, nor unknown, nor expired tokens are written anywhere."""
    caplog.set_level(logging.DEBUG)
    descope = Publisher(forge.key_set("A", {"kid": "unfit"}))
    cache = descope.cache()
    await cache.verify_session(forge.token())
    await refused(cache.verify_session(forge.token(key="C")))
    descope.now += 605
    with pytest.raises(TokenExpired):
        await cache.verify_session(forge.token())
    for part in forge.token().split("."):
        assert part not in caplog.text
    assert "unfit" not in caplog.text
