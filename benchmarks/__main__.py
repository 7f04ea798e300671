"""``scripts/bench [--rounds N] [--storms N]``: exits 1 if a gate fails, 3 on too busy a machine."""

import argparse
import asyncio
import sys

from fastapi_descope.emulator import Emulator

from .gates import GATES, GOALS, TWINS
from .page_requests import BASE, request_contenders
from .refresh_storm import report as report_storms
from .rounds import Timings, measure
from .verdicts import RAW, verdict_contenders

_FAILED, _INCONCLUSIVE = 1, 3


def _print_table(timings: Timings, title: str, unit: str, names: list[str]) -> None:
    print(f"\n{title:36}{'us':>9}{'x ' + unit:>26}{'quartiles':>16}")
    for name in names:
        ratio = timings.ratio(name, unit)
        quartiles = f"{ratio.low:.3f}-{ratio.high:.3f}"
        print(f"{name:36}{timings.time(name).middle:9.2f}{ratio.middle:26.3f}{quartiles:>16}")


def _print_bounds(timings: Timings) -> None:
    print("\nGates")
    for gate in GATES:
        print(gate.line(timings))
    print("\nGoals (reported, not enforced)")
    for goal in GOALS:
        print(goal.line(timings))


def _code(timings: Timings) -> int:
    name, twin, low, high = TWINS
    middle = timings.ratio(name, twin).middle
    if not low <= middle <= high:
        print(f"\nInconclusive: the same route twice differs by a factor of {middle:.3f}")
        return _INCONCLUSIVE
    return _FAILED if any(gate.fails(timings) for gate in GATES) else 0


async def _run(rounds: int) -> int:
    emulator = Emulator()
    requests, verdicts = request_contenders(emulator), verdict_contenders(emulator)
    timings = await measure({**requests, **verdicts}, rounds=rounds)
    _print_table(timings, "one request", BASE, list(requests))
    _print_table(timings, "one verdict", RAW, list(verdicts))
    _print_bounds(timings)
    return _code(timings)


def main() -> int:
    """Measure, report, and tell by the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="how often everything is timed (60)")
    parser.add_argument("--storms", type=int, default=3, help="how often a thousand sessions are renewed (3)")
    given = parser.parse_args()
    code = asyncio.run(_run(given.rounds))
    if given.storms and not report_storms(given.storms):
        return _FAILED
    return code


if __name__ == "__main__":
    sys.exit(main())
