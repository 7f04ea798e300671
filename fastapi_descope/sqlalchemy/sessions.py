"""Sessions of SQLAlchemy for one tenant: the dependency of routes, and sessions for other code."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, MetaData, String, Table, bindparam, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from .._web.callers import CurrentCaller
from .._web.dependencies import CurrentTenant
from ..callers import Caller, Machine
from ..errors import ConfigurationError, NoTenant
from .current_tenant import POSTGRESQL_SETTING
from .policies import check_policies
from .sqlite_guard import SqliteGuard
from .tenant_tables import tenant_tables

__all__ = ["TenantSessions"]

_SET_TENANT = select(func.set_config(POSTGRESQL_SETTING, bindparam("tenant_id", type_=String), True))


class TenantSessions:
    """Opens sessions of SQLAlchemy that see and change the rows of one tenant only.

        sessions = TenantSessions(engine, Base.metadata)
        TenantSession = Annotated[AsyncSession, Depends(sessions)]

    As a dependency it opens a session for the current tenant of the user's session, and closes it after the
    response. It raises what ``CurrentTenant`` raises. ``for_caller`` does the same for applications and
    machines, ``session`` for code without a request. A session commits nothing by itself. Its objects stay
    usable after a commit.

    The first session of a process calls ``verify``.

    Args:
        engine: An engine for PostgreSQL, or for an SQLite file with aiosqlite. On PostgreSQL its role must
            not bypass row-level security.
        metadata: The metadata of all mapped classes. It may be filled after this object is created, but
            before the first connection.
        column: The column with the tenant. Each table must have it, or be listed in ``shared``.
        shared: The names of the tables whose rows belong to no tenant.

    Raises:
        ConfigurationError: The database is neither PostgreSQL nor an SQLite file.
    """

    # TI-01, TI-02, TI-03

    def __init__(
        self,
        engine: AsyncEngine,
        metadata: MetaData,
        *,
        column: str = "tenant_id",
        shared: Collection[str] = (),
    ) -> None:
        self._engine = engine
        self._metadata = metadata
        self._column = column
        self._shared = frozenset(shared)
        self._sqlite: SqliteGuard | None = None
        self._known: tuple[int, Sequence[Table]] | None = None
        self._is_verified = False
        if engine.dialect.name == "sqlite":
            self._sqlite = SqliteGuard(engine, self._tables, column)
        elif engine.dialect.name != "postgresql":
            raise ConfigurationError(f"TenantSessions needs PostgreSQL or SQLite, not {engine.dialect.name}")

    async def __call__(self, tenant: CurrentTenant) -> AsyncGenerator[AsyncSession]:
        """Open the session of a request, for the current tenant of its user."""
        async with self.session(tenant.id) as session:
            yield session

    async def for_caller(self, caller: CurrentCaller) -> AsyncGenerator[AsyncSession]:
        """Open the session of a request, for the tenant of its caller: a user, an application or a machine.

            ReportsSession = Annotated[AsyncSession, Security(sessions.for_caller, scopes=["reports.read"])]

        The tenant is the current one (claim ``dct``). A machine without one has the tenant of its access key,
        if that is exactly one.

        Raises:
            NoTenant: The caller has no tenant.
        """
        async with self.session(_tenant_id(caller)) as session:
            yield session

    @asynccontextmanager
    async def session(self, tenant_id: str) -> AsyncGenerator[AsyncSession]:
        """Open a session for a tenant: for background jobs, hooks, WebSockets and scripts.

        Args:
            tenant_id: The id of the tenant. It must come from a verified session or from the app itself,
                never from the request.

        Raises:
            ValueError: The id is empty.
            ConfigurationError: The tenants are not isolated.
        """
        if not tenant_id:
            raise ValueError("a session needs the id of a tenant")
        self._tables()
        if not self._is_verified:
            await self.verify()
        async with AsyncSession(
            self._engine,
            sync_session_class=_TenantBoundSession,
            expire_on_commit=False,
            tenant_id=tenant_id,
            sqlite=self._sqlite,
        ) as session:
            yield session

    async def verify(self) -> None:
        """Check that no table and no foreign key crosses tenants.

        On PostgreSQL also check that each table and partition has its policy, that the role of the engine
        obeys it, and that no shared row takes rows of tenants with it: a connection, a query, and two for
        each table. Call it when the app starts, so that it does not start without isolation.

        Raises:
            ConfigurationError: The tenants are not isolated. The message lists all mistakes.
        """
        tables = self._tables()
        if self._sqlite is None:
            async with self._engine.connect() as connection:
                await connection.run_sync(check_policies, tables, self._column)
        self._is_verified = True

    def _tables(self) -> Sequence[Table]:
        """Return the tables of tenants. They are the same for all connections."""
        mapped = len(self._metadata.tables)
        if self._known is None:
            self._known = mapped, tenant_tables(self._metadata, self._column, self._shared)
        elif self._known[0] != mapped:
            raise ConfigurationError(
                "A table was mapped after the first connection; import all models before"
            )
        return self._known[1]


# TI-05
def _tenant_id(caller: Caller) -> str:
    if caller.tenant_id is not None:
        return caller.tenant_id
    if isinstance(caller, Machine) and "dct" not in caller.claims and len(caller.tenants) == 1:
        return next(iter(caller.tenants))
    raise NoTenant


class _TenantBoundSession(Session):
    """A session whose transactions carry a tenant."""

    def __init__(self, *args: Any, tenant_id: str, sqlite: SqliteGuard | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tenant_id = tenant_id
        self.sqlite = sqlite


# TI-04
@event.listens_for(_TenantBoundSession, "after_begin")
def _set_tenant(
    session: _TenantBoundSession, transaction: SessionTransaction, connection: Connection
) -> None:
    """Set the tenant of each transaction. A savepoint has that of the transaction around it."""
    if connection.engine is not session.bind:
        raise ConfigurationError("A session of TenantSessions uses its own engine only")
    if transaction.nested:
        return
    if session.sqlite is not None:
        session.sqlite.set_tenant(connection, session.tenant_id)
    else:
        connection.execute(_SET_TENANT, {"tenant_id": session.tenant_id})
