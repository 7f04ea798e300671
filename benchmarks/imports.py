"""``scripts/bench imports``: the cost of importing the package, and what the first requests import.

Starts fresh interpreters in turn, with compiled modules on disk, and reports the CPU time that each spends in
user mode. The import may cost at most 1.4 of importing FastAPI. An app that is built costs more: it loads
httpx and cryptography. Then an app that runs serves a login, a known session and a refresh, which must not
import any module. Exits 1 if a limit is exceeded.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from tempfile import TemporaryDirectory

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running

__all__ = ["main"]

MAX_RATIO = 1.4
_MARGIN = 1.08
"""Tolerance for noise, as for the other benchmarks. The minimum of all rounds is the steadiest time."""
_ROUNDS = 25

_FASTAPI, _PACKAGE, _APP = "import fastapi", "import Descope and CurrentUser", "build an app"
_CODE: Mapping[str, str] = {
    "an empty program": "",
    _FASTAPI: "import fastapi",
    "import fastapi (again)": "import fastapi",
    "import httpx": "import httpx",
    _PACKAGE: "from fastapi_descope import Descope, CurrentUser",
    _APP: (
        "from fastapi import FastAPI\n"
        "from fastapi_descope import Descope, CurrentUser, DescopeSettings\n"
        f"Descope(FastAPI(), settings=DescopeSettings(project_id='{'P' + 'a' * 27}'))"
    ),
}


def _environment(directory: str) -> Mapping[str, str]:
    """Return an environment in which compiled modules are written to a directory and read from there."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": directory}


def _run(*arguments: str, env: Mapping[str, str]) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def _user_seconds(code: str, env: Mapping[str, str]) -> float:
    """Return the CPU time of an interpreter that runs ``code``."""
    before = getrusage(RUSAGE_CHILDREN).ru_utime
    _run("-c", code, env=env)
    return getrusage(RUSAGE_CHILDREN).ru_utime - before


def _report_imports(env: Mapping[str, str]) -> bool:
    """Measure and print the imports; return whether the package is within its limit."""
    times: dict[str, list[float]] = {name: [] for name in _CODE}
    for number in range(-1, _ROUNDS):
        for name, code in _CODE.items():
            seconds = _user_seconds(code, env)
            if number >= 0:  # the first round compiles
                times[name].append(seconds)
    print(f"{'CPU time':32}{'median':>10}{'best':>10}{'x ' + _FASTAPI:>20}{'of the best':>14}")
    for name, taken in times.items():
        ratio, of_best = _ratio(taken, times[_FASTAPI]), min(taken) / min(times[_FASTAPI])
        print(
            f"{name:32}{median(taken) * 1000:7.0f} ms{min(taken) * 1000:7.0f} ms{ratio:20.2f}{of_best:14.2f}"
        )
    ratio = _ratio(times[_PACKAGE], times[_FASTAPI])
    verdict = "ok" if ratio <= MAX_RATIO else "close" if ratio <= MAX_RATIO * _MARGIN else "ABOVE"
    print(f"  {verdict:6}{_PACKAGE}: {ratio:.2f} x {_FASTAPI}, at most {MAX_RATIO:g}")
    return verdict != "ABOVE"


def _ratio(times: list[float], others: list[float]) -> float:
    """Return the median of the ratios within a round."""
    return median(time / other for time, other in zip(times, others, strict=True))


def _report_first_requests(env: Mapping[str, str]) -> bool:
    """Print the modules that the first requests import; return whether there are none."""
    emulator = Emulator()
    pairs = [emulator.issue("ada@acme.example", "acme", session_seconds=each) for each in (600, -60)]
    cookies = [f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}" for pair in pairs]
    with running(emulator) as url:
        loaded = _run("-m", "benchmarks.first_requests", url, emulator.project_id, *cookies, env=env).split()
    print(f"modules that the first requests import: {', '.join(loaded) or 'none'}")
    return not loaded


def main() -> int:
    """Run the benchmarks, print the results, and return the exit code."""
    with TemporaryDirectory() as directory:
        env = _environment(directory)
        return 0 if all([_report_imports(env), _report_first_requests(env)]) else 1


if __name__ == "__main__":
    sys.exit(main())
