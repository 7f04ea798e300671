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
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.helpers.security_model import ROOT, rules, scenarios
from tests.removals.tables import Removal, selected

_TIMEOUT_SECONDS = 180
_NO_TESTS = 5  # pytest's exit code
_EXPENSIVE = "browser or redis or sdk or slow"
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".tools", "__pycache__", ".hypothesis", ".*_cache")
_FAILED = re.compile(r"^FAILED (tests/\S+?::test_\w+)\S*(?: - (.*))?$", re.MULTILINE)
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


class _Copy:
    """A copy of the tree, in which the tests run."""

    def __init__(self, folder: str) -> None:
        self._root = Path(folder) / "tree"
        shutil.copytree(ROOT, self._root, ignore=_NOT_COPIED, symlinks=True)
        for name in (".venv", ".tools"):
            if (ROOT / name).exists():
                (self._root / name).symlink_to(ROOT / name)
        # The installed package is the original. With this the copy comes first, also in child processes.
        self._environment = os.environ | {"PYTHONPATH": str(self._root), "COLUMNS": "1000"}

    @contextmanager
    def without(self, removal: Removal) -> Iterator[None]:
        """Apply the removal, and restore the files at the end."""
        texts = removal.edited(self._root)
        originals = {path: path.read_text(encoding="utf-8") for path in texts}
        _write(texts)
        try:
            yield
        finally:
            _write(originals)

    def pytest(self, node_ids: Sequence[str], *options: str) -> tuple[int, str]:
        """Run tests. Return the exit code and the output."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE"]
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [*command, *options, *node_ids],
            cwd=self._root,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


def _write(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        # Python compares the size and the whole seconds of a source, and would load the old code.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()


def _judge(removal: Removal, code: int, output: str) -> _Result:
    """Return what a run of pytest says about a removal."""
    if code == 0:
        return _Result(removal, "SURVIVED", "")
    failed = _FAILED.search(output)
    if code != 1 or failed is None:
        return _Result(removal, "ERROR", f"exit code {code}: {' '.join(output.split())[-300:]}")
    if (failed[2] or "").startswith(_BROKEN_CODE):
        return _Result(removal, "ERROR", f"{failed[1]}: {failed[2]}")
    return _Result(removal, "detected", failed[1])


def _run(removal: Removal, node_ids: Sequence[str], copy: _Copy) -> _Result:
    """Run the cited tests without the rule, the expensive ones last."""
    with copy.without(removal):
        code, output = copy.pytest(node_ids, "-x", "-m", f"not ({_EXPENSIVE})")
        if code not in (0, _NO_TESTS):
            return _judge(removal, code, output)
        later, output = copy.pytest(node_ids, "-x", "-m", _EXPENSIVE)
        return _judge(removal, code if later == _NO_TESTS else later, output)


def _try(removal: Removal, node_ids: Sequence[str], copies: SimpleQueue[_Copy]) -> _Result:
    copy = copies.get()
    try:
        return _run(removal, node_ids, copy)
    except subprocess.TimeoutExpired:
        return _Result(removal, "ERROR", f"no result after {_TIMEOUT_SECONDS} s")
    finally:
        copies.put(copy)


def _refuted(results: Sequence[_Result], copy: _Copy) -> list[_Result]:
    """Return an error for each result whose test also fails in the unchanged tree."""
    detected = [result for result in results if result.verdict == "detected"]
    if not detected:
        return []
    _, output = copy.pytest(sorted({result.detail for result in detected}))
    failing = {found[1] for found in _FAILED.finditer(output)}
    return [
        _Result(result.removal, "ERROR", f"{result.detail} fails without the removal too")
        for result in detected
        if result.detail in failing
    ]


def _report(chosen: Sequence[Removal], workers: int) -> bool:
    """Try the removals and print the results. Return whether all were detected."""
    cited = {row.number: [proof.node_id for proof in row.proofs] for row in rules() + scenarios()}
    with ExitStack() as stack, ThreadPoolExecutor(workers) as pool:
        copies: SimpleQueue[_Copy] = SimpleQueue()
        for _ in range(workers):
            copies.put(_Copy(stack.enter_context(tempfile.TemporaryDirectory())))
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
    parser.add_argument("names", nargs="*", metavar="RULE", help="TV, TV-02, TV-02/1 or F3; default: all")
    arguments = parser.parse_args()
    try:
        chosen = selected(arguments.names)
    except ValueError as error:
        parser.error(str(error))
    return 0 if _report(chosen, arguments.max_children) else 1


if __name__ == "__main__":
    sys.exit(_main())
