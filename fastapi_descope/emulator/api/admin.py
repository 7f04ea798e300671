"""``/console/api``: the console for scripts. JSON in, JSON out, errors in the shape of Descope's."""

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..clock import Clock
from ..faults.queue import Faults
from ..faults.schema import FaultSpec
from .request_parsing import json_object, string_field
from .snapshot import Snapshot

__all__ = ["Admin", "AdminApi"]

_MOST_REQUESTS = 10_000
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")

Endpoint = Callable[[Request], Awaitable[Response]]


_MOST_SECONDS = 10 * 366 * 24 * 3600


class Admin:
    """The levers. Each does its work before it returns, and raises ApiError for what cannot be done."""

    def __init__(self, auth_server: AuthServer, faults: Faults, clock: Clock) -> None:
        self._auth_server = auth_server
        self._faults = faults
        self._clock = clock

    def add_fault(self, order: FaultSpec) -> None:
        """Let calls fail."""
        order.add_to(self._faults)

    def clear_faults(self) -> None:
        """Let no more calls fail, and those that wait go on."""
        self._faults.clear()

    def rotate_keys(self) -> None:
        """Sign with a new key; what the old one signed stays good."""
        self._auth_server.keys.rotate()

    def drop_old_keys(self) -> None:
        """Void what any key but the newest signed."""
        self._auth_server.keys.drop_old()

    def revoke_session(self, session: str) -> None:
        """End one session. Its session JWTs stay good until they expire, as in Descope."""
        if not self._auth_server.revoke_session(session):
            raise ApiError.unacceptable("There is no such session", 404)

    def revoke_user(self, user: str) -> None:
        """End every session of a user (login id or user id)."""
        person = self._auth_server.project.find_user(user)
        if person is None:
            raise ApiError.unacceptable("The project has no such user", 404)
        self._auth_server.revoke_user(person)

    def move_clock(self, seconds: float) -> None:
        """Move the emulator's time, for ten years at the most from the real one."""
        near = abs(seconds) <= _MOST_SECONDS and abs(self._clock.offset + seconds) <= _MOST_SECONDS
        if not near:  # nor is NaN
            raise ApiError.invalid("The clock can be at most ten years off")
        self._clock.advance(seconds)


class AdminApi:
    """What may be looked at, and with ``admin`` what may be broken; without, that answers 403 (EM-08)."""

    def __init__(self, snapshot: Snapshot, admin: Admin | None) -> None:
        self._snapshot = snapshot
        self._admin = admin

    @property
    def routes(self) -> list[Route]:
        """The routes."""
        return [
            *(_route("GET", path, call) for path, call in self._views.items()),
            *(_route(method, path, self._guarded(call)) for (method, path), call in self._levers.items()),
        ]

    @property
    def _views(self) -> dict[str, Endpoint]:
        return {
            "state": self.state,
            "users": self.users,
            "sessions": self.sessions,
            "requests": self.requests,
        }

    @property
    def _levers(self) -> dict[tuple[str, str], Callable[[Request, Admin], Awaitable[Response]]]:
        return {
            ("POST", "faults"): self.add_fault,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "keys/rotate"): self.rotate_keys,
            ("POST", "keys/drop"): self.drop_old_keys,
            ("POST", "revoke"): self.revoke,
            ("POST", "clock"): self.move_clock,
        }

    async def state(self, _: Request) -> Response:
        """Where it is, what time it has, and what is going to fail."""
        return JSONResponse(self._snapshot.state())

    async def users(self, _: Request) -> Response:
        """Tenants and users."""
        return JSONResponse({"tenants": self._snapshot.tenants(), "users": self._snapshot.users()})

    async def sessions(self, _: Request) -> Response:
        """The sessions that are alive."""
        return JSONResponse({"sessions": self._snapshot.sessions()})

    async def requests(self, request: Request) -> Response:
        """The latest requests; ``endpoint`` and ``limit`` in the query (100, at most 10,000)."""
        query = request.query_params
        limit = query.get("limit", "100")
        if not (_NUMBER.fullmatch(limit) and int(limit) <= _MOST_REQUESTS):
            raise ApiError.invalid(f"limit must be a number from 1 to {_MOST_REQUESTS}")
        found = self._snapshot.requests(endpoint=query.get("endpoint", ""), limit=int(limit))
        return JSONResponse({"requests": found})

    async def add_fault(self, request: Request, admin: Admin) -> Response:
        """Let calls fail (``FaultOrder``); answers what is in waiting then."""
        admin.add_fault(FaultSpec.from_json(await json_object(request)))
        return JSONResponse({"faults": self._snapshot.faults()}, 201)

    async def clear_faults(self, _: Request, admin: Admin) -> Response:
        """Let no more calls fail."""
        admin.clear_faults()
        return JSONResponse({"faults": self._snapshot.faults()})

    async def rotate_keys(self, _: Request, admin: Admin) -> Response:
        """Sign with a new key; answers with the state."""
        admin.rotate_keys()
        return JSONResponse(self._snapshot.state())

    async def drop_old_keys(self, _: Request, admin: Admin) -> Response:
        """Void what older keys signed; answers with the state."""
        admin.drop_old_keys()
        return JSONResponse(self._snapshot.state())

    async def revoke(self, request: Request, admin: Admin) -> Response:
        """End one ``session`` by its id, or all of a ``user``; answers with the sessions that are left."""
        body = await json_object(request)
        if "session" in body:
            admin.revoke_session(string_field(body, "session"))
        else:
            admin.revoke_user(string_field(body, "user"))
        return JSONResponse({"sessions": self._snapshot.sessions()})

    async def move_clock(self, request: Request, admin: Admin) -> Response:
        """Move the clock by ``advance`` seconds, backwards if negative; answers with the state."""
        seconds = (await json_object(request)).get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ApiError.invalid("advance must be a number of seconds")
        admin.move_clock(seconds)
        return JSONResponse(self._snapshot.state())

    def _guarded(self, call: Callable[[Request, Admin], Awaitable[Response]]) -> Endpoint:
        """The endpoint for whoever was given the admin. A body has to say that it is JSON.

        No form of a browser can say that, and no script of another page may without asking first.
        """

        async def guarded(request: Request) -> Response:
            if self._admin is None:
                raise ApiError.unacceptable("Start the emulator with --faults to break things", 403)
            if request.method == "POST" and not _is_json(request):
                raise ApiError.unacceptable("Send it as application/json", 415)
            return await call(request, self._admin)

        return guarded


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"


def _route(method: str, path: str, call: Endpoint) -> Route:
    return Route(f"/console/api/{path}", call, methods=[method])
