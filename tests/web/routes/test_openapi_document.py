"""The completed OpenAPI document: requirements and error responses."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

from fastapi_descope import (
    AuthSession,
    CurrentCaller,
    CurrentDelegate,
    CurrentMachine,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    OptionalUser,
    current_delegate,
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
from tests.helpers.app_harness import APP, EnvFactory
from tests.helpers.openapi_document import bare_app, new_descope, nothing, problems


def operation_with(*dependencies: object, method: str = "get", **options: Any) -> dict[str, Any]:
    """Return the documented operation of a route with these dependencies."""
    app = bare_app()
    app.add_api_route(
        "/{tenant_id}",
        nothing,
        methods=[method],
        dependencies=[Depends(each) for each in dependencies],  # type: ignore[arg-type] # callable
        **options,
    )
    operation: dict[str, Any] = app.openapi()["paths"]["/{tenant_id}"][method.lower()]
    return operation


def extensions(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extensions of an operation."""
    return {name: value for name, value in operation.items() if name.startswith("x-")}


def test_a_guarded_route_documents_401_403_and_503(make_env: EnvFactory) -> None:
    """Each has a description and the problem schema. 401 and 503 have their headers."""
    document = make_env().app.openapi()
    responses = document["paths"]["/me"]["get"]["responses"]

    assert problems(document["paths"]["/me"]["get"]) == ["401", "403", "503"]
    assert all(responses[status]["description"] for status in ("401", "403", "503"))
    assert list(responses["401"]["headers"]) == ["WWW-Authenticate"]
    assert list(responses["503"]["headers"]) == ["Retry-After"]
    assert set(responses) == {"200", "401", "403", "503"}


@pytest.mark.parametrize("access_keys", [False, True])
def test_a_route_for_machines_documents_the_limit_on_access_keys(
    make_env: EnvFactory, *, access_keys: bool
) -> None:
    """429, in an app that accepts access keys. Routes that no machine may call are as before."""
    env = make_env(access_keys=access_keys)
    for number, caller in enumerate((CurrentMachine, CurrentCaller, CurrentDelegate, CurrentUser)):
        env.app.get(f"/{number}")(_endpoint(caller))
    env.app.get("/4")(_endpoint(CurrentCaller, Depends(current_delegate)))

    document = env.app.openapi()

    limited = ["401", "403", *(["429"] if access_keys else []), "503"]
    assert [problems(document["paths"][f"/{number}"]["get"]) for number in range(5)] == [
        *(limited, limited),
        *(["401", "403", "503"],) * 3,
    ]
    if access_keys:
        limit = document["paths"]["/0"]["get"]["responses"]["429"]
        assert list(limit["headers"]) == ["Retry-After"]
        assert limit["content"]["application/problem+json"]["example"]["code"] == "too_many_attempts"
    bearer = document["components"]["securitySchemes"]["DescopeBearer"]
    assert ("access key" in bearer["description"]) is access_keys


def _endpoint(caller: Any, other: Any = None) -> Callable[..., None]:
    def endpoint(caller: Any, other: object = other) -> None: ...

    endpoint.__annotations__["caller"] = caller
    return endpoint


def test_a_public_route_documents_no_errors(make_env: EnvFactory) -> None:
    """The plugin does not respond for it."""
    assert set(make_env().app.openapi()["paths"]["/public"]["get"]["responses"]) == {"200"}


def test_an_optional_session_documents_what_it_can_respond(make_env: EnvFactory) -> None:
    """503, and 403 only for methods that another site may not use."""
    app = make_env().app

    @app.post("/maybe")
    async def post(user: OptionalUser) -> None: ...

    paths = app.openapi()["paths"]

    assert problems(paths["/maybe"]["get"]) == ["503"]
    assert problems(paths["/maybe"]["post"]) == ["403", "503"]


