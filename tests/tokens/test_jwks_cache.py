"""When the key set is fetched, and how long it may be used: on a fake clock, from a scripted Descope.

Requirements JW-01, JW-03 to JW-09 and JW-13, and F5; unknown keys are met in ``test_keys``.
"""

import asyncio
import logging
from hashlib import sha256

import pytest

from fastapi_descope._tokens.jwks_cache import JwksCache
from fastapi_descope.errors import CircuitOpen, InvalidUpstreamResponse, RateLimited, UpstreamUnavailable
from fastapi_descope.events import Event, EventBus, JwksFetched, JwksFetchFailed
from tests.helpers.event_loop import run_ready
from tests.helpers.jwks_publisher import Answer, Publisher
from tests.helpers.tampering import Forge

pytestmark = pytest.mark.anyio


DOWN = UpstreamUnavailable()


class Bench(Publisher):
    """A ring in front of a scripted Descope, and what it told."""

    def __init__(self, *responses: Answer, max_stale: float = 86400, jitter: float = 1.0) -> None:
        super().__init__(*responses)
        self.told: list[Event] = []
        self.changes = 0
        events = EventBus()
        events.subscribe(self.told.append)
        self.ring = JwksCache(
            self.fetch,
            monotonic=self.clock,
            events=events,
            max_stale=max_stale,
            on_change=self.note_change,
            jitter=lambda: jitter,
        )

    def note_change(self) -> None:
        """Count the changes of the keys in force."""
        self.changes += 1

    def ready(self) -> list[str] | None:
        """The ids of the keys in force, without waiting."""
        keys = self.ring.get_nowait()
        return None if keys is None else sorted(keys)

    async def later(self, seconds: float) -> list[str] | None:
        """Let time pass, ask, and let a fetch that this began come to its end."""
        self.now += seconds
        ready = self.ready()
        await run_ready()
        return ready

    async def retry_after(self) -> int:
        """What those are told who ask while there are no keys."""
        with pytest.raises(UpstreamUnavailable) as caught:
            await self.ring.keys()
        return caught.value.retry_after


async def test_nothing_is_fetched_before_the_first_question(forge: Forge) -> None:
    """A ring costs nothing until somebody asks; then the keys are awaited."""
    bench = Bench(forge.key_set("A"))
    await run_ready()
    assert bench.fetches == 0
    assert sorted(await bench.ring.keys()) == ["A"]
    assert bench.told == [JwksFetched(1)]


async def test_jw03_a_thousand_first_questions_cost_one_fetch(forge: Forge) -> None:
    """All who wait get the keys of the one fetch; those who give up do not end it."""
    bench = Bench(forge.key_set("A"))
    bench.gate.clear()
    waiters = [asyncio.create_task(bench.ring.keys()) for _ in range(1000)]
    await run_ready()
    for waiter in waiters[1:]:
        waiter.cancel()
    await run_ready()
    bench.gate.set()
    assert sorted(await waiters[0]) == ["A"]
    assert all(waiter.cancelled() for waiter in waiters[1:])
    assert bench.fetches == 1


async def test_jw03_a_fetch_outlives_all_its_waiters(forge: Forge) -> None:
    """Even if nobody waits any more, the keys are there for the next one."""
    bench = Bench(forge.key_set("A"))
    bench.gate.clear()
    waiter = asyncio.create_task(bench.ring.keys())
    await run_ready()
    waiter.cancel()
    await run_ready()
    bench.gate.set()
    await run_ready()
    assert bench.ready() == ["A"]
    assert bench.fetches == 1


async def test_jw04_a_failed_fetch_answers_all_who_wait() -> None:
    """Each waiter gets an error of its own, and nobody begins a second fetch (JW-04)."""
    bench = Bench(DOWN)
    responses = await asyncio.gather(*[bench.ring.keys() for _ in range(3)], return_exceptions=True)
    assert [type(response) for response in responses] == [UpstreamUnavailable] * 3
    assert len(set(map(id, responses))) == 3
    assert bench.fetches == 1


@pytest.mark.parametrize(
    ("max_age", "fresh"),
    [(None, 600), (0, 60), (-5, 60), (59, 60), (60, 60), (300, 300), (600, 600), (601, 600), (10**12, 600)],
)
async def test_jw13_max_age_is_taken_within_bounds(forge: Forge, max_age: int | None, fresh: int) -> None:
    """Upstream's cache header decides between one and ten minutes, never outside."""
    bench = Bench((forge.key_set("A"), max_age), forge.key_set("B"))
    await bench.ring.keys()
    assert await bench.later(fresh - 1) == ["A"]
    assert bench.fetches == 1
    assert await bench.later(1) == ["A"]
    assert bench.fetches == 2
    assert bench.ready() == ["B"]


