"""The tables. Every row belongs to an organisation, and the database shows it to no other one."""

import secrets
from datetime import date
from enum import StrEnum

from sqlalchemy import JSON, Double, Enum, ForeignKeyConstraint, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from fastapi_descope.sqlalchemy import CurrentTenantId

__all__ = ["Activity", "Attachment", "Base", "Finding", "Person", "Report"]


class Finding(StrEnum):
    CLEAR = "Clear"
    ATTENTION = "Needs attention"
    URGENT = "Urgent"


class Base(MappedAsDataclass, DeclarativeBase):
    """The mapping. TenantSessions refuses a table without the column of the tenant."""


def _values(findings: type[Finding]) -> list[str]:
    return [finding.value for finding in findings]


def _new_id() -> str:
    return secrets.token_urlsafe(12)


class Tenant(MappedAsDataclass):
    """The column of the tenant, as a part of the primary key: organisations number their reports alike."""

    tenant_id: Mapped[str] = mapped_column(
        String(200), primary_key=True, insert_default=CurrentTenantId(), init=False
    )


class Report(Tenant, Base):
    __tablename__ = "report"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    title: Mapped[str] = mapped_column(String(120))
    site: Mapped[str] = mapped_column(String(120))
    author: Mapped[str] = mapped_column(String(200))
    filed: Mapped[date]
    finding: Mapped[Finding] = mapped_column(
        Enum(Finding, native_enum=False, length=40, values_callable=_values)
    )
    summary: Mapped[str] = mapped_column(String(400))
    notes: Mapped[list[str]] = mapped_column(JSON, default_factory=list)
    archived: Mapped[bool] = mapped_column(default=False)


class Attachment(Tenant, Base):
    """A file of a report. The foreign key includes the tenant, as each one must."""

    __tablename__ = "attachment"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "report_id"], ["report.tenant_id", "report.id"], ondelete="CASCADE"
        ),
    )

    report_id: Mapped[str] = mapped_column(String(200), index=True)
    name: Mapped[str] = mapped_column(String(200))
    content_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int]
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True, default_factory=_new_id)


class Activity(Tenant, Base):
    """One entry of the feed: who did what to which report. ``at`` is in epoch seconds."""

    __tablename__ = "activity"

    at: Mapped[float] = mapped_column(Double, index=True)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(40))
    report_id: Mapped[str] = mapped_column(String(200))
    title: Mapped[str] = mapped_column(String(120))
    id: Mapped[str] = mapped_column(String(200), primary_key=True, default_factory=_new_id)


class Person(Tenant, Base):
    """A user in one organisation. ``signed_in_at`` is in epoch seconds."""

    __tablename__ = "person"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(320))
    roles: Mapped[list[str]] = mapped_column(JSON)
    signed_in_at: Mapped[int]
