"""From a navigation to the redirect to Descope: what SSO and social logins have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..._auth.login import LoginRequest
from ..._telemetry.log_once import LogOnce
from ..._upstream.login_options import LoginOptions, LoginParams
from ...events import LoginStarted
from ...page_texts import ENGLISH
from ..app_location import CALLBACK, PluginRoute, sibling_path
from ..auth_scope import request_auth
from .login_steps import REDIRECT_HEADERS, LoginSteps
from .query import single_values

__all__ = ["AuthorizationRedirect", "LoginStart"]

_OTHER_HOST = (
    "A sign-in was started on another host than that of DESCOPE_PUBLIC_URL, or on another port of this"
    " machine. Unless a proxy replaces the Host header, it can finish at DESCOPE_PUBLIC_URL only: Descope"
    " redirects the browser there. Open the app there, or redirect other hosts to it. localhost and 127.0.0.1"
    " are different hosts"
)

_MOVED = "descope_moved"
"""The query parameter that marks a login which was redirected to ``DESCOPE_PUBLIC_URL``."""


@dataclass(frozen=True, slots=True)
class LoginStart:
    """A login that may start: what the browser has asked for, validated, and the options of the app."""

    return_to: str = field(repr=False)
    params: LoginParams
    options: LoginOptions
    carried: Mapping[str, str] = field(repr=False)
    """The query of the same login, for the form of a page that asks first."""


@dataclass(frozen=True, slots=True)
class AuthorizationRedirect:
    """Starts logins whose next page is at Descope. ``route`` is always the route of the request."""

    steps: LoginSteps
    log_once: LogOnce = field(default_factory=LogOnce)

    # SI-03. A login is a new one even if a session exists; it never redirects straight to return_to (CB-15).
    async def prepare(
        self, request: Request, route: PluginRoute, further: Mapping[str, str]
    ) -> LoginStart | Response:
        """Return the login that may start, or a response that comes first: another address, or a question.

        ``further`` are validated parameters besides ``LoginParams``.
        """
        auth = request_auth(request.scope)
        self.steps.guard.require_navigation(request)
        return_to = self.steps.targets.requested(request, auth)
        auth.login_query = {"return_to": return_to}
        if (moved := self.public_address(request, route)) is not None:
            return RedirectResponse(moved, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)
        await auth.delete_duplicates()
        params = LoginParams.from_query(single_values(request))
        carried = {"return_to": return_to, **params.as_query(), **further}
        if await self.steps.guard.must_confirm(request, auth):
            return self.steps.guard.confirmation(request, auth, route, carried)
        options = params.apply_to(await self.steps.login_options(request))
        return LoginStart(return_to, params, options, carried)

    async def redirect(
        self, request: Request, route: PluginRoute, start: LoginStart, login: LoginRequest, tenant: str = ""
    ) -> Response:
        """Start the login at Descope, bind it to the browser, and redirect the browser to its next page.

        ``login`` has the tenant or the provider alone. ``tenant`` is what the browser has asked for. One call
        to Descope, or two.
        """
        auth = request_auth(request.scope)
        if self.steps.guard.is_crowded(request):
            return self.steps.guard.confirmation(request, auth, route, start.carried, is_crowded=True)
        state, cookies = self.steps.start_transaction(
            request, start.return_to, method=login.method, tenant=tenant, params=start.params
        )
        login = replace(
            login,
            redirect_url=self._redirect_url(request, route, state),
            params=start.params,
            options=start.options,
        )
        async with self.steps.guard.share(request):
            url = await self.steps.core.login_flow.authorization_url(login, credentials=auth.credentials())
        auth.cookies.add(cookies)
        self.steps.events.emit(LoginStarted(login.method))
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    def _redirect_url(self, request: Request, route: PluginRoute, state: str) -> str:
        origin = self.steps.public_origin.require(request.scope)
        return f"{origin}{sibling_path(request.scope, route, CALLBACK)}?state={state}"

    # CB-20: the login cookie would stay on the other host.
    def public_address(self, request: Request, route: PluginRoute) -> str | None:
        """Return the URL of this login at ``DESCOPE_PUBLIC_URL`` if the browser is at another host.

        The redirect to it is marked. If the mark comes back with the other host, there is no second one.

        Raises:
            LoginRejected: The redirect has led back to the other host.
        """
        public_origin, scope = self.steps.public_origin, request.scope
        if not public_origin.is_other_host(scope):
            return None
        self.log_once.warning(_OTHER_HOST)  # without the host, which the client can choose
        if public_origin.is_other_local_server(scope):
            return None
        if _MOVED not in request.query_params:
            query = "&".join(filter(None, (scope["query_string"].decode("latin-1"), f"{_MOVED}=1")))
            return f"{public_origin.require(scope)}{sibling_path(request.scope, route, route)}?{query}"
        # A redirect to another host would have made the request cross-site: a proxy replaces Host.
        if request.headers.get("sec-fetch-site") in {"none", "same-origin"}:
            return None
        raise self.steps.rejected("other_host", ENGLISH.login_other_address)
