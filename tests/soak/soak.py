"""One soak: starts everything, injects faults under load, prints a table, and returns the verdict."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.faults.testbed import wait_until

from .balancer import Balancer
from .faults import FaultInjector
from .fleet import Fleet, running_fleet
from .samples import ProcessSample, Sampler
from .verdict import Check, Moment, Verdict, idle_checks, process_checks, redis_checks, tally_checks
from .visitors import Site, Tally, Visitor

__all__ = ["Plan", "run_soak"]

_SESSION_SECONDS, _REUSE_GRACE = 20, 60
_IDLE_SECONDS = 30.0
_NOTES = 10
_HOUR = 3700
"""Longer than any TTL of the soak's settings."""
_LOG_ERRORS = ("Traceback", "was never retrieved", "was destroyed but it is pending", "Warning:")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a soak takes, and how much load it has.

    Attributes:
        seconds: the time under load.
        visitors: users at the same time.
        seed: determines the faults and the actions of the visitors.
        fault_seconds: how long a fault lasts on average.
        rest_seconds: the time between two faults on average.
        sample_seconds: the time between two samples.
        row_seconds: the time of one row of the table.
    """

    seconds: float
    visitors: int = 40
    seed: int = 1
    fault_seconds: float = 3.0
    rest_seconds: float = 12.0
    sample_seconds: float = 5.0
    row_seconds: float = 60.0


async def run_soak(plan: Plan, directory: Path, write: Callable[[str], object]) -> Verdict:
    """Run a soak and return its verdict. ``write`` gets each row of the table."""
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(running_fleet(directory))
        await fleet.upstream.project(
            session_seconds=_SESSION_SECONDS, rotate_refresh=True, reuse_grace=_REUSE_GRACE
        )
        soak = _Soak(plan, fleet, await stack.enter_async_context(Sampler(fleet)), write)
        return await soak.run()


class _Soak:
    """A soak whose processes run."""

    def __init__(self, plan: Plan, fleet: Fleet, sampler: Sampler, write: Callable[[str], object]) -> None:
        self._plan = plan
        self._fleet = fleet
        self._sampler = sampler
        self._write = write
        self._tally = Tally()
        self._moments: list[Moment] = []
        self._injector = FaultInjector(
            fleet, seed=plan.seed, fault_seconds=plan.fault_seconds, rest_seconds=plan.rest_seconds
        )

    async def run(self) -> Verdict:
        """Run the load and the faults, then wait until the workers are idle, and return the verdict."""
        before = await self._sample_processes()
        random = Random(self._plan.seed)
        async with Balancer(self._fleet.workers, random) as balancer:
            await self._run_load(balancer, random)
        self._write(self._row("all", Tally()))
        idle = await self._idle_checks(before)
        self._fleet.redis.elapse(_HOUR)
        checks = [
            *process_checks(self._moments),
            *idle,
            *redis_checks(self._moments, left=self._fleet.redis.keys()),
            *tally_checks(self._tally),
            *(Check(note, is_ok=False) for note in self._tally.notes[:_NOTES]),
            *self._log_checks(),
        ]
        return Verdict(checks, self._injector.injected)

    async def _idle_checks(self, before: Sequence[ProcessSample | None]) -> list[Check]:
        """Wait until the workers are idle, and return the checks of that."""
        checks: list[Check] = []

        async def are_idle() -> bool:
            checks[:] = idle_checks(before, await self._sample_processes())
            return all(check.is_ok for check in checks)

        with suppress(TimeoutError):
            await wait_until(are_idle, _IDLE_SECONDS)
        return checks

    async def _run_load(self, balancer: Balancer, random: Random) -> None:
        members = await self._fleet.upstream.members(self._plan.visitors)
        site = Site(
            url=self._fleet.url,
            balancer=balancer,
            upstream=self._fleet.upstream,
            tally=self._tally,
            state=lambda: self._injector.active,
            is_calm=lambda: self._injector.is_calm,
            closing=asyncio.Event(),
        )
        visitors = [Visitor(member, site, Random(random.random())) for member in members]
        async with asyncio.TaskGroup() as tasks:
            visits = [tasks.create_task(visitor.run()) for visitor in visitors]
            background = [tasks.create_task(work()) for work in (self._injector.run, self._watch)]
            await asyncio.sleep(self._plan.seconds)
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            site.closing.set()
            await asyncio.wait(visits)
        await asyncio.gather(*(visitor.return_later() for visitor in visitors))

    async def _watch(self) -> None:
        """Take samples, and write a row of the table from time to time, until cancelled."""
        started, row, last = _now(), 1, Tally()
        self._write(_HEADER)
        while True:
            await asyncio.sleep(self._plan.sample_seconds)
            self._moments.append(await self._sample(_now() - started))
            if self._moments[-1].at > row * self._plan.row_seconds - self._plan.sample_seconds:
                self._write(self._row(str(row), last))
                row, last = row + 1, replace(self._tally)

    async def _sample(self, at: float) -> Moment:
        tally = self._tally
        actions = tally.refreshes + tally.sign_ins + tally.switches + tally.sign_outs
        return Moment(at, actions, await self._sample_processes(), await self._sampler.redis())

    async def _sample_processes(self) -> list[ProcessSample | None]:
        return [await self._sampler.process(worker) for worker in self._fleet.workers]

    def _row(self, name: str, last: Tally) -> str:
        tally, moment = self._tally, self._moments[-1]
        processes = [each for each in moment.processes if each]
        redis = moment.redis
        columns = (
            name,
            self._injector.injected.total(),
            *(getattr(tally, name) - getattr(last, name) for name in _COUNTED),
            tally.violations.total(),
            _range([each.resident // 1024 for each in processes]),
            _range([each.files for each in processes]),
            _range([each.tasks for each in processes]),
            "-" if redis is None else redis.keys,
            "-" if redis is None else redis.kib,
        )
        return "".join(f"{column:>{width}}" for column, width in zip(columns, _WIDTHS, strict=True))

    def _log_checks(self) -> list[Check]:
        lines = [line for worker in self._fleet.workers for line in worker.logged.splitlines()]
        errors = [line for line in lines if any(word in line for word in _LOG_ERRORS)]
        return [Check(f"lines of errors in the logs: {len(errors)} {errors[:3] or ''}", not errors)]


_COUNTED = ("requests", "refreshes", "sign_ins", "switches", "sign_outs", "sockets", "unavailable")
_COLUMNS = (
    *("minute", "faults", "requests", "refreshes", "logins", "switches", "logouts", "sockets", "failures"),
    *("violations", "MiB", "files", "tasks", "Redis keys", "KiB"),
)
_WIDTHS = tuple(max(len(name) + 2, 8) for name in _COLUMNS)
_HEADER = "".join(f"{name:>{width}}" for name, width in zip(_COLUMNS, _WIDTHS, strict=True))


def _range(values: Sequence[int]) -> str:
    return f"{min(values)}-{max(values)}" if values else "-"


def _now() -> float:
    return asyncio.get_running_loop().time()
