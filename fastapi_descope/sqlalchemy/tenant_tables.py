"""The tables whose rows belong to tenants, and the mistakes in a mapping that would cross tenants."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import ForeignKeyConstraint, MetaData, String, Table

from ..errors import ConfigurationError

__all__ = ["tenant_tables"]


# TI-07
def tenant_tables(metadata: MetaData, column: str, shared: Collection[str]) -> Sequence[Table]:
    """Return the tables that have the column of the tenant, sorted by name.

    Raises:
        ConfigurationError: A table has neither the column nor an entry in ``shared``, the column has the
            wrong form, or a foreign key does not include the tenant.
    """
    tables = sorted(metadata.tables.values(), key=lambda table: table.fullname)
    found = [*_forgotten(tables, column, shared)]
    owned = [table for table in tables if column in table.columns]
    for table in owned:
        found += _column_mistakes(table, column)
    for table in tables:
        found += _crossing_keys(table, column)
    if found:
        raise ConfigurationError("Tenants are not isolated: " + "; ".join(found))
    return owned


def _forgotten(tables: Sequence[Table], column: str, shared: Collection[str]) -> Iterator[str]:
    names = {table.fullname for table in tables}
    for table in tables:
        if column not in table.columns and table.fullname not in shared:
            yield f"the table {table.fullname} has no column {column}; add it, or list the table as shared"
        if column in table.columns and table.fullname in shared:
            yield f"the table {table.fullname} is listed as shared, but has the column {column}"
    for name in sorted(set(shared) - names):
        yield f"the table {name} is listed as shared, but is not mapped"


def _column_mistakes(table: Table, column: str) -> Iterator[str]:
    if not isinstance(table.columns[column].type, String):
        yield f"{table.fullname}.{column} is not a string"
    if table.columns[column].nullable:
        yield f"{table.fullname}.{column} is nullable"


def _crossing_keys(table: Table, column: str) -> Iterator[str]:
    """Yield the foreign keys that can refer to a row of another tenant.

    A database checks foreign keys without its policies, so only a key that includes the tenant stays inside.
    """
    for key in table.foreign_key_constraints:
        if column in key.referred_table.columns and not _includes_tenant(key, column):
            columns = ", ".join(key.column_keys)
            remedy = f"make it ({column}, {columns}) to ({column}, ...) of {key.referred_table.fullname}"
            if column not in table.columns:
                remedy = f"add the column {column} to {table.fullname}, so that it is not shared"
            yield f"the foreign key {table.fullname}({columns}) can refer to another tenant's row; {remedy}"


def _includes_tenant(key: ForeignKeyConstraint, column: str) -> bool:
    return any(element.parent.name == element.column.name == column for element in key.elements)
