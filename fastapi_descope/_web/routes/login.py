"""The login route, which redirects to Descope, and the callback, which Descope redirects to."""

import re
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..._auth.login import LoginRequest
from ..._config.tenant_hint import TENANT_HINT
from ..._telemetry.log_once import LogOnce
from ..._upstream.login_options import LoginOptions, LoginParams
from ...errors import UpstreamUnavailable
from ...events import LoginStarted
from ...session import TokenPair
from ..app_location import CALLBACK, LOGIN
from ..client_kind import ClientKind, client_kind
from ..error_responses import NO_STORE
from ..login_transactions import Transaction
from ..pages import PAGE_HEADERS, forwarding_page, organisation_page
from ..request_auth import RequestAuth, request_auth
from .login_steps import REDIRECT_HEADERS, LoginSteps, may_swap_users, sibling_path, single_values

__all__ = ["LoginRoutes"]

_NO_TENANT = "Your organisation decides how you sign in."
_INVALID_TENANT = "That is neither a work e-mail nor the id of an organisation."

_IDP_INITIATED = (
    "Your organisation sent you here, but a sign-in has to begin in this application. Sign in again: if your"
    " organisation still knows you, it asks for no password."
)

_OTHER_HOST = (
    "A sign-in was started on another host than that of DESCOPE_PUBLIC_URL. Unless a proxy replaces the Host"
    " header, it cannot finish: Descope redirects the browser to DESCOPE_PUBLIC_URL, and the login cookie"
    " stays on the first host. Open the app at DESCOPE_PUBLIC_URL, or redirect other hosts to it. localhost"
    " and 127.0.0.1 are different hosts"
)

_CODE = re.compile(r"[!-~]{1,2048}")


