"""``scripts/soak`` finds what grows or is lost; and in its short form, nothing does."""

from collections import Counter
from pathlib import Path

import pytest

from .faults import FAULTS
from .samples import Limit, ProcessSample, RedisSample, growth
from .soak import Plan, run_soak
from .verdict import Check, Moment, idle_checks, process_checks, redis_checks, tally_checks
from .visitors import Tally, Violation

_SHORT = Plan(seconds=40, visitors=24, fault_seconds=1.5, rest_seconds=1.2, sample_seconds=1, row_seconds=10)


def _failed(checks: "list[Check]") -> list[str]:
    return [check.text for check in checks if not check.is_ok]


def _process(at: int = 0, *, pid: int = 1, kib: int = 0, files: int = 10, tasks: int = 5) -> ProcessSample:
    return ProcessSample(pid, 80_000 + kib * at, 400_000, files, tasks)


def _moments(kib: int = 0, *, keys: int = 0, lasting: int = 0, actions: int = 0) -> list[Moment]:
    redis = RedisSample(keys, lasting, kib=1000)
    return [Moment(at, actions, [_process(at, kib=kib)], redis) for at in range(0, 600, 5)]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.redis
@pytest.mark.nightly
async def test_short_soak_with_every_fault_leaks_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Four workers, a Redis and the emulator; memory, files, tasks and keys are as at the start."""
    verdict = await run_soak(_SHORT, tmp_path, print)
    print(*verdict.checks, sep="\n")  # noqa: T201 - the report

    assert _failed([*verdict.checks]) == []
    assert verdict.injected.keys() == FAULTS.keys()


def test_growth_is_the_slope_of_the_second_half() -> None:
    """A process grows while its caches fill, which is the first half; single peaks do not count."""
    limit = Limit(share=0.05, least=0)
    filled = [(float(at), 100.0 + min(at, 50)) for at in range(101)]
    peaks = [(at, value * (2 if at == 80 else 1)) for at, value in filled]
    leaking = [(at, value + at) for at, value in filled]

    assert growth(filled, limit).is_flat
    assert growth(peaks, limit).is_flat
    assert not growth(leaking, limit).is_flat
    assert growth(leaking, limit).grown == 50


def test_a_worker_that_grows_steadily_fails_the_soak() -> None:
    """A leak of 20 KiB in a second is found in ten minutes, and named."""
    assert _failed([*process_checks(_moments())]) == []
    (failed,) = _failed([*process_checks(_moments(kib=20))])
    assert failed.startswith("resident of worker 1: 88,950, +5,900 in the second half")


def test_a_worker_that_was_killed_is_not_compared_with_itself() -> None:
    """The memory of another process says nothing."""
    moments = [Moment(at, 0, [_process(at, pid=at // 100, kib=20)], None) for at in range(0, 600, 5)]

    assert [*process_checks(moments)] == []


@pytest.mark.parametrize("after", [_process(files=60), _process(tasks=10), None])
def test_lost_tasks_and_files_fail_the_soak(after: ProcessSample | None) -> None:
    """So does a worker that does not respond any more."""
    assert _failed([*idle_checks([_process()], [_process(files=20)])]) == []
    assert len(_failed([*idle_checks([_process()], [after])])) == 1


def test_keys_of_redis_that_stay_fail_the_soak() -> None:
    """Each key has a TTL, and their number follows from what happened."""
    moments = _moments(keys=400, actions=50)

    assert _failed([*redis_checks(moments, left=[])]) == []
    assert len(_failed([*redis_checks(moments, left=["fastapi-descope:P2:refresh:{1}"])])) == 1
    assert len(_failed([*redis_checks(_moments(lasting=1), left=[])])) == 1
    assert len(_failed([*redis_checks(_moments(keys=401, actions=50), left=[])])) == 1


@pytest.mark.parametrize("violation", Violation)
def test_each_violation_fails_the_soak(violation: Violation) -> None:
    """A user who is logged out, another identity, a lost switch, a session after its logout, a 500."""
    assert _failed([*tally_checks(Tally(requests=9, unavailable=3))]) == []
    assert _failed([*tally_checks(Tally(violations=Counter([violation])))]) == [f"{violation.value}: 1"]
