"""Tells the WebSockets of an organisation that its reports have changed, also in another process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import psycopg
from sqlalchemy import URL, func, select
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["Feed"]

_CHANNEL = "fieldnotes"
_RECONNECT_SECONDS = 2


class Feed:
    """Wakes those who wait for changes of an organisation.

    PostgreSQL notifies other processes with the commit (NOTIFY). With SQLite they look from time to time.

    Attributes:
        poll_seconds: After how long to look for changes without having been woken.
    """

    def __init__(self, url: URL) -> None:
        self._is_postgresql = url.get_backend_name() == "postgresql"
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._changed: dict[str, asyncio.Event] = {}
        self.poll_seconds = 30.0 if self._is_postgresql else 1.0

    def next_change(self, tenant_id: str) -> asyncio.Event:
        """Return an event that is set with the next change. Get it before reading, so that none is missed."""
        return self._changed.setdefault(tenant_id, asyncio.Event())

    async def commit(self, db: AsyncSession, tenant_id: str) -> None:
        """Commit a change, and wake those who wait for it."""
        if self._is_postgresql:
            await db.execute(select(func.pg_notify(_CHANNEL, tenant_id)))  # sent with the commit
        await db.commit()
        self._wake(tenant_id)

    def _wake(self, tenant_id: str) -> None:
        if event := self._changed.pop(tenant_id, None):
            event.set()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listen to the other processes."""
        task = asyncio.create_task(self._listen()) if self._is_postgresql else None
        yield
        if task:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _listen(self) -> None:
        while True:
            with suppress(
                psycopg.OperationalError
            ):  # the database restarts: sockets look by themselves until then
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}".encode())
                    async for notification in connection.notifies():
                        self._wake(notification.payload)
            await asyncio.sleep(_RECONNECT_SECONDS)
