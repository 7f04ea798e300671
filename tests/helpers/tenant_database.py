"""A database of two tenants on PostgreSQL or SQLite, and an engine that sees all rows."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Row,
    Table,
    UniqueConstraint,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapi_descope.sqlalchemy import CreateTenantPolicy, CurrentTenantId, TenantMixin, TenantSessions
from tests.helpers.postgres_server import Database, PostgresServer, Role

POLICIES = ("project", "note", "label", "note_label")


class Base(DeclarativeBase):
    """The mapping of the tests."""


class Country(Base):
    """A table that the tenants share."""

    __tablename__ = "country"

    code: Mapped[str] = mapped_column(primary_key=True)


class Project(TenantMixin, Base):
    """The parent of notes."""

    __tablename__ = "project"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str | None] = mapped_column(ForeignKey("country.code"))
    notes: Mapped[list["Note"]] = relationship(back_populates="project")


class Note(TenantMixin, Base):
    """The rows that the attacks are after."""

    __tablename__ = "note"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id", "project_id"], ["project.tenant_id", "project.id"]),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str | None]
    text: Mapped[str]
    project: Mapped[Project | None] = relationship(back_populates="notes")
    labels: Mapped[list["Label"]] = relationship(secondary=lambda: note_label)


class Label(TenantMixin, Base):
    """The other side of a many-to-many relationship."""

    __tablename__ = "label"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]


note_table = Base.metadata.tables["note"]
note_label: Table = Table(
    "note_label",
    Base.metadata,
    Column("tenant_id", Note.tenant_id.type, default=CurrentTenantId(), nullable=False),
    Column("note_id", Note.id.type, primary_key=True),
    Column("label_id", Label.id.type, primary_key=True),
    ForeignKeyConstraint(["tenant_id", "note_id"], ["note.tenant_id", "note.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["tenant_id", "label_id"], ["label.tenant_id", "label.id"], ondelete="CASCADE"),
    Index("note_label_tenant", "tenant_id"),
)

Rows = dict[str, list[Row[Any]]]

MakeEngine = Callable[..., AsyncEngine]


@dataclass(frozen=True)
class TenantDatabase:
    """A database with rows of the tenants acme and globex.

    Attributes:
        engine: The engine of the app.
        sessions: The sessions of the app.
        admin: An engine that sees and changes all rows.
        make_engine: Creates a further engine like ``engine``, with other options.
        server: The server of PostgreSQL.
        role: The role of the app on PostgreSQL.
    """

    engine: AsyncEngine
    sessions: TenantSessions
    admin: AsyncEngine
    make_engine: MakeEngine
    server: PostgresServer | None = None
    role: Role | None = None

    async def rows(self, tenant: str | None = None) -> Rows:
        """Return the rows of all tables, or those of one tenant, as they are in the database."""
        found: Rows = {}
        async with self.admin.connect() as connection:
            for table in Base.metadata.sorted_tables:
                query = select(table).order_by(*table.primary_key)
                if tenant is not None and "tenant_id" in table.columns:
                    query = query.where(table.columns["tenant_id"] == tenant)
                found[table.name] = [*(await connection.execute(query)).all()]
        return found


async def fill(engine: AsyncEngine) -> None:
    """Insert the rows of both tenants. Each text names the tenant whose secret it is."""
    async with engine.begin() as connection:
        await connection.execute(insert(Country), [{"code": "CH"}])
        for tenant in ("acme", "globex"):
            own = {"tenant_id": tenant}
            rows: tuple[tuple[Any, dict[str, str]], ...] = (
                (
                    Project,
                    {"id": f"{tenant}-p1", "name": f"{tenant} secret project", "country": "CH"},
                ),
                (
                    Note,
                    {"id": f"{tenant}-n1", "project_id": f"{tenant}-p1", "text": f"{tenant} secret"},
                ),
                (Note, {"id": f"{tenant}-n2", "text": f"{tenant} secret two"}),
                (Label, {"id": f"{tenant}-l1", "text": f"{tenant} secret label"}),
                (note_label, {"note_id": f"{tenant}-n1", "label_id": f"{tenant}-l1"}),
            )
            for table, values in rows:
                await connection.execute(insert(table), [own | values])


def new_sessions(engine: AsyncEngine, metadata: MetaData = Base.metadata) -> TenantSessions:
    """Return the sessions of the tests' mapping."""
    return TenantSessions(engine, metadata, shared={"country"})


@asynccontextmanager
async def sqlite_database(folder: Path) -> AsyncGenerator[TenantDatabase]:
    """Yield a database in a file."""
    url = f"sqlite+aiosqlite:///{folder / 'tenants.db'}"
    admin, engine = create_async_engine(url), create_async_engine(url)
    async with admin.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await fill(admin)

    def make_engine(**options: Any) -> AsyncEngine:
        return create_async_engine(url, **options)

    yield TenantDatabase(engine, new_sessions(engine), admin, make_engine)
    await engine.dispose()
    await admin.dispose()


def create_database(server: PostgresServer) -> Database:
    """Create a database with the tables and their policies. The app's role owns none of them."""
    database = server.database()
    owner = create_engine(database.owner.url)
    with owner.begin() as connection:
        Base.metadata.create_all(connection)
        for table in POLICIES:
            connection.execute(CreateTenantPolicy(table))
    owner.dispose()
    return database


@asynccontextmanager
async def postgres_database(server: PostgresServer, database: Database) -> AsyncGenerator[TenantDatabase]:
    """Yield the database with fresh rows. The tables and policies are those of ``create_database``."""
    admin, engine = create_async_engine(database.superuser.url), create_async_engine(database.app.url)
    async with admin.begin() as connection:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        await connection.execute(text(f"TRUNCATE {tables}"))
    await fill(admin)

    def make_engine(role: str = "app", **options: Any) -> AsyncEngine:
        return create_async_engine(getattr(database, role).url, **options)

    yield TenantDatabase(engine, new_sessions(engine), admin, make_engine, server, database.app)
    await engine.dispose()
    await admin.dispose()
