"""``scripts/soak``: real processes under load and faults. Exits 1 if anything leaks or is lost."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from .soak import Plan, run_soak
from .verdict import Verdict

__all__ = ["main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak, print its table and its verdict, and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="the time under load (default: 10)")
    parser.add_argument("--visitors", type=int, default=40, help="users at the same time (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="the order of faults and actions (default: 1)")
    options = parser.parse_args(arguments)
    plan = Plan(seconds=60 * options.minutes, visitors=options.visitors, seed=options.seed)
    try:
        verdict = asyncio.run(_run(plan))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("soak: interrupted", file=sys.stderr)  # noqa: T201 - the output of the command
        return _INTERRUPTED
    print("", *verdict.checks, sep="\n")  # noqa: T201 - the output of the command
    return 0 if verdict.is_ok else 1


async def _run(plan: Plan) -> Verdict:
    task = asyncio.current_task()
    assert task is not None
    # As with Ctrl-C, the processes are ended.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with TemporaryDirectory() as directory:
        return await run_soak(plan, Path(directory), partial(print, flush=True))


if __name__ == "__main__":
    sys.exit(main())
