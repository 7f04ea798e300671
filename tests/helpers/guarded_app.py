"""An app without test code: every kind of protected route, and no fake transport or clock."""

from fastapi import Depends, FastAPI, WebSocket

from fastapi_descope import (
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    Descope,
    DescopeSettings,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
)

PROJECT = "P" + "a" * 27


def guarded_app(**settings: object) -> FastAPI:
    """Build the app; keywords are settings."""
    app = FastAPI()
    values: dict[str, object] = {"project_id": PROJECT, **settings}
    Descope(app, settings=DescopeSettings(**values))  # type: ignore[arg-type] # any setting, by keyword
    _add_guarded(app)

    @app.get("/me")
    async def me(user: CurrentUser, tenant: CurrentTenant) -> tuple[str | None, str]:
        return user.email, tenant.id

    @app.get("/plan")
    async def plan(session: CurrentSession) -> object:
        return session.claims.get("plan")

    @app.websocket("/feed")
    async def feed(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text(user.id)
        await socket.close()

    return app


def _add_guarded(app: FastAPI) -> None:
    for path, guard in (
        ("/admin", require_roles("admin")),
        ("/project-admin", require_roles("admin", project=True)),
        ("/write", require_permissions("reports.write")),
        ("/mfa", require_mfa()),
        ("/step-up", require_step_up()),
    ):
        app.add_api_route(path, _yes, dependencies=[Depends(guard)])


async def _yes() -> str:
    return "yes"
