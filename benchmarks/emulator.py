"""``scripts/bench emulator``: what the emulator costs whoever develops and tests with it.

Start: from the command to the first answered request, in a process of its own; the best of several, for
the machine may be busy. Calls: CPU time beside one
raw RSA signature. Memory: of the emulator's process, over sign-ins as browser and app make them, four
requests each over loopback. Exits 1 if a limit is exceeded.
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

from .rounds import Contender, Timings, measure

__all__ = ["main"]

_ADA = ("ada@acme.example", "acme")
_COMMAND = Path(sys.executable).parent / "fastapi-descope"
_BEARER = {"authorization": f"Bearer {DEFAULT_PROJECT_ID}"}
_STARTS, _ROUNDS, _SIGN_INS, _WARM_UP = 5, 40, 1000, 100
_RAW, _ISSUE, _SIGN_IN, _EMULATED = "raw RSA signature", "issue()", "sign_in()", "emulated_descope(app)"

START_SECONDS = 1.5
CALL_US: Mapping[str, float] = {_ISSUE: 1000, _SIGN_IN: 5000, _EMULATED: 5000}
GROWTH_KB = 4096
"""For a thousand sign-ins. Each leaves a session that lives for four weeks, and lines in the journal, which
keeps the last 10,000 requests."""


@contextmanager
def _command() -> Generator[tuple[subprocess.Popen[str], str]]:
    """``fastapi-descope emulator`` on a free port, up to its greeting; the values are it and its address."""
    arguments = [str(_COMMAND), "emulator", "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout
        try:
            found = next(filter(None, (re.search(r"http://[\d.:]+", line) for line in process.stdout)))
            rest = process.stdout  # a line for each request, until somebody stops reading
            Thread(target=lambda: deque(rest, maxlen=0), daemon=True).start()
            yield process, found[0]
        finally:
            process.terminate()


def start_seconds() -> tuple[float, float]:
    """From the command to the first answer: by the clock, and of the processor."""
    begun = time.perf_counter()
    with _command() as (process, url):
        answer = httpx.get(f"{url}/v2/keys/{DEFAULT_PROJECT_ID}", trust_env=False)
        assert answer.is_success
        return time.perf_counter() - begun, _cpu_seconds(process.pid)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _repeated(call: Callable[[], object]) -> Callable[[int], Callable[[], Awaitable[None]]]:
    """A batch for a contender, of a call that does not wait for anything."""

    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        async def batch() -> None:
            for _ in range(size):
                call()

        return batch

    return prepare


def _emulate(app: FastAPI) -> None:
    with emulated_descope(app):
        pass


def call_timings() -> Timings:
    """The in-process calls of a test, and a bare signature of two kilobits."""
    app, emulator = FastAPI(), Emulator()
    Descope(app, settings=DescopeSettings(project_id=DEFAULT_PROJECT_ID))
    key, text = generate_private_key(65537, 2048), b"x" * 400
    with emulated_descope(app) as harness:
        contenders = {
            _RAW: Contender(40, _repeated(lambda: key.sign(text, PKCS1v15(), SHA256()))),
            _ISSUE: Contender(20, _repeated(lambda: emulator.issue(*_ADA))),
            _SIGN_IN: Contender(20, _repeated(lambda: harness.sign_in(_ADA[0]))),
        }
        timings = asyncio.run(measure(contenders, rounds=_ROUNDS))
    whole = asyncio.run(measure({_EMULATED: Contender(10, _repeated(lambda: _emulate(app)))}, rounds=_ROUNDS))
    return Timings({**timings.rounds, **whole.rounds})


def sign_in(browser: httpx.Client, url: str) -> None:
    """What a browser and an app ask between them: start, page, answer, exchange."""
    query = {"tenant": "acme", "redirectURL": "http://localhost:8000/callback"}
    started = browser.post(f"{url}/v1/auth/sso/authorize", params=query, headers=_BEARER)
    page = browser.get(started.json()["url"])
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)
    user = re.search(r'name="user" value="([^"]+)"', page.text)
    assert token
    assert user
    back = browser.post(page.url, data={"form_token": html.unescape(token[1]), "user": user[1]})
    code = httpx.URL(back.headers["location"]).params["code"]
    done = browser.post(f"{url}/v1/auth/sso/exchange", json={"code": code}, headers=_BEARER)
    assert done.is_success


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def resident_kb() -> list[int]:
    """The memory of the emulator's process, warm, and after each of three thousand sign-ins."""
    with _command() as (process, url), httpx.Client(trust_env=False) as browser:
        for _ in range(_WARM_UP):
            sign_in(browser, url)
        measured = [_resident_kb(process.pid)]
        for _ in range(3):
            for _ in range(_SIGN_INS):
                sign_in(browser, url)
            measured.append(_resident_kb(process.pid))
        return measured


def main() -> int:
    """Measure, report, and tell by the exit code."""
    starts = [start_seconds() for _ in range(_STARTS)]
    start, cpu = min(wall for wall, _ in starts), median(cpu for _, cpu in starts)
    print(f"start to first answer: {start:.2f} s ({cpu:.2f} s of the processor), at most {START_SECONDS} s")
    timings = call_timings()
    for name, limit in CALL_US.items():
        ratio = timings.ratio(name, _RAW).middle
        print(f"{name:16}{timings.time(name).middle:8.0f} us, {ratio:5.1f} x {_RAW}, at most {limit:.0f} us")
    resident = resident_kb()
    steps = [after - before for before, after in pairwise(resident)]
    print(f"{_SIGN_INS} sign-ins over loopback: {resident[0]} kB, then {steps} kB more, at most {GROWTH_KB}")
    slow = [name for name, limit in CALL_US.items() if timings.time(name).middle > limit]
    return int(start > START_SECONDS or bool(slow) or max(steps) > GROWTH_KB)


if __name__ == "__main__":
    sys.exit(main())
