"""``python -m tests.faults``: run every fault scenario at full length and print one line each."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from .suites import suites
from .testbed import Scale

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios and return the exit code: 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Inject faults into real processes.")
    parser.add_argument("--short", action="store_true", help="run the short form, as the test suite does")
    parser.add_argument(
        "--suite",
        type=int,
        action="append",
        metavar="N",
        help="run only this suite, counted from 0; may be repeated",
    )
    options = parser.parse_args(arguments)
    scale = Scale.SHORT if options.short else Scale.LONG
    return asyncio.run(_run(scale, options.suite))


async def _run(scale: Scale, selected: Sequence[int] | None) -> int:
    failed = 0
    for number, suite in enumerate(suites(scale)):
        if selected is None or number in selected:
            async for report in suite.reports(scale):
                print(report, flush=True)  # noqa: T201 - the output of the command
                failed += bool(report.violations)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
