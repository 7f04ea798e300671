"""When the key set is fetched and how long it is used, with a fake clock and a fake JWKS endpoint.

Requirements JW-01, JW-03 to JW-09 and JW-13, and F5. ``test_verifier`` has the tests of unknown keys.
"""

import asyncio
import logging
from hashlib import sha256

import pytest

from fastapi_descope._tokens.jwks_cache import JwksCache
from fastapi_descope.errors import CircuitOpen, InvalidUpstreamResponse, RateLimited, UpstreamUnavailable
from fastapi_descope.events import Event, EventBus, JwksFetched, JwksFetchFailed
from tests.helpers.event_loop import run_ready
from tests.helpers.jwks_publisher import Publisher, Response
from tests.helpers.tampering import Forge

pytestmark = pytest.mark.anyio


DOWN = UpstreamUnavailable()


class CacheHarness(Publisher):
    """A JWKS cache that fetches from this fake endpoint, and the events that it emits."""

    def __init__(self, *responses: Response, max_stale: float = 86400, jitter: float = 1.0) -> None:
        super().__init__(*responses)
        self.recorded_events: list[Event] = []
        self.changes = 0
        self.kids_at_changes: list[list[str] | None] = []
        events = EventBus()
        events.subscribe(self.recorded_events.append)
        self.cache = JwksCache(
            self.fetch,
            monotonic=self.clock,
            events=events,
            max_stale=max_stale,
            on_change=self.count_change,
            jitter=lambda: jitter,
        )

    def count_change(self) -> None:
        """Count the changes of the keys in force, and record the keys that are in force then."""
        self.changes += 1
        self.kids_at_changes.append(self.current_kids())

    def current_kids(self) -> list[str] | None:
        """Return the ids of the keys in force without waiting."""
        keys = self.cache.get_nowait()
        return None if keys is None else sorted(keys)

    async def kids_after(self, seconds: float) -> list[str] | None:
        """Return the ids of the keys in force after ``seconds``, and finish the fetch that this starts."""
        self.now += seconds
        kids = self.current_kids()
        await run_ready()
        return kids

    async def retry_after(self) -> int:
        """Return the ``retry_after`` of the error that is raised while there are no keys."""
        with pytest.raises(UpstreamUnavailable) as caught:
            await self.cache.keys()
        return caught.value.retry_after


async def test_nothing_is_fetched_before_the_first_use(forge: Forge) -> None:
    """The first call that needs keys fetches them."""
    harness = CacheHarness(forge.key_set("A"))
    await run_ready()
    assert harness.fetches == 0
    assert sorted(await harness.cache.keys()) == ["A"]
    assert harness.recorded_events == [JwksFetched(1)]


async def test_jw03_a_thousand_concurrent_calls_make_one_fetch(forge: Forge) -> None:
    """All callers get the keys of one fetch, and cancelled callers do not cancel it."""
    harness = CacheHarness(forge.key_set("A"))
    harness.gate.clear()
    waiters = [asyncio.create_task(harness.cache.keys()) for _ in range(1000)]
    await run_ready()
    for waiter in waiters[1:]:
        waiter.cancel()
    await run_ready()
    harness.gate.set()
    assert sorted(await waiters[0]) == ["A"]
    assert all(waiter.cancelled() for waiter in waiters[1:])
    assert harness.fetches == 1


async def test_jw03_a_fetch_continues_if_all_callers_are_cancelled(forge: Forge) -> None:
    """The next caller gets the keys of the same fetch."""
    harness = CacheHarness(forge.key_set("A"))
    harness.gate.clear()
    waiter = asyncio.create_task(harness.cache.keys())
    await run_ready()
    waiter.cancel()
    await run_ready()
    harness.gate.set()
    await run_ready()
    assert harness.current_kids() == ["A"]
    assert harness.fetches == 1


