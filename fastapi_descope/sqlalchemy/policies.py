"""Row-level security of PostgreSQL: the policy that isolates tenants, and the check that it is in force."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, Table, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from ..errors import ConfigurationError
from .current_tenant import postgresql_tenant

__all__ = ["CreateTenantPolicy", "DropTenantPolicy", "check_policies"]

_POLICY = "descope_tenant_isolation"


class _TenantPolicy(ExecutableDDLElement):
    def __init__(self, table: str, *, column: str = "tenant_id", schema: str | None = None) -> None:
        self.table = table
        self.column = column
        self.schema = schema

    def quoted_table(self, compiler: DDLCompiler) -> str:
        """Return the name of the table as it is written in SQL."""
        quote = compiler.preparer.quote
        return f"{quote(self.schema)}.{quote(self.table)}" if self.schema else quote(self.table)


class CreateTenantPolicy(_TenantPolicy):
    """A statement that limits a table to the tenant of the transaction. For ``op.execute`` of Alembic.

    It enables row-level security, also for the owner of the table, and creates the policy for reading and
    writing. On databases other than PostgreSQL it does nothing.

    Args:
        table: The name of the table.
        column: The column with the tenant.
        schema: The schema of the table, or None for the search path.
    """


class DropTenantPolicy(_TenantPolicy):
    """A statement that undoes ``CreateTenantPolicy``: every role that may use the table sees all rows.

    Args:
        table: The name of the table.
        column: Ignored.
        schema: The schema of the table, or None for the search path.
    """


@compiles(CreateTenantPolicy)
@compiles(DropTenantPolicy)
def _elsewhere(_element: _TenantPolicy, _compiler: DDLCompiler, **_: Any) -> str:
    return "SELECT 1"


@compiles(CreateTenantPolicy, "postgresql")
def _create(element: CreateTenantPolicy, compiler: DDLCompiler, **_: Any) -> str:
    table = element.quoted_table(compiler)
    condition = f"{compiler.preparer.quote(element.column)} = {postgresql_tenant()}"
    return _in_one_statement(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {_POLICY} ON {table} USING ({condition}) WITH CHECK ({condition})",
    )


@compiles(DropTenantPolicy, "postgresql")
def _drop(element: DropTenantPolicy, compiler: DDLCompiler, **_: Any) -> str:
    table = element.quoted_table(compiler)
    return _in_one_statement(
        f"DROP POLICY {_POLICY} ON {table}",
        f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    )


def _in_one_statement(*statements: str) -> str:
    """Return one statement: a prepared statement of a driver cannot hold several."""
    return "DO $descope$ BEGIN " + "; ".join(statements) + "; END $descope$"


_ROLE = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")

# A query of a partition or a child obeys the policies of that table, and not those of its parent.
_SECURITY = text(
    "WITH RECURSIVE family AS (SELECT to_regclass(:name)::oid AS id UNION"
    " SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = family.id)"
    " SELECT c.oid::regclass::text AS relation, c.oid = to_regclass(:name) AS is_mapped,"
    " c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, p.polname AS name,"
    " p.polpermissive AS permissive, p.polcmd::text AS command, p.polroles = '{0}' AS for_all_roles,"
    " pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS with_check"
    " FROM family JOIN pg_class c ON c.oid = family.id LEFT JOIN pg_policy p ON p.polrelid = c.oid"
    " WHERE c.oid = to_regclass(:name) OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')"
    " OR has_table_privilege(c.oid, 'DELETE')"
    " ORDER BY is_mapped DESC, relation"
)

# Policies do not apply to what a foreign key does when the row that it refers to changes.
_CASCADES = text(
    "SELECT conname AS name, confrelid::regclass::text AS shared FROM pg_constraint"
    " WHERE conrelid = to_regclass(:name) AND contype = 'f'"
    " AND (confdeltype IN ('c', 'n', 'd') AND has_table_privilege(confrelid, 'DELETE')"
    " OR confupdtype IN ('c', 'n', 'd') AND has_any_column_privilege(confrelid, 'UPDATE'))"
    " AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = confrelid AND attname = :column)"
    " ORDER BY name"
)


# TI-06
def check_policies(connection: Connection, tables: Sequence[Table], column: str) -> None:
    """Check that each table has its policy, and that the role of the connection obeys it.

    Costs one query, and two for each table.

    Raises:
        ConfigurationError: A tenant could see or change the rows of another.
    """
    found: list[str] = []
    if connection.scalar(_ROLE):
        found.append("the database role bypasses row-level security (SUPERUSER or BYPASSRLS)")
    for table in tables:
        name = connection.dialect.identifier_preparer.format_table(table)
        found += _table_mistakes(connection, table, name, column)
    if found:
        raise ConfigurationError(f"Tenants are not isolated (CreateTenantPolicy): {'; '.join(found)}")


def _table_mistakes(connection: Connection, table: Table, name: str, column: str) -> Iterator[str]:
    """Yield the mistakes of a table, of its partitions and children, and of its foreign keys."""
    rows = connection.execute(_SECURITY, {"name": name}).all()
    if not rows:
        yield f"the table {table.fullname} does not exist"
    for relation, of_relation in groupby(
        rows, key=lambda row: table.fullname if row.is_mapped else row.relation
    ):
        yield from (f"the table {relation} {mistake}" for mistake in _mistakes(list(of_relation), column))
    for key in connection.execute(_CASCADES, {"name": name, "column": column}):
        yield (
            f"the foreign key {key.name} of {table.fullname} changes rows of all tenants with a row of"
            f" {key.shared}; make it RESTRICT, or revoke DELETE and UPDATE of {key.shared} from the role"
        )


def _mistakes(rows: Sequence[Row[Any]], column: str) -> Iterator[str]:
    if not rows[0].enabled:
        yield "has no row-level security"
    if not rows[0].forced:
        yield "does not force row-level security for its owner"
    if not any(row.name == _POLICY and _is_ours(row, column) for row in rows):
        yield f"has no policy {_POLICY}, or another one of that name"
    for row in rows:
        if row.permissive and row.name != _POLICY:
            yield f"has the permissive policy {row.name}, which admits more rows; create it AS RESTRICTIVE"


def _is_ours(row: Row[Any], column: str) -> bool:
    expected = _normalized(f"{column} = {postgresql_tenant()}")
    conditions = {_normalized(row.using or ""), _normalized(row.with_check or "")}
    return row.command == "*" and row.for_all_roles and conditions == {expected}


def _normalized(condition: str) -> str:
    """Return a condition without casts, parentheses, quotes and blanks, which PostgreSQL adds or drops."""
    return re.sub(r'::(?:text|character varying)|[()\s"]', "", condition)
