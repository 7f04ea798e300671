"""OpenAPI: routes that want a session say so, by cookie or by bearer."""

from fastapi import Depends, FastAPI

from fastapi_descope import Descope, DescopeSettings, require_roles
from tests.support.world import WorldFactory, add_routes, no_routes


def test_a_route_that_wants_a_session_offers_both_ways(world: WorldFactory) -> None:
    """Swagger's Authorize button knows the cookie by its configured name, and the bearer."""
    document = world(cookie_prefix="__Host-", public_url="https://app.example.com").app.openapi()

    assert document["components"]["securitySchemes"] == {
        "DescopeSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-DS",
            "description": "The session cookie that signing in sets.",
        },
        "DescopeBearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A Descope session token.",
        },
    }
    assert document["paths"]["/me"]["get"]["security"] == [{"DescopeSession": []}, {"DescopeBearer": []}]
    assert "security" not in document["paths"]["/public"]["get"]


def test_the_document_is_completed_once(world: WorldFactory) -> None:
    """Asked for twice, nothing is added twice."""
    app = world().app

    assert app.openapi() == app.openapi()
    assert len(app.openapi()["paths"]["/me"]["get"]["security"]) == 2


def test_an_app_without_protected_routes_names_no_scheme(world: WorldFactory) -> None:
    """There is nothing to authorize for."""
    assert "securitySchemes" not in world(routes=no_routes).app.openapi().get("components", {})


def test_the_explicit_form_documents_the_cookie() -> None:
    """Without ``Descope(app)`` nobody completes the document; FastAPI's own part is there."""
    app = FastAPI()
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))
    app.include_router(descope.router, prefix="/auth")
    add_routes(app)

    document = app.openapi()

    assert document["paths"]["/me"]["get"]["security"] == [{"DescopeSession": []}]
    assert "/auth/login/sso" in document["paths"]


def test_the_routes_of_the_plugin_are_described(world: WorldFactory) -> None:
    """Parameters that the endpoints read themselves, answers, and problem documents."""
    paths = world().app.openapi()["paths"]

    assert [parameter["name"] for parameter in paths["/login/sso"]["get"]["parameters"]][:2] == [
        "tenant",
        "return_to",
    ]
    assert set(paths["/logout"]) == {"post"}
    assert set(paths["/tenant/select"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "application/x-www-form-urlencoded",
    }
    problem = paths["/session"]["get"]["responses"]["401"]["content"]
    assert list(problem) == ["application/problem+json"]
    schema = paths["/session"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/SessionView"}


def test_a_requirement_shows_as_wanting_a_session(world: WorldFactory) -> None:
    """Also where no alias is used."""
    town = world(routes=no_routes)
    town.app.get("/admins", dependencies=[Depends(require_roles("admin"))])(lambda: None)

    assert town.app.openapi()["paths"]["/admins"]["get"]["security"][0] == {"DescopeSession": []}
