"""OpenAPI documents list the cookies and the bearer as security schemes."""

from typing import Any

from fastapi import Depends, FastAPI, Security

from fastapi_descope import CurrentUser, Descope, DescopeSettings, OptionalUser, current_user, require_roles
from tests.helpers.app_harness import EnvFactory, add_routes, no_routes

COOKIE: dict[str, list[str]] = {"DescopeSession": []}
BEARER: dict[str, list[str]] = {"DescopeBearer": []}
REFRESH: dict[str, list[str]] = {"DescopeRefresh": []}


def _descope() -> Descope:
    """A plugin whose cookies have other names than the defaults."""
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


def test_a_required_session_lists_cookie_and_bearer(make_env: EnvFactory) -> None:
    """The document has the configured cookie names and the bearer."""
    document = make_env(cookie_prefix="__Host-", public_url="https://app.example.com").app.openapi()

    assert document["components"]["securitySchemes"] == {
        "DescopeSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-DS",
            "description": "The session cookie that signing in sets. The browser sends it by itself: enter no"
            " value, because a page cannot set this cookie. `POST /logout` signs out.",
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
            "description": "A Descope session token, for clients that are not browsers. It takes precedence"
            " over the session cookie.",
        },
    }
    assert document["paths"]["/me"]["get"]["security"] == [COOKIE, BEARER]
    assert "security" not in document["paths"]["/public"]["get"]


def test_an_optional_session_also_lists_no_credentials(make_env: EnvFactory) -> None:
    """An optional session allows cookie, bearer, or neither."""
    app = make_env().app

    @app.get("/both")
    async def both(user: CurrentUser, again: OptionalUser) -> None:
        """The stricter of the two counts."""

    assert _security(app, "/maybe") == [COOKIE, BEARER, {}]
    assert _security(app, "/both") == [COOKIE, BEARER]


def test_scopes_do_not_hide_the_bearer(make_env: EnvFactory) -> None:
    """``Security(current_user, scopes=...)`` is documented like ``Depends``, with its scopes."""
    app = make_env().app
    app.get("/scoped", dependencies=[Security(current_user, scopes=["reports"])])(lambda: None)

    assert _security(app, "/scoped") == [{"DescopeSession": ["reports"]}, {"DescopeBearer": ["reports"]}]


def test_security_schemes_of_the_app_are_kept(make_env: EnvFactory) -> None:
    """Schemes of the app, and an explicitly empty list, are kept."""
    app = make_env().app
    app.get("/other", openapi_extra={"security": [{"Other": []}]})(lambda: None)
    app.get("/none", openapi_extra={"security": []})(lambda: None)

    assert _security(app, "/other") == [{"Other": []}]
    assert _security(app, "/none") == []


def test_the_routes_of_the_plugin_list_their_schemes(make_env: EnvFactory) -> None:
    """Session routes accept both; routes that call Descope need the refresh cookie."""
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
    """Repeated calls add nothing twice."""
    env = make_env()
    env.descope.add_openapi_security(env.app)

    assert env.app.openapi() == env.app.openapi()
    assert _security(env.app, "/me") == [COOKIE, BEARER]
    assert _security(env.app, "/maybe") == [COOKIE, BEARER, {}]


def test_a_route_that_is_added_late_is_described(make_env: EnvFactory) -> None:
    """FastAPI generates a new document then."""
    app = make_env().app
    app.openapi()
    app.get("/late", dependencies=[Depends(current_user)])(lambda: None)

    assert _security(app, "/late") == [COOKIE, BEARER]
    assert _security(app, "/me") == [COOKIE, BEARER]


def test_an_app_without_protected_routes_has_no_scheme() -> None:
    """There is nothing to authorise for."""
    app = FastAPI()
    _descope().add_openapi_security(app)

    assert "securitySchemes" not in app.openapi().get("components", {})


def test_an_app_with_only_optional_sessions_lists_the_cookie() -> None:
    """Optional sessions use the same scheme."""
    app = FastAPI()
    _descope().add_openapi_security(app)

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> None:
        """Public."""

    assert _security(app, "/maybe") == [COOKIE, BEARER, {}]
    assert _cookie_names(app) == {"DescopeSession": "__Host-DS"}


def test_add_openapi_security_completes_the_explicit_form() -> None:
    """One more call gives the same document as ``Descope(app)``."""
    descope, by_hand, in_one_line = _descope(), FastAPI(), FastAPI()
    by_hand.include_router(descope.router, prefix="/auth")
    add_routes(by_hand)
    descope.add_openapi_security(by_hand)
    descope.install(in_one_line, prefix="/auth")
    add_routes(in_one_line)

    assert by_hand.openapi() == in_one_line.openapi()
    assert _cookie_names(by_hand) == {"DescopeSession": "__Host-DS", "DescopeRefresh": "__Host-DSR"}


def test_add_openapi_security_completes_a_mounted_app(make_env: EnvFactory) -> None:
    """A mounted app has its own document, which the plugin cannot find."""
    env, mounted = make_env(cookie_prefix="__Host-", public_url="https://app.example.com"), FastAPI()
    add_routes(mounted)
    env.app.mount("/api", mounted)
    env.descope.add_openapi_security(mounted)

    assert _cookie_names(mounted) == {"DescopeSession": "__Host-DS"}
    assert _security(mounted, "/me") == [COOKIE, BEARER]


def test_without_add_openapi_security_the_default_cookie_is_listed() -> None:
    """Without the call, FastAPI documents the default cookie name."""
    app = FastAPI()
    app.include_router(_descope().router, prefix="/auth")
    add_routes(app)

    assert _security(app, "/me") == [COOKIE]
    assert _cookie_names(app)["DescopeSession"] == "DS"
    assert "/auth/login/sso" in app.openapi()["paths"]


def test_the_routes_of_the_plugin_are_described(make_env: EnvFactory) -> None:
    """Parameters that the endpoints parse themselves, responses, and problem documents."""
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
    for path, method in (("/login/sso", "get"), ("/callback", "get"), ("/logout", "post")):
        assert "content" not in paths[path][method]["responses"]["303"], path
    assert paths["/tenant/select"]["post"]["responses"]["303"] == {"description": "A redirect, for a form"}
    problem = paths["/session"]["get"]["responses"]["401"]["content"]
    assert list(problem) == ["application/problem+json"]
    schema = paths["/session"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/SessionOut"}


def test_a_requirement_is_documented_as_a_required_session(make_env: EnvFactory) -> None:
    """A dependency without an alias is documented too."""
    env = make_env(routes=no_routes)
    env.app.get("/admins", dependencies=[Depends(require_roles("admin"))])(lambda: None)

    assert env.app.openapi()["paths"]["/admins"]["get"]["security"][0] == {"DescopeSession": []}
