"""Create the tables, each with the policy that isolates its organisations."""

import sqlalchemy as sa
from alembic import op

from fastapi_descope.sqlalchemy import CreateTenantPolicy

__all__ = ["down_revision", "downgrade", "revision", "upgrade"]

revision = "create_tables"
down_revision = None

_TABLES = ("report", "attachment", "activity", "person")


def upgrade() -> None:
    op.create_table(
        "report",
        *_key(),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("site", sa.String(120), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("filed", sa.Date, nullable=False),
        sa.Column("finding", sa.String(40), nullable=False),
        sa.Column("summary", sa.String(400), nullable=False),
        sa.Column("notes", sa.JSON, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
    )
    op.create_table(
        "attachment",
        *_key(),
        sa.Column("report_id", sa.String(200), nullable=False, index=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("content_type", sa.String(100), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "report_id"], ["report.tenant_id", "report.id"], ondelete="CASCADE"
        ),
    )
    op.create_table(
        "activity",
        *_key(),
        sa.Column("at", sa.Double, nullable=False, index=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("report_id", sa.String(200), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
    )
    op.create_table(
        "person",
        *_key(),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("signed_in_at", sa.Integer, nullable=False),
    )
    for table in _TABLES:
        op.execute(CreateTenantPolicy(table))


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _key() -> tuple[sa.Column[str], sa.Column[str]]:
    """Return the columns of the primary key that every table has."""
    return (
        sa.Column("tenant_id", sa.String(200), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
    )
