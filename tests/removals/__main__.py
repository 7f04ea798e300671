"""Removes each rule of the security model from a copy of the tree and runs the tests that the rule cites.

Usage: ``python -m tests.removals [--max-children N] [NAME ...]``, with names of rules, groups or single
removals. It prints one line for each removal:

- ``detected``: a cited test failed, and passes without the removal.
- ``SURVIVED``: all cited tests passed, so they do not prove the rule.
- ``ERROR``: the removal proves nothing. The tests did not start, a fixture failed, the code raised a
  ``NameError``, a run took too long, or the test fails without the removal too.

Tests that need a browser, Redis or an SDK run only if the others have passed. The exit status is 1 unless
every removal is detected.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

from tests.helpers.security_model import rules, scenarios
from tests.removals.runner import Copy, NoResultError, Run
from tests.removals.tables import Removal, selected

_TIMEOUT = 180.0
_NO_TESTS = 5  # pytest's exit code
_EXPENSIVE = "browser or postgres or redis or sdk or slow"
_BROKEN_CODE = ("NameError", "ImportError", "UnboundLocalError", "SyntaxError")


@dataclass(frozen=True)
class _Result:
    removal: Removal
    verdict: str
    """``detected``, ``SURVIVED`` or ``ERROR``."""
    detail: str
    """The test that failed, or the reason of an error."""

    def __str__(self) -> str:
        return f"{self.removal.name} {self.verdict}  {self.detail}".rstrip()


def _judge(removal: Removal, run: Run) -> _Result:
    """Return what a run of the cited tests says about a removal."""
    if run.exit_code == 0:
        return _Result(removal, "SURVIVED", "")
    if run.exit_code != 1 or not run.failures:
        return _Result(removal, "ERROR", f"exit code {run.exit_code}: {' '.join(run.output.split())[-300:]}")
    test, reason = run.failures[0]
    if reason.startswith(_BROKEN_CODE):
        return _Result(removal, "ERROR", f"{test}: {reason}")
    return _Result(removal, "detected", test)


def _run(removal: Removal, node_ids: Sequence[str], copy: Copy) -> _Result:
    """Run the cited tests without the rule, the expensive ones last."""
    with copy.without(removal):
        run = copy.pytest(node_ids, "-x", "-m", f"not ({_EXPENSIVE})", timeout=_TIMEOUT)
        if run.exit_code in (0, _NO_TESTS):
            later = copy.pytest(node_ids, "-x", "-m", _EXPENSIVE, timeout=_TIMEOUT)
            run = run if later.exit_code == _NO_TESTS else later
        return _judge(removal, run)


def _try(removal: Removal, node_ids: Sequence[str], copies: SimpleQueue[Copy]) -> _Result:
    copy = copies.get()
    try:
        return _run(removal, node_ids, copy)
    except NoResultError:
        return _Result(removal, "ERROR", f"no result after {_TIMEOUT} s")
    finally:
        copies.put(copy)


def _refuted(results: Sequence[_Result], copy: Copy) -> list[_Result]:
    """Return an error for each result whose test also fails in the unchanged tree."""
    detected = [result for result in results if result.verdict == "detected"]
    if not detected:
        return []
    tests = sorted({result.detail for result in detected})
    failing = {test for test, _ in copy.pytest(tests, timeout=_TIMEOUT * 5).failures}
    return [
        _Result(result.removal, "ERROR", f"{result.detail} fails without the removal too")
        for result in detected
        if result.detail in failing
    ]


def _report(chosen: Sequence[Removal], workers: int) -> bool:
    """Try the removals and print the results. Return whether all were detected."""
    cited = {row.number: [proof.node_id for proof in row.proofs] for row in [*rules(), *scenarios()]}
    with ExitStack() as stack, ThreadPoolExecutor(workers) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for _ in range(workers):
            copies.put(Copy(stack.enter_context(tempfile.TemporaryDirectory())))
        running = [pool.submit(_try, removal, cited[removal.rule], copies) for removal in chosen]
        results: list[_Result] = []
        for done in as_completed(running):
            results.append(done.result())
            print(results[-1], flush=True)  # noqa: T201 - the output
        refuted = _refuted(results, copies.get())
    missed = [result for result in results if result.verdict != "detected"] + refuted
    summary = f"{len(results)} removals, {len(results) - len(missed)} detected"
    print(*refuted, summary, sep="\n")  # noqa: T201 - the output
    return not missed


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.removals")
    parser.add_argument("--max-children", type=int, default=2, help="how many removals are tried at once")
    parser.add_argument("names", nargs="*", metavar="NAME", help="TV, TV-02, TV-02/1 or F3; default: all")
    arguments = parser.parse_args()
    try:
        chosen = selected(arguments.names)
    except ValueError as error:
        parser.error(str(error))
    return 0 if _report(chosen, arguments.max_children) else 1


if __name__ == "__main__":
    sys.exit(_main())
