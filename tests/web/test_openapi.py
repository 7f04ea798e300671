"""OpenAPI: routes that want a session say so, by cookie or by bearer."""

from typing import Any

from fastapi import Depends, FastAPI, Security

from fastapi_descope import CurrentUser, Descope, DescopeSettings, OptionalUser, current_user, require_roles
from tests.helpers.app_harness import EnvFactory, add_routes, no_routes

COOKIE: dict[str, list[str]] = {"DescopeSession": []}
BEARER: dict[str, list[str]] = {"DescopeBearer": []}
REFRESH: dict[str, list[str]] = {"DescopeRefresh": []}


def _descope() -> Descope:
    """One whose cookies have other names than Descope's own."""
    return Descope(
        settings=DescopeSettings(
            project_id="P" + "a" * 27, cookie_prefix="__Host-", public_url="https://app.example.com"
        )
    )


def _security(app: FastAPI, path: str, method: str = "get") -> Any:
    return app.openapi()["paths"][path][method].get("security")


def _cookie_names(app: FastAPI) -> dict[str, str]:
    schemes = app.openapi()["components"]["securitySchemes"]
    return {name: scheme["name"] for name, scheme in schemes.items() if scheme["type"] == "apiKey"}


def test_a_route_that_wants_a_session_offers_both_ways(make_env: EnvFactory) -> None:
    """Swagger's Authorize button knows the cookies by their configured names, and the bearer."""
    document = make_env(cookie_prefix="__Host-", public_url="https://app.example.com").app.openapi()

    assert document["components"]["securitySchemes"] == {
        "DescopeSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-DS",
            "description": "The session cookie that signing in sets.",
        },
        "DescopeRefresh": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-DSR",
            "description": "The refresh cookie that signing in sets; a bearer has none.",
        },
        "DescopeBearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A Descope session token.",
        },
    }
    assert document["paths"]["/me"]["get"]["security"] == [COOKIE, BEARER]
    assert "security" not in document["paths"]["/public"]["get"]


def test_a_route_that_knows_who_is_signed_in_needs_nobody(make_env: EnvFactory) -> None:
    """An optional session is one of the ways in, and none is another."""
    app = make_env().app

    @app.get("/both")
    async def both(user: CurrentUser, again: OptionalUser) -> None:
        """The stricter of the two counts."""

    assert _security(app, "/maybe") == [COOKIE, BEARER, {}]
    assert _security(app, "/both") == [COOKIE, BEARER]


def test_scopes_do_not_hide_the_bearer(make_env: EnvFactory) -> None:
    """``Security(current_user, scopes=...)`` is documented as ``Depends`` is, with its scopes."""
    app = make_env().app
    app.get("/scoped", dependencies=[Security(current_user, scopes=["reports"])])(lambda: None)

    assert _security(app, "/scoped") == [{"DescopeSession": ["reports"]}, {"DescopeBearer": ["reports"]}]


def test_what_an_app_says_of_its_routes_stays(make_env: EnvFactory) -> None:
    """Another scheme than ours, or that a route needs none of any."""
    app = make_env().app
    app.get("/other", openapi_extra={"security": [{"Other": []}]})(lambda: None)
    app.get("/none", openapi_extra={"security": []})(lambda: None)

    assert _security(app, "/other") == [{"Other": []}]
    assert _security(app, "/none") == []


def test_the_routes_of_the_plugin_say_what_they_want(make_env: EnvFactory) -> None:
    """The session by either way; what Descope is asked for works with the refresh cookie alone."""
    app = make_env().app

    assert _security(app, "/session") == [COOKIE, BEARER]
    for path in ("/session/profile", "/session/tenants"):
        assert _security(app, path) == [REFRESH]
    assert _security(app, "/tenant/select", "post") == [REFRESH]
    for path in ("/logout", "/logout/all"):
        assert _security(app, path, "post") == [REFRESH, {}]
    for path in ("/login/sso", "/callback"):
        assert _security(app, path) is None


