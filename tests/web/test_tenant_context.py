"""``tenant_id_var`` (TN-13): the tenant for code that has no request, and None outside of requests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextvars import Context, copy_context
from typing import Annotated

import anyio
import anyio.to_thread
import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_descope import (
    CurrentSession,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    Forbidden,
    Login,
    OptionalUser,
    current_session,
    require_roles,
    tenant_id_var,
)
from tests.helpers.app_harness import APP, AppHarness, Browser, EnvFactory, no_routes
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

USERS = {"acme": "ada@acme.example", "globex": "ada@acme.example", None: "nomad@example.org"}


def _bearer(env: AppHarness, tenant: str | None = "acme") -> str:
    return f"Bearer {env.emulator.issue(USERS[tenant], tenant=tenant).session_jwt}"


async def _seen_in(env: AppHarness, path: str, tenant: str | None = "acme") -> object:
    """Return what the route responds, and check that the context of the server is unchanged."""
    response = await env.browser().get(path, authorization=_bearer(env, tenant))
    assert response.status_code == 200, response.text
    assert tenant_id_var.get() is None
    return response.json()


def _repository() -> str | None:
    """Stand for code that has no request."""
    return tenant_id_var.get()


def _handlers(app: FastAPI) -> None:
    _add_functions(app)
    _add_concurrent(app)
    dependencies: dict[str, Callable[..., object]] = {
        "/dependency": _dependency,
        "/resource": _resource,
        "/connection": _connection,
        "/optional": _optional,
    }
    for path, dependency in dependencies.items():
        app.get(path)(_identity(dependency))


def _dependency(session: CurrentSession) -> str | None:
    return _repository()


def _optional(user: OptionalUser) -> str | None:
    return _repository()


def _resource(session: CurrentSession) -> Iterator[str | None]:
    yield _repository()


async def _connection(session: CurrentSession) -> AsyncIterator[str | None]:
    yield _repository()


def _identity(dependency: Callable[..., object]) -> Callable[..., object]:
    async def endpoint(value: Annotated[str | None, Depends(dependency)]) -> str | None:
        return value

    return endpoint


def _add_functions(app: FastAPI) -> None:
    @app.get("/async", dependencies=[Depends(current_session)])
    async def coroutine() -> str | None:
        return _repository()

    @app.get("/sync", dependencies=[Depends(current_session)])
    def thread() -> str | None:
        return _repository()


def _add_concurrent(app: FastAPI) -> None:
    @app.get("/task")
    async def task(session: CurrentSession) -> str | None:
        async def work() -> str | None:
            await asyncio.sleep(0)
            return _repository()

        return await asyncio.create_task(work())

    @app.get("/to-thread")
    async def to_thread(session: CurrentSession) -> list[str | None]:
        return [await asyncio.to_thread(_repository), await anyio.to_thread.run_sync(_repository)]

    @app.get("/executor")
    async def executor(session: CurrentSession) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(None, copy_context().run, _repository)


@pytest.mark.parametrize("tenant", ["acme", "globex", None])
@pytest.mark.parametrize(
    "path", ["/async", "/sync", "/dependency", "/resource", "/connection", "/optional", "/task", "/executor"]
)
async def test_tn13_tenant_is_seen_by_all_code_that_a_handler_runs(
    make_env: EnvFactory, path: str, tenant: str | None
) -> None:
    """In coroutines, tasks, threads and dependencies; None for a user without a current tenant."""
    assert await _seen_in(make_env(routes=_handlers), path, tenant) == tenant


async def test_tn13_tenant_is_seen_in_threads_that_copy_the_context(make_env: EnvFactory) -> None:
    """``asyncio.to_thread`` and anyio's counterpart copy it."""
    assert await _seen_in(make_env(routes=_handlers), "/to-thread") == ["acme", "acme"]


