"""``/console/api``: the JSON API of the console, and the operations that it shares with the page."""

import re
from collections.abc import Awaitable, Callable, Mapping

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import TypedDict

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..clock import Clock
from ..directory import SeedUser
from ..faults.queue import Faults
from ..faults.schema import FaultSpec
from ..inbound_server import InboundServer
from ..user_changes import Status, UserChanges
from .request_parsing import json_object, string_field
from .snapshot import Snapshot

__all__ = ["Admin", "AdminApi"]

_MAX_REQUESTS = 10_000
_MAX_CLOCK_OFFSET = 10 * 366 * 24 * 3600  # seconds


class _Changes(TypedDict):
    status: Status | None
    tenants: dict[str, tuple[str, ...]] | None


_CHANGES = TypeAdapter(_Changes)
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")

Endpoint = Callable[[Request], Awaitable[Response]]


class Admin:
    """The operations of the console. Each has taken effect when its method returns."""

    def __init__(
        self,
        auth_server: AuthServer,
        inbound_server: InboundServer,
        faults: Faults,
        clock: Clock,
        user_changes: UserChanges,
    ) -> None:
        self._auth_server = auth_server
        self._inbound_server = inbound_server
        self._faults = faults
        self._clock = clock
        self._user_changes = user_changes

    def add_fault(self, fault: FaultSpec) -> None:
        """Add a fault.

        Raises:
            ApiError: The endpoint is unknown, or the fault contradicts itself.
        """
        fault.add_to(self._faults)

    def clear_faults(self) -> None:
        """Remove all pending faults and release the calls that wait in one."""
        self._faults.clear()

    def rotate_keys(self) -> None:
        """Sign with a new key. Tokens signed with older keys stay valid."""
        self._auth_server.keys.rotate()

    def drop_old_keys(self) -> None:
        """Invalidate everything that was signed with an older key."""
        self._auth_server.keys.drop_old()

    def revoke_session(self, session: str) -> None:
        """End one session. Its session JWTs stay valid until they expire, as in Descope.

        Raises:
            ApiError: There is no active session with this id (404).
        """
        if not self._auth_server.revoke_session(session):
            raise ApiError.unacceptable("There is no active session with this id", 404)

    def revoke_user(self, user: str) -> None:
        """End all sessions of a user, given by login id or user id.

        Raises:
            ApiError: The project has no such user (404).
        """
        self._auth_server.revoke_user(self._user(user))

    async def update_user(self, user: str, changes: Mapping[str, object]) -> tuple[int, ...]:
        """Change a user, given by login id or user id, and return the result of each attempt at a webhook.

        ``changes`` may have the ``status`` and the ``tenants`` with their roles.

        Raises:
            ApiError: The project has no such user (404), or a change is invalid.
        """
        account = self._user(user)
        try:
            valid = _CHANGES.validate_python({"status": None, "tenants": None, **changes})
            return await self._user_changes.update(account, **valid)
        except ValueError:
            raise ApiError.invalid("The status or the tenants are invalid") from None

    async def delete_user(self, user: str) -> tuple[int, ...]:
        """Delete a user, given by login id or user id, and return the result of each attempt at a webhook.

        Raises:
            ApiError: The project has no such user (404).
        """
        return await self._user_changes.delete(self._user(user))

    def _user(self, user: str) -> SeedUser:
        account = self._auth_server.project.find_user(user)
        if account is None:
            raise ApiError.unacceptable("The project has no such user", 404)
        return account

    def withdraw_consent(self, client_id: str, user: str) -> None:
        """Withdraw the consent of a user, given by login id or user id. The app can then refresh no longer.

        Raises:
            ApiError: There is no such consent (404).
        """
        account = self._auth_server.project.find_user(user)
        user_id = account.user_id if account is not None else user
        if not self._inbound_server.withdraw_consent(client_id, user_id):
            raise ApiError.unacceptable("The user has given this app no consent", 404)

    def move_clock(self, seconds: float) -> None:
        """Move the emulator's clock, to at most ten years from the real time.

        Raises:
            ApiError: The clock would be further off, or ``seconds`` is NaN.
        """
        is_allowed = (
            abs(seconds) <= _MAX_CLOCK_OFFSET and abs(self._clock.offset + seconds) <= _MAX_CLOCK_OFFSET
        )
        if not is_allowed:  # including NaN
            raise ApiError.invalid("The clock can be at most ten years off")
        self._clock.advance(seconds)


