"""Which tenant a transaction carries, and that no connection keeps it: TI-03 and TI-04."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import MetaData, insert, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from fastapi_descope import ConfigurationError
from fastapi_descope.sqlalchemy import CurrentTenantId, TenantSessions
from tests.helpers.tenant_database import Base, Note, Project, TenantDatabase, new_sessions, note_table

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(database: TenantDatabase) -> AsyncIterator[AsyncEngine]:
    """An engine with a single connection."""
    engine = database.make_engine(pool_size=1, max_overflow=0, pool_timeout=20)
    yield engine
    await engine.dispose()


async def _notes(session: AsyncSession | AsyncConnection) -> set[str]:
    return {row.id for row in await session.execute(text("SELECT id FROM note"))}


def _notes_of(tenant: str) -> set[str]:
    return {f"{tenant}-n1", f"{tenant}-n2"}


async def _tenant(session: AsyncSession) -> str | None:
    return await session.scalar(select(CurrentTenantId()))


async def test_ti04_every_transaction_carries_the_tenant(database: TenantDatabase) -> None:
    """The first one, and those after a commit, a rollback, an error and a close."""
    async with database.sessions.session("acme") as session:
        assert await _notes(session) == _notes_of("acme")
        await session.commit()
        assert await _notes(session) == _notes_of("acme")
        await session.rollback()
        assert await _notes(session) == _notes_of("acme")
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT * FROM nowhere"))
        await session.rollback()
        assert await _notes(session) == _notes_of("acme")
        await session.close()
        assert await _notes(session) == _notes_of("acme")


async def test_ti04_savepoint_carries_the_tenant(database: TenantDatabase) -> None:
    """Also as the first statement of the session, and after it was rolled back."""
    async with database.sessions.session("acme") as session:
        async with session.begin_nested() as savepoint:
            assert await _notes(session) == _notes_of("acme")
            await savepoint.rollback()
        assert await _notes(session) == _notes_of("acme")


async def test_ti04_connection_keeps_no_tenant(database: TenantDatabase, engine: AsyncEngine) -> None:
    """The next session over the same connection has its own tenant, and other code has none."""
    sessions = new_sessions(engine)
    for tenant in ("acme", "globex", "acme"):
        async with sessions.session(tenant) as session:
            assert await _tenant(session) == tenant
            assert await _notes(session) == _notes_of(tenant)
            await session.commit()
        async with engine.connect() as connection:
            assert await connection.scalar(select(CurrentTenantId())) is None
            assert await _notes(connection) == set()


async def test_ti04_error_leaves_no_tenant(database: TenantDatabase, engine: AsyncEngine) -> None:
    """Neither an error of the database nor one of the app."""
    sessions = new_sessions(engine)
    with pytest.raises(DBAPIError):
        async with sessions.session("acme") as session:
            await session.execute(text("SELECT * FROM nowhere"))
    with pytest.raises(LookupError):
        await _fail(sessions)
    async with engine.connect() as connection:
        assert await _notes(connection) == set()


async def _fail(sessions: TenantSessions) -> None:
    async with sessions.session("acme") as session:
        await _notes(session)
        raise LookupError


async def test_ti04_cancellation_leaves_no_tenant(database: TenantDatabase, engine: AsyncEngine) -> None:
    """A request that is cancelled while it holds the connection, or while a statement runs."""
    sessions = new_sessions(engine)
    for statement in (None, _SLOW[database.engine.dialect.name]):
        begun = asyncio.Event()
        task = asyncio.create_task(_hold(sessions, begun, statement))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with engine.connect() as connection:
            assert await _notes(connection) == set()
        async with sessions.session("globex") as session:
            assert await _notes(session) == _notes_of("globex")


_SLOW = {
    "postgresql": "SELECT pg_sleep(30)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT 1 FROM n",
}


async def _hold(sessions: TenantSessions, begun: asyncio.Event, statement: str | None) -> None:
    async with sessions.session("acme") as session:
        await _notes(session)
        begun.set()
        if statement is None:
            await asyncio.Event().wait()
        else:
            await session.execute(text(statement))


async def test_ti04_concurrent_sessions_keep_their_tenants(database: TenantDatabase) -> None:
    """Sessions of two tenants, interleaved over few connections."""
    engine = database.make_engine(pool_size=3, max_overflow=0)
    sessions = new_sessions(engine)

    async def read(tenant: str) -> None:
        for _ in range(5):
            async with sessions.session(tenant) as session:
                assert await _notes(session) == _notes_of(tenant)
                await session.commit()
                assert await _notes(session) == _notes_of(tenant)

    await asyncio.gather(*(read(("acme", "globex")[number % 2]) for number in range(12)))
    await engine.dispose()


@pytest.mark.postgres
async def test_ti04_session_carries_the_tenant_after_a_reconnect(postgres_tenants: TenantDatabase) -> None:
    """The database has closed the connection, as in a failover."""
    database = postgres_tenants
    assert database.server is not None
    assert database.role is not None
    async with database.sessions.session("acme") as session:
        assert await _notes(session) == _notes_of("acme")
        database.server.disconnect(database.role)
        with pytest.raises(DBAPIError):
            await _notes(session)
        await session.rollback()
        assert await _notes(session) == _notes_of("acme")


@pytest.mark.postgres
async def test_ti04_autocommit_sees_nothing(postgres_tenants: TenantDatabase) -> None:
    """Without a transaction there is nothing that could carry the tenant."""
    async with postgres_tenants.sessions.session("acme") as session:
        await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        assert await _notes(session) == set()


async def test_ti03_without_a_tenant_no_row_is_visible(database: TenantDatabase) -> None:
    """The engine itself has no tenant, whatever uses it."""
    await database.sessions.verify()
    async with database.engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            if table.name != "country":
                assert (await connection.execute(select(table))).all() == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO note (id, tenant_id, text) VALUES ('new', 'acme', '')",
        "INSERT INTO note (id, tenant_id, text) VALUES ('new', '', '')",
        "INSERT INTO note (id, tenant_id, text) VALUES ('new', NULL, '')",
        "UPDATE note SET text = 'changed'",
        "DELETE FROM note_label",
    ],
)
async def test_ti03_without_a_tenant_no_row_is_written(database: TenantDatabase, statement: str) -> None:
    """Neither into a tenant nor into none."""
    before = await database.rows()
    async with database.engine.connect() as connection:
        try:
            await connection.execute(text(statement))
        except SQLAlchemyError:
            await connection.rollback()
        await connection.commit()
    assert await database.rows() == before


async def test_rows_get_the_tenant_of_the_session(database: TenantDatabase) -> None:
    """With the unit of work and with statements. The object has the tenant after the flush."""
    async with database.sessions.session("acme") as session:
        note = Note(id="new", text="mine", project=await session.get(Project, "acme-p1"))
        session.add_all([note, Note(id="plain", text="mine")])
        await session.flush()
        await session.execute(insert(note_table).values(id="core", text="mine"))
        await session.commit()
        assert note.tenant_id == "acme"
    rows = (await database.rows())["note"]
    assert {row.tenant_id for row in rows if row.text == "mine"} == {"acme"}


async def test_shared_tables_are_open_to_all(database: TenantDatabase) -> None:
    """A table that is listed as shared has no filter."""
    async with database.sessions.session("globex") as session:
        assert await session.scalar(text("SELECT code FROM country")) == "CH"


async def test_a_session_refuses_another_engine(database: TenantDatabase) -> None:
    """A statement cannot name an engine that sees all rows."""
    async with database.sessions.session("globex") as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.execute(select(Note), bind_arguments={"bind": database.admin.sync_engine})
    assert caught.value.detail == "A session of TenantSessions uses its own engine only"


async def test_a_session_needs_a_tenant(database: TenantDatabase) -> None:
    """An empty id is none."""
    with pytest.raises(ValueError, match="needs the id of a tenant"):
        async with database.sessions.session(""):
            pass


def test_other_databases_are_refused() -> None:
    """They have no isolation."""
    engine = create_async_engine("sqlite+aiosqlite://")
    engine.dialect.name = "mysql"  # no other driver is installed
    with pytest.raises(ConfigurationError) as caught:
        TenantSessions(engine, MetaData())
    assert caught.value.detail == "TenantSessions needs PostgreSQL or SQLite, not mysql"
