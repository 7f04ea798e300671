"""An app whose routes are open by mistake does not start, and the error names the fix."""

from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Security, WebSocket
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Mount
from starlette.types import Scope
from typing_extensions import override

from fastapi_descope import (
    AuthSession,
    ConfigurationError,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    Tenant,
    User,
    current_user,
    optional_user,
    require_mfa,
    require_roles,
)
from fastapi_descope._web.routes.checks import RouteChecks, check_routes
from fastapi_descope.sqlalchemy import TenantSessions

PROJECT = "P2" + "w" * 26


def _descope(app: FastAPI | None = None) -> Descope:
    return Descope(app, settings=DescopeSettings(project_id=PROJECT))


async def nothing() -> None:
    """An endpoint."""


def test_correct_routes_have_no_errors() -> None:
    """Scopes of the app's own dependencies, values in responses, and similar paths are accepted."""
    app = FastAPI()
    descope = _descope(app)

    async def editor(user: CurrentUser, scopes: SecurityScopes) -> User:
        return user

    @app.get("/scoped")
    async def scoped(user: Annotated[User, Security(editor, scopes=["edit"])]) -> User:
        return user

    @app.get("/unscoped")
    async def unscoped(user: Annotated[User, Security(current_user)], names: list[str]) -> None: ...

    app.put("/logout")(nothing)
    app.get("/logout")(nothing)
    inner = FastAPI()
    inner.include_router(descope.router)
    app.mount("/{org}/inner", inner)
    app.mount("/files", PlainTextResponse("a file"))

    assert list(check_routes(app)) == []
    RouteChecks().raise_on_errors(app)


async def _admin(user: CurrentUser) -> User:
    return user


_SESSIONS = TenantSessions(create_async_engine("postgresql+psycopg://localhost/app"), MetaData())


@pytest.mark.parametrize(
    "dependency", [current_user, optional_user, require_roles("admin"), _admin, _SESSIONS, _SESSIONS.__call__]
)
def test_cl03_scopes_that_no_dependency_reads_are_an_error(dependency: object) -> None:
    """OpenAPI would list them, and every signed-in user would pass."""
    app, router = FastAPI(), APIRouter()
    guard = Security(dependency, scopes=["payouts.write", "payouts.read"])  # type: ignore[arg-type] # callable
    router.get("/payouts", dependencies=[guard])(nothing)
    app.include_router(router, prefix="/v1")

    (sentence,) = check_routes(app)
    assert sentence.startswith("/v1/payouts: the scopes of Security() are not checked")
    assert "use Depends(require_permissions('payouts.write', 'payouts.read'))" in sentence


def test_guarded_classes_as_parameters_are_an_error() -> None:
    """They are found in routes, dependencies and mounted apps."""
    app, inner = FastAPI(), FastAPI()

    async def of_a_dependency(user: User) -> None: ...

    @app.post("/body")
    async def body(tenant: Annotated[Tenant | None, Body()] = None) -> None: ...

    @app.websocket("/socket")
    async def socket(socket: WebSocket, session: AuthSession) -> None: ...

    inner.post("/deep", dependencies=[Depends(of_a_dependency)])(nothing)
    app.mount("/inner", inner)
    found = list(check_routes(app))

    assert [each.split(":", 1)[0] for each in found] == ["/body", "/socket", "/deep"]
    for sentence, instead in zip(found, ("CurrentTenant", "CurrentSession", "CurrentUser"), strict=True):
        assert instead in sentence


def _own_logout(app: FastAPI) -> None:
    app.post("/logout")(nothing)


def _own_callback(app: FastAPI) -> None:
    app.get("/{provider}")(nothing)


def _catch_all(app: FastAPI) -> None:
    app.mount("/", Starlette(routes=[Mount("/", PlainTextResponse(""))]))


@pytest.mark.parametrize(
    ("declare", "shadowed"),
    [
        (_own_logout, {"POST /logout"}),
        (_own_callback, {"GET /callback"}),
        (_catch_all, {"GET /login/sso", "GET /callback", "POST /logout", "POST /logout/all"}),
    ],
)
def test_a_route_that_shadows_a_plugin_route_is_an_error(declare: object, shadowed: set[str]) -> None:
    """``protect`` leaves the path public, and so it would leave the app's handler."""
    app = FastAPI()
    descope = _descope()
    assert callable(declare)
    declare(app)
    app.include_router(descope.router)
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)

    assert {each.split(" is handled by", 1)[0] for each in check_routes(app)} == shadowed
    with pytest.raises(ConfigurationError, match="instead of the plugin's"), TestClient(app):
        pass