async def test_jw05_nobody_waits_for_a_renewal(forge: Forge) -> None:
    """A set past its time is handed out at once, to everybody, while one fetch runs beside."""
    bench = Bench(forge.key_set("A"), forge.key_set("B"))
    await bench.ring.keys()
    bench.gate.clear()
    bench.now += 600
    assert [bench.ready() for _ in range(100)] == [["A"]] * 100
    assert sorted(await bench.ring.keys()) == ["A"]
    await run_ready()
    assert bench.fetches == 2
    bench.gate.set()
    await run_ready()
    assert bench.ready() == ["B"]


async def test_jw05_failures_space_the_retries_out(forge: Forge) -> None:
    """During an outage the old keys stay in force, and retries come after 1, 2, 4 ... 60 seconds."""
    bench = Bench(forge.key_set("A"), DOWN)
    await bench.ring.keys()
    await bench.later(600)
    for fetches, pause in enumerate((1, 2, 4, 8, 16, 32, 60, 60, 60), start=2):
        assert await bench.later(pause - 0.5) == ["A"]
        assert bench.fetches == fetches
        assert await bench.later(0.5) == ["A"]
        assert bench.fetches == fetches + 1


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 4.0), (0.5, 6.0), (1.0, 8.0)])
async def test_jw05_pauses_are_jittered(jitter: float, pause: float) -> None:
    """The fourth pause lies between four and eight seconds, so that a fleet does not retry in step."""
    bench = Bench(DOWN, jitter=jitter)
    for _ in range(4):
        await bench.later(60)
    await bench.later(pause - 0.1)
    assert bench.fetches == 4
    await bench.later(0.1)
    assert bench.fetches == 5


async def test_jw05_a_success_ends_the_outage(forge: Forge) -> None:
    """After a success the next failure begins with a short pause again, and both are told."""
    good = forge.key_set("A")
    bench = Bench(DOWN, InvalidUpstreamResponse("not_json"), good, DOWN, good)
    for pause in (0, 1, 2, 600, 1):
        await bench.later(pause)
    assert bench.told == [
        JwksFetchFailed("upstream_unavailable"),
        JwksFetchFailed("not_json"),
        JwksFetched(1),
        JwksFetchFailed("upstream_unavailable"),
        JwksFetched(1),
    ]


async def test_jw06_keys_count_until_a_day_after_the_last_success(forge: Forge) -> None:
    """The age is counted from the last success, not from the last try; then there is no verdict (JW-06)."""
    bench = Bench(forge.key_set("A"), DOWN, max_stale=86400)
    await bench.ring.keys()
    await bench.later(43200)
    assert await bench.later(43199) == ["A"]
    assert await bench.later(1) is None
    assert 1 <= await bench.retry_after() <= 60


async def test_jw06_keys_come_back_after_the_bound(forge: Forge) -> None:
    """Past the bound those who ask wait for a fetch again, as at the start."""
    bench = Bench(forge.key_set("A"), forge.key_set("B"), max_stale=3600)
    await bench.ring.keys()
    bench.now += 3600
    assert sorted(await bench.ring.keys()) == ["B"]


async def test_jw06_a_bound_shorter_than_the_fresh_time_is_kept(forge: Forge) -> None:
    """A set is renewed by the time at which it stops counting."""
    bench = Bench((forge.key_set("A"), 600), max_stale=30)
    await bench.ring.keys()
    assert await bench.later(29) == ["A"]
    bench.now += 1
    assert sorted(await bench.ring.keys()) == ["A"]
    assert bench.fetches == 2


async def test_jw07_without_keys_there_is_one_attempt_a_pause() -> None:
    """A cold outage answers "come back later" with the time of the next attempt, and asks nothing more."""
    bench = Bench(DOWN)
    responses = [await bench.retry_after() for _ in range(100)]
    assert (set(responses), bench.fetches) == ({1}, 1)
    for pause, wait in ((1, 2), (2, 4), (4, 8)):
        bench.now += pause
        assert await bench.retry_after() == wait
    assert bench.fetches == 4
    bench.now += 1.5
    assert await bench.retry_after() == 7
    assert bench.fetches == 4


async def test_rf09_a_fetch_that_was_held_back_is_made_when_descope_is_tried_again(forge: Forge) -> None:
    """Nothing was sent, so nothing failed: the pauses do not grow, and the next fetch may be the trial."""
    bench = Bench(forge.key_set("A"), CircuitOpen(9))
    await bench.ring.keys()
    await bench.later(600)
    assert bench.told == [JwksFetched(1)]
    for fetches in (2, 3, 4):
        assert bench.fetches == fetches
        await bench.later(8.9)
        assert bench.fetches == fetches
        await bench.later(0.1)
    bench.publish(DOWN)
    await bench.later(9)
    bench.publish(forge.key_set("B"))
    await bench.later(2)
    assert await bench.later(0) == ["B"]


