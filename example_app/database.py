"""The database: its schema, its sessions, and the tenant of each session."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, cast

from alembic import command
from alembic.config import Config
from fastapi import Depends
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from starlette.requests import HTTPConnection

from fastapi_descope import CurrentCaller, CurrentTenant
from fastapi_descope.sqlalchemy import TenantSessions

from .feed import Feed
from .models import Base
from .samples import SAMPLE_TENANTS, add_samples

__all__ = ["Database", "TenantSession", "caller_session", "database_of", "open_database"]

_MIGRATION_LOCK = 7_340_218


class Database:
    """Sessions that see one organisation, and the feed of its changes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.url = engine.url
        self.sessions = TenantSessions(engine, Base.metadata)
        self.feed = Feed(engine.url)


@asynccontextmanager
async def open_database(url: str | None, *, samples: bool) -> AsyncGenerator[Database]:
    """Create or update the tables, and yield the database.

    Args:
        url: PostgreSQL with psycopg, or an SQLite file with aiosqlite. None for a temporary file.
        samples: Whether to add the sample reports.
    """
    async with AsyncExitStack() as stack:
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fieldnotes-"))
            url = f"sqlite+aiosqlite:///{Path(folder) / 'fieldnotes.db'}"
        await _migrate(os.environ.get("DATABASE_OWNER_URL", url))
        engine = create_async_engine(
            url, pool_pre_ping=True, hide_parameters=True
        )  # no text of users in logs
        stack.push_async_callback(engine.dispose)
        database = Database(engine)
        await database.sessions.verify()  # no start without isolation
        for tenant_id in SAMPLE_TENANTS if samples else ():
            async with database.sessions.session(tenant_id) as db:
                await add_samples(db, tenant_id)
        await stack.enter_async_context(database.feed.listening())
        yield database


async def _migrate(url: str) -> None:
    """Run the migrations with an engine of their own, which no tenant limits."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)
    await engine.dispose()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # several processes start at once
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def database_of(connection: HTTPConnection) -> Database:
    """Return the database of the app that handles a request."""
    return cast("Database", connection.app.state.database)


async def tenant_session(connection: HTTPConnection, tenant: CurrentTenant) -> AsyncGenerator[AsyncSession]:
    """Open a session for the current organisation of the user. The only way in which a page reaches data."""
    async with database_of(connection).sessions.session(tenant.id) as session:
        yield session


async def caller_session(connection: HTTPConnection, caller: CurrentCaller) -> AsyncGenerator[AsyncSession]:
    """Open a session for the organisation of a user, an application or a machine."""
    sessions = database_of(connection).sessions
    async with asynccontextmanager(sessions.for_caller)(caller) as session:
        yield session


TenantSession = Annotated[AsyncSession, Depends(tenant_session)]