async def test_jw04_a_failed_fetch_raises_in_every_waiting_caller() -> None:
    """Each caller gets its own error, and no second fetch starts (JW-04)."""
    harness = CacheHarness(DOWN)
    responses = await asyncio.gather(*[harness.cache.keys() for _ in range(3)], return_exceptions=True)
    assert [type(response) for response in responses] == [UpstreamUnavailable] * 3
    assert len(set(map(id, responses))) == 3
    assert harness.fetches == 1


@pytest.mark.parametrize(
    ("max_age", "fresh"),
    [(None, 600), (0, 60), (-5, 60), (59, 60), (60, 60), (300, 300), (600, 600), (601, 600), (10**12, 600)],
)
async def test_jw13_max_age_counts_between_one_and_ten_minutes(
    forge: Forge, max_age: int | None, fresh: int
) -> None:
    """The max-age of the response is clamped to 60 to 600 seconds."""
    harness = CacheHarness((forge.key_set("A"), max_age), forge.key_set("B"))
    await harness.cache.keys()
    assert await harness.kids_after(fresh - 1) == ["A"]
    assert harness.fetches == 1
    assert await harness.kids_after(1) == ["A"]
    assert harness.fetches == 2
    assert harness.current_kids() == ["B"]


async def test_jw05_no_request_waits_for_a_renewal(forge: Forge) -> None:
    """An old set is returned immediately while one fetch runs."""
    harness = CacheHarness(forge.key_set("A"), forge.key_set("B"))
    await harness.cache.keys()
    harness.gate.clear()
    harness.now += 600
    assert [harness.current_kids() for _ in range(100)] == [["A"]] * 100
    assert sorted(await harness.cache.keys()) == ["A"]
    await run_ready()
    assert harness.fetches == 2
    harness.gate.set()
    await run_ready()
    assert harness.current_kids() == ["B"]


async def test_jw05_retries_back_off_during_an_outage(forge: Forge) -> None:
    """The old keys stay in force, and retries follow after 1, 2, 4 ... 60 seconds."""
    harness = CacheHarness(forge.key_set("A"), DOWN)
    await harness.cache.keys()
    await harness.kids_after(600)
    for fetches, delay in enumerate((1, 2, 4, 8, 16, 32, 60, 60, 60), start=2):
        assert await harness.kids_after(delay - 0.5) == ["A"]
        assert harness.fetches == fetches
        assert await harness.kids_after(0.5) == ["A"]
        assert harness.fetches == fetches + 1


@pytest.mark.parametrize(("jitter", "delay"), [(0.0, 4.0), (0.5, 6.0), (1.0, 8.0)])
async def test_jw05_the_backoff_has_jitter(jitter: float, delay: float) -> None:
    """The fourth delay is between four and eight seconds, so that processes do not retry in step."""
    harness = CacheHarness(DOWN, jitter=jitter)
    for _ in range(4):
        await harness.kids_after(60)
    await harness.kids_after(delay - 0.1)
    assert harness.fetches == 4
    await harness.kids_after(0.1)
    assert harness.fetches == 5


async def test_jw05_a_success_resets_the_backoff(forge: Forge) -> None:
    """After a success the next failure starts with a short delay. Each result emits an event."""
    good = forge.key_set("A")
    harness = CacheHarness(DOWN, InvalidUpstreamResponse("not_json"), good, DOWN, good)
    for delay in (0, 1, 2, 600, 1):
        await harness.kids_after(delay)
    assert harness.recorded_events == [
        JwksFetchFailed("upstream_unavailable"),
        JwksFetchFailed("not_json"),
        JwksFetched(1),
        JwksFetchFailed("upstream_unavailable"),
        JwksFetched(1),
    ]


async def test_jw06_keys_are_used_until_a_day_after_the_last_success(forge: Forge) -> None:
    """The age counts from the last success, not from the last attempt (JW-06)."""
    harness = CacheHarness(forge.key_set("A"), DOWN, max_stale=86400)
    await harness.cache.keys()
    await harness.kids_after(43200)
    assert await harness.kids_after(43199) == ["A"]
    assert await harness.kids_after(1) is None
    assert 1 <= await harness.retry_after() <= 60


