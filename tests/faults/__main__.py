"""``python -m tests.faults``: every scenario at its full length, one line each."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from .catalogue import stands
from .rig import Scale

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all; the answer is the exit code, which is 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Throws faults at real processes.")
    parser.add_argument("--short", action="store_true", help="as the test suite does")
    parser.add_argument("--stand", type=int, action="append", help="only this rig, counted from 0")
    options = parser.parse_args(arguments)
    scale = Scale.SHORT if options.short else Scale.LONG
    return asyncio.run(_run(scale, options.stand))


async def _run(scale: Scale, chosen: Sequence[int] | None) -> int:
    broken = 0
    for number, stand in enumerate(stands(scale)):
        if chosen is None or number in chosen:
            async for report in stand.reports(scale):
                print(report, flush=True)  # noqa: T201 - what it is for
                broken += bool(report.violations)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
