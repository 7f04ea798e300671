"""``scripts/bench peers``: the package side by side with other libraries.

Exits 1 if an app of ours or without authentication does not do its work, and 3 if the machine is too busy.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .chart import draw
from .report import CHART, DATA, Report
from .run import FULL, QUICK, run
from .table import difference, lines
from .variants import BASE, CONTROL

__all__ = ["exit_code", "main"]

_FAILED, _INCONCLUSIVE = 1, 3
_CONTROL_RANGE = (0.97, 1.03)


def exit_code(report: Report) -> int:
    """Print what keeps the report from being used, and return the exit code."""
    faults = [f"{each.label}: {each.fault}" for each in report.results if each.fault]
    for fault in faults:
        print(f"\nNot measured: {fault}")
    if any(each.fault for each in report.results if each.group != "other libraries"):
        return _FAILED
    low, high = _CONTROL_RANGE
    (control,) = (each.in_process.median for each in report.ratios if (each.name, each.to) == (CONTROL, BASE))
    if not low <= control <= high:
        print(f"\nInconclusive: two timings of the same route differ by a factor of {control:.3f}")
        return _INCONCLUSIVE
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, print it, and return the exit code."""
    options = _parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    report = run(replace(effort, load_rounds=0) if options.in_process else effort)
    print("\n".join(lines(report)))
    if options.compare:
        print(f"\n{difference(report, Report.from_json(options.compare.read_text('utf-8')))}")
    if options.json:
        options.json.write_text(report.to_json(), encoding="utf-8")
    code = exit_code(report)
    if options.save and not code:
        DATA.write_text(report.to_json(), encoding="utf-8")
        CHART.write_text(draw(report), encoding="utf-8")
        print(f"\nSaved {DATA.name} and {CHART.name}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute, for a look; the default is five")
    parser.add_argument("--in-process", action="store_true", help="start no servers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare with results of --json")
    parser.add_argument("--save", action="store_true", help="write the chart and its data in docs/images")
    return parser


if __name__ == "__main__":
    sys.exit(main())
