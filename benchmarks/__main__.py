"""``scripts/bench [--rounds N] [--storms N]``: exits 1 if a gate fails, and 3 if the machine is too busy."""

import argparse
import asyncio
import sys

from fastapi_descope.emulator import Emulator

from .gates import CONTROL_RANGE, GATES
from .page_requests import BASE, request_benchmarks
from .refresh_storm import report as report_storms
from .rounds import Timings, measure
from .token_checks import RAW_RSA, token_benchmarks

_FAILED, _INCONCLUSIVE = 1, 3


def _print_table(timings: Timings, title: str, unit: str, names: list[str]) -> None:
    print(f"\n{title:36}{'us':>9}{'x ' + unit:>26}{'quartiles':>16}")
    for name in names:
        ratio = timings.ratio(name, unit)
        quartiles = f"{ratio.low:.3f}-{ratio.high:.3f}"
        print(f"{name:36}{timings.time(name).median:9.2f}{ratio.median:26.3f}{quartiles:>16}")


def _print_gates(timings: Timings) -> None:
    print("\nGates")
    for gate in GATES:
        print(gate.format(timings))


def _exit_code(timings: Timings) -> int:
    name, same, low, high = CONTROL_RANGE
    ratio = timings.ratio(name, same).median
    if not low <= ratio <= high:
        print(f"\nInconclusive: two timings of the same route differ by a factor of {ratio:.3f}")
        return _INCONCLUSIVE
    return _FAILED if any(gate.is_exceeded(timings) for gate in GATES) else 0


async def _run(rounds: int) -> int:
    emulator = Emulator()
    requests, checks = request_benchmarks(emulator), token_benchmarks(emulator)
    timings = await measure({**requests, **checks}, rounds=rounds)
    _print_table(timings, "one request", BASE, list(requests))
    _print_table(timings, "one check", RAW_RSA, list(checks))
    _print_gates(timings)
    return _exit_code(timings)


def main() -> int:
    """Run the benchmarks, print the results, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=60, help="number of timings of each benchmark (default: 60)"
    )
    parser.add_argument("--storms", type=int, default=3, help="number of refresh storms (default: 3)")
    options = parser.parse_args()
    code = asyncio.run(_run(options.rounds))
    if options.storms and not report_storms(options.storms):
        return _FAILED
    return code


if __name__ == "__main__":
    sys.exit(main())