async def test_rf09_an_unknown_key_is_not_refused_while_descope_is_left_alone(forge: Forge) -> None:
    """Whether it exists cannot be told; without keys the answer is the same (JW-07)."""
    bench = Bench(forge.key_set("A"), CircuitOpen(9))
    await bench.ring.keys()
    await bench.later(600)
    with pytest.raises(UpstreamUnavailable):
        await bench.ring.refetch_for_unknown_kid()
    cold = Bench(CircuitOpen(9))
    assert await cold.retry_after() == 9


@pytest.mark.parametrize("asked", [3, 30, 60])
async def test_f5_a_rate_limit_is_obeyed(asked: int) -> None:
    """After a 429 there is no attempt before the time that Descope asked for."""
    bench = Bench(RateLimited(asked))
    assert await bench.retry_after() == asked
    bench.now += asked - 1
    assert await bench.retry_after() == 1
    assert bench.fetches == 1
    bench.now += 1
    assert await bench.retry_after() == asked
    assert bench.fetches == 2


@pytest.mark.parametrize("body", [b'{"keys":[]}', b"<html>", b'{"keys":[{"kty":"RSA"', b'{"error":1}'])
async def test_jw08_a_bad_answer_does_not_replace_good_keys(forge: Forge, body: bytes) -> None:
    """A 200 without a usable key is a failure like any other."""
    bench = Bench(forge.key_set("A"), body, forge.key_set("B"))
    await bench.ring.keys()
    await bench.later(600)
    assert bench.ready() == ["A"]
    assert isinstance(bench.told[-1], JwksFetchFailed)
    await bench.later(1)
    assert bench.ready() == ["B"]


async def test_jw01_keys_are_replaced_never_merged(forge: Forge) -> None:
    """A key that is not in the newest set is gone with the fetch of that set."""
    bench = Bench(*(forge.key_set(*names) for names in ("A", "AB", "B")))
    seen = [sorted(await bench.ring.keys())]
    for _ in range(2):
        await bench.later(600)
        seen.append(bench.ready() or [])
    assert seen == [["A"], ["A", "B"], ["B"]]


async def test_tv18_only_a_change_of_material_is_a_change(forge: Forge) -> None:
    """The same keys in another order or dress are the same; another modulus under the same id is not."""
    responses = (
        forge.key_set("A", "B"),
        forge.key_set("B", "A"),
        forge.key_set(forge.jwk("A", use=...), "B"),
        forge.key_set("A", forge.jwk("C", kid="B")),
        forge.key_set("A"),
    )
    bench = Bench(*responses)
    changes: list[int] = []
    for pause in (0, 600, 600, 600, 600):
        await bench.later(pause)
        changes.append(bench.changes)
    assert changes == [1, 1, 1, 2, 3]


async def test_jw09_dropped_keys_are_logged_once_a_set(
    forge: Forge, caplog: pytest.LogCaptureFixture
) -> None:
    """One line a key, by the hash of its id, an error for a private one; not again for the same set."""
    caplog.set_level(logging.DEBUG, logger="fastapi_descope")
    mixed = forge.key_set("A", forge.jwk("B", alg="PS256"), forge.jwk("C", d="AQAB"), {"kid": "evil\nline"})
    bench = Bench(mixed, mixed, forge.key_set("A"))
    lines: list[int] = []
    for pause in (0, 600, 600):
        await bench.later(pause)
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


async def test_closing_ends_a_fetch_and_answers_its_waiters(forge: Forge) -> None:
    """Who waits while the app stops is told to come back, and is not cancelled."""
    bench = Bench(forge.key_set("A"))
    bench.gate.clear()
    waiter = asyncio.create_task(bench.ring.keys())
    await run_ready()
    await bench.ring.aclose()
    with pytest.raises(UpstreamUnavailable):
        await waiter
    await run_ready()
    assert bench.fetches == 1


async def test_closing_an_idle_ring_does_nothing() -> None:
    """A ring that was never asked may be closed, and one that is closed already too."""
    bench = Bench(DOWN)
    await bench.ring.aclose()
    await bench.ring.aclose()
    assert (bench.fetches, bench.told) == (0, [])


async def test_a_fault_in_the_fetch_is_not_hidden() -> None:
    """An error outside the contract is a bug, and reaches whoever waits instead of looking like an outage."""
    bench = Bench()
    with pytest.raises(IndexError):
        await bench.ring.keys()
    assert (bench.fetches, bench.told) == (1, [])
