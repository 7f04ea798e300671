"""The ASGI app of an emulator: access control, the journal and faults before the API and the pages."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .api_errors import error_body
from .error_responses import EXCEPTION_HANDLERS
from .faults.queue import Faults
from .journal import Call, Journal, fingerprint
from .pages.console import is_console
from .security import console_rejection_reason, rejection_reason, with_cors
from .urls import collapse_leading_slashes, route_path

__all__ = ["EmulatorApp"]


class EmulatorApp:
    """Serves the routes of an emulator.

    Args:
        routes: The routes of the API and of the pages for users. Their names are the endpoints of faults.
        console_routes: The routes of the console, which has no faults and no journal.
        faults: The pending faults.
        journal: Records the requests.
        clock: Returns epoch seconds.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        console_routes: Sequence[Route],
        *,
        faults: Faults,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._routes = routes
        self._app = Starlette(routes=[*routes, *console_routes], exception_handlers=EXCEPTION_HANDLERS)
        self._app.router.redirect_slashes = False
        self._faults = faults
        self._journal = journal
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = collapse_leading_slashes(scope)
        if is_console(route_path(scope)):
            await self._select_console_app(scope)(scope, receive, send)
            return
        call = self._new_call(scope)
        self._journal.record(call)
        send = _recording_status(call, send)
        app = self._select_app(scope, call.endpoint)
        with suppress(ClientDisconnect):  # there is no client to respond to
            await with_cors(app, scope)(scope, receive, send)

    def _select_app(self, scope: Scope, endpoint: str) -> ASGIApp:
        """Return the app that serves a request: a rejection, a fault or the routes."""
        reason = rejection_reason(scope)
        if reason:
            return _rejection(reason)
        fault = self._faults.pop(endpoint) if endpoint else None  # a CORS preflight has no endpoint
        return self._app if fault is None else self._faults.wrap(fault, self._app)

    def _select_console_app(self, scope: Scope) -> ASGIApp:
        """Return the app that serves the console: a rejection or the routes."""
        reason = console_rejection_reason(scope)
        return _rejection(reason) if reason else self._app

    def _new_call(self, scope: Scope) -> Call:
        request = Request(scope)
        endpoint = next((r.name for r in self._routes if r.matches(scope)[0] is Match.FULL), "")
        return Call(
            method=request.method,
            path=f"/{endpoint}/…" if endpoint in {"signin", "consent"} else route_path(scope),
            query=dict(request.query_params),
            endpoint=endpoint,
            caller=fingerprint(request.headers.get("authorization", "")),
            at=self._clock(),
        )


def _rejection(reason: str) -> Response:
    return JSONResponse(error_body("E011001", reason), 403)


def _recording_status(call: Call, send: Send) -> Send:
    async def record_status(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
        await send(message)

    return record_status