def _late(app: FastAPI) -> None:
    app.state.seen = {}
    _add_streams(app)

    def record(name: str) -> None:
        app.state.seen[name] = _repository()

    @app.get("/background")
    async def background(session: CurrentSession, tasks: BackgroundTasks) -> None:
        async def coroutine() -> None:
            record("coroutine")

        tasks.add_task(coroutine)
        tasks.add_task(record, "thread")

    async def closing(session: CurrentSession) -> AsyncIterator[str]:
        yield "open"
        record("cleanup")

    app.get("/cleanup")(_identity(closing))

    @app.get("/orphan")
    async def orphan(session: CurrentSession) -> None:
        async def work() -> None:
            await app.state.gate.wait()
            record("orphan")

        app.state.task = asyncio.create_task(work())


def _add_streams(app: FastAPI) -> None:
    async def chunks() -> AsyncGenerator[str]:
        for _ in range(2):
            await asyncio.sleep(0)
            yield f"{_repository()} "

    def sync_chunks() -> Generator[str]:
        yield f"{_repository()} "
        yield f"{_repository()} "

    @app.get("/stream")
    async def stream(session: CurrentSession) -> StreamingResponse:
        return StreamingResponse(chunks())

    @app.get("/sync-stream")
    def sync_stream(session: CurrentSession) -> StreamingResponse:
        return StreamingResponse(sync_chunks())


async def test_tn13_tenant_is_seen_by_background_tasks(make_env: EnvFactory) -> None:
    """They run after the response and before the request ends for the app."""
    env = make_env(routes=_late)

    await _seen_in(env, "/background")

    assert env.app.state.seen == {"coroutine": "acme", "thread": "acme"}


@pytest.mark.parametrize("path", ["/stream", "/sync-stream"])
async def test_tn13_tenant_is_seen_by_the_whole_body_of_a_stream(make_env: EnvFactory, path: str) -> None:
    """The first chunk and the last."""
    env = make_env(routes=_late)

    response = await env.browser().get(path, authorization=_bearer(env))

    assert response.text == "acme acme "


async def test_tn13_tenant_is_seen_by_the_cleanup_of_a_dependency(make_env: EnvFactory) -> None:
    """A database session commits there."""
    env = make_env(routes=_late)

    assert await _seen_in(env, "/cleanup") == "open"
    assert env.app.state.seen == {"cleanup": "acme"}


async def test_tn13_task_that_outlives_its_request_keeps_its_tenant(make_env: EnvFactory) -> None:
    """It has a context of its own, and the context of the server is empty."""
    env = make_env(routes=_late)
    env.app.state.gate = asyncio.Event()

    await _seen_in(env, "/orphan")
    await _seen_in(env, "/background", "globex")
    env.app.state.gate.set()
    await env.app.state.task

    assert env.app.state.seen["orphan"] == "acme"


async def test_tn13_concurrent_requests_of_two_tenants_see_their_own(make_env: EnvFactory) -> None:
    """Two hundred requests that overlap, in tasks and in threads."""
    env = make_env(routes=no_routes)
    everyone_is_here = asyncio.Event()
    arrived = 0

    def _read(session: CurrentSession) -> str | None:
        return _repository()

    @env.app.get("/overlap")
    async def overlap(in_thread: str | None = Depends(_read)) -> list[str | None]:
        nonlocal arrived
        arrived += 1
        if arrived == 200:
            everyone_is_here.set()
        await everyone_is_here.wait()
        return [in_thread, _repository(), await asyncio.to_thread(_repository)]

    tenants = ["acme", "globex", None, "globex"] * 50
    browser, bearers = env.browser(), {tenant: _bearer(env, tenant) for tenant in USERS}
    responses = await asyncio.gather(
        *(browser.get("/overlap", authorization=bearers[tenant]) for tenant in tenants)
    )

    assert [response.json() for response in responses] == [[tenant] * 3 for tenant in tenants]
    assert tenant_id_var.get() is None


