"""The table of routes: each kind of route and each kind of requirement."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from fastapi_descope import (
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    OptionalUser,
    deny_impersonated,
    public,
    require_any_permission,
    require_any_role,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope._web.requirements import Requirement
from fastapi_descope._web.routes.table import RouteRow, RouteTable

PROJECT = "P" + "a" * 27


def bare_app() -> FastAPI:
    """An app without the OpenAPI routes of FastAPI."""
    return FastAPI(openapi_url=None)


async def nothing() -> None:
    """An endpoint."""


def access(app: Starlette) -> dict[str, str]:
    """The column REQUIRES by path."""
    return {row.path: row.access for row in RouteTable(app).rows}


def column_for(*dependencies: object) -> str:
    """The column REQUIRES for a route with these dependencies."""
    app = bare_app()
    app.get("/", dependencies=[Depends(each) for each in dependencies])(nothing)  # type: ignore[arg-type] # callable
    return access(app)["/"]


def test_requirements_are_described() -> None:
    """Each kind of requirement has its description."""
    assert column_for(require_roles("editor", "admin")) == "roles admin, editor"
    assert column_for(require_roles("owner", project=True)) == "project roles owner"
    assert column_for(require_any_role("editor", "admin")) == "one of roles admin, editor"
    assert column_for(require_any_role("owner", project=True)) == "one of project roles owner"
    assert column_for(require_permissions("read", "write")) == "permissions read, write"
    assert column_for(require_any_permission("read", "write")) == "one of permissions read, write"
    assert column_for(require_tenant("tenant_id")) == "tenant = {tenant_id}"
    assert column_for(require_mfa()) == "MFA"
    assert column_for(require_step_up()) == "step-up"
    assert column_for(require_step_up(max_age=300)) == "step-up within 300 s"
    assert column_for(deny_impersonated()) == "not impersonated"
    assert column_for(Requirement()) == "signed in"
    assert column_for() == "public"


def test_several_requirements_are_listed_once_each() -> None:
    """Requirements are listed in order, each once, and without the implied ``signed in``."""
    together = (Requirement(), require_mfa(), require_roles("admin"), require_mfa())
    assert column_for(*together) == "MFA; roles admin"


def test_annotated_parameters_are_requirements() -> None:
    """Annotated parameters count as their dependency, at any position."""
    app = bare_app()

    @app.get("/user")
    async def user(user: CurrentUser) -> None: ...

    @app.get("/session")
    async def session(session: CurrentSession, user: OptionalUser) -> None: ...

    @app.get("/tenant")
    async def tenant(user: CurrentUser, tenant: CurrentTenant) -> None: ...

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> None: ...

    assert access(app) == {
        "/user": "signed in",
        "/session": "signed in",
        "/tenant": "a tenant",
        "/maybe": "public, uses the session if there is one",
    }


def test_nested_requirements_are_found() -> None:
    """A dependency of the app passes on the requirement of a dependency of the plugin."""

    async def editor(user: CurrentUser) -> str:
        return user.id

    async def reader(editor: str = Depends(editor)) -> str:
        return editor

    assert column_for(reader) == "signed in"


def test_requirements_of_routers_are_found() -> None:
    """The dependencies of a router apply to its routes and to the routers that it includes."""
    inner = APIRouter(prefix="/users", dependencies=[Depends(require_roles("admin"))])
    inner.get("/{user_id}")(nothing)
    inner.delete("/{user_id}")(nothing)
    outer = APIRouter(dependencies=[Depends(require_mfa())])
    outer.include_router(inner, prefix="/tenant", dependencies=[Depends(require_permissions("manage"))])
    app = bare_app()
    app.include_router(outer, prefix="/v1")
    assert RouteTable(app).rows == (
        RouteRow("/v1/tenant/users/{user_id}", ("GET",), ("MFA", "permissions manage", "roles admin")),
        RouteRow("/v1/tenant/users/{user_id}", ("DELETE",), ("MFA", "permissions manage", "roles admin")),
    )


def test_requirements_of_the_app_are_found() -> None:
    """The dependencies of the app apply to every route."""
    app = FastAPI(openapi_url=None, dependencies=[Depends(require_tenant())])
    app.get("/{tenant_id}")(nothing)
    assert access(app) == {"/{tenant_id}": "tenant = {tenant_id}"}


def test_websocket_routes_are_listed() -> None:
    """A WebSocket has no method. Its requirements are found in routers too."""
    app, router = bare_app(), APIRouter(dependencies=[Depends(require_mfa())])

    @app.websocket("/open")
    async def open_socket(socket: WebSocket) -> None: ...

    @router.websocket("/closed")
    async def closed_socket(socket: WebSocket) -> None: ...

    app.include_router(router, prefix="/ws")
    assert RouteTable(app).rows == (
        RouteRow("/open", ("WS",)),
        RouteRow("/ws/closed", ("WS",), ("MFA",)),
    )


def test_methods_are_listed() -> None:
    """Methods are sorted, HEAD is omitted next to GET, and a route may accept any method."""
    app = bare_app()
    app.api_route("/both", methods=["POST", "GET"])(nothing)
    app.add_route("/plain", nothing)  # type: ignore[arg-type] # never called
    app.router.routes.append(Route("/any", PlainTextResponse("")))
    assert [(row.path, row.methods) for row in RouteTable(app).rows] == [
        ("/both", ("GET", "POST")),
        ("/plain", ("GET",)),
        ("/any", ("ANY",)),
    ]


def test_mounted_apps_are_listed() -> None:
    """The routes of a mounted app are listed below its path. An app without routes is one public line."""
    inside = bare_app()

    @inside.get("/me")
    async def me(user: CurrentUser) -> None: ...

    app = bare_app()
    app.mount("/api", inside)
    app.mount("/static", PlainTextResponse("a file"))
    app.routes.append(Mount("/group", app=Router([Route("/x", PlainTextResponse(""), methods=["GET"])])))
    assert RouteTable(app).rows == (
        RouteRow("/api/me", ("GET",), ("signed in",)),
        RouteRow("/static/*", ("ANY",)),
        RouteRow("/group/x", ("GET",)),
    )


def frontend_app(folder: Path, *, protect: bool = False, public_paths: Sequence[str] = ()) -> FastAPI:
    """An app with a public front end, one behind a role in a router, and one in a mounted app."""
    app, inside, router = bare_app(), bare_app(), APIRouter(dependencies=[Depends(require_roles("admin"))])
    settings = DescopeSettings(project_id=PROJECT)
    Descope(app, settings=settings, protect=protect, public_paths=public_paths)
    app.get("/health")(nothing)
    router.frontend("/", directory=folder)
    app.include_router(router, prefix="/admin")
    inside.frontend("/ui", directory=folder)
    app.mount("/sub", inside)
    app.frontend("/", directory=folder)
    return app


def test_front_ends_are_listed(tmp_path: Path) -> None:
    """The files that ``app.frontend`` serves need what its router requires, and are public otherwise."""
    app = frontend_app(tmp_path)

    assert {path: words for path, words in access(app).items() if words != "(fastapi_descope)"} == {
        "/health": "public",
        "/sub/ui/{path:path}": "public",
        "/admin/{path:path}": "roles admin",
        "/{path:path}": "public",
    }
    assert RouteTable(app).unprotected(["/health", "/sub/*", "/{path:path}"]) == ()
    assert [row.path for row in RouteTable(app).unprotected(["/{path:path}", "/sub/*"])] == ["/health"]


@pytest.mark.parametrize(
    ("path", "words"), [("/health", "signed in"), ("/nowhere", "public"), ("/assets/*", "public")]
)
def test_protect_covers_front_ends(tmp_path: Path, path: str, words: str) -> None:
    """A public path that no other route handles is a path of the front end at the root."""
    found = access(frontend_app(tmp_path, protect=True, public_paths=[path]))

    assert (found["/{path:path}"], found["/admin/{path:path}"]) == (words, "roles admin")


class _OwnDispatch(APIRouter):
    """A router whose routes depend on a header, so that the app lists none of them."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@pytest.mark.parametrize(("protect", "words"), [(False, "public"), (True, "signed in")])
