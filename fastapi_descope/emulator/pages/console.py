"""``/console``: shows the state of a running emulator and, if allowed, changes it."""

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
_SHOWN_EMAILS = 20

Form = dict[str, str]


def is_console(path: str) -> bool:
    """Return whether a path belongs to the console. ``/`` does too, because it redirects to the console."""
    return path in {"/", "/console"} or path.startswith("/console/")


# Without --faults nothing can be changed (EM-08). security.py rejects requests of other pages (EM-03).
class Console:
    """The page and its API. Without ``admin`` it is read-only.

    A form that changes something has a CSRF token. Requests of other pages have been rejected before.
    """

    def __init__(self, snapshot: Snapshot, admin: Admin | None) -> None:
        self._snapshot = snapshot
        self._admin = admin
        self._api = AdminApi(snapshot, admin)
        self._pages = PageRenderer()
        self._form_token = secrets.token_urlsafe(32)

    @property
    def routes(self) -> list[Route]:
        """The page, the redirects to it, the targets of its forms, and the API."""
        return [
            *self._api.routes,
            *(Route(path, self.redirect_to_console, methods=["GET"]) for path in ("/", "/console/")),
            Route("/console", self.show, methods=["GET"]),
            Route("/console/{action}", self.submit, methods=["POST"]),
        ]

    async def redirect_to_console(self, _: Request) -> Response:
        """Redirect to the page."""
        return RedirectResponse("/console", 303, PRIVATE_HEADERS)

    async def show(self, _: Request) -> Response:
        """Return the page."""
        page = self._pages.render(
            "console.html",
            form_action="'self'",
            scripted=True,
            state=self._snapshot.state(),
            tenants=self._snapshot.tenants(),
            users=self._snapshot.users(),
            sessions=self._snapshot.sessions()[:_SHOWN_SESSIONS],
            access_keys=self._snapshot.access_keys(),
            apps=self._snapshot.inbound_apps(),
            consents=self._snapshot.consents()[:_SHOWN_SESSIONS],
            requests=self._snapshot.requests(limit=_SHOWN_REQUESTS),
            form_token=self._form_token,
            emails=self._snapshot.emails()[:_SHOWN_EMAILS],
            may_change=self._admin is not None,
        )
        # With no-referrer, browsers send "Origin: null" for a form.
        page.headers["referrer-policy"] = "same-origin"
        page.headers["cross-origin-opener-policy"] = "same-origin"
        return page

    async def submit(self, request: Request) -> Response:
        """Perform the action of a form and redirect to the page, or return a page with the reason why not."""
        form = await read_form(request)
        action = self._actions.get(request.path_params["action"])
        if action is None:
            return self._pages.render_notice(404, "Unknown action", "Go back to the console.")
        if self._admin is None:
            return self._pages.render_notice(
                403, "This console is read-only", "Start the emulator with --faults to change its state."
            )
        if not hmac.compare_digest(form.get("form_token", "").encode(), self._form_token.encode()):
            return self._pages.render_notice(
                403, "The form is not from this console", "The emulator was restarted: reload the page."
            )
        try:
            action(self._admin, form)
        except ApiError as error:
            return self._pages.render_notice(error.status, "The action failed", error.message)
        return RedirectResponse("/console", 303, PRIVATE_HEADERS)

    @property
    def _actions(self) -> dict[str, Callable[[Admin, Form], None]]:
        return {
            "fail": lambda admin, form: admin.add_fault(FaultSpec.from_form(form)),
            "clear": lambda admin, _: admin.clear_faults(),
            "rotate": lambda admin, _: admin.rotate_keys(),
            "drop": lambda admin, _: admin.drop_old_keys(),
            "revoke": _revoke,
            "withdraw": lambda admin, form: admin.withdraw_consent(
                form.get("client_id", ""), form.get("user", "")
            ),
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
        raise ApiError.invalid("seconds must be a number") from None
