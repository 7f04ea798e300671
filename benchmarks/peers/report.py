"""The results of a run, as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ..rounds import Spread
from .acceptance import Statuses
from .variants import Group

__all__ = ["CHART", "DATA", "InProcess", "Method", "Ratio", "Report", "Result", "UnderLoad"]

_IMAGES = Path(__file__).parents[2] / "docs" / "images"
DATA, CHART = _IMAGES / "performance.json", _IMAGES / "performance.svg"


@dataclass(frozen=True)
class Method:
    """How the figures were measured.

    Attributes:
        in_process_rounds: How often each app was timed in this process.
        load_rounds: How often each server was loaded; 0 if wrk was not there.
        load_seconds: For how long each time.
        connections: The number of connections of the load generator.
        token_characters: The length of the session JWT.
    """

    in_process_rounds: int
    load_rounds: int
    load_seconds: int
    connections: int
    token_characters: int


@dataclass(frozen=True)
class InProcess:
    """CPU time of a request in microseconds, and relative to the route without authentication."""

    microseconds: Spread
    ratio: Spread


@dataclass(frozen=True)
class UnderLoad:
    """Throughput of one uvicorn worker, also relative to the route without authentication, and latency.

    Attributes:
        requests_per_second: The throughput.
        ratio: The throughput divided by that of the route without authentication in the same round.
        p50_ms: The median response time in milliseconds, as the median of all rounds.
        p99_ms: The 99th percentile, as the median of all rounds.
        requests: The number of responses of all rounds. Each was a 200.
    """

    requests_per_second: Spread
    ratio: Spread
    p50_ms: float
    p99_ms: float
    requests: int


@dataclass(frozen=True)
class Result:
    """The results of one variant.

    Attributes:
        name: The name of the variant.
        label: Its text in table and chart.
        group: What it belongs to.
        version: The version of its library.
        statuses: What it answers; None if the app could not be made.
        fault: Why it was not measured; None if it was.
        in_process: The CPU time in this process.
        under_load: The results under uvicorn.
    """

    name: str
    label: str
    group: Group
    version: str | None = None
    statuses: Statuses | None = None
    fault: str | None = None
    in_process: InProcess | None = None
    under_load: UnderLoad | None = None


@dataclass(frozen=True)
class Ratio:
    """CPU time and throughput of one variant relative to another one in the same round."""

    name: str
    to: str
    in_process: Spread
    under_load: Spread | None


@dataclass(frozen=True)
class Report:
    """The results of a run.

    Attributes:
        date: The day of the run.
        commit: The commit of the package, with the suffix ``-dirty`` if files have been changed since.
        processor: The model of the processor.
        versions: The versions of Python, the frameworks, the libraries and the load generator.
        method: How it was measured.
        results: The result of each variant.
        ratios: The ratios that matter.
    """

    date: str
    commit: str
    processor: str
    versions: Mapping[str, str]
    method: Method
    results: tuple[Result, ...]
    ratios: tuple[Ratio, ...]

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Return the report that ``to_json`` wrote.

        Raises:
            pydantic.ValidationError: The text is something else.
        """
        return _REPORT.validate_json(text)

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return _REPORT.dump_json(self, indent=2).decode() + "\n"


_REPORT = TypeAdapter(Report)
