"""Row-level security for SQLite, which has none: for development and tests with the API of production.

Each connection has a temporary view with the name of the table, which shows the rows of the tenant, so that
raw SQL is filtered too. Temporary triggers refuse changes to other rows. A statement that writes is sent to
the table below the view. A statement that reaches the table in another way is refused.
"""

import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Table, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, SingletonThreadPool, StaticPool

from ..errors import ConfigurationError
from .current_tenant import SQLITE_FUNCTION

__all__ = ["SqliteGuard"]

_GUARD = "descope_guard"
_TENANT = "descope_tenant_id"
_WRITES = "descope_writes"

_WRITE = r"\s*(?:INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+"
_BELOW_THE_VIEW = re.compile(r"\bmain[\"'\]`]?(?:\s|/\*.*?\*/|--[^\n]*\n)*\.", re.IGNORECASE | re.DOTALL)
_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
        sqlite3.SQLITE_PRAGMA,
    }
)

_Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


class _Cursor(Protocol):
    def execute(self, operation: str) -> object: ...

    def close(self) -> None: ...


class _DriverConnection(Protocol):
    def set_authorizer(self, authorizer: _Authorizer) -> Awaitable[None]: ...


class _DbapiConnection(Protocol):
    """The part of SQLAlchemy's aiosqlite connection that is used here."""

    def cursor(self) -> _Cursor: ...

    def create_function(
        self, name: str, arguments: int, function: Callable[[], str | None], *, deterministic: bool
    ) -> None: ...

    def run_async(self, function: Callable[[_DriverConnection], Awaitable[None]]) -> None: ...


class SqliteGuard:
    """Guards the connections of an engine.

    Args:
        engine: The engine, with the driver aiosqlite and a database file.
        tables: Returns the tables whose rows belong to tenants.
        column: The column with the tenant.

    Raises:
        ConfigurationError: The database is in memory, so that several tenants would share its connection.
    """

    # TI-08

    def __init__(self, engine: AsyncEngine, tables: Callable[[], Sequence[Table]], column: str) -> None:
        if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
            raise ConfigurationError(
                "An SQLite database in memory has one connection for all tenants; use a file"
            )
        self._tables = tables
        self._column = column
        for name, listener in (("checkout", self._check_out), ("checkin", self._check_in)):
            event.listen(engine.sync_engine, name, listener)
        event.listen(engine.sync_engine, "before_cursor_execute", self._rewrite, retval=True)

    def set_tenant(self, connection: Connection, tenant_id: str) -> None:
        """Set the tenant of a connection, until it returns to the pool."""
        connection.info[_TENANT] = tenant_id

    def _check_out(self, dbapi_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        """Guard a connection that is new: listeners of the app for new connections have run before."""
        installed = record.info.get(_GUARD)
        if installed is None:
            self._install(cast("_DbapiConnection", dbapi_connection), record)
            record.info[_GUARD] = self
        elif installed is not self:
            raise ConfigurationError("This engine has TenantSessions already; use one for all tables")

    def _check_in(self, _dbapi_connection: object, record: ConnectionPoolEntry) -> None:
        record.info.pop(_TENANT, None)
        record.info.pop(_WRITES, None)

    def _install(self, connection: _DbapiConnection, record: ConnectionPoolEntry) -> None:
        info = record.info
        # Deterministic means, to SQLite, within one statement: the index of the column can be used.
        connection.create_function(SQLITE_FUNCTION, 0, lambda: info.get(_TENANT), deterministic=True)
        cursor = connection.cursor()
        for statement in self._statements():
            cursor.execute(statement)
        cursor.close()
        names = frozenset(table.name for table in self._tables())
        authorizer = _authorizer(names, info)
        connection.run_async(lambda driver: driver.set_authorizer(authorizer))

    def _statements(self) -> Iterator[str]:
        yield "PRAGMA foreign_keys = ON"
        yield "PRAGMA recursive_triggers = ON"  # REPLACE then runs the triggers of the rows that it deletes
        for table in self._tables():
            if table.schema is not None:
                raise ConfigurationError(f"On SQLite, the table {table.fullname} cannot be in a schema")
            yield from _table_statements(table.name, self._column)

    def _rewrite(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: object,
        _context: object,
        _executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
    ) -> tuple[str, object]:
        """Send a statement that writes to the table below the view."""
        if _BELOW_THE_VIEW.search(statement):
            raise ConfigurationError("SQL that names the schema main would bypass the filter of the tenant")
        write = re.match(_WRITE, statement, re.IGNORECASE)
        connection.info[_WRITES] = write is not None
        if write is None:
            return statement, parameters
        prefix = "main." if self._target().match(statement, write.end()) else ""
        return f"{statement[: write.end()]}{prefix}{statement[write.end() :]}", parameters

    def _target(self) -> re.Pattern[str]:
        names = "|".join(re.escape(table.name) for table in self._tables())
        return re.compile(rf"[\"\[`]?(?:{names})(?:\b|[\"\]`])", re.IGNORECASE)


def _table_statements(table: str, column: str) -> Iterator[str]:
    quote = sqlite.dialect().identifier_preparer.quote
    name, tenant = quote(table), quote(column)
    yield f"CREATE TEMP VIEW {name} AS SELECT * FROM main.{name} WHERE {tenant} = {SQLITE_FUNCTION}()"  # noqa: S608 - names of the mapping
    for change, checks in _CHECKS.items():
        trigger = quote(f"{_TRIGGER}{change}_{table}")
        reactions = " ".join(
            f"SELECT {reaction} WHERE {row}.{tenant} IS NOT {SQLITE_FUNCTION}();" for row, reaction in checks
        )
        yield f"CREATE TEMP TRIGGER {trigger} BEFORE {change} ON main.{name} BEGIN {reactions} END"


_TRIGGER = "descope_tenant_"
_IGNORE, _ABORT = "RAISE(IGNORE)", "RAISE(ABORT, 'the row belongs to another tenant')"
_CHECKS = {
    "INSERT": (("NEW", _ABORT),),
    "UPDATE": (("OLD", _IGNORE), ("NEW", _ABORT)),
    "DELETE": (("OLD", _IGNORE),),
}


def _authorizer(tables: frozenset[str], info: dict[Any, Any]) -> _Authorizer:
    def authorize(
        action: int, name: str | None, detail: str | None, schema: str | None, source: str | None
    ) -> int:
        """Allow reads of a table through its view, and what a statement that writes reads of its own row."""
        if action == sqlite3.SQLITE_READ and schema == "main" and name in tables:
            is_own_row = source is None and info.get(_WRITES, False)
            allowed = is_own_row or source == name or (source or "").startswith(_TRIGGER)
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = detail is None
        else:
            allowed = action in _ALLOWED
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return authorize
