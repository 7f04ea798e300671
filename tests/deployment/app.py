"""The app that every server of the matrix runs.

Configured by ``DESCOPE_*`` variables, like any app, and by those of ``tests.faults.overrides``.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator

from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from fastapi_descope import CurrentTenant, CurrentUser, Descope
from tests.faults.overrides import descope_overrides

__all__ = ["app"]

logging.basicConfig(level=logging.INFO)
app = FastAPI(openapi_url=None)
descope = Descope(app, **descope_overrides(time.time))


@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
    """Return the user and the tenant."""
    return {"user": user.id, "tenant": tenant.id}


@app.get("/pid")
async def pid() -> int:
    """Return the id of the process that responds."""
    return os.getpid()


@app.get("/events")
async def events(user: CurrentUser) -> StreamingResponse:
    """Send one event, and keep the stream open."""

    async def stream() -> AsyncGenerator[str]:
        yield f"data: {user.id}\n\n"
        await asyncio.Event().wait()

    # The header keeps nginx from collecting events in its buffers.
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


@app.websocket("/ws")
async def websocket(socket: WebSocket, user: CurrentUser) -> None:
    """Send the user, and wait for the client to disconnect."""
    await socket.accept()
    await socket.send_text(user.id)
    await socket.receive()