# Without --faults nothing can be changed, and no operation evaluates code or touches a file (EM-08).
class AdminApi:
    """The endpoints that show the state and, with ``admin``, change it. Without it, changes return 403."""

    def __init__(self, snapshot: Snapshot, admin: Admin | None) -> None:
        self._snapshot = snapshot
        self._admin = admin

    @property
    def routes(self) -> list[Route]:
        """The routes."""
        return [
            *(_route("GET", path, call) for path, call in self._views.items()),
            *(_route(method, path, self._guarded(call)) for (method, path), call in self._actions.items()),
        ]

    @property
    def _views(self) -> dict[str, Endpoint]:
        return {
            "state": self.state,
            "users": self.users,
            "sessions": self.sessions,
            "access-keys": self.access_keys,
            "apps": self.inbound_apps,
            "requests": self.requests,
        }

    @property
    def _actions(self) -> dict[tuple[str, str], Callable[[Request, Admin], Awaitable[Response]]]:
        return {
            ("POST", "faults"): self.add_fault,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "keys/rotate"): self.rotate_keys,
            ("POST", "keys/drop"): self.drop_old_keys,
            ("POST", "revoke"): self.revoke,
            ("POST", "users/update"): self.update_user,
            ("POST", "users/delete"): self.delete_user,
            ("POST", "consents/withdraw"): self.withdraw_consent,
            ("POST", "clock"): self.move_clock,
        }

    async def state(self, _: Request) -> Response:
        """Return the project, the URL, the time, the keys and the pending faults."""
        return JSONResponse(self._snapshot.state())

    async def users(self, _: Request) -> Response:
        """Return the tenants and the users."""
        return JSONResponse({"tenants": self._snapshot.tenants(), "users": self._snapshot.users()})

    async def sessions(self, _: Request) -> Response:
        """Return the active sessions."""
        return JSONResponse({"sessions": self._snapshot.sessions()})

    async def access_keys(self, _: Request) -> Response:
        """Return the access keys, without the secrets."""
        return JSONResponse({"access_keys": self._snapshot.access_keys()})

    async def inbound_apps(self, _: Request) -> Response:
        """Return the inbound apps and the consents."""
        return JSONResponse({"apps": self._snapshot.inbound_apps(), "consents": self._snapshot.consents()})

    async def requests(self, request: Request) -> Response:
        """Return the latest requests. The query has ``endpoint`` and ``limit`` (100, at most 10,000)."""
        query = request.query_params
        limit = query.get("limit", "100")
        if not (_NUMBER.fullmatch(limit) and int(limit) <= _MAX_REQUESTS):
            raise ApiError.invalid(f"limit must be a number from 1 to {_MAX_REQUESTS}")
        requests = self._snapshot.requests(endpoint=query.get("endpoint", ""), limit=int(limit))
        return JSONResponse({"requests": requests})

    async def add_fault(self, request: Request, admin: Admin) -> Response:
        """Add a fault (``FaultSpec``) and return the pending faults."""
        admin.add_fault(FaultSpec.from_json(await json_object(request)))
        return JSONResponse({"faults": self._snapshot.faults()}, 201)

    async def clear_faults(self, _: Request, admin: Admin) -> Response:
        """Remove all pending faults."""
        admin.clear_faults()
        return JSONResponse({"faults": self._snapshot.faults()})

    async def rotate_keys(self, _: Request, admin: Admin) -> Response:
        """Sign with a new key and return the state."""
        admin.rotate_keys()
        return JSONResponse(self._snapshot.state())

    async def drop_old_keys(self, _: Request, admin: Admin) -> Response:
        """Invalidate what older keys signed and return the state."""
        admin.drop_old_keys()
        return JSONResponse(self._snapshot.state())

    async def revoke(self, request: Request, admin: Admin) -> Response:
        """End one ``session`` by its id, or all sessions of a ``user``; return the remaining sessions."""
        body = await json_object(request)
        if "session" in body:
            admin.revoke_session(string_field(body, "session"))
        else:
            admin.revoke_user(string_field(body, "user"))
        return JSONResponse({"sessions": self._snapshot.sessions()})

    async def update_user(self, request: Request, admin: Admin) -> Response:
        """Set the ``status`` or the ``tenants`` of a ``user``; return the results of the webhook."""
        body = await json_object(request)
        user = string_field(body, "user")
        changes = {name: value for name, value in body.items() if name in {"status", "tenants"}}
        return JSONResponse({"webhooks": await admin.update_user(user, changes)})

    async def delete_user(self, request: Request, admin: Admin) -> Response:
        """Delete a ``user``; return the results of the webhook."""
        user = string_field(await json_object(request), "user")
        return JSONResponse({"webhooks": await admin.delete_user(user)})

    async def withdraw_consent(self, request: Request, admin: Admin) -> Response:
        """Withdraw the consent of a ``user`` to the app ``client_id``; return the remaining consents."""
        body = await json_object(request)
        admin.withdraw_consent(string_field(body, "client_id"), string_field(body, "user"))
        return JSONResponse({"consents": self._snapshot.consents()})

    async def move_clock(self, request: Request, admin: Admin) -> Response:
        """Move the clock by ``advance`` seconds, backward if negative; return the state."""
        seconds = (await json_object(request)).get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ApiError.invalid("advance must be a number of seconds")
        admin.move_clock(seconds)
        return JSONResponse(self._snapshot.state())

    def _guarded(self, call: Callable[[Request, Admin], Awaitable[Response]]) -> Endpoint:
        """Return an endpoint that needs ``admin`` and a JSON content type.

        Forms cannot send that content type, and scripts of other origins only after a preflight.
        """

        async def guarded(request: Request) -> Response:
            if self._admin is None:
                raise ApiError.unacceptable(
                    "This console is read-only: start the emulator with --faults", 403
                )
            if request.method == "POST" and not _is_json(request):
                raise ApiError.unacceptable("The Content-Type must be application/json", 415)
            return await call(request, self._admin)

        return guarded


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"


def _route(method: str, path: str, call: Endpoint) -> Route:
    return Route(f"/console/api/{path}", call, methods=[method])
