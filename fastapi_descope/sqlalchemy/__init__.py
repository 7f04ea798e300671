"""Tenant isolation for SQLAlchemy: a session sees and changes the rows of one tenant only.

It needs the extra ``sqlalchemy``. On PostgreSQL, policies of row-level security isolate the tenants. On
SQLite, views and triggers of each connection do the same for development and tests.

    sessions = TenantSessions(engine, Base.metadata)
    TenantSession = Annotated[AsyncSession, Depends(sessions)]

    @app.get("/reports")
    async def reports(db: TenantSession): ...
"""

try:
    from .current_tenant import CurrentTenantId, TenantMixin
    from .policies import CreateTenantPolicy, DropTenantPolicy
    from .sessions import TenantSessions
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"fastapi_descope.sqlalchemy needs {missing.name}: pip install 'fastapi-descope[sqlalchemy]'",
        name=missing.name,
    ) from None

__all__ = [
    "CreateTenantPolicy",
    "CurrentTenantId",
    "DropTenantPolicy",
    "TenantMixin",
    "TenantSessions",
]