@pytest.mark.parametrize(
    ("login_method", "declared", "shadowed"),
    [
        ("magiclink", "GET /login/magiclink/{step}", "GET /login/magiclink/verify"),
        ("google", "GET /login/oauth/{provider}", "GET /login/oauth/google"),
        ("notp", "POST /login/{kind}", "POST /login/notp"),
        ("flow", "POST /login/{kind}", "POST /login/session"),
    ],
)
def test_a_route_that_shadows_a_way_to_sign_in_is_an_error(
    login_method: str, declared: str, shadowed: str
) -> None:
    """The routes of every way are checked, and the app does not start."""
    method, _, path = declared.partition(" ")
    app = FastAPI()
    app.add_api_route(path, nothing, methods=[method])
    Descope(app, settings=DescopeSettings(project_id=PROJECT, login_methods=["sso", login_method]))

    with pytest.raises(ConfigurationError, match=f"{shadowed} is handled by another"), TestClient(app):
        pass


class _Greedy(APIRoute):
    """A route that handles every request."""

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.FULL, {"endpoint": self.endpoint}


def test_a_route_with_its_own_matches_can_shadow_a_plugin_route() -> None:
    """FastAPI calls the method, so the endpoint is unknown, but it is not the plugin's."""
    app, router = FastAPI(), APIRouter(route_class=_Greedy)
    router.get("/anything")(nothing)
    app.include_router(router)
    app.include_router(_descope().router)

    assert "GET /callback" in {each.split(" is handled by", 1)[0] for each in check_routes(app)}


def test_an_app_route_that_the_plugin_shadows_is_an_error() -> None:
    """The developer learns that no request reaches it. Other methods and paths are free."""
    app, router, inner = FastAPI(), APIRouter(), FastAPI()
    _descope(app)
    app.get("/session")(nothing)
    router.api_route("/logout", methods=["GET", "POST"])(nothing)
    router.get("/session/{name}")(nothing)
    app.include_router(router)
    inner.get("/session")(nothing)
    app.mount("/inner", inner)

    found = list(check_routes(app))
    assert [each.split(" is handled by", 1)[0] for each in found] == ["GET /session", "POST /logout"]
    with pytest.raises(ConfigurationError, match="never reached"), TestClient(app):
        pass


def test_an_app_route_replaces_a_plugin_route_that_needs_a_session() -> None:
    """It is declared first, and is neither public nor part of a login."""
    app = FastAPI()
    app.get("/session")(nothing)
    _descope(app)

    assert list(check_routes(app)) == []


def test_a_shadowing_route_of_a_mounted_app_is_an_error() -> None:
    """Its routes are checked as its own and as those of the outer app."""
    app, inner = FastAPI(), FastAPI()
    inner.mount("/login", Starlette(routes=[Mount("/page", PlainTextResponse(""))]))
    inner.add_route("/callback", nothing)  # type: ignore[arg-type] # never called
    _descope(inner)
    app.mount("/inner", inner)

    assert {each.split(" is handled by", 1)[0] for each in check_routes(app)} == {
        "GET /login/sso",
        "GET /callback",
        "GET /inner/login/sso",
        "GET /inner/callback",
    }


def test_a_prefix_with_a_parameter_is_an_error() -> None:
    """Neither the error responses nor ``protect`` would find the login."""
    app = FastAPI()
    app.include_router(_descope().router, prefix="/{org}")

    with pytest.raises(
        ConfigurationError,
        match=r"/\{org\}/callback: the plugin's routes are not found under a prefix with a parameter",
    ):
        RouteChecks().raise_on_errors(app)


def test_a_dependency_factory_without_parentheses_is_an_error() -> None:
    """FastAPI merges the dependencies of a router into its routes late."""
    app, router = FastAPI(), APIRouter()
    router.get("/")(nothing)
    app.include_router(router, prefix="/x", dependencies=[Depends(require_mfa)])

    with pytest.raises(ConfigurationError, match="parentheses"):
        RouteChecks().raise_on_errors(app)


def test_a_front_end_behind_a_dependency_without_effect_is_an_error(tmp_path: Path) -> None:
    """Its files would be open, in the app and in mounted apps; a dependency that works is no error."""

    def admins_only() -> object:
        return require_roles("admin")

    app, inside = FastAPI(), FastAPI()
    wrong, right = (
        APIRouter(dependencies=[Depends(admins_only)]),
        APIRouter(dependencies=[Depends(current_user)]),
    )
    wrong.frontend("/", directory=tmp_path)
    right.frontend("/ui", directory=tmp_path)
    app.include_router(wrong, prefix="/admin")
    app.include_router(right)
    inside.include_router(wrong)
    app.mount("/sub", inside)

    errors = list(check_routes(app))

    assert [error.partition(" checks nothing")[0] for error in errors] == [
        "/admin: require_roles()",
        "/: require_roles()",
    ]


def test_an_app_with_a_route_error_does_not_start() -> None:
    """The lifespan of the router runs the checks."""
    app = FastAPI()
    _descope(app)

    @app.get("/limited")
    async def limited(user: User) -> None: ...

    with pytest.raises(ConfigurationError, match="user: CurrentUser"), TestClient(app):
        pass
