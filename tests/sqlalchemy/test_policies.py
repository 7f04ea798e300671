"""The policies of PostgreSQL, and the check that they are in force: TI-06."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Column, MetaData, String, Table, column, func, select, text
from sqlalchemy import table as sql_table
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import ExecutableDDLElement

from fastapi_descope import ConfigurationError
from fastapi_descope.sqlalchemy import CreateTenantPolicy, DropTenantPolicy, TenantSessions
from tests.helpers.tenant_database import POLICIES, TenantDatabase, new_sessions

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

_EXPRESSION = "NULLIF(current_setting('descope.tenant_id', true), '')"
_POLICY = "descope_tenant_isolation"


@pytest.fixture
async def owner(postgres_victim: TenantDatabase) -> AsyncIterator[AsyncEngine]:
    """The engine of the role that owns the tables and runs the migrations."""
    engine = postgres_victim.make_engine("owner")
    yield engine
    await engine.dispose()


async def _execute(engine: AsyncEngine, *statements: str | ExecutableDDLElement) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement) if isinstance(statement, str) else statement)


async def _mistake(sessions: TenantSessions) -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with sessions.session("acme"):
            pass
    return str(caught.value.detail)


async def _seen(sessions: TenantSessions, table: str) -> int:
    """Return how many rows of other tenants a session sees, without the check."""
    sessions._is_verified = True  # pyright: ignore[reportPrivateUsage]
    async with sessions.session("globex") as session:
        return (
            await session.scalar(
                select(func.count()).select_from(sql_table(table)).where(column("tenant_id") != "globex")
            )
            or 0
        )


@pytest.mark.parametrize("table", POLICIES)
async def test_ti06_missing_policy_is_found(
    postgres_victim: TenantDatabase, owner: AsyncEngine, table: str
) -> None:
    """For each table. Without the policy, a session sees the rows of all tenants."""
    await postgres_victim.sessions.verify()
    await _execute(owner, DropTenantPolicy(table))
    sessions = new_sessions(postgres_victim.engine)

    assert await _mistake(sessions) == (
        f"Tenants are not isolated (CreateTenantPolicy): the table {table} has no row-level security; the"
        f" table {table} does not force row-level security for its owner; the table {table} {_OTHER}"
    )
    assert await _seen(sessions, table) > 0
    await _execute(owner, CreateTenantPolicy(table))
    await new_sessions(postgres_victim.engine).verify()
    assert await _seen(sessions, table) == 0


_OTHER = f"has no policy {_POLICY}, or another one of that name"
_CHANGES = {
    "ALTER TABLE note DISABLE ROW LEVEL SECURITY": "has no row-level security",
    "ALTER TABLE note NO FORCE ROW LEVEL SECURITY": "does not force row-level security for its owner",
    f"DROP POLICY {_POLICY} ON note": _OTHER,
    f"ALTER POLICY {_POLICY} ON note USING (true)": _OTHER,
    f"ALTER POLICY {_POLICY} ON note WITH CHECK (true)": _OTHER,
    f"ALTER POLICY {_POLICY} ON note USING (tenant_id = {_EXPRESSION} OR text = '')": _OTHER,
    f"ALTER POLICY {_POLICY} ON note USING (text = {_EXPRESSION})": _OTHER,
    f"ALTER POLICY {_POLICY} ON note TO pg_monitor": _OTHER,
    f"DROP POLICY {_POLICY} ON note; CREATE POLICY {_POLICY} ON note FOR SELECT USING"
    f" (tenant_id = {_EXPRESSION})": _OTHER,
    "CREATE POLICY open ON note FOR SELECT USING (true)": (
        "has the permissive policy open, which admits more rows; create it AS RESTRICTIVE"
    ),
    "DROP TABLE note CASCADE": "does not exist",
}


@pytest.mark.parametrize(("statement", "mistake"), _CHANGES.items())
async def test_ti06_policy_that_is_not_in_force_is_found(
    postgres_victim: TenantDatabase, owner: AsyncEngine, statement: str, mistake: str
) -> None:
    """Switched off, changed, limited, or beside one that admits more."""
    await _execute(owner, *statement.split("; "))

    found = await _mistake(new_sessions(postgres_victim.engine))

    assert found == f"Tenants are not isolated (CreateTenantPolicy): the table note {mistake}"


async def test_ti06_further_restriction_is_accepted(
    postgres_victim: TenantDatabase, owner: AsyncEngine
) -> None:
    """A restrictive policy admits no further rows."""
    await _execute(owner, "CREATE POLICY narrow ON note AS RESTRICTIVE USING (text <> '')")

    await new_sessions(postgres_victim.engine).verify()


async def test_ti06_partition_without_a_policy_is_found(
    postgres_victim: TenantDatabase, owner: AsyncEngine
) -> None:
    """A query of it does not obey the policies of its table. One that the role cannot use is accepted."""
    assert postgres_victim.role is not None
    role = postgres_victim.role.name
    await _execute(owner, "CREATE TABLE note_2026 () INHERITS (note)", f"REVOKE ALL ON note_2026 FROM {role}")
    await new_sessions(postgres_victim.engine).verify()

    for privilege in ("SELECT", "DELETE"):
        await _execute(owner, f"GRANT {privilege} ON note_2026 TO {role}")
        assert await _mistake(new_sessions(postgres_victim.engine)) == (
            "Tenants are not isolated (CreateTenantPolicy): the table note_2026 has no row-level security;"
            " the table note_2026 does not force row-level security for its owner; the table note_2026"
            f" {_OTHER}"
        )
        await _execute(owner, f"REVOKE {privilege} ON note_2026 FROM {role}")
    await _execute(owner, f"GRANT SELECT ON note_2026 TO {role}", CreateTenantPolicy("note_2026"))
    await new_sessions(postgres_victim.engine).verify()


@pytest.mark.parametrize("action", ["ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE"])
async def test_ti06_foreign_key_that_changes_rows_of_all_tenants_is_found(
    postgres_victim: TenantDatabase, owner: AsyncEngine, action: str
) -> None:
    """Whoever may delete a country would delete the projects of other tenants. SQLite refuses it."""
    assert postgres_victim.role is not None
    role, key = postgres_victim.role.name, "project_country_fkey"
    await _execute(
        owner,
        f"ALTER TABLE project DROP CONSTRAINT {key}, ADD CONSTRAINT {key} FOREIGN KEY (country)"
        f" REFERENCES country (code) {action}",
    )

    assert await _mistake(new_sessions(postgres_victim.engine)) == (
        f"Tenants are not isolated (CreateTenantPolicy): the foreign key {key} of project changes rows of all"
        " tenants with a row of country; make it RESTRICT, or revoke DELETE and UPDATE of country from the"
        " role"
    )
    await _execute(owner, f"REVOKE DELETE, UPDATE ON country FROM {role}")
    await new_sessions(postgres_victim.engine).verify()


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS"])
async def test_ti06_role_that_bypasses_the_policies_is_found(
    postgres_victim: TenantDatabase, attribute: str
) -> None:
    """Such a role sees all rows, whatever the policies say."""
    assert postgres_victim.role is not None
    await _execute(postgres_victim.admin, f"ALTER ROLE {postgres_victim.role.name} {attribute}")

    assert await _mistake(new_sessions(postgres_victim.engine)) == (
        "Tenants are not isolated (CreateTenantPolicy): the database role bypasses row-level security"
        " (SUPERUSER or BYPASSRLS)"
    )


async def test_ti06_owner_of_the_tables_obeys_the_policies(
    postgres_victim: TenantDatabase, owner: AsyncEngine
) -> None:
    """An app that connects as the role of its migrations is isolated too."""
    sessions = new_sessions(owner)
    await sessions.verify()

    assert await _seen(sessions, "note") == 0


async def test_ti06_failed_check_is_repeated(postgres_victim: TenantDatabase, owner: AsyncEngine) -> None:
    """The process serves once the migration has created the policy."""
    sessions = new_sessions(postgres_victim.engine)
    await _execute(owner, DropTenantPolicy("note"))
    await _mistake(sessions)
    await _execute(owner, CreateTenantPolicy("note"))

    async with sessions.session("acme") as session:
        assert await session.scalar(text("SELECT count(*) FROM note")) == 2


async def test_policy_of_a_table_in_a_schema(postgres_victim: TenantDatabase) -> None:
    """With names that need quotes, a column of another name, and the type varchar."""
    metadata = MetaData(schema="Customer data")
    table = Table(
        "Notes", metadata, Column("id", String, primary_key=True), Column("Org", String(40), nullable=False)
    )
    policy = CreateTenantPolicy("Notes", column="Org", schema="Customer data")
    async with postgres_victim.admin.begin() as connection:
        await connection.execute(text('CREATE SCHEMA "Customer data"'))
        await connection.run_sync(metadata.create_all)
        await connection.execute(policy)
        await connection.execute(table.insert(), [{"id": "1", "Org": "acme"}, {"id": "2", "Org": "globex"}])
        await connection.execute(text('GRANT USAGE ON SCHEMA "Customer data" TO PUBLIC'))
        await connection.execute(text('GRANT SELECT ON "Customer data"."Notes" TO PUBLIC'))
    sessions = TenantSessions(postgres_victim.engine, metadata, column="Org")

    async with sessions.session("acme") as session:
        assert (await session.scalars(select(table.c.id))).all() == ["1"]

    drop = DropTenantPolicy("Notes", schema="Customer data")
    await _execute(postgres_victim.admin, drop)
    assert "the table Customer data.Notes has no row-level security" in await _mistake(
        TenantSessions(postgres_victim.engine, metadata, column="Org")
    )


def test_policies_do_nothing_on_other_databases() -> None:
    """One migration serves PostgreSQL and SQLite."""
    for element in (CreateTenantPolicy("note"), DropTenantPolicy("note")):
        assert str(element.compile(dialect=mysql.dialect())) == "SELECT 1"
