"""The app of the soak, for ``python -m uvicorn tests.soak.worker:app``. Configured like any app."""

import asyncio
import gc
import os
import sys

from fastapi import FastAPI, WebSocket

from fastapi_descope import CurrentTenant, CurrentUser, Descope

__all__ = ["app"]

app = FastAPI(openapi_url=None)
Descope(app)


@app.get("/me")
async def me(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
    """Return the user and the tenant."""
    return {"user": user.id, "tenant": tenant.id}


@app.websocket("/ws")
async def websocket(socket: WebSocket, user: CurrentUser) -> None:
    """Send the user, and wait for the client to disconnect."""
    await socket.accept()
    await socket.send_text(user.id)
    await socket.receive()


@app.get("/stats")
async def stats() -> dict[str, int]:
    """Return the state of this process. Memory is in blocks of Python's allocator, without garbage."""
    gc.collect()
    return {"pid": os.getpid(), "tasks": len(asyncio.all_tasks()), "blocks": sys.getallocatedblocks()}