@dataclass(frozen=True, slots=True)
class LoginRoutes:
    """``GET /login/sso`` and ``GET /callback``."""

    steps: LoginSteps
    log_once: LogOnce = field(default_factory=LogOnce)

    # A login is a new one even if a session exists; it never redirects straight to return_to (CB-15).
    async def login(self, request: Request) -> Response:
        """Send the browser to the organisation's single sign-on.

        `tenant` is the id of a tenant, or a work e-mail whose domain belongs to one.
        """
        auth = request_auth(request.scope)
        self.steps.require_navigation(request)
        await auth.delete_duplicates()
        return_to = self.steps.return_to(request, auth)
        auth.login_query = {"return_to": return_to}
        query, has_tenant = single_values(request), "tenant" in request.query_params
        params, tenant = LoginParams.from_query(query), _tenant_hint(query.get("tenant"))
        if tenant is not None and may_swap_users(request, auth):
            return _organisation_page(request, return_to, params, tenant=tenant)
        options = params.apply_to(await self.steps.login_options(request))
        if not has_tenant:
            tenant = await _session_tenant(options, auth) or self.steps.settings.default_tenant
        if tenant is None:
            detail = _INVALID_TENANT if has_tenant else _NO_TENANT
            return self._ask_for_organisation(request, return_to, params, detail)
        self._warn_about_other_host(request)
        state, cookies = self.steps.start_transaction(
            request, return_to, tenant=tenant if has_tenant else "", params=params
        )
        login_request = LoginRequest(tenant, self._redirect_url(request, state), params, options)
        url = await self.steps.core.login_flow.authorization_url(
            login_request, credentials=auth.credentials()
        )
        auth.cookies.add(cookies)
        self.steps.events.emit(LoginStarted())
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    async def callback(self, request: Request) -> Response:
        """Exchange the one-time code for a session, and redirect to the page that started the login."""
        if client_kind(request.scope) is ClientKind.PREFETCH:  # it uses nothing up; browsers discard a 503
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers=NO_STORE)
        auth = request_auth(request.scope)
        state = single_values(request).get("state")
        if "state" not in request.query_params and "code" in request.query_params:  # CB-14
            raise self.steps.rejected("idp_initiated", _IDP_INITIATED)
        transaction = self.steps.find_transaction(request, auth, state)  # CB-01 to CB-04
        await auth.delete_duplicates()
        try:
            pair = await self._tokens(request, auth, transaction)
        except UpstreamUnavailable:
            raise
        except Exception:
            self.steps.delete_transaction(request, auth, state)
            raise
        if pair is not None:
            await self.steps.sign_in(auth, pair)
        url = self.steps.stored_return_to(transaction, request, auth)
        if pair is not None:
            self.steps.mark_completed(request, auth, transaction, url)
        return self._redirect_after_login(url)

    async def _tokens(
        self, request: Request, auth: RequestAuth, transaction: Transaction
    ) -> TokenPair | None:
        """Return the tokens of the login, or None if the browser has them already."""
        if any(name in request.query_params for name in ("err", "error")):
            raise self.steps.rejected(
                "refused", "The sign-in was cancelled, or your organisation refused it."
            )
        query, flow = single_values(request), self.steps.core.login_flow
        if transaction.used:
            return await flow.repeat_login(transaction.secret, auth.credentials())
        code = _matching(query.get("code"), _CODE)
        if code is None:
            raise self.steps.rejected("code", "The sign-in service did not send a valid code.")
        admission = self.steps.admission(request, auth)
        pair = await flow.complete_login(code, admission, secret=transaction.secret)
        if pair is None:
            pair = await flow.repeat_login(transaction.secret, auth.credentials())
        else:
            await self.steps.end_completed(request, auth, superseded=True)
        self.steps.mark_used(request, auth, query.get("state"))
        return pair

    def _redirect_after_login(self, url: str) -> Response:
        """Return a redirect, or a forwarding page if cookies are Strict.

        Browsers do not send Strict cookies along a chain of redirects that started at Descope.
        """
        if self.steps.settings.cookie_samesite == "strict":
            return HTMLResponse(forwarding_page(url), HTTPStatus.OK, {**PAGE_HEADERS, **NO_STORE})
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    def _redirect_url(self, request: Request, state: str) -> str:
        callback = self.steps.public_origin.require(request.scope) + sibling_path(request, LOGIN, CALLBACK)
        return f"{callback}?state={state}"

    def _ask_for_organisation(
        self, request: Request, return_to: str, params: LoginParams, detail: str
    ) -> Response:
        if client_kind(request.scope) is not ClientKind.NAVIGATION:
            raise self.steps.rejected("tenant", f"{detail} Send tenant=<id or e-mail>.")
        return _organisation_page(request, return_to, params, detail=detail)

    def _warn_about_other_host(self, request: Request) -> None:
        if self.steps.public_origin.is_other_host(request.scope):
            self.log_once.warning(_OTHER_HOST)  # without the host, which the client can choose


def _matching(value: str | None, grammar: re.Pattern[str]) -> str | None:
    return value if value is not None and grammar.fullmatch(value) else None


def _tenant_hint(value: str | None) -> str | None:
    # Keyboards of phones add a blank after a completed word.
    return None if value is None else _matching(value.strip(), TENANT_HINT)


async def _session_tenant(options: LoginOptions, auth: RequestAuth) -> str | None:
    """Return the session's tenant for a step-up or MFA, else None. A live session costs no network call."""
    if not (options.stepup or options.mfa):
        return None
    session = (await auth.authenticate()).session
    return session.tenant_id if session else None


def _organisation_page(
    request: Request, return_to: str, params: LoginParams, *, detail: str = "", tenant: str = ""
) -> Response:
    """Return the page that asks for the organisation. Its form carries the parameters of the login."""
    page = organisation_page(
        detail=detail,
        login_path=sibling_path(request, LOGIN, LOGIN),
        carried={"return_to": return_to, **params.as_query()},
        tenant=tenant,
    )
    status = HTTPStatus.OK if tenant else HTTPStatus.BAD_REQUEST
    return HTMLResponse(page, status, {**PAGE_HEADERS, **NO_STORE})
