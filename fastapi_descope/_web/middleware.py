"""The ASGI middleware: opens the session of a request, answers our errors, sends our cookies."""

from collections.abc import Iterable
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from .._telemetry.redaction import install as redact_logs
from .._telemetry.redaction import redact_span
from ..errors import ConfigurationError, DescopeError
from .error_middleware import ErrorMiddleware
from .error_responses import ErrorResponses
from .paths import path_in_app
from .request_auth import RequestAuth, RequestAuthFactory
from .route_names import SENSITIVE_PATHS
from .send_wrapper import SendWrapper
from .websocket import WebSocketSession

__all__ = ["DescopeMiddleware"]


class _Installed(Protocol):
    """What the middleware needs of a ``Descope`` object."""

    @property
    def sessions(self) -> RequestAuthFactory: ...

    @property
    def errors(self) -> ErrorResponses: ...


class DescopeMiddleware:
    """Puts the session of each request within reach, and writes its cookies when the response starts.

    Pure ASGI: bodies are never buffered (WS-06) and background tasks are never touched. Nothing is read
    or asked unless the app asks (``CurrentUser``, ``await get_auth_session(request)``), except with
    ``protect``: then every path needs a signed-in user but ``public_paths`` and the plugin's own routes.
    A public path is one exact path, or with ``/*`` at its end everything below it; case matters, and a
    path with dot segments or doubled slashes is below nothing (HP-02).

    What the app added as middleware before stands further in. There our errors pass as exceptions, so what
    catches everything belongs further out; of ``Descope(app)`` they are answered before they get there.

    Preflight requests carry no session, so a ``CORSMiddleware`` has to stand further out (CS-10). Lifespan
    and unknown scopes pass through untouched (WS-07). From its construction on, codes, states and tokens are
    blanked in the lines of uvicorn's logs (LG-01).

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
        self._next = app.app if isinstance(app, ErrorMiddleware) else app
        self._sessions = descope.sessions
        self._errors = descope.errors
        self._protect = protect
        self._public = _PublicPaths(public_paths)
        redact_logs()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif (outer := self._sessions.pending_in(scope, self.app)) is not None:
            await self._guard(
                outer, scope
            )  # this object's middleware a second time: the outer one does the rest
            await self.app(scope, receive, send)
        else:
            await self._open(scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        pending = self._sessions.open(scope, self.app)
        if scope["path"].endswith(SENSITIVE_PATHS):
            redact_span()
        response = SendWrapper(pending.start_response, scope, send)
        try:
            await self._serve(pending, scope, receive, response.send)
            await response.flush()
        except DescopeError as error:
            await self._errors.send(error, pending, response, receive)
        except Exception:
            await response.flush()
            raise
        finally:
            self._sessions.close(scope)

    async def _serve(self, pending: RequestAuth, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(pending, scope)
        if scope["type"] == "websocket":
            await WebSocketSession(pending, self._sessions.core.clock).serve(self._next, scope, receive, send)
        else:
            await self._next(scope, receive, send)

    async def _guard(self, pending: RequestAuth, scope: Scope) -> None:
        # No method and no User-Agent opens anything (HP-06); preflights are for a CORSMiddleware further out.
        if self._protect and path_in_app(scope) not in self._public and not pending.is_public_auth_route():
            await pending.require()


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
