"""A requirement that checks nothing: the app does not start, and no route is open (F-4, TN-14)."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial, wraps
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import fastapi_descope
from fastapi_descope import (
    AuthSession,
    ConfigurationError,
    CurrentUser,
    current_user,
    get_auth_session,
    require_mfa,
    require_roles,
)
from fastapi_descope._web.routes.checks import RouteChecks, check_routes
from tests.helpers.app_harness import EnvFactory

ADMINS = require_roles("admin")
Handler = Callable[..., object]


def called_in_the_handler() -> None:
    """A handler."""
    require_roles("admin")


def called_as_an_attribute() -> None:
    """A handler."""
    fastapi_descope.require_roles("admin")


def not_awaited(request: Request) -> None:
    """A handler."""
    ADMINS(request)  # type: ignore[unused-coroutine]


async def result_not_awaited(request: Request) -> object:
    """A handler."""
    session = get_auth_session(request)
    return {"session": str(session)}


def depends_in_the_code() -> None:
    """A handler."""
    Depends(ADMINS)


def alone() -> None:
    """A handler."""
    ADMINS  # noqa: B018 # pyright: ignore[reportUnusedExpression]


def returned() -> object:
    """A dependency."""
    return require_roles("admin")


def returned_ready() -> object:
    """A dependency."""
    return ADMINS


def returned_in_a_list(*, is_strict: bool) -> object:
    """A dependency."""
    return [ADMINS] if is_strict else []


def returned_unawaited(request: Request) -> object:
    """A dependency."""
    return current_user(request)


def yielded() -> Iterator[object]:
    """A dependency."""
    yield require_mfa()


class AdminChecker:
    """A dependency that makes another one for each request."""

    def __init__(self) -> None:
        self.dependency = require_roles("admin")


class AdminDependency:
    """A dependency that returns another one."""

    def __init__(self) -> None:
        self.dependency = ADMINS

    def __call__(self) -> object:
        """Return it."""
        return self.dependency

    def method(self) -> object:
        """Return it."""
        return self.dependency


def _in_a_closure() -> Handler:
    admins = require_roles("admin")
    return lambda: admins


def _wrapped() -> Handler:
    @wraps(returned)
    def wrapper() -> object:
        return returned()

    return wrapper


MISTAKES: Mapping[str, Handler] = {
    "factory called": called_in_the_handler,
    "factory called as an attribute": called_as_an_attribute,
    "called, not awaited": not_awaited,
    "result not awaited": result_not_awaited,
    "Depends in the code": depends_in_the_code,
    "a statement of its own": alone,
    "factory returned": returned,
    "dependency returned": returned_ready,
    "returned in a list": returned_in_a_list,
    "coroutine returned": returned_unawaited,
    "yielded": yielded,
    "class": AdminChecker,
    "instance": AdminDependency(),
    "method": AdminDependency().method,
    "lambda": lambda: ADMINS,
    "factory in a lambda": lambda: require_roles("admin"),
    "closure": _in_a_closure(),
    "wrapped": _wrapped(),
    "partial": partial(returned_in_a_list, is_strict=True),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("place", ["dependency of a route", "parameter", "indirect", "app"])
def test_tn14_dependency_that_checks_nothing_is_an_error(mistake: str, place: str) -> None:
    """Wherever FastAPI calls it."""
    call = MISTAKES[mistake]

    async def indirect(value: Annotated[object, Depends(call)]) -> None: ...

    async def parameter(value: Annotated[object, Depends(call)]) -> None: ...

    app = FastAPI(dependencies=[Depends(call)] if place == "app" else [])
    used = {"dependency of a route": call, "indirect": indirect}.get(place)
    handler = parameter if place == "parameter" else _nothing
    app.get("/admin", dependencies=[Depends(used)] if used else [])(handler)

    with pytest.raises(ConfigurationError, match=r"^/admin: .*Depends"):
        RouteChecks().raise_on_errors(app)


@pytest.mark.parametrize("mistake", ["factory called", "called, not awaited", "Depends in the code"])
def test_tn14_handler_that_checks_nothing_is_an_error(mistake: str) -> None:
    """In handlers of FastAPI and Starlette alike."""
    app = FastAPI()
    app.get("/admin")(MISTAKES[mistake])
    app.router.routes.append(Route("/plain", MISTAKES[mistake]))

    assert [each.partition(":")[0] for each in check_routes(app)] == ["/admin", "/plain"]


def test_tn14_dependency_without_depends_is_an_error() -> None:
    """FastAPI takes it for the default of a query parameter, or ignores it."""
    app = FastAPI()

    @app.get("/default")
    async def default(admin: object = ADMINS) -> None: ...

    @app.get("/annotation")
    async def annotation(admin: Annotated[str, ADMINS] = "") -> None: ...

    assert list(check_routes(app)) == [
        f"{path}: the parameter admin has a dependency without Depends(), which checks nothing"
        for path in ("/default", "/annotation")
    ]


def test_tn14_annotation_in_place_of_a_dependency_is_an_error() -> None:
    """As a default it would leave the route open. ``Depends`` would call the class ``User``."""
    app = FastAPI()
    user_annotation: Any = CurrentUser
    text_annotation: Any = Annotated[str, "of the app"]

    @app.get("/default")
    async def default(user: object = CurrentUser) -> None: ...

    @app.get("/depends")
    async def depends(user: Annotated[object, Depends(user_annotation)]) -> None: ...

    @app.get("/own")
    async def own(value: Annotated[object, Depends(text_annotation)]) -> None: ...

    default_error, depends_error = check_routes(app)
    assert default_error.startswith("/default: the parameter user has an annotation as its default")
    assert depends_error.startswith("/depends: Depends() has an annotation, which is no dependency")


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_tn14_dependency_as_a_decorator_is_an_error() -> None:
    """Above the decorator of the route it gets the handler as its request, and nothing runs it."""
    app = FastAPI()

    @require_roles("admin")  # type: ignore[arg-type]
    @app.get("/factory")
    async def factory() -> None: ...

    @ADMINS  # type: ignore[arg-type]
    @app.get("/ready")
    async def ready() -> None: ...

    assert [each.partition(" checks nothing")[0] for each in check_routes(app)] == [
        "/factory: @require_roles",
        "/ready: @ADMINS",
    ]


async def _nothing() -> None:
    """A handler."""


async def _authorize(dependency: Callable[[Request], Awaitable[AuthSession]], request: Request) -> None:
    await dependency(request)


def test_tn14_correct_uses_are_accepted() -> None:
    """Awaited, passed on, or compared."""
    app = FastAPI()

    @app.get("/awaited")
    async def awaited(request: Request) -> str:
        return (await current_user(request)).id if await get_auth_session(request) else ""

    @app.get("/gathered")
    async def gathered(request: Request) -> None:
        await asyncio.gather(ADMINS(request), _authorize(ADMINS, request), *[current_user(request)])

    @app.get("/waited")
    async def waited(request: Request) -> None:
        await asyncio.wait_for(fut=ADMINS(request), timeout=1)

    @app.get("/named")
    async def named(request: Request) -> bool:
        dependency = ADMINS
        await dependency(request)
        return ADMINS in app.dependency_overrides

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await ADMINS(socket)

    app.get("/later")(_with_an_unassigned_name())
    app.add_route("/class", PlainTextResponse("an ASGI app"))  # type: ignore[arg-type]

    assert list(check_routes(app)) == []
    checks = RouteChecks()
    checks.raise_on_errors(app)
    checks.raise_on_errors(app)  # at the first request, after the lifespan: not read again


def _with_an_unassigned_name() -> Handler:
    async def handler() -> None:
        await later()

    if ADMINS.mfa:
        later = _nothing
    return handler


def test_tn14_code_without_source_is_searched_for_factories() -> None:
    """A container may have bytecode only. Findings that need the source are then missing."""
    found: dict[str, Any] = {"require_roles": require_roles, "admins": ADMINS}
    exec("def made(): return require_roles('admin')\ndef ready(): return admins", found)  # noqa: S102
    app = FastAPI()
    app.get("/made", dependencies=[Depends(found["made"])])(_nothing)
    app.get("/ready", dependencies=[Depends(found["ready"])])(_nothing)

    assert [each.partition(":")[0] for each in check_routes(app)] == ["/made"]


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/direct", "/helper", "/helper-in-a-thread", "/dependency"])
async def test_tn14_factory_called_in_a_request_never_opens_a_route(
    make_env: EnvFactory, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Start-up cannot see into the functions that a handler calls."""
    reached: list[str] = []

    def helper() -> object:
        return getattr(fastapi_descope, "require" + "_roles")("admin")

    def routes(app: FastAPI) -> None:
        @app.get("/direct")
        async def direct() -> None:
            getattr(fastapi_descope, "require" + "_roles")("admin")
            reached.append("/direct")

        @app.get("/helper")
        async def in_helper() -> None:
            helper()
            reached.append("/helper")

        @app.get("/helper-in-a-thread")
        def in_thread() -> None:
            helper()
            reached.append("/helper-in-a-thread")

        @app.get("/dependency", dependencies=[Depends(helper)])
        async def dependency() -> None:
            reached.append("/dependency")

    env = make_env(routes=routes)
    browser = await env.signed_in_browser()

    response = await browser.get(path)

    assert (response.status_code, response.json()["code"]) == (500, "configuration_error")
    assert reached == []
    assert any("require_roles() checks nothing" in message for message in caplog.messages)


@pytest.mark.anyio
async def test_tn14_module_that_a_handler_imports_may_have_routes(
    make_env: EnvFactory, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late import avoids a circular one. After the request, factories work everywhere."""
    source = "from fastapi_descope import require_roles\nADMINS = require_roles('late')\n"
    (tmp_path / "late_routes.py").write_text(source)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def routes(app: FastAPI) -> None:
        @app.get("/import")
        async def late() -> None:
            __import__("late_routes")

    env = make_env(routes=routes)

    assert (await env.browser().get("/import")).status_code == 200
    assert require_roles("late") is require_roles("late")


@pytest.mark.anyio
async def test_tn14_without_a_lifespan_the_first_request_finds_the_mistake(make_env: EnvFactory) -> None:
    """A mounted app has none, and serverless platforms run none. The app serves no request."""

    def routes(app: FastAPI) -> None:
        app.get("/admin", dependencies=[Depends(returned_ready)])(_nothing)
        app.get("/other")(_nothing)

    env = make_env(routes=routes)

    for path in ("/admin", "/other", "/admin"):
        response = await env.browser().get(path)
        assert (response.status_code, response.json()["code"]) == (500, "configuration_error")