async def test_jw06_expired_keys_are_fetched_again(forge: Forge) -> None:
    """After the maximum age a caller waits for a fetch, as at the start."""
    harness = CacheHarness(forge.key_set("A"), forge.key_set("B"), max_stale=3600)
    await harness.cache.keys()
    harness.now += 3600
    assert sorted(await harness.cache.keys()) == ["B"]


async def test_jw06_a_maximum_age_below_max_age_is_kept(forge: Forge) -> None:
    """A set is renewed when it expires, even if its max-age is longer."""
    harness = CacheHarness((forge.key_set("A"), 600), max_stale=30)
    await harness.cache.keys()
    assert await harness.kids_after(29) == ["A"]
    harness.now += 1
    assert sorted(await harness.cache.keys()) == ["A"]
    assert harness.fetches == 2


async def test_jw07_without_keys_there_is_one_fetch_per_backoff() -> None:
    """Callers get the seconds until the next attempt, and cause no further fetch."""
    harness = CacheHarness(DOWN)
    responses = [await harness.retry_after() for _ in range(100)]
    assert (set(responses), harness.fetches) == ({1}, 1)
    for delay, retry_after in ((1, 2), (2, 4), (4, 8)):
        harness.now += delay
        assert await harness.retry_after() == retry_after
    assert harness.fetches == 4
    harness.now += 1.5
    assert await harness.retry_after() == 7
    assert harness.fetches == 4


async def test_rf09_a_fetch_stopped_by_the_circuit_breaker_is_made_at_the_next_probe(forge: Forge) -> None:
    """Nothing was sent, so the backoff does not grow, and the next fetch may be the probe."""
    harness = CacheHarness(forge.key_set("A"), CircuitOpen(9))
    await harness.cache.keys()
    await harness.kids_after(600)
    assert harness.recorded_events == [JwksFetched(1)]
    for fetches in (2, 3, 4):
        assert harness.fetches == fetches
        await harness.kids_after(8.9)
        assert harness.fetches == fetches
        await harness.kids_after(0.1)
    harness.publish(DOWN)
    await harness.kids_after(9)
    harness.publish(forge.key_set("B"))
    await harness.kids_after(2)
    assert await harness.kids_after(0) == ["B"]


async def test_rf09_an_unknown_key_is_unavailable_while_the_circuit_is_open(forge: Forge) -> None:
    """It is unknown whether the key exists. Without any keys the error is the same (JW-07)."""
    harness = CacheHarness(forge.key_set("A"), CircuitOpen(9))
    await harness.cache.keys()
    await harness.kids_after(600)
    with pytest.raises(UpstreamUnavailable):
        await harness.cache.refetch_for_unknown_kid()
    cold_harness = CacheHarness(CircuitOpen(9))
    assert await cold_harness.retry_after() == 9


@pytest.mark.parametrize("seconds", [3, 30, 60])
async def test_f5_retry_after_of_a_rate_limit_is_obeyed(seconds: int) -> None:
    """After a 429 there is no fetch before the time that Descope seconds for."""
    harness = CacheHarness(RateLimited(seconds))
    assert await harness.retry_after() == seconds
    harness.now += seconds - 1
    assert await harness.retry_after() == 1
    assert harness.fetches == 1
    harness.now += 1
    assert await harness.retry_after() == seconds
    assert harness.fetches == 2


@pytest.mark.parametrize("body", [b'{"keys":[]}', b"<html>", b'{"keys":[{"kty":"RSA"', b'{"error":1}'])
async def test_jw08_a_bad_response_does_not_replace_good_keys(forge: Forge, body: bytes) -> None:
    """A 200 response without a usable key is a failure like any other."""
    harness = CacheHarness(forge.key_set("A"), body, forge.key_set("B"))
    await harness.cache.keys()
    await harness.kids_after(600)
    assert harness.current_kids() == ["A"]
    assert isinstance(harness.recorded_events[-1], JwksFetchFailed)
    await harness.kids_after(1)
    assert harness.current_kids() == ["B"]


