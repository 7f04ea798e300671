"""``/console``: a look into a running emulator, and the levers to break what runs against it."""

import hmac
import secrets
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..api.admin import Admin, AdminApi
from ..api.snapshot import Snapshot
from ..api_errors import ApiError
from ..faults.schema import FaultSpec
from .rendering import PRIVATE_HEADERS, PageRenderer, read_form

__all__ = ["Console", "is_console"]

_SHOWN_REQUESTS = 50
_SHOWN_SESSIONS = 100

Form = dict[str, str]


def is_console(path: str) -> bool:
    """Whether a path is the console's: the root is, too, for whoever opens the emulator's bare address."""
    return path in {"/", "/console"} or path.startswith("/console/")


class Console:
    """The page and its API. Without ``admin`` it only shows (EM-08).

    A form that changes anything holds a token which is on this page alone; what other pages send has been
    turned away at the door (EM-03).
    """

    def __init__(self, snapshot: Snapshot, admin: Admin | None) -> None:
        self._snapshot = snapshot
        self._admin = admin
        self._api = AdminApi(snapshot, admin)
        self._pages = PageRenderer()
        self._form_token = secrets.token_urlsafe(32)

    @property
    def routes(self) -> list[Route]:
        """The page and what leads to it, its one form target for each lever, and the API."""
        return [
            *self._api.routes,
            *(Route(path, self.lead_there, methods=["GET"]) for path in ("/", "/console/")),
            Route("/console", self.show, methods=["GET"]),
            Route("/console/{lever}", self.pull, methods=["POST"]),
        ]

    async def lead_there(self, _: Request) -> Response:
        """The way to the page."""
        return RedirectResponse("/console", 303, PRIVATE_HEADERS)

    async def show(self, _: Request) -> Response:
        """The page."""
        page = self._pages.render(
            "console.html",
            form_action="'self'",
            scripted=True,
            state=self._snapshot.state(),
            tenants=self._snapshot.tenants(),
            users=self._snapshot.users(),
            sessions=self._snapshot.sessions()[:_SHOWN_SESSIONS],
            requests=self._snapshot.requests(limit=_SHOWN_REQUESTS),
            form_token=self._form_token,
            may_break=self._admin is not None,
        )
        # Without a referrer a browser says that a form comes from the origin "null".
        page.headers["referrer-policy"] = "same-origin"
        page.headers["cross-origin-opener-policy"] = "same-origin"
        return page

    async def pull(self, request: Request) -> Response:
        """Do what a form asks for, and show the page again; or a page with the reason why not."""
        form = await read_form(request)
        lever = self._levers.get(request.path_params["lever"])
        if lever is None:
            return self._pages.render_notice(404, "There is no such lever", "Go back to the console.")
        if self._admin is None:
            return self._pages.render_notice(
                403, "This console only shows", "Start the emulator with --faults to break things."
            )
        if not hmac.compare_digest(form.get("form_token", "").encode(), self._form_token.encode()):
            return self._pages.render_notice(
                403, "That did not come from this console", "It was started anew: load it again."
            )
        try:
            lever(self._admin, form)
        except ApiError as refusal:
            return self._pages.render_notice(refusal.status, "That cannot be done", refusal.message)
        return RedirectResponse("/console", 303, PRIVATE_HEADERS)

    @property
    def _levers(self) -> dict[str, Callable[[Admin, Form], None]]:
        return {
            "fail": lambda admin, form: admin.add_fault(FaultSpec.from_form(form)),
            "clear": lambda admin, _: admin.clear_faults(),
            "rotate": lambda admin, _: admin.rotate_keys(),
            "drop": lambda admin, _: admin.drop_old_keys(),
            "revoke": _revoke,
            "clock": lambda admin, form: admin.move_clock(_seconds(form)),
        }


def _revoke(admin: Admin, form: Form) -> None:
    if "session" in form:
        admin.revoke_session(form["session"])
    else:
        admin.revoke_user(form.get("user", ""))


def _seconds(form: Form) -> float:
    try:
        return float(form.get("seconds", ""))
    except ValueError:
        raise ApiError.invalid("The clock moves by a number of seconds") from None