def test_the_document_is_completed_once(make_env: EnvFactory) -> None:
    """Asked for twice, or described twice, nothing is added twice."""
    env = make_env()
    env.descope.add_openapi_security(env.app)

    assert env.app.openapi() == env.app.openapi()
    assert _security(env.app, "/me") == [COOKIE, BEARER]
    assert _security(env.app, "/maybe") == [COOKIE, BEARER, {}]


def test_a_route_that_is_added_late_is_described(make_env: EnvFactory) -> None:
    """FastAPI makes the document anew then."""
    app = make_env().app
    app.openapi()
    app.get("/late", dependencies=[Depends(current_user)])(lambda: None)

    assert _security(app, "/late") == [COOKIE, BEARER]
    assert _security(app, "/me") == [COOKIE, BEARER]


def test_an_app_without_protected_routes_names_no_scheme() -> None:
    """There is nothing to authorize for."""
    app = FastAPI()
    _descope().add_openapi_security(app)

    assert "securitySchemes" not in app.openapi().get("components", {})


def test_an_app_with_optional_sessions_alone_names_the_cookie() -> None:
    """As any other does."""
    app = FastAPI()
    _descope().add_openapi_security(app)

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> None:
        """Anybody may come."""

    assert _security(app, "/maybe") == [COOKIE, BEARER, {}]
    assert _cookie_names(app) == {"DescopeSession": "__Host-DS"}


def test_the_explicit_form_is_described_by_hand() -> None:
    """One more line, and its document is that of ``Descope(app)``."""
    descope, by_hand, in_one_line = _descope(), FastAPI(), FastAPI()
    by_hand.include_router(descope.router, prefix="/auth")
    add_routes(by_hand)
    descope.add_openapi_security(by_hand)
    descope.install(in_one_line, prefix="/auth")
    add_routes(in_one_line)

    assert by_hand.openapi() == in_one_line.openapi()
    assert _cookie_names(by_hand) == {"DescopeSession": "__Host-DS", "DescopeRefresh": "__Host-DSR"}


def test_a_mounted_app_is_described_by_hand(make_env: EnvFactory) -> None:
    """It has a document of its own, which the plugin cannot find by itself."""
    env, mounted = make_env(cookie_prefix="__Host-", public_url="https://app.example.com"), FastAPI()
    add_routes(mounted)
    env.app.mount("/api", mounted)
    env.descope.add_openapi_security(mounted)

    assert _cookie_names(mounted) == {"DescopeSession": "__Host-DS"}
    assert _security(mounted, "/me") == [COOKIE, BEARER]


def test_an_app_that_nobody_described_shows_the_cookie() -> None:
    """FastAPI's own part is there, with Descope's own names."""
    app = FastAPI()
    app.include_router(_descope().router, prefix="/auth")
    add_routes(app)

    assert _security(app, "/me") == [COOKIE]
    assert _cookie_names(app)["DescopeSession"] == "DS"
    assert "/auth/login/sso" in app.openapi()["paths"]


def test_the_routes_of_the_plugin_are_described(make_env: EnvFactory) -> None:
    """Parameters that the endpoints read themselves, answers, and problem documents."""
    paths = make_env().app.openapi()["paths"]

    assert [parameter["name"] for parameter in paths["/login/sso"]["get"]["parameters"]] == [
        "tenant",
        "return_to",
        "login_hint",
        "sso_id",
        "prompt",
        "force_authn",
        "step_up",
        "mfa",
    ]
    assert set(paths["/logout"]) == {"post"}
    assert set(paths["/tenant/select"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "application/x-www-form-urlencoded",
    }
    problem = paths["/session"]["get"]["responses"]["401"]["content"]
    assert list(problem) == ["application/problem+json"]
    schema = paths["/session"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/SessionOut"}


def test_a_requirement_shows_as_wanting_a_session(make_env: EnvFactory) -> None:
    """Also where no alias is used."""
    env = make_env(routes=no_routes)
    env.app.get("/admins", dependencies=[Depends(require_roles("admin"))])(lambda: None)

    assert env.app.openapi()["paths"]["/admins"]["get"]["security"][0] == {"DescopeSession": []}
