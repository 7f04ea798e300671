"""Mistakes in a mapping that would cross tenants keep every session closed: TI-07."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import SchemaItem

from fastapi_descope import ConfigurationError
from fastapi_descope.sqlalchemy import TenantSessions

pytestmark = pytest.mark.anyio


def _tenant(column_type: type[String] | type[Integer] = String, *, nullable: bool = False) -> Column[Any]:
    return Column[Any]("tenant_id", column_type, nullable=nullable)


def _id() -> Column[str]:
    return Column("id", String, primary_key=True)


_FORGOTTEN = "has no column tenant_id; add it, or list the table as shared"
_CROSSING = "can refer to another tenant's row; make it"
_MISTAKES: Sequence[tuple[Mapping[str, Sequence[SchemaItem]], tuple[str, ...], str]] = (
    ({"note": [_id()]}, (), f"the table note {_FORGOTTEN}"),
    ({"a": [_id()], "b": [_id()]}, (), f"the table a {_FORGOTTEN}; the table b {_FORGOTTEN}"),
    (
        {"note": [_id(), _tenant()]},
        ("note",),
        "the table note is listed as shared, but has the column tenant_id",
    ),
    ({}, ("note",), "the table note is listed as shared, but is not mapped"),
    ({"note": [_id(), _tenant(Integer)]}, (), "note.tenant_id is not a string"),
    ({"note": [_id(), _tenant(nullable=True)]}, (), "note.tenant_id is nullable"),
    (
        {
            "parent": [_id(), _tenant()],
            "note": [_id(), _tenant(), Column[str]("parent_id", ForeignKey("parent.id"))],
        },
        (),
        f"the foreign key note(parent_id) {_CROSSING} (tenant_id, parent_id) to (tenant_id, ...) of parent",
    ),
    (
        {
            "parent": [_id(), _tenant()],
            "note": [
                _id(),
                _tenant(),
                Column("other", String),
                ForeignKeyConstraint(["other", "id"], ["parent.tenant_id", "parent.id"]),
            ],
        },
        (),
        f"the foreign key note(other, id) {_CROSSING} (tenant_id, other, id) to (tenant_id, ...) of parent",
    ),
    (
        {
            "parent": [_id(), _tenant()],
            "note": [_id(), _tenant(), ForeignKeyConstraint(["tenant_id"], ["parent.id"])],
        },
        (),
        f"the foreign key note(tenant_id) {_CROSSING} (tenant_id, tenant_id) to (tenant_id, ...) of parent",
    ),
    (
        {
            "note": [_id(), _tenant()],
            "bookmark": [_id(), Column[str]("note_id", ForeignKey("note.id"))],
        },
        ("bookmark",),
        (
            "the foreign key bookmark(note_id) can refer to another tenant's row; add the column tenant_id"
            " to bookmark, so that it is not shared"
        ),
    ),
)


@pytest.mark.parametrize(("tables", "shared", "mistakes"), _MISTAKES)
async def test_ti07_mistake_in_the_mapping_opens_no_session(
    tmp_path: Path, tables: Mapping[str, Sequence[SchemaItem]], shared: tuple[str, ...], mistakes: str
) -> None:
    """The message lists all mistakes. None of them can be found by looking at results."""
    metadata = MetaData()
    for name, columns in tables.items():
        Table(name, metadata, *columns)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/tenants.db")
    sessions = TenantSessions(engine, metadata, shared=shared)

    with pytest.raises(ConfigurationError) as caught:
        async with sessions.session("acme"):
            pass

    assert caught.value.detail == f"Tenants are not isolated: {mistakes}"


async def test_ti07_foreign_key_with_the_tenant_is_accepted(tmp_path: Path) -> None:
    """So is one to a shared table, and another name of the column."""
    metadata = MetaData()
    Table("country", metadata, _id())
    Table("parent", metadata, _id(), Column("org", String, nullable=False))
    Table(
        "note",
        metadata,
        _id(),
        Column("org", String, nullable=False),
        Column[str]("country_id", ForeignKey("country.id")),
        Column("parent_id", String),
        ForeignKeyConstraint(["org", "parent_id"], ["parent.org", "parent.id"]),
    )
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/tenants.db")
    await TenantSessions(engine, metadata, column="org", shared=["country"]).verify()


async def test_ti07_table_that_is_mapped_too_late_opens_no_session(tmp_path: Path) -> None:
    """The connections that exist by then do not guard it."""
    metadata = MetaData()
    sessions = TenantSessions(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/tenants.db"), metadata)
    async with sessions.session("acme"):
        pass
    Table("note", metadata, _id(), _tenant())

    with pytest.raises(ConfigurationError) as caught:
        async with sessions.session("acme"):
            pass

    assert caught.value.detail == "A table was mapped after the first connection; import all models before"