def test_an_app_with_session_hooks_documents_that_they_may_refuse(make_env: EnvFactory) -> None:
    """A hook refuses a session on every route that uses it, not on a public one."""
    env = make_env()

    @env.descope.on_session
    async def gate(session: AuthSession) -> None: ...

    paths = env.app.openapi()["paths"]

    assert problems(paths["/maybe"]["get"]) == ["403", "503"]
    assert problems(paths["/public"]["get"]) == []


def test_requirements_are_documented_as_sorted_lists() -> None:
    """Those in the tenant and those in the project are separate; several dependencies add up."""
    operation = operation_with(
        require_roles("editor", "admin"),
        require_roles("auditor", "admin"),
        require_permissions("write", "read"),
        require_roles("owner", project=True),
        require_permissions("billing", project=True),
    )

    assert extensions(operation) == {
        "x-required-roles": ["admin", "auditor", "editor"],
        "x-required-permissions": ["read", "write"],
        "x-required-project-roles": ["owner"],
        "x-required-project-permissions": ["billing"],
    }


def test_requirements_that_one_grant_meets_are_documented_as_lists_of_alternatives() -> None:
    """One list for each dependency."""
    operation = operation_with(
        require_any_role("editor", "admin"),
        require_any_role("auditor"),
        require_any_permission("write", "read"),
        require_any_role("owner", "boss", project=True),
        require_any_permission("billing", project=True),
    )

    assert extensions(operation) == {
        "x-required-any-roles": [["admin", "editor"], ["auditor"]],
        "x-required-any-permissions": [["read", "write"]],
        "x-required-any-project-roles": [["boss", "owner"]],
        "x-required-any-project-permissions": [["billing"]],
    }


def test_other_requirements_are_documented() -> None:
    """The path parameter of the tenant, MFA, step-up and no impersonation."""
    assert extensions(operation_with(require_tenant())) == {"x-required-tenant": "tenant_id"}
    assert extensions(operation_with(require_mfa())) == {"x-required-mfa": True}
    assert extensions(operation_with(require_step_up())) == {"x-required-step-up": True}
    assert extensions(operation_with(deny_impersonated())) == {"x-denied-impersonation": True}
    assert extensions(operation_with()) == {}


def test_nested_requirements_are_documented() -> None:
    """Through a dependency of the app, and through routers."""

    async def editor(user: CurrentUser, session: object = Depends(require_roles("editor"))) -> str:
        return user.id

    inner, outer = APIRouter(), APIRouter(dependencies=[Depends(require_mfa())])
    inner.get("/files/{path:path}", dependencies=[Depends(editor)])(nothing)
    outer.include_router(inner, prefix="/v1")
    app = bare_app()
    app.include_router(outer)

    operation = app.openapi()["paths"]["/v1/files/{path}"]["get"]

    assert extensions(operation) == {"x-required-roles": ["editor"], "x-required-mfa": True}
    assert problems(operation) == ["401", "403", "503"]


def test_what_the_app_has_declared_is_kept() -> None:
    """Its responses, ranges of responses included, and its extensions."""

    class Mine(BaseModel):
        why: str

    declared = operation_with(
        require_roles("admin"),
        responses={403: {"model": Mine}, "5XX": {"description": "Ours"}},
        openapi_extra={"x-required-roles": ["boss"]},
    )
    by_default = operation_with(require_roles("admin"), responses={"default": {"model": Mine}})

    assert problems(declared) == ["401"]
    assert set(declared["responses"]) == {"200", "401", "403", "422", "5XX"} - {"422"}
    assert "Mine" in declared["responses"]["403"]["content"]["application/json"]["schema"]["$ref"]
    assert extensions(declared) == {"x-required-roles": ["boss"]}
    assert problems(by_default) == []


