"""The verdict of a soak: the limits of each series, and the lines that say whether they are kept."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .samples import Growth, Limit, ProcessSample, RedisSample, growth
from .visitors import Tally, Violation

__all__ = [
    "KEYS_AT_LEAST",
    "KEYS_PER_ACTION",
    "LASTING_FILES",
    "LASTING_TASKS",
    "LIMITS",
    "Check",
    "Moment",
    "Verdict",
    "idle_checks",
    "process_checks",
    "redis_checks",
    "tally_checks",
]

LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "resident": Limit(share=0.05, least=4096),
        "blocks": Limit(share=0.05, least=20_000),
        "files": Limit(share=0.25, least=24),  # in a short soak the pools of connections still fill
        "tasks": Limit(share=0.25, least=16),
    }
)
"""How much each value of a process may grow in the second half of the soak."""

LASTING_FILES = 48
"""Connections that an idle worker keeps: twenty to Descope, seventeen to Redis, and those of the load."""
LASTING_TASKS = 4
KEYS_PER_ACTION = 7
"""A login writes two keys, and a logout up to five for each token of the session: its result, the one that
this replaced, its predecessor, and the marks of two revocations."""
KEYS_AT_LEAST = 50
_RESULT_SECONDS = 660.0
"""Longer than any key of a refresh or a confirmed logout lasts."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict."""

    text: str
    is_ok: bool

    def __str__(self) -> str:
        """Return the line."""
        return f"  {'ok' if self.is_ok else 'FAILED':<8}{self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a soak. ``injected`` says how often each fault was injected."""

    checks: Sequence[Check]
    injected: Mapping[str, int]

    @property
    def is_ok(self) -> bool:
        """Whether every check is."""
        return all(check.is_ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class Moment:
    """All samples of one moment.

    Attributes:
        at: seconds since the start.
        actions: refreshes, logins, switches and logouts so far.
        processes: the workers; None for one that is down.
        redis: None while Redis does not reply.
    """

    at: float
    actions: int
    processes: Sequence[ProcessSample | None]
    redis: RedisSample | None


def process_checks(moments: Sequence[Moment]) -> Iterable[Check]:
    """Return a check for each value of each worker that was never killed."""
    for number, processes in enumerate(zip(*(moment.processes for moment in moments), strict=True)):
        found = [(moment.at, each) for moment, each in zip(moments, processes, strict=True) if each]
        if len({each.pid for _, each in found}) == 1:
            for name, limit in LIMITS.items():
                grown = growth([(at, getattr(each, name)) for at, each in found], limit)
                yield Check(f"{name} of worker {number + 1}: {_growth(grown)}", grown.is_flat)


def idle_checks(
    before: Sequence[ProcessSample | None], after: Sequence[ProcessSample | None]
) -> Iterable[Check]:
    """Return a check for the tasks and files of each worker that is idle again."""
    for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        assert old is not None
        if new is None:
            yield Check(f"worker {number} does not respond", is_ok=False)
            continue
        files, tasks = new.files - old.files, new.tasks - old.tasks
        text = f"worker {number} is idle: {files:+d} files and {tasks:+d} tasks since the start"
        yield Check(text, files <= LASTING_FILES and tasks <= LASTING_TASKS)


def redis_checks(moments: Sequence[Moment], *, left: Sequence[str]) -> Iterable[Check]:
    """Return the checks of Redis. ``left`` names the keys that remain when every TTL has passed."""
    samples = [(moment, moment.redis) for moment in moments if moment.redis]
    lasting = max(redis.lasting for _, redis in samples)
    yield Check(f"keys of Redis without a TTL: at most {lasting}", lasting == 0)
    kinds = dict(Counter(key.split(":")[2] for key in left))
    yield Check(f"keys of Redis when every TTL has passed: {len(left)} {kinds or ''}".rstrip(), not left)
    most, at = max((redis.keys, moment.at) for moment, redis in samples)
    kib = max(redis.kib for _, redis in samples)
    limits = [(redis.keys, KEYS_PER_ACTION * _recent(moments, m) + KEYS_AT_LEAST) for m, redis in samples]
    text = f"keys of Redis: at most {most:,}, after {at:.0f} s, in {kib:,} KiB"
    is_ok = all(keys <= limit for keys, limit in limits)
    yield Check(f"{text}; at most {KEYS_PER_ACTION} for each action of eleven minutes", is_ok)


def tally_checks(tally: Tally) -> Iterable[Check]:
    """Return a check for each kind of violation."""
    for violation in Violation:
        count = tally.violations[violation]
        yield Check(f"{violation.value}: {count}", count == 0)


def _recent(moments: Sequence[Moment], now: Moment) -> int:
    earlier = [each.actions for each in moments if each.at < now.at - _RESULT_SECONDS]
    return now.actions - max(earlier, default=0)


def _growth(grown: Growth) -> str:
    return f"{grown.typical:,.0f}, {grown.grown:+,.0f} in the second half, at most {grown.limit:+,.0f}"
