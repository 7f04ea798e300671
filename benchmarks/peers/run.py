"""One run: make the apps, check them, time them in this process and under load, and collect the results."""

import asyncio
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

from ..rounds import Spread, Timings
from .acceptance import Acceptance, accept
from .in_process import time_requests
from .load import CONNECTIONS, LoadResult, measure_load, wrk_version
from .provenance import commit, installed_version, processor, versions
from .report import InProcess, Method, Ratio, Report, Result, UnderLoad
from .servers import running_servers
from .tokens import Tokens, issue_tokens
from .variants import ALL, BASE, COMPARISONS, Variant

__all__ = ["FULL", "QUICK", "Effort", "run"]

_Load = Mapping[str, list[LoadResult]]


@dataclass(frozen=True)
class Effort:
    """How often everything is measured; without ``load_rounds`` no server is started."""

    in_process_rounds: int
    load_rounds: int
    load_seconds: int = 1


FULL = Effort(in_process_rounds=120, load_rounds=14)
QUICK = Effort(in_process_rounds=40, load_rounds=2)


def run(effort: Effort) -> Report:
    """Measure all variants. A library that is missing or fails is in the report with the reason."""
    tokens = issue_tokens()
    cores = sorted(os.sched_getaffinity(0))
    with _running_on(cores[0]):
        results, timings = asyncio.run(_time_requests(tokens, effort.in_process_rounds))
    load: _Load = {}
    if effort.load_rounds and wrk_version():
        with running_servers(timings.rounds, tokens, cores[0]) as ports, _running_on(cores[-1]):
            load = measure_load(ports, tokens, rounds=effort.load_rounds, seconds=effort.load_seconds)
    return Report(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(),
        processor=processor(),
        versions=versions(),
        method=Method(
            in_process_rounds=effort.in_process_rounds,
            load_rounds=effort.load_rounds if load else 0,
            load_seconds=effort.load_seconds,
            connections=CONNECTIONS,
            token_characters=len(tokens.session),
        ),
        results=tuple(_with_figures(result, timings, load) for result in results),
        ratios=tuple(_ratios(timings, load)),
    )


@contextmanager
def _running_on(core: int) -> Generator[None]:
    """Keep this thread and the processes that it starts on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _time_requests(tokens: Tokens, rounds: int) -> tuple[Sequence[Result], Timings]:
    """Make and check the apps, and time those that do their work."""
    accepted = {name: await accept(variant, tokens) for name, variant in ALL.items()}
    apps = {name: each.app for name, each in accepted.items() if each.app}
    timings = await time_requests(apps, tokens, rounds=rounds)
    return [_result(ALL[name], each) for name, each in accepted.items()], timings


def _result(variant: Variant, acceptance: Acceptance) -> Result:
    return Result(
        variant.name,
        variant.label,
        variant.group,
        version=installed_version(variant.package) if variant.package else None,
        statuses=acceptance.statuses,
        fault=acceptance.fault,
    )


def _with_figures(result: Result, timings: Timings, load: _Load) -> Result:
    if result.name not in timings.rounds:
        return result
    in_process = InProcess(_rounded(timings.time(result.name)), _rounded(timings.ratio(result.name, BASE)))
    result = replace(result, in_process=in_process)
    failures = sum(each.failures for each in load.get(result.name, ()))
    if failures:
        return replace(result, fault=f"{failures} requests failed under load")
    return replace(result, under_load=_under_load(result.name, load) if load else None)


def _under_load(name: str, load: _Load) -> UnderLoad:
    rounds = load[name]
    return UnderLoad(
        requests_per_second=_rounded(Spread.from_values([each.requests_per_second for each in rounds])),
        ratio=_rounded(_throughput_ratio(load, name, BASE)),
        p50_ms=round(median(each.p50_ms for each in rounds), 3),
        p99_ms=round(median(each.p99_ms for each in rounds), 3),
        requests=sum(each.requests for each in rounds),
    )


def _throughput_ratio(load: _Load, name: str, to: str) -> Spread:
    pairs = zip(load[name], load[to], strict=True)
    return Spread.from_values([one.requests_per_second / other.requests_per_second for one, other in pairs])


def _ratios(timings: Timings, load: _Load) -> Sequence[Ratio]:
    return [
        Ratio(
            name,
            to,
            _rounded(timings.ratio(name, to)),
            _rounded(_throughput_ratio(load, name, to)) if load else None,
        )
        for name, to in COMPARISONS
        if {name, to} <= timings.rounds.keys()
    ]


def _rounded(spread: Spread) -> Spread:
    """Return the spread with four significant digits."""
    return Spread(*(float(f"{each:.4g}") for each in (spread.median, spread.low, spread.high)))
