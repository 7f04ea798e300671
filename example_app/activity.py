"""The activity feed: a page, and a WebSocket that sends the latest entries after each change."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, WebSocket
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_descope import CurrentTenant

from .database import TenantSession, database_of
from .models import Activity
from .page import CurrentPage

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_ENTRIES = 20


class Entry(BaseModel):
    """An entry of the feed, as the WebSocket sends it."""

    model_config = ConfigDict(from_attributes=True)

    at: float
    actor: str
    action: str
    report_id: str
    title: str


async def _latest(db: AsyncSession) -> Sequence[Activity]:
    query = select(Activity).order_by(Activity.at.desc(), Activity.id).limit(_ENTRIES)
    return (await db.scalars(query)).all()


@router.get("/activity")
async def activity(page: CurrentPage, db: TenantSession) -> Response:
    """Show the changes of the current organisation's reports, latest first."""
    return page.render("activity.html", entries=await _latest(db))


@router.websocket("/activity/feed")
async def feed(socket: WebSocket, tenant: CurrentTenant) -> None:
    """Send the latest entries, now and after each change. No connection to the database is held meanwhile."""
    await socket.accept()
    database, sent = database_of(socket), None
    gone = asyncio.create_task(_until_gone(socket))
    try:
        while not gone.done():
            change = database.feed.next_change(tenant.id)
            async with database.sessions.session(tenant.id) as db:
                entries = [Entry.model_validate(entry).model_dump() for entry in await _latest(db)]
            if entries != sent:
                await socket.send_json(entries)
                sent = entries
            await _wait(change, gone, database.feed.poll_seconds)
    finally:
        gone.cancel()


async def _wait(change: asyncio.Event, gone: asyncio.Task[None], seconds: float) -> None:
    changed = asyncio.create_task(change.wait())
    await asyncio.wait((changed, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    changed.cancel()


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