def test_an_app_may_change_the_document_before_and_after() -> None:
    """FastAPI documents how to replace ``app.openapi``. A second call completes nothing twice."""
    app, descope = FastAPI(), new_descope()
    app.get("/me", dependencies=[Depends(require_mfa())])(nothing)
    generate = app.openapi

    def with_a_path() -> dict[str, Any]:
        document = generate()
        document["paths"]["/by-hand"] = {"get": {"responses": {}}}
        return document

    app.openapi = with_a_path  # type: ignore[method-assign] # the way FastAPI documents
    descope.add_openapi_security(app)
    completed = app.openapi
    app.openapi = lambda: completed()  # type: ignore[method-assign] # noqa: PLW0108 - another function
    descope.add_openapi_security(app)

    document = app.openapi()
    assert document["paths"]["/by-hand"] == {"get": {"responses": {}}}
    assert problems(document["paths"]["/me"]["get"]) == ["401", "403", "503"]
    assert document["paths"]["/me"]["get"]["security"] == [{"DescopeSession": []}, {"DescopeBearer": []}]
    assert list(document["components"]["schemas"]) == ["Problem"]


def test_every_method_of_a_route_is_described() -> None:
    """HEAD next to GET too, which the route table omits."""
    app = bare_app()
    app.api_route("/both", methods=["GET", "HEAD", "POST"], dependencies=[Depends(require_mfa())])(nothing)

    with pytest.warns(UserWarning, match="Duplicate Operation ID"):
        item = app.openapi()["paths"]["/both"]

    assert {method: problems(operation) for method, operation in item.items()} == {
        method: ["401", "403", "503"] for method in ("get", "head", "post")
    }


def test_a_protecting_middleware_is_documented() -> None:
    """Routes without a dependency require a session too, except the public paths."""
    app, descope = FastAPI(), new_descope()
    descope.install(app)
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True, public_paths=["/open"])
    app.get("/closed")(nothing)
    app.get("/open")(nothing)

    document = app.openapi()

    assert problems(document["paths"]["/closed"]["get"]) == ["401", "403", "503"]
    assert document["paths"]["/closed"]["get"]["security"] == [{"DescopeSession": []}, {"DescopeBearer": []}]
    assert set(document["paths"]["/open"]["get"]) >= {"responses"}
    assert problems(document["paths"]["/open"]["get"]) == []
    assert "security" not in document["paths"]["/open"]["get"]


def test_a_protecting_middleware_alone_lists_the_schemes() -> None:
    """Even if no route has a dependency of the plugin."""
    app = bare_app(descope := new_descope())
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)
    app.get("/closed")(nothing)

    assert set(app.openapi()["components"]["securitySchemes"]) == {"DescopeSession", "DescopeBearer"}


def test_protection_by_default_and_public_endpoints_are_documented() -> None:
    """``Descope(app, protect=True)``, and an endpoint that is exempt."""
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id="P" + "a" * 27, public_url=APP), protect=True)
    app.get("/closed")(nothing)

    @app.get("/open")
    @public
    async def exempt() -> None: ...

    paths = app.openapi()["paths"]

    assert problems(paths["/closed"]["get"]) == ["401", "403", "503"]
    assert problems(paths["/open"]["get"]) == []


def test_an_outer_apps_protection_is_documented_in_a_mounted_app() -> None:
    """At any depth, and with the outer app's public paths."""
    outer, middle, inner, descope = FastAPI(), FastAPI(), FastAPI(), new_descope()
    descope.install(outer)
    outer.add_middleware(DescopeMiddleware, descope=descope, protect=True, public_paths=["/a/b/open"])
    for app in (middle, inner):
        descope.add_openapi_security(app)
        app.get("/closed")(nothing)
        app.get("/open")(nothing)
    outer.mount("/other", FastAPI())
    outer.mount("/a", middle)
    middle.mount("/b", inner)

    for app, of_open in ((middle, ["401", "403", "503"]), (inner, [])):
        paths = app.openapi()["paths"]
        assert problems(paths["/closed"]["get"]) == ["401", "403", "503"]
        assert problems(paths["/open"]["get"]) == of_open
