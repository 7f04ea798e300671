"""The app of the testbed, for ``python -m uvicorn tests.faults.worker:app``.

Configured by ``DESCOPE_*`` like any app, and by variables of the testbed:

TESTBED_CLOCK        the file of the ``SharedClock``
TESTBED_CLOCK_IS     ``injected`` (default): the clock is passed to ``Descope(clock=...)``, so all ages follow
                     it; ``machine``: it replaces ``time.time`` of the process, so ages do not follow it, as
                     if the clock of the machine was changed
TESTBED_HOLD         a file: while it exists, handlers of ``/held`` and the hook of logins wait

The variables of ``overrides`` have an effect with the injected clock only.
"""

import asyncio
import gc
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_descope import CurrentTenant, CurrentUser, Descope, Login

from .overrides import descope_overrides
from .shared_clock import SharedClock

__all__ = ["app"]

_TICK_SECONDS = 0.005
_HOLD = Path(os.environ["TESTBED_HOLD"])


class _Lag:
    """Measures the longest block of the event loop, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_TICK_SECONDS)
            self.longest = max(self.longest, loop.time() - before - _TICK_SECONDS)

    def take(self) -> float:
        """Return the longest block since the last call."""
        longest, self.longest = self.longest, 0.0
        return longest


_lag = _Lag()


class _Traffic:
    """Counts the requests, except those of the testbed itself."""

    received = 0
    in_flight = 0
    held = 0

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request and run the app."""
        counts = scope["type"] == "http" and not scope["path"].startswith("/testbed/")
        _Traffic.received += counts
        _Traffic.in_flight += counts
        try:
            await self._app(scope, receive, send)
        finally:
            _Traffic.in_flight -= counts


@asynccontextmanager
async def _watching(_: FastAPI) -> AsyncGenerator[None]:
    gc.freeze()  # exclude imported objects from each collection
    watch = asyncio.create_task(_lag.watch())
    yield
    watch.cancel()


app = FastAPI(openapi_url=None, lifespan=_watching)
_clock = SharedClock(Path(os.environ["TESTBED_CLOCK"]))
if os.environ.get("TESTBED_CLOCK_IS") == "machine":
    setattr(time, "time", _clock)  # noqa: B010 - mypy rejects the assignment
    descope = Descope(app, clock=time.time)
else:
    descope = Descope(app, clock=_clock, **descope_overrides(_clock))
app.add_middleware(_Traffic)


@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
    """Return the user and the tenant."""
    return {"user": user.id, "tenant": tenant.id}


@app.get("/slow")
async def slow(user: CurrentUser, tenant: CurrentTenant, seconds: float = 0.2) -> dict[str, str]:
    """Return the user and the tenant after a delay."""
    await asyncio.sleep(seconds)
    return {"user": user.id, "tenant": tenant.id}


@app.get("/held")
async def held(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
    """Return the user and the tenant when the testbed allows it."""
    await _wait_while_held()
    return {"user": user.id, "tenant": tenant.id}


@descope.on_login
async def admit(_: Request, __: Login) -> None:
    """Admit every user when the testbed allows it."""
    await _wait_while_held()


async def _wait_while_held() -> None:
    _Traffic.held += 1
    while _HOLD.exists():  # noqa: ASYNC110, ASYNC240 - another process takes it away
        await asyncio.sleep(_TICK_SECONDS)
    _Traffic.held -= 1


@app.get("/testbed/stats")
async def stats() -> dict[str, int | float]:
    """Return the state of this process."""
    gc.collect()  # an unretrieved exception is logged when its task is collected
    return {
        "pid": os.getpid(),
        "tasks": len(asyncio.all_tasks()),
        "lag": _lag.take(),
        "received": _Traffic.received,
        "in_flight": _Traffic.in_flight,
        "held": _Traffic.held,
    }