async def test_jw01_keys_are_replaced_never_merged(forge: Forge) -> None:
    """A key that is missing in the newest set is no longer used."""
    harness = CacheHarness(*(forge.key_set(*names) for names in ("A", "AB", "B")))
    seen = [sorted(await harness.cache.keys())]
    for _ in range(2):
        await harness.kids_after(600)
        seen.append(harness.current_kids() or [])
    assert seen == [["A"], ["A", "B"], ["B"]]


async def test_jw14_key_set_is_replaced_at_once(forge: Forge) -> None:
    """A call that has begun keeps its keys, and there is no moment without a complete set (JW-14)."""
    harness = CacheHarness(forge.key_set("A"), forge.key_set("B", "C"))
    held = await harness.cache.keys()
    await harness.kids_after(600)

    assert sorted(held) == ["A"]
    assert harness.kids_at_changes == [["A"], ["B", "C"]]


async def test_tv18_only_a_change_of_key_material_is_a_change(forge: Forge) -> None:
    """Another order or other members are no change; another modulus under the same id is one."""
    responses = (
        forge.key_set("A", "B"),
        forge.key_set("B", "A"),
        forge.key_set(forge.jwk("A", use=...), "B"),
        forge.key_set("A", forge.jwk("C", kid="B")),
        forge.key_set("A"),
    )
    harness = CacheHarness(*responses)
    changes: list[int] = []
    for delay in (0, 600, 600, 600, 600):
        await harness.kids_after(delay)
        changes.append(harness.changes)
    assert changes == [1, 1, 1, 2, 3]


async def test_jw09_rejected_keys_are_logged_once_per_set(
    forge: Forge, caplog: pytest.LogCaptureFixture
) -> None:
    """Each key is one line with a hash of its id. The same set is not logged again."""
    caplog.set_level(logging.DEBUG, logger="fastapi_descope")
    mixed = forge.key_set("A", forge.jwk("B", alg="PS256"), forge.jwk("C", d="AQAB"), {"kid": "evil\nline"})
    harness = CacheHarness(mixed, mixed, forge.key_set("A"))
    lines: list[int] = []
    for delay in (0, 600, 600):
        await harness.kids_after(delay)
        lines.append(len(caplog.messages))
    assert lines == [3, 3, 3]
    ours = [record for record in caplog.records if record.name == "fastapi_descope"]
    levels = [(record.levelno, record.getMessage().rpartition(": ")[2]) for record in ours]
    assert levels == [
        (logging.WARNING, "algorithm"),
        (logging.ERROR, "private"),
        (logging.WARNING, "type"),
    ]
    assert "evil" not in caplog.text
    hashes = [sha256(kid).hexdigest()[:12] for kid in (b"B", b"C", b"evil\nline")]
    assert [record.getMessage().split()[2] for record in ours] == hashes


async def test_closing_cancels_the_fetch_but_not_its_callers(forge: Forge) -> None:
    """Callers that retry_after while the app stops get UpstreamUnavailable."""
    harness = CacheHarness(forge.key_set("A"))
    harness.gate.clear()
    waiter = asyncio.create_task(harness.cache.keys())
    await run_ready()
    await harness.cache.aclose()
    with pytest.raises(UpstreamUnavailable):
        await waiter
    await run_ready()
    assert harness.fetches == 1


async def test_closing_an_unused_or_closed_cache_does_nothing() -> None:
    """A cache may be closed unused, and twice."""
    harness = CacheHarness(DOWN)
    await harness.cache.aclose()
    await harness.cache.aclose()
    assert (harness.fetches, harness.recorded_events) == (0, [])


async def test_an_unexpected_error_of_the_fetch_reaches_the_caller() -> None:
    """An error outside the contract is a bug, and does not look like an outage."""
    harness = CacheHarness()
    with pytest.raises(IndexError):
        await harness.cache.keys()
    assert (harness.fetches, harness.recorded_events) == (1, [])
