"""The CPU time of a request in this process, without a server or a network."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from time import process_time_ns

from starlette.types import ASGIApp

from ..rounds import Benchmark, Timings, measure
from .page_request import page_scope, status_of
from .tokens import Tokens
from .variants import ALL

__all__ = ["time_requests"]

_BATCH = 40


async def time_requests(apps: Mapping[str, ASGIApp], tokens: Tokens, *, rounds: int) -> Timings:
    """Time the apps, by the names of their variants.

    The clock is that of the process, so that the work of a dependency in a thread counts.
    """
    benchmarks = {
        name: Benchmark(_BATCH, partial(_prepare, app, ALL[name].credentials(tokens)))
        for name, app in apps.items()
    }
    return await measure(benchmarks, rounds=rounds, clock=process_time_ns)


def _prepare(app: ASGIApp, credentials: str, size: int) -> Callable[[], Awaitable[None]]:
    scopes = [page_scope(credentials) for _ in range(size)]

    async def batch() -> None:
        for scope in scopes:
            assert await status_of(app, scope) == HTTPStatus.OK

    return batch
