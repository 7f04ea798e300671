"""``scripts/bench emulator``: the cost of the emulator in development and tests.

Start: from the command to the first response, in a process of its own; the best of several, because the
machine may be busy. Calls: CPU time relative to one raw RSA signature. Memory: of the emulator's process,
during logins as a browser and an app perform them, with four requests each over loopback. Exits 1 if a limit
is exceeded.
"""

import asyncio
import html
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Thread

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator
from fastapi_descope.testing import emulated_descope

from .rounds import Benchmark, Timings, measure

__all__ = ["main"]

_USER = ("ada@acme.example", "acme")
_COMMAND = Path(sys.executable).parent / "fastapi-descope"
_BEARER = {"authorization": f"Bearer {DEFAULT_PROJECT_ID}"}
_STARTS, _ROUNDS, _LOGINS, _WARM_UP = 5, 40, 1000, 100
_RAW, _ISSUE, _SIGN_IN, _EMULATED = "raw RSA signature", "issue()", "sign_in()", "emulated_descope(app)"

MAX_START_SECONDS = 1.5
MAX_CALL_US: Mapping[str, float] = {_ISSUE: 1000, _SIGN_IN: 5000, _EMULATED: 5000}
MAX_GROWTH_KB = 4096
"""For a thousand logins. Each leaves a session that is valid for four weeks, and lines in the journal, which
keeps the last 10,000 requests."""


@contextmanager
def _running_command() -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run ``fastapi-descope emulator`` on a free port; yield the process and its URL."""
    arguments = [str(_COMMAND), "emulator", "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            url_match = next(filter(None, (re.search(r"http://[\d.:]+", line) for line in process.stdout)))
            rest = process.stdout  # a line for each request; unread lines would block the emulator
            Thread(target=lambda: deque(rest, maxlen=0), daemon=True).start()
            yield process, url_match[0]
        finally:
            process.terminate()


def measure_start() -> tuple[float, float]:
    """Return the seconds from the command to the first response: wall-clock and CPU time."""
    started_at = time.perf_counter()
    with _running_command() as (process, url):
        response = httpx.get(f"{url}/v2/keys/{DEFAULT_PROJECT_ID}", trust_env=False)
        assert response.is_success
        return time.perf_counter() - started_at, _cpu_seconds(process.pid)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _repeated(call: Callable[[], object]) -> Callable[[int], Callable[[], Awaitable[None]]]:
    """Return a ``prepare`` function for a call that awaits nothing."""

    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        async def batch() -> None:
            for _ in range(size):
                call()

        return batch

    return prepare


def _emulate(app: FastAPI) -> None:
    with emulated_descope(app):
        pass


def time_calls() -> Timings:
    """Return the timings of the in-process calls of a test, and of a raw RSA signature of 2,048 bits."""
    app, emulator = FastAPI(), Emulator()
    Descope(app, settings=DescopeSettings(project_id=DEFAULT_PROJECT_ID))
    key, text = generate_private_key(65537, 2048), b"x" * 400
    with emulated_descope(app) as harness:
        benchmarks = {
            _RAW: Benchmark(40, _repeated(lambda: key.sign(text, PKCS1v15(), SHA256()))),
            _ISSUE: Benchmark(20, _repeated(lambda: emulator.issue(*_USER))),
            _SIGN_IN: Benchmark(20, _repeated(lambda: harness.sign_in(_USER[0]))),
        }
        timings = asyncio.run(measure(benchmarks, rounds=_ROUNDS))
    setup = asyncio.run(measure({_EMULATED: Benchmark(10, _repeated(lambda: _emulate(app)))}, rounds=_ROUNDS))
    return Timings({**timings.rounds, **setup.rounds})


def log_in(browser: httpx.Client, url: str) -> None:
    """Log in with the four requests of a browser and an app: start, page, form, exchange."""
    query = {"tenant": "acme", "redirectURL": "http://localhost:8000/callback"}
    authorized = browser.post(f"{url}/v1/auth/sso/authorize", params=query, headers=_BEARER)
    page = browser.get(authorized.json()["url"])
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)
    user = re.search(r'name="user" value="([^"]+)"', page.text)
    assert token
    assert user
    callback = browser.post(page.url, data={"form_token": html.unescape(token[1]), "user": user[1]})
    code = httpx.URL(callback.headers["location"]).params["code"]
    exchanged = browser.post(f"{url}/v1/auth/sso/exchange", json={"code": code}, headers=_BEARER)
    assert exchanged.is_success


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def measure_memory() -> list[int]:
    """Return the memory of the emulator's process in kB: after the warm-up, and after each run of logins."""
    with _running_command() as (process, url), httpx.Client(trust_env=False) as browser:
        for _ in range(_WARM_UP):
            log_in(browser, url)
        measured = [_resident_kb(process.pid)]
        for _ in range(3):
            for _ in range(_LOGINS):
                log_in(browser, url)
            measured.append(_resident_kb(process.pid))
        return measured


def main() -> int:
    """Run the benchmarks, print the results, and return the exit code."""
    starts = [measure_start() for _ in range(_STARTS)]
    start, cpu = min(wall for wall, _ in starts), median(cpu for _, cpu in starts)
    print(f"start to first response: {start:.2f} s ({cpu:.2f} s of CPU time), at most {MAX_START_SECONDS} s")
    timings = time_calls()
    for name, limit in MAX_CALL_US.items():
        ratio = timings.ratio(name, _RAW).median
        print(f"{name:16}{timings.time(name).median:8.0f} us, {ratio:5.1f} x {_RAW}, at most {limit:.0f} us")
    resident = measure_memory()
    steps = [after - before for before, after in pairwise(resident)]
    print(f"{_LOGINS} logins over loopback: {resident[0]} kB, then {steps} kB more, at most {MAX_GROWTH_KB}")
    slow = [name for name, limit in MAX_CALL_US.items() if timings.time(name).median > limit]
    return int(start > MAX_START_SECONDS or bool(slow) or max(steps) > MAX_GROWTH_KB)


if __name__ == "__main__":
    sys.exit(main())
