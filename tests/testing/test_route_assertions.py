"""``assert_all_routes_protected`` fails for routes that are open by mistake, and for outdated lists."""

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket

from fastapi_descope import Descope, DescopeSettings, current_user, public, require_roles
from fastapi_descope.testing import assert_all_routes_protected

SETTINGS = DescopeSettings(project_id="P" + "a" * 27)


async def _nothing() -> None: ...


def _app(*, protect: bool = False) -> FastAPI:
    """An app with two open routes, one of them in a router, and protected and marked ones."""
    app, router = FastAPI(), APIRouter(prefix="/v1")
    Descope(app, settings=SETTINGS, protect=protect, public_paths=["/health"] if protect else [])
    app.get("/admin", dependencies=[Depends(require_roles("admin"))])(_nothing)
    app.get("/health")(_nothing)
    app.get("/about")(public(lambda: None))
    router.api_route("/things/{thing_id}", methods=["PUT", "GET"])(_nothing)
    app.include_router(router)

    @app.websocket("/feed")
    async def feed(socket: WebSocket) -> None: ...

    return app


def test_unprotected_routes_are_listed() -> None:
    """With method, path and remedy. Marked endpoints and the plugin's own routes are not listed."""
    with pytest.raises(AssertionError) as caught:
        assert_all_routes_protected(_app(), public={"/health"})

    assert str(caught.value).splitlines() == [
        "These routes require no session:",
        "    GET /openapi.json",
        "    GET /docs",
        "    GET /docs/oauth2-redirect",
        "    GET /redoc",
        "    GET,PUT /v1/things/{thing_id}",
        "    WS /feed",
        (
            "Protect them, mark the endpoints with @public, or add the paths to public={...},"
            " or pass public_docs=True."
        ),
    ]


def test_listed_routes_may_be_public() -> None:
    """By exact path, by a subtree, and FastAPI's documentation by a flag."""
    assert_all_routes_protected(_app(), public={"/health", "/v1/*", "/feed"}, public_docs=True)


def test_protection_by_default_leaves_nothing_to_list() -> None:
    """Public paths of the middleware are listed, because a test is the second place that names them."""
    assert_all_routes_protected(_app(protect=True), public=["/health"])

    with pytest.raises(AssertionError, match="GET /health") as caught:
        assert_all_routes_protected(_app(protect=True))
    assert "public_docs" not in str(caught.value)


@pytest.mark.parametrize("outdated", ["/helth", "/admin", "/health/", "/v2/*", "/login/sso"])
def test_outdated_path_is_an_error(outdated: str) -> None:
    """No route has it any more, or the route is protected: then the list would hide a later mistake."""
    with pytest.raises(AssertionError) as caught:
        assert_all_routes_protected(_app(protect=True), public=["/health", outdated])

    assert str(caught.value) == f"No public route has the path {outdated!r}: remove it from public={{...}}."


def test_marked_endpoint_may_be_listed_too() -> None:
    """It is a public route."""
    assert_all_routes_protected(_app(protect=True), public=["/health", "/about"])


def test_app_with_a_guard_on_everything_passes() -> None:
    """A session may be required by dependencies instead of the middleware."""
    app = FastAPI(dependencies=[Depends(current_user)], openapi_url=None)
    app.get("/reports")(_nothing)

    assert_all_routes_protected(app)