def test_router_with_routes_of_its_own_is_listed(*, protect: bool, words: str) -> None:
    """A check of the routes cannot see them, so it fails unless they are protected or accepted."""
    app = bare_app()
    app.router = _OwnDispatch()
    Descope(app, settings=DescopeSettings(project_id=PROJECT), protect=protect)

    table = RouteTable(app)

    assert (table.rows[-1].path, table.rows[-1].access) == ("/{path:path}", words)
    assert [row.path for row in table.unprotected()] == ([] if protect else ["/{path:path}"])
    assert table.unprotected(["/{path:path}"]) == ()


def test_plugin_routes_are_marked() -> None:
    """The routes of the plugin are marked, because they enforce their own rules."""
    app = bare_app()
    Descope(app, settings=DescopeSettings(project_id=PROJECT), prefix="/auth")
    rows = RouteTable(app).rows
    assert {row.access for row in rows} == {"(fastapi_descope)"}
    assert "/auth/login/sso" in {row.path for row in rows}
    assert RouteTable(app).unprotected() == ()


def test_protect_requires_a_session_for_other_routes() -> None:
    """With ``protect``, all but the public paths require a session; other requirements stay."""
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))
    app = bare_app()
    app.include_router(descope.router)
    app.add_middleware(
        DescopeMiddleware, descope=descope, protect=True, public_paths=["/about", "/assets/*", "/nowhere"]
    )
    for path in ("/about", "/about/us", "/assets/logo", "/reports"):
        app.get(path)(nothing)
    app.get("/admin", dependencies=[Depends(require_roles("admin"))])(nothing)
    seen = {path: words for path, words in access(app).items() if words != "(fastapi_descope)"}
    assert seen == {
        "/about": "public",
        "/about/us": "signed in",
        "/assets/logo": "public",
        "/reports": "signed in",
        "/admin": "roles admin",
    }