def _refusing(app: FastAPI) -> None:
    seen: list[str | None] = []
    app.state.seen = seen

    @app.exception_handler(Exception)
    async def on_crash(request: Request, error: Exception) -> PlainTextResponse:
        seen.append(_repository())
        return PlainTextResponse("sorry", 500)

    @app.get("/crash", dependencies=[Depends(current_session)])
    async def crash() -> None:
        raise RuntimeError

    @app.get("/forbidden", dependencies=[Depends(require_roles("owner"))])
    async def forbidden() -> None: ...

    @app.get("/refused")
    async def refused(session: CurrentSession) -> None:
        raise Forbidden

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> str | None:
        return _repository()

    @app.get("/open")
    async def open_to_all() -> str | None:
        return _repository()


@pytest.mark.parametrize(("path", "status"), [("/crash", 500), ("/forbidden", 403), ("/refused", 403)])
async def test_tn13_tenant_is_gone_after_a_request_that_failed(
    make_env: EnvFactory, path: str, status: int
) -> None:
    """Whether the handler crashed, a requirement was not met, or the handler refused."""
    env = make_env(routes=_refusing)
    transport = httpx.ASGITransport(env.app, raise_app_exceptions=False)
    browser = Browser(httpx.AsyncClient(transport=transport))

    response = await browser.get(path, authorization=_bearer(env))

    assert response.status_code == status
    assert tenant_id_var.get() is None
    assert env.app.state.seen == ([None] if status == 500 else [])


async def test_tn13_tenant_is_gone_after_a_cancelled_request(make_env: EnvFactory) -> None:
    """As after any other, in the context that ran it."""
    env = make_env(routes=no_routes)
    reached = asyncio.Event()

    @env.app.get("/wait", dependencies=[Depends(current_session)])
    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    context = Context()
    browser, bearer = env.browser(), _bearer(env)
    request = asyncio.get_running_loop().create_task(
        browser.get("/wait", authorization=bearer), context=context
    )
    await reached.wait()
    assert context[tenant_id_var] == "acme"
    request.cancel()
    await asyncio.wait([request])

    assert tenant_id_var not in context


@pytest.mark.parametrize("path", ["/maybe", "/open"])
async def test_tn13_unauthenticated_request_has_no_tenant(make_env: EnvFactory, path: str) -> None:
    """Even if the code that sends it, within the process, has one."""
    env = make_env(routes=_refusing)

    tenant_id_var.set("acme")
    response = await env.browser().get(path)

    assert response.json() is None
    assert tenant_id_var.get() == "acme"
    assert (await env.browser().get("/forbidden")).status_code == 401


async def test_tn13_tenant_is_unknown_until_the_session_is_read(make_env: EnvFactory) -> None:
    """A public page reads no session, so it has no tenant, even if the user has one."""
    assert await _seen_in(make_env(routes=_refusing), "/open") is None
    assert await _seen_in(make_env(routes=_refusing), "/maybe") == "acme"


async def test_tn13_protected_app_has_the_tenant_everywhere(make_env: EnvFactory) -> None:
    """``protect`` reads the session of each request, so handlers need no dependency."""
    env = make_env(routes=_refusing)
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)

    assert await _seen_in(env, "/open") == "acme"


class _Watching(BaseHTTPMiddleware):
    """Middleware that runs the rest of the app in a task of its own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Record the tenant before and after the rest of the app has run."""
        request.app.state.seen.append(_repository())
        response = await call_next(request)
        request.app.state.seen.append(_repository())
        return response


