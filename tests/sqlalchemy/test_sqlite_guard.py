"""What SQL on SQLite cannot do to reach the table below the view: TI-08."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from fastapi_descope import ConfigurationError
from fastapi_descope.sqlalchemy import TenantSessions
from tests.helpers.tenant_database import Base, TenantDatabase, new_sessions

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM main.note",
        'SELECT * FROM "main"."note"',
        "SELECT * FROM [main].note",
        "SELECT * FROM 'main'.note",
        "SELECT * FROM `MAIN` /* \n */ . note",
        "SELECT * FROM main -- comment\n.note",
        "WITH note AS (SELECT * FROM main.note) SELECT * FROM note",
        "UPDATE note SET text = (SELECT max(text) FROM main.note)",
        "INSERT INTO label (id, tenant_id, text) SELECT 'x', 'globex', text FROM main.note",
    ],
)
async def test_ti08_sql_that_names_the_table_below_is_refused(
    sqlite_tenants: TenantDatabase, statement: str
) -> None:
    """In every spelling that SQLite knows."""
    async with sqlite_tenants.sessions.session("globex") as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.execute(text(statement))
    assert caught.value.detail == "SQL that names the schema main would bypass the filter of the tenant"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP VIEW note",
        "DROP VIEW temp.note",
        "DROP TRIGGER descope_tenant_UPDATE_note",
        "CREATE TEMP VIEW other AS SELECT 1",
        "CREATE TABLE copy AS SELECT * FROM note",
        "ALTER TABLE note RENAME TO other",
        "ATTACH DATABASE ':memory:' AS other",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA recursive_triggers(0)",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM every_note",
        "UPDATE label SET text = (SELECT max(text) FROM every_note)",
        "WITH n AS (SELECT 1) INSERT INTO note (id, text) SELECT 'x', 'x' FROM n",
    ],
)
async def test_ti08_sql_that_changes_or_bypasses_the_filter_is_refused(
    sqlite_tenants: TenantDatabase, statement: str
) -> None:
    """``every_note`` is a view of a migration: it refers to the table below."""
    async with sqlite_tenants.admin.begin() as connection:
        await connection.execute(text("CREATE VIEW every_note AS SELECT * FROM note"))
    before = await sqlite_tenants.rows()
    async with sqlite_tenants.sessions.session("globex") as session:
        with pytest.raises(DBAPIError):
            await session.execute(text(statement))
    assert await sqlite_tenants.rows() == before


async def test_ti08_cursor_of_the_driver_cannot_reach_the_table_below(sqlite_tenants: TenantDatabase) -> None:
    """The connection itself refuses it, also after a statement that writes."""
    async with sqlite_tenants.sessions.session("globex") as session:
        await session.execute(text("UPDATE note SET text = 'mine'"))
        await session.execute(text("SELECT 1"))
        raw = await (await session.connection()).get_raw_connection()
        driver: Any = raw.driver_connection
        with pytest.raises(sqlite3.DatabaseError, match=r"access to note\.id is prohibited"):
            await driver.execute("SELECT id FROM main.note")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO note (id, tenant_id, text) VALUES ('acme-n2', 'globex', 'stolen')",
        "REPLACE INTO note (id, tenant_id, text) VALUES ('acme-n2', 'globex', 'stolen')",
        "UPDATE OR REPLACE note SET id = 'acme-n2' WHERE id = 'globex-n2'",
        "INSERT OR IGNORE INTO note (id, tenant_id, text) VALUES ('new', 'acme', 'planted')",
    ],
)
async def test_ti08_conflict_clauses_change_no_row_of_another_tenant(
    sqlite_tenants: TenantDatabase, statement: str
) -> None:
    """REPLACE deletes the row that is in the way, and IGNORE does not ignore the tenant."""
    before = await sqlite_tenants.rows("acme")
    async with sqlite_tenants.sessions.session("globex") as session:
        with pytest.raises(DBAPIError):
            await session.execute(text(statement))
        await session.commit()
    assert await sqlite_tenants.rows("acme") == before


async def test_statements_of_the_app_run_as_without_the_guard(sqlite_tenants: TenantDatabase) -> None:
    """Quoted names, conflict clauses, cascades of foreign keys, shared tables and pragmas that only read."""
    async with sqlite_tenants.sessions.session("acme") as session:
        await session.execute(text("INSERT INTO \"note\" (id, tenant_id, text) VALUES ('q', 'acme', '')"))
        await session.execute(
            text("INSERT OR REPLACE INTO note (id, tenant_id, text) VALUES ('q', 'acme', 'r')")
        )
        await session.execute(text("DELETE FROM [note] WHERE id = 'acme-n1'"))
        await session.execute(text("INSERT INTO country (code) VALUES ('AT')"))
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
        await session.commit()
    rows = await sqlite_tenants.rows("acme")
    assert [row.id for row in rows["note"]] == ["acme-n2", "q"]
    assert rows["note_label"] == []
    assert [row.code for row in rows["country"]] == ["AT", "CH"]


async def test_index_of_the_tenant_is_used(sqlite_tenants: TenantDatabase) -> None:
    """The view costs no scan of the table."""
    async with sqlite_tenants.sessions.session("acme") as session:
        plan = (await session.execute(text("EXPLAIN QUERY PLAN SELECT * FROM note"))).all()
    assert ["ix_note_tenant_id" in row.detail for row in plan] == [True]


async def test_listeners_of_the_app_see_a_new_connection_first(sqlite_tenants: TenantDatabase) -> None:
    """They may set pragmas, whenever they were registered."""
    engine = sqlite_tenants.make_engine()
    sessions = new_sessions(engine)

    @event.listens_for(engine.sync_engine, "connect")
    def set_pragma(dbapi_connection: Any, record: object) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA cache_size = 77")
        cursor.close()

    async with sessions.session("acme") as session:
        assert await session.scalar(text("PRAGMA cache_size")) == 77
    await engine.dispose()


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_ti08_database_in_memory_is_refused(url: str) -> None:
    """Its one connection would serve several tenants at the same time."""
    with pytest.raises(ConfigurationError) as caught:
        TenantSessions(create_async_engine(url), MetaData())
    assert (
        caught.value.detail == "An SQLite database in memory has one connection for all tenants; use a file"
    )


async def test_ti08_engine_has_one_guard(sqlite_tenants: TenantDatabase) -> None:
    """A second one would leave the tables of the first unguarded."""
    second = TenantSessions(sqlite_tenants.engine, MetaData())
    with pytest.raises(ConfigurationError) as caught:
        async with second.session("acme") as session:
            await session.execute(text("SELECT 1"))
    assert caught.value.detail == "This engine has TenantSessions already; use one for all tables"


async def test_ti08_table_in_a_schema_is_refused(tmp_path: Path) -> None:
    """It is in a database that is attached, which the guard does not know."""
    metadata = MetaData(schema="other")
    for table in Base.metadata.tables.values():
        table.to_metadata(metadata, schema="other")
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/tenants.db")
    sessions = TenantSessions(engine, metadata, shared=["other.country"])
    with pytest.raises(ConfigurationError) as caught:
        async with sessions.session("acme") as session:
            await session.execute(text("SELECT 1"))
    assert caught.value.detail == "On SQLite, the table other.label cannot be in a schema"
