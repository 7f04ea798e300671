"""The tenant of a transaction as an SQL expression, and the column of tables whose rows belong to tenants."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["POSTGRESQL_SETTING", "SQLITE_FUNCTION", "CurrentTenantId", "TenantMixin", "postgresql_tenant"]

POSTGRESQL_SETTING = "descope.tenant_id"
SQLITE_FUNCTION = "descope_tenant_id"


def postgresql_tenant() -> str:
    """Return the expression of the current tenant on PostgreSQL: NULL outside of a tenant's transaction.

    A setting that was local to an earlier transaction of the connection is empty afterwards, not NULL.
    """
    return f"NULLIF(current_setting('{POSTGRESQL_SETTING}', true), '')"


class CurrentTenantId(FunctionElement[str]):
    """The SQL expression for the tenant of the transaction, or NULL without one.

    For statements of the app and as the default of a column, on PostgreSQL and SQLite. The tenant is the one
    for which ``TenantSessions`` has opened the session.
    """

    type = String()
    name = SQLITE_FUNCTION
    inherit_cache = True


@compiles(CurrentTenantId, "postgresql")
def _on_postgresql(_element: CurrentTenantId, _compiler: SQLCompiler, **_: Any) -> str:
    return postgresql_tenant()


@compiles(CurrentTenantId, "sqlite")
def _on_sqlite(_element: CurrentTenantId, _compiler: SQLCompiler, **_: Any) -> str:
    return f"{SQLITE_FUNCTION}()"


class TenantMixin:
    """The column ``tenant_id`` for a mapped class, filled in with the tenant of the transaction.

    Use it, or declare a column of your own with ``default=CurrentTenantId()``.

    Attributes:
        tenant_id: The id of the tenant to which the row belongs.
    """

    tenant_id: Mapped[str] = mapped_column(String, default=CurrentTenantId(), index=True)