@pytest.mark.parametrize(
    ("path", "public", "words"),
    [
        ("/{section}/all-customers", "/static/*", "public"),
        ("/{section}/all-customers", "/static/logo", "signed in"),
        ("/static/{name}", "/static/*", "public"),
        ("/{anything:path}", "/static/*", "public"),
        ("/{kind}-{name}/x", "/static/*", "signed in"),
        ("/{number:int}/x", "/static/*", "signed in"),
        ("/{number:int}/x", "/7/*", "public"),
        ("/{section}", "/static/*", "signed in"),
        ("/{section}", "/about", "public"),
        ("/api/{section}", "/about", "signed in"),
        ("/{section}", "/*", "public"),
    ],
)
def test_a_route_with_parameters_can_match_a_public_path(path: str, public: str, words: str) -> None:
    """The middleware opens a path, whatever route handles it."""
    app = bare_app()
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True, public_paths=[public])
    app.get(path)(nothing)

    assert access(app) == {path: words}


def test_marked_endpoints_are_public() -> None:
    """Only the marked one of several endpoints, in mounted apps and for WebSockets too."""
    app, inside = FastAPI(openapi_url=None), bare_app()
    Descope(app, settings=DescopeSettings(project_id=PROJECT), protect=True, public_paths=["/health"])

    @public
    async def marked(user: OptionalUser) -> None: ...

    for each in (app, inside):
        each.get("/about")(public(lambda: None))
        each.post("/about")(nothing)
        each.get("/home")(marked)
    app.websocket("/feed")(public(lambda: None))
    app.get("/health")(nothing)
    app.mount("/sub", inside)
    rows = [row for row in RouteTable(app).rows if not row.is_own]

    home = "public (@public), uses the session if there is one"
    assert [(row.methods, row.path, row.access) for row in rows] == [
        (("GET",), "/about", "public (@public)"),
        (("POST",), "/about", "signed in"),
        (("GET",), "/home", home),
        (("WS",), "/feed", "public (@public)"),
        (("GET",), "/health", "public"),
        (("GET",), "/sub/about", "public (@public)"),
        (("POST",), "/sub/about", "signed in"),
        (("GET",), "/sub/home", home),
    ]
    assert [row.path for row in RouteTable(app).unprotected()] == ["/health"]


def test_documentation_of_fastapi_is_marked() -> None:
    """Also under other paths, but not a route of the app at the usual path."""
    app = FastAPI(docs_url="/help", redoc_url=None)
    app.get("/docs")(nothing)
    table = RouteTable(app)

    documentation = {row.path for row in table.rows if row.is_documentation}
    assert documentation == {"/openapi.json", "/help", "/docs/oauth2-redirect"}
    assert {row.path for row in table.unprotected()} == {*documentation, "/docs"}
    assert [row.path for row in table.unprotected(public_docs=True)] == ["/docs"]