@pytest.mark.parametrize("protect", [False, True])
@pytest.mark.parametrize("position", ["inner", "outer"])
async def test_tn13_tenant_passes_middleware_that_starts_a_task(
    make_env: EnvFactory, position: str, *, protect: bool
) -> None:
    """``BaseHTTPMiddleware`` copies the context. If it is inner, it sees the tenant of a protected app."""
    app, seen = FastAPI(), list[str | None]()
    app.state.seen = seen
    if position == "inner":
        app.add_middleware(_Watching)
    env = make_env(app=app, routes=_handlers)
    if protect:
        app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)
    if position == "outer":
        app.add_middleware(_Watching)

    assert await _seen_in(env, "/async") == "acme"
    assert await _seen_in(env, "/sync", "globex") == "globex"
    inherited = protect and position == "inner"
    assert seen == (["acme", "acme", "globex", "globex"] if inherited else [None] * 4)


async def test_tn13_mounted_app_with_its_own_descope_has_its_own_tenant(make_env: EnvFactory) -> None:
    """It is another project: its requests have no tenant before its session is read."""
    seen: list[str | None] = []
    inner = FastAPI()
    Descope(inner, settings=DescopeSettings(project_id="P" + "b" * 27, public_url=APP))

    @inner.get("/open")
    async def open_to_all() -> str | None:
        return _repository()

    env = make_env(routes=no_routes)
    env.app.mount("/sub", inner)

    class Recording:
        """Records the tenant before and after the rest of the app runs, in the same task."""

        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Handle one connection."""
            seen.append(_repository())
            await self.app(scope, receive, send)
            seen.append(_repository())

    stack = env.app.user_middleware
    env.app.add_middleware(Recording)
    stack.append(stack.pop(0))  # inside DescopeMiddleware
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)

    assert await _seen_in(env, "/sub/open") is None
    assert seen == ["acme", "acme"]


async def test_tn13_mounted_app_with_the_same_descope_has_the_same_tenant(make_env: EnvFactory) -> None:
    """It is the same session, whichever of the two apps reads it."""
    env, inner = make_env(routes=no_routes), FastAPI()
    inner.add_middleware(DescopeMiddleware, descope=env.descope)

    @inner.get("/open")
    async def open_to_all() -> str | None:
        return _repository()

    env.app.mount("/sub", inner)
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)

    assert await _seen_in(env, "/sub/open") == "acme"


async def test_tn13_websocket_has_the_tenant_while_it_is_open(make_env: EnvFactory) -> None:
    """In each message, and no longer when it has ended."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        for _ in range(2):
            await socket.receive_text()
            await socket.send_text(str(_repository()))

    seen: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await env.app(scope, receive, send)
        seen.append(_repository())

    socket = WebSocketClient(app, [(b"authorization", _bearer(env).encode())])
    await socket.open()
    for _ in range(2):
        socket.send_text("")
        assert (await socket.next())["text"] == "acme"
    await socket.wait()

    assert seen == [None]


async def test_tn13_next_request_after_a_tenant_switch_has_the_new_tenant(make_env: EnvFactory) -> None:
    """The switch itself still belongs to the former one."""
    env = make_env(routes=_handlers)
    browser = await env.signed_in_browser()

    before = (await browser.get("/async")).json()
    assert (await browser.post("/tenant/select", {"tenant": "globex"})).status_code == 200

    assert [before, (await browser.get("/async")).json()] == ["acme", "globex"]


async def test_tn13_refresh_during_a_request_keeps_the_tenant_of_its_session(make_env: EnvFactory) -> None:
    """Near the expiry a refresh runs concurrently, and the response has its cookies."""
    env = make_env(routes=_handlers)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(570)

    response = await browser.get("/async")

    assert len(response.headers.get_list("set-cookie")) == 2
    assert response.json() == "acme"
    assert tenant_id_var.get() is None


async def test_tn13_login_hook_has_the_tenant_of_the_new_session(make_env: EnvFactory) -> None:
    """The hook may write to the tables of that tenant. The callback has no session of its own yet."""
    env = make_env()
    seen: list[str | None] = []

    @env.descope.on_login
    async def provision(request: Request, login: Login) -> None:
        seen.append(_repository())

    await env.browser().sign_in(tenant="globex")

    assert seen == ["globex"]
    assert tenant_id_var.get() is None
