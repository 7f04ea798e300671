"""The app of the rig, for ``python -m uvicorn tests.faults.worker:app``.

Configured as any app is, by ``DESCOPE_*``, and by what only a rig does:

RIG_CLOCK        the file of the ``SharedClock`` that gives the time
RIG_CLOCK_IS     ``seam`` (default): it is handed to ``Descope(clock=...)``, so every age follows it, as
                 if that time had passed; ``machine``: it is the wall clock of the whole process, so
                 ages do not follow it, as if somebody had set the machine's clock
RIG_HOLD         a file: while it is there, handlers of ``/held`` wait

What ``altered_parts`` reads goes with the seam only.
"""

import asyncio
import gc
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_descope import CurrentTenant, CurrentUser, Descope

from .altered_parts import altered_parts
from .shared_clock import SharedClock

__all__ = ["app"]

_TICK_SECONDS = 0.005
_HOLD = Path(os.environ["RIG_HOLD"])


class _Lag:
    """The longest time that the event loop was busy with something else, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_TICK_SECONDS)
            self.longest = max(self.longest, loop.time() - before - _TICK_SECONDS)

    def take(self) -> float:
        """The longest since this was asked last."""
        longest, self.longest = self.longest, 0.0
        return longest


_lag = _Lag()


class _Traffic:
    """Counts the requests that are not the rig's own."""

    came = 0
    under_way = 0
    held = 0

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        counts = scope["type"] == "http" and not scope["path"].startswith("/rig/")
        _Traffic.came += counts
        _Traffic.under_way += counts
        try:
            await self._app(scope, receive, send)
        finally:
            _Traffic.under_way -= counts


@asynccontextmanager
async def _watching(_: FastAPI) -> AsyncGenerator[None]:
    gc.freeze()  # what importing has left behind need not be searched each time
    watch = asyncio.create_task(_lag.watch())
    yield
    watch.cancel()


app = FastAPI(openapi_url=None, lifespan=_watching)
_clock = SharedClock(Path(os.environ["RIG_CLOCK"]))
if os.environ.get("RIG_CLOCK_IS") == "machine":
    setattr(time, "time", _clock)  # noqa: B010 - to type checkers it is a constant
    descope = Descope(app, clock=time.time)
else:
    descope = Descope(app, clock=_clock, **altered_parts(_clock))
app.add_middleware(_Traffic)


@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
    """Who is asking."""
    return {"user": user.id, "tenant": tenant.id}


@app.get("/slow")
async def slow(user: CurrentUser, tenant: CurrentTenant, seconds: float = 0.2) -> dict[str, str]:
    """Who is asking, after a while."""
    await asyncio.sleep(seconds)
    return {"user": user.id, "tenant": tenant.id}


@app.get("/held")
async def held(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
    """Who is asking, when the rig lets it go on."""
    _Traffic.held += 1
    while _HOLD.exists():  # noqa: ASYNC110, ASYNC240 - another process takes it away
        await asyncio.sleep(_TICK_SECONDS)
    _Traffic.held -= 1
    return {"user": user.id, "tenant": tenant.id}


@app.get("/rig/vitals")
async def vitals() -> dict[str, int | float]:
    """What this process is, and what is going on in it."""
    gc.collect()  # an exception that nobody retrieves is told of when its task is collected
    return {
        "pid": os.getpid(),
        "tasks": len(asyncio.all_tasks()),
        "lag": _lag.take(),
        "came": _Traffic.came,
        "under_way": _Traffic.under_way,
        "held": _Traffic.held,
    }
