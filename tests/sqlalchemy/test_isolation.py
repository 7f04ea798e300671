"""No session of a tenant sees or changes rows of another: TI-01 and TI-02."""

from contextlib import suppress

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tests.helpers.tenant_attacks import READS, WRITES, Attack
from tests.helpers.tenant_database import Rows, TenantDatabase

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("attack", READS.values(), ids=READS)
async def test_ti01_tenant_sees_its_own_rows_only(database: TenantDatabase, attack: Attack) -> None:
    """The tenant itself sees its rows in this way, so the query is no harmless one."""
    async with database.sessions.session("acme") as session:
        assert "acme" in str(await attack(session, "acme"))
    seen: object = None
    async with database.sessions.session("globex") as session:
        with suppress(SQLAlchemyError):
            seen = await attack(session, "acme")
    assert "acme" not in str(seen)


@pytest.mark.parametrize("attack", WRITES.values(), ids=WRITES)
async def test_ti02_tenant_changes_its_own_rows_only(database: TenantDatabase, attack: Attack) -> None:
    """Neither a change nor a row in the other tenant, and no reference to one of its rows."""
    before = await database.rows("acme")
    async with database.sessions.session("globex") as session:
        with suppress(SQLAlchemyError):
            await attack(session, "acme")
            await session.commit()
    assert await database.rows("acme") == before
    assert _references(await database.rows("globex"), "acme") == []
    async with database.sessions.session("acme") as session:
        await attack(session, "acme")
        await session.commit()
    assert await database.rows("acme") != before


def _references(rows: Rows, tenant: str) -> list[object]:
    """Return the rows that name a tenant in a column."""
    every = [row for table in rows.values() for row in table]
    return [row for row in every if tenant in str(row)]