def test_a_public_path_opens_only_the_first_matching_route() -> None:
    """The first matching route handles a public path; later routes stay protected."""
    app = bare_app()
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))
    public = ["/about", "/static/*"]
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True, public_paths=public)
    app.get("/about")(nothing)
    app.mount("/static", PlainTextResponse("a file"))
    app.get("/{section}")(nothing)
    app.get("/{section}/{name}")(nothing)
    app.post("/{other}")(nothing)

    assert access(app) == {
        "/about": "public",
        "/static/*": "public",
        "/{section}": "signed in",
        "/{section}/{name}": "signed in",
        "/{other}": "public",
    }


def test_a_mounted_app_can_be_protected_alone() -> None:
    """Its public paths are its own, and the outer app stays unprotected."""
    app, inside = bare_app(), bare_app()
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))
    inside.add_middleware(DescopeMiddleware, descope=descope, protect=True, public_paths=["/about"])
    for path in ("/about", "/reports"):
        inside.get(path)(nothing)
        app.get(path)(nothing)
    app.mount("/sub", inside)

    assert access(app) == {
        "/about": "public",
        "/reports": "public",
        "/sub/about": "public",
        "/sub/reports": "signed in",
    }


def test_other_middleware_adds_no_requirement() -> None:
    """Without ``protect``, and for other middleware, no requirement is added."""
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))

    def foreign(app: object, *, protect: bool) -> object:
        return app

    app = Starlette(
        routes=[Route("/", PlainTextResponse(""), methods=["GET"])],
        middleware=[
            Middleware(foreign, protect=True),  # type: ignore[arg-type] # never called
            Middleware(DescopeMiddleware, descope=descope),
        ],
    )
    assert access(app) == {"/": "public"}


def app_of(*paths: str) -> FastAPI:
    """An app with public routes and one protected route."""
    app = bare_app()
    for path in paths:
        app.get(path)(nothing)
    app.get("/me", dependencies=[Depends(require_mfa())])(nothing)
    return app


def test_unprotected_lists_public_routes() -> None:
    """All public routes that are not listed. A star matches everything below a path, and not the path."""
    table = RouteTable(app_of("/", "/docs", "/docs/a", "/docs/a/b", "/document"))

    def paths(*public: str) -> list[str]:
        return [row.path for row in table.unprotected(public)]

    everything = ["/", "/docs", "/docs/a", "/docs/a/b", "/document"]
    assert paths() == everything
    assert paths("/") == everything[1:]
    assert paths("/", "/docs") == everything[2:]
    assert paths("/docs/*") == ["/", "/docs", "/document"]
    assert paths("/*") == []


def test_the_table_is_formatted_as_text() -> None:
    """Aligned columns below a header, without trailing blanks."""
    app = app_of("/a-rather-long-path")
    app.api_route("/x", methods=["DELETE", "PATCH"], dependencies=[Depends(require_roles("admin"))])(nothing)
    assert str(RouteTable(app)) == (
        "METHOD        PATH                 REQUIRES\n"
        "GET           /a-rather-long-path  public\n"
        "GET           /me                  MFA\n"
        "DELETE,PATCH  /x                   roles admin"
    )


def test_an_app_without_routes_prints_the_header() -> None:
    """Only the header."""
    assert str(RouteTable(bare_app())) == "METHOD  PATH  REQUIRES"


def test_every_field_of_a_requirement_is_shown() -> None:
    """A requirement that the table did not show would make a route look more open than it is."""
    base = Requirement(roles=frozenset({"viewer"}))
    changed = {
        "roles": replace(base, roles=frozenset({"admin"})),
        "any_roles": replace(base, any_roles=frozenset({"admin"})),
        "any_permissions": replace(base, any_permissions=frozenset({"reports.read"})),
        "permissions": replace(base, permissions=frozenset({"reports.read"})),
        "project": replace(base, project=True),
        "tenant_from": replace(base, tenant_from="tenant_id"),
        "mfa": replace(base, mfa=True),
        "step_up": replace(base, step_up=True),
        "max_age": replace(base, step_up=True, max_age=300),
        "not_impersonated": replace(base, not_impersonated=True),
    }

    def shown(requirement: Requirement) -> str:
        app = bare_app()
        app.add_api_route("/x", nothing, dependencies=[Depends(requirement)])
        return access(app)["/x"]

    assert changed.keys() == {field.name for field in fields(Requirement)}
    assert len({shown(base), *map(shown, changed.values())}) == len(changed) + 1
