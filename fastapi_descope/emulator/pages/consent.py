"""The consent page: a user who has signed in allows or denies an inbound app its scopes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..auth_server import AuthServer
from ..inbound_apps import STANDARD_SCOPES
from ..inbound_server import InboundServer
from ..logins import ConfirmedLogin, InboundRequest, LoginStore
from ..urls import add_query
from .rendering import PRIVATE_HEADERS, PageRenderer, read_form

__all__ = ["ConsentPage"]


class ConsentPage:
    """``/consent/{page}``: names the app, the user and the scopes. It is shown at every authorization.

    A page works once. Other sites cannot submit it: its id is unguessable, the form has a CSRF token, and the
    emulator rejects cross-site posts.
    """

    def __init__(self, auth_server: AuthServer, server: InboundServer, logins: LoginStore) -> None:
        self._auth_server = auth_server
        self._server = server
        self._logins = logins
        self._pages = PageRenderer()

    @property
    def routes(self) -> list[Route]:
        """The page and its form target, under one endpoint name."""
        return [
            Route("/consent/{page}", self.show, methods=["GET"], name="consent"),
            Route("/consent/{page}", self.submit, methods=["POST"], name="consent"),
        ]

    async def show(self, request: Request) -> Response:
        """Return the page, or 404 if it has been submitted or is ten minutes old."""
        confirmed = self._logins.get_consent(request.path_params["page"])
        client = confirmed.login.inbound_request if confirmed is not None else None
        if confirmed is None or client is None:
            return self._render_ended()
        app = self._auth_server.project.find_inbound_app(client.grant.client_id)
        return self._pages.render(
            "consent.html",
            # Browsers apply form-action to all following redirects too, and the app may redirect to any site.
            form_action="'self' http: https:",
            app_name=app.name if app is not None else client.grant.client_id,
            user=confirmed.user,
            scopes={scope: self._describe(client, scope) for scope in client.grant.scopes},
            form_token=confirmed.login.form_token,
        )

    async def submit(self, request: Request) -> Response:
        """Redirect to the app with a code or an error; 400 for a form without the CSRF token."""
        page = request.path_params["page"]
        confirmed = self._logins.get_consent(page)
        client = confirmed.login.inbound_request if confirmed is not None else None
        if confirmed is None or client is None:
            return self._render_ended()
        form = await read_form(request)
        is_own = confirmed.login.form_token_matches(form.get("form_token", ""))
        decision = form.get("decision", "") if is_own else ""
        if decision not in {"allow", "deny"}:
            return self._pages.render_notice(
                400, "The form is not from this consent page", "Go back and choose again."
            )
        self._logins.close_consent(page)
        return self._allow(confirmed, client) if decision == "allow" else self._deny(confirmed)

    def _allow(self, confirmed: ConfirmedLogin, client: InboundRequest) -> Response:
        self._server.record_consent(client.grant, confirmed.user)
        return _redirect(confirmed, {"code": self._logins.confirm(confirmed.login, confirmed.user)})

    def _deny(self, confirmed: ConfirmedLogin) -> Response:
        match self._auth_server.project.assumptions.denied_consent:
            case "access_denied":
                description = "The user denied the consent"
                return _redirect(confirmed, {"error": "access_denied", "error_description": description})
            case "err":
                return _redirect(confirmed, {"err": "access_denied"})
            case _:  # the browser stays on a page
                return self._pages.render_notice(200, "Access denied", "You can close this page.")

    def _describe(self, client: InboundRequest, scope: str) -> str:
        """Return the description of a scope, or its name if it has none."""
        app = self._auth_server.project.find_inbound_app(client.grant.client_id)
        own = app.scopes.get(scope) if app is not None else None
        return own or STANDARD_SCOPES.get(scope) or scope

    def _render_ended(self) -> Response:
        return self._pages.render_notice(
            404, "This consent has ended", "It was given, denied, or has expired. Start again in the app."
        )


def _redirect(confirmed: ConfirmedLogin, parameters: dict[str, str]) -> Response:
    location = add_query(confirmed.login.redirect_url, parameters)
    return Response(status_code=303, headers={"location": location} | PRIVATE_HEADERS)
