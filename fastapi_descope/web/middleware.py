"""The ASGI middleware: opens the session of a request, answers our errors, sends our cookies."""

from collections.abc import Iterable
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ConfigurationError, DescopeError, SessionEnded
from ..redaction import redact_span
from .pending_session import PendingSession, Sessions
from .responses import SECRET_PATHS, ErrorResponses
from .websocket_session import WebSocketSession

__all__ = ["DescopeMiddleware"]

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class _Installed(Protocol):
    """What the middleware needs of a ``Descope`` object."""

    @property
    def sessions(self) -> Sessions: ...

    @property
    def errors(self) -> ErrorResponses: ...


class DescopeMiddleware:
    """Puts the session of each request within reach, and writes its cookies when the response starts.

    Pure ASGI: bodies are never buffered (WS-06) and background tasks are never touched. Nothing is read
    or asked unless the app asks (``CurrentUser``, ``await get_session(request)``), except with
    ``protect``: then every path needs a signed-in user but ``public_paths`` and the plugin's own routes.
    A public path is one exact path, or with ``/*`` at its end everything below it; case matters, and a
    path with dot segments or doubled slashes is below nothing (HP-02).

    Lifespan and unknown scopes pass through untouched (WS-07), and so do preflight requests (CS-10).
    Raises ``ConfigurationError`` for a public path that does not start with a slash.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        descope: _Installed,
        protect: bool = False,
        public_paths: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._sessions = descope.sessions
        self._errors = descope.errors
        self._protect = protect
        self._public = _PublicPaths(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        pending = self._sessions.open(scope)
        if scope["path"].endswith(SECRET_PATHS):
            redact_span()
        started = False

        async def send_with_cookies(message: Message) -> None:
            nonlocal started
            if message["type"] in _STARTS:
                await pending.start_response(message)
                started = True
            await send(message)

        try:
            await self._serve(pending, scope, receive, send_with_cookies)
        except DescopeError as error:
            if isinstance(error, SessionEnded):
                pending.clear()
            if started and scope["type"] == "http":
                raise  # half a response is out: the server has to cut it off
            answer = self._errors.answer(error, pending, scope, started=started)
            await answer(scope, receive, send_with_cookies)
        finally:
            self._sessions.close(scope)

    async def _serve(self, pending: PendingSession, scope: Scope, receive: Receive, send: Send) -> None:
        if self._protect and not self._is_open(pending, scope):
            await pending.require()
        if scope["type"] == "websocket":
            await WebSocketSession(pending, self._sessions.clock).serve(self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_open(self, pending: PendingSession, scope: Scope) -> bool:
        # A preflight; no other method, and no User-Agent, opens anything (HP-06).
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            return True
        path = _path(scope)
        return path in self._public or self._errors.is_own_route(path, pending)


class _PublicPaths:
    """Paths that need no session: exact ones, and whole subtrees."""

    def __init__(self, paths: Iterable[str]) -> None:
        listed = tuple(paths)
        if wrong := [path for path in listed if not path.startswith("/")]:
            raise ConfigurationError(f"A public path starts with a slash; this one does not: {wrong[0]}")
        self._exact = frozenset(path for path in listed if not path.endswith("/*"))
        self._subtrees = tuple(path[:-1] for path in listed if path.endswith("/*"))

    def __contains__(self, path: str) -> bool:
        if path in self._exact:
            return True
        return path.startswith(self._subtrees) and _is_plain(path)


def _is_plain(path: str) -> bool:
    """Whether every server and file system reads ``path`` alike: no dot segment, no doubled slash."""
    segments = path.split("/")[1:-1]
    return (
        not {"", ".", ".."}.intersection(segments) and not path.endswith(("/.", "/..")) and "\\" not in path
    )


def _path(scope: Scope) -> str:
    """The path inside the app: ``scope["path"]`` without ``root_path`` (never ``request.url``, HP-01)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path
