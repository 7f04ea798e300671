"""Requests to an app with public and private endpoints at similar paths (HP-07)."""

from collections.abc import Callable
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from fastapi_descope import public

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "get")

_OPEN = (
    "/about",
    "/class",
    "/plain",
    "/files/a/b.css",
    "/early/open",
    "/api/status",
    "/api/v1/ping",
    "/sub/open",
    "/sub/deep/open",
    "/t/acme/open",
    "/rooted/open",
    "/group/open",
    "/both",
    "/ws/open",
    "/own-router/open",
)
_PRIVATE = (
    "/",
    "/reports",
    "/early/other",
    "/late/open",
    "/api/reports",
    "/api/v1/reports",
    "/sub/reports",
    "/sub/deep/reports",
    "/t/acme/reports",
    "/rooted/reports",
    "/group/reports",
    "/subclass",
    "/ws/closed",
    "/docs",
    "/openapi.json",
    "/nothing/at/all",
)

_VARIANTS: tuple[Callable[[str], str], ...] = (
    lambda path: path,
    lambda path: path + "/",
    lambda path: path + "//",
    lambda path: "/" + path,
    lambda path: "//evil.example" + path,
    lambda path: "/." + path,
    lambda path: "/x/.." + path,
    lambda path: path + "/..",
    lambda path: path + "/../reports",
    lambda path: path + "/%2e%2e/reports",
    lambda path: path + "%2f..%2freports",
    lambda path: path + "/..%5creports",
    lambda path: path.upper(),
    lambda path: path + ";x",
    lambda path: path + ";/../reports",
    lambda path: path + "%0a",
    lambda path: path + "%0d%0a",
    lambda path: path + "%00",
    lambda path: path + "%20",
    lambda path: path + "%23",
    lambda path: path + "%3f",
    lambda path: path + "%3fx=/about",
    lambda path: path + ".json",
    lambda path: path + "/reports",
    lambda path: path.replace("/", "%2f"),
    lambda path: path.replace("/", "\\"),
    lambda path: path.replace("/", "/%2f"),
    lambda path: path[:-1] + quote(quote("%" + f"{ord(path[-1]):02x}", safe="%"), safe=""),
    lambda path: path.replace("o", "ο"),  # noqa: RUF001 - a Greek letter
    lambda path: path[:-1],
    lambda path: path[1:],
    lambda path: "/about" + path,
    lambda path: "/sub" + path,
    lambda path: "/sub/sub" + path,
    lambda path: "/api" + path,
    lambda path: "/t/.." + path,
    lambda path: "/root" + path,
)

PATHS = tuple(dict.fromkeys(variant(path) for path in (*_OPEN, *_PRIVATE) for variant in _VARIANTS))
ROOT_PATHS = ("", "/root", "/about", "/sub")
REQUESTS = tuple((method, "") for method in METHODS) + tuple(("GET", path) for path in ROOT_PATHS[1:])
"""Methods and root paths. Each is tried with every path."""

HOSTS = (b"other.example", b"OTHER.example:443", b"other.example.evil.example")


def add_routes(app: FastAPI, ran: list[str]) -> None:
    """Add the routes. Endpoints add their name to ``ran``; the names of public ones begin with ``public``."""
    app.openapi = dict  # type: ignore[method-assign] # generating it takes long, and its content is not tested
    _add_routes(app, ran)
    _add_routers(app, ran)
    _add_mounts(app, ran)
    _add_starlette_routes(app, ran)
    app.get("/{section}")(_endpoint(ran, "section"))
    app.get("/late/open")(public(_endpoint(ran, "public late")))
    app.get("/{first}/{second:path}")(_endpoint(ran, "anything"))


def _endpoint(ran: list[str], name: str) -> Callable[[Request], PlainTextResponse]:
    def endpoint(request: Request) -> PlainTextResponse:
        ran.append(name)
        return PlainTextResponse(name)

    return endpoint


def _add_routes(app: FastAPI, ran: list[str]) -> None:
    app.get("/about")(public(_endpoint(ran, "public about")))
    app.api_route("/about", methods=["POST", "OPTIONS"])(_endpoint(ran, "about"))
    app.get("/files/{path:path}")(public(_endpoint(ran, "public files")))
    app.get("/early/{name}")(_endpoint(ran, "early"))
    app.get("/early/open")(public(_endpoint(ran, "public, but shadowed")))
    app.api_route("/late/open", methods=["GET"])(_endpoint(ran, "late"))
    app.get("/both")(_endpoint(ran, "both"))
    app.websocket("/both")(public(_socket(ran, "public socket")))
    app.websocket("/ws/open")(public(_socket(ran, "public socket")))
    app.websocket("/ws/{name}")(_socket(ran, "socket"))
    app.websocket("/about")(_socket(ran, "socket"))


def _socket(ran: list[str], name: str) -> Callable[[WebSocket], object]:
    async def endpoint(socket: WebSocket) -> None:
        ran.append(name)
        await socket.accept()
        await socket.close()

    return endpoint


def _add_routers(app: FastAPI, ran: list[str]) -> None:
    inner = APIRouter(prefix="/v1")
    inner.get("/ping")(public(_endpoint(ran, "public ping")))
    inner.api_route("/{name}", methods=["GET", "POST"])(_endpoint(ran, "v1"))
    router = APIRouter()
    router.include_router(inner)
    router.api_route("/status", methods=["GET", "HEAD"])(public(_endpoint(ran, "public status")))
    router.api_route("/{name}", methods=["GET", "DELETE"])(_endpoint(ran, "api"))
    app.include_router(router, prefix="/api")


def _sub_app(ran: list[str], name: str) -> FastAPI:
    app = FastAPI()
    app.get("/open")(public(_endpoint(ran, f"public {name}")))
    app.post("/open")(_endpoint(ran, name))
    app.get("/{name}")(_endpoint(ran, name))
    app.get("/sub/{name}")(_endpoint(ran, name))
    app.get("/rooted/open")(_endpoint(ran, name))
    return app


def _add_mounts(app: FastAPI, ran: list[str]) -> None:
    sub = _sub_app(ran, "sub")
    sub.mount("/deep", _sub_app(ran, "deep"))
    app.mount("/sub", sub)
    app.mount("/t/{org}", _sub_app(ran, "of a tenant"))
    rooted = _sub_app(ran, "rooted")
    rooted.root_path = "/elsewhere"
    app.mount("/rooted", rooted)
    group = Router(
        [Route("/open", public(_endpoint(ran, "public group"))), Route("/{x}", _endpoint(ran, "group"))]
    )
    app.routes.append(Mount("/group", app=group))
    own = APIRouter()
    own.get("/open")(public(_endpoint(ran, "public own")))
    own.get("/{name}")(_endpoint(ran, "own"))
    app.mount("/own-router", own)
    app.routes.append(Host("other.example", app=_sub_app(ran, "other host")))


def _add_starlette_routes(app: FastAPI, ran: list[str]) -> None:
    @public
    class Page(HTTPEndpoint):
        """Handles every method, and all of them are public."""

        name = "public class"

        async def get(self, request: Request) -> PlainTextResponse:
            """Respond to GET."""
            ran.append(self.name)
            return PlainTextResponse("page")

        async def method_not_allowed(self, request: Request) -> PlainTextResponse:
            """Respond to any other method."""
            ran.append(self.name)
            return PlainTextResponse("no such method", 405)

    class Inherited(Page):
        """Is not marked, although its base is."""

        name = "subclass"

    app.routes.append(Route("/class", Page))
    app.routes.append(Route("/subclass", Inherited))
    app.routes.append(Route("/plain", public(_endpoint(ran, "public plain"))))
