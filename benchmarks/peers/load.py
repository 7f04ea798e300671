"""Requests over loopback from wrk, a load generator, on a core of its own."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .page_request import BROWSER_HEADERS, PATH
from .tokens import Tokens
from .variants import ALL

__all__ = ["CONNECTIONS", "LoadResult", "measure_load", "run_wrk", "wrk_version"]

CONNECTIONS = 32
_TIMEOUT_SECONDS = 10
_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_SEED = 20_261_130


@dataclass(frozen=True)
class LoadResult:
    """The result of one run of wrk.

    Attributes:
        requests: The number of responses.
        requests_per_second: Responses per second of wall-clock time.
        p50_ms: The median of the response times in milliseconds.
        p99_ms: Their 99th percentile.
        failures: Responses with a status of 400 or more, and connections that failed or timed out.
    """

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


def wrk_version() -> str | None:
    """Return the version of wrk, or None if it is not installed."""
    if shutil.which("wrk") is None:
        return None
    banner = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return banner.split()[1].removeprefix("debian/")


def run_wrk(url: str, headers: tuple[str, ...], seconds: int) -> LoadResult:
    """Send requests over ``CONNECTIONS`` connections, the next one on each as soon as a response is there."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"--timeout={_TIMEOUT_SECONDS}s"]
    arguments = [part for header in headers for part in ("-H", header)]
    done = subprocess.run(
        [*command, f"--script={_SCRIPT}", *arguments, url], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    return LoadResult(
        requests=result["requests"],
        requests_per_second=result["requests"] / result["microseconds"] * 1_000_000,
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        failures=result["bad_statuses"] + result["socket_errors"],
    )


def measure_load(
    ports: Mapping[str, int], tokens: Tokens, *, rounds: int, seconds: int
) -> Mapping[str, list[LoadResult]]:
    """Load each server once per round, in an order that differs between rounds but not between runs."""
    order = list(ports)
    results: dict[str, list[LoadResult]] = {name: [] for name in order}
    random = Random(_SEED)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            headers = (*BROWSER_HEADERS, ALL[name].credentials(tokens))
            results[name].append(run_wrk(f"http://127.0.0.1:{ports[name]}{PATH}", headers, seconds))
    return results
