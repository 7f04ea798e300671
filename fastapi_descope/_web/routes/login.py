"""The login route, which redirects to Descope, and the callback, which Descope redirects to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..._auth.login import LoginRequest
from ..._config.tenant_hint import TENANT_HINT
from ..._telemetry.log_once import LogOnce
from ..._upstream.login_options import LoginOptions, LoginParams
from ...errors import DescopeError, UpstreamUnavailable
from ...events import LoginStarted
from ...page_texts import ENGLISH
from ...session import TokenPair
from ..app_location import CALLBACK, LOGIN
from ..auth_scope import request_auth
from ..client_kind import ClientKind, client_kind
from ..error_responses import NO_STORE
from ..login_transactions import Transaction
from ..pages import forwarding_page, organisation_page
from ..request_auth import RequestAuth
from .login_steps import REDIRECT_HEADERS, LoginSteps, sibling_path, single_values

__all__ = ["LoginRoutes"]

_OTHER_HOST = (
    "A sign-in was started on another host than that of DESCOPE_PUBLIC_URL. Unless a proxy replaces the Host"
    " header, it cannot finish: Descope redirects the browser to DESCOPE_PUBLIC_URL, and the login cookie"
    " stays on the first host. Open the app at DESCOPE_PUBLIC_URL, or redirect other hosts to it. localhost"
    " and 127.0.0.1 are different hosts"
)

_MOVED = "descope_moved"
"""The query parameter that marks a login which was redirected to ``DESCOPE_PUBLIC_URL``."""

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
        return_to = self.steps.return_to(request, auth)
        auth.login_query = {"return_to": return_to}
        if (moved := self._public_address(request)) is not None:
            return RedirectResponse(moved, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)
        await auth.delete_duplicates()
        query, has_tenant = single_values(request), "tenant" in request.query_params
        params, tenant = LoginParams.from_query(query), _tenant_hint(query.get("tenant"))
        carried = _carried(return_to, params, tenant)
        if await self.steps.must_confirm(request, auth):
            return self.steps.confirmation(request, auth, LOGIN, carried)
        options = params.apply_to(await self.steps.login_options(request))
        if not has_tenant:
            tenant = await _session_tenant(options, auth) or self.steps.settings.default_tenant
        if tenant is None:
            return self._ask_for_organisation(request, carried, is_invalid=has_tenant)
        if self.steps.is_crowded(request):
            return self.steps.confirmation(request, auth, LOGIN, carried, is_crowded=True)
        state, cookies = self.steps.start_transaction(
            request, return_to, tenant=tenant if has_tenant else "", params=params
        )
        login_request = LoginRequest(tenant, self._redirect_url(request, state), params, options)
        async with self.steps.share(request):
            url = await self.steps.core.login_flow.authorization_url(
                login_request, credentials=auth.credentials()
            )
        auth.cookies.add(cookies)
        self.steps.events.emit(LoginStarted())
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    async def callback(self, request: Request) -> Response:
        """Exchange the one-time code for a session, and redirect to the page that started the login."""
        try:
            return await self._complete(request)
        except DescopeError:
            auth = request_auth(request.scope)
            auth.is_signed_in = await self.steps.core.browser_tokens.is_signed_in(auth.credentials())
            raise

    async def _complete(self, request: Request) -> Response:
        if client_kind(request.scope) is ClientKind.PREFETCH:  # it uses nothing up; browsers discard a 503
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers=NO_STORE)
        auth = request_auth(request.scope)
        state = single_values(request).get("state")
        if "state" not in request.query_params and "code" in request.query_params:  # CB-14
            raise self.steps.rejected("idp_initiated", ENGLISH.login_started_elsewhere)
        transaction = self.steps.find_transaction(request, auth, state)  # CB-01 to CB-04
        await auth.delete_duplicates()
        try:
            pair = await self._tokens(request, auth, transaction)
        except UpstreamUnavailable:
            raise
        except Exception:
            self.steps.delete_transaction(request, auth, state)
            raise
        url = self.steps.stored_return_to(transaction, request, auth)
        if pair is not None:
            await self.steps.sign_in(auth, pair)
            self.steps.mark_completed(request, auth, transaction, url)
        return self._redirect_after_login(request, url)

    async def _tokens(
        self, request: Request, auth: RequestAuth, transaction: Transaction
    ) -> TokenPair | None:
        """Return the tokens of the login, or None if the browser has them already."""
        if any(name in request.query_params for name in ("err", "error")):
            raise self.steps.rejected("refused", ENGLISH.login_refused)
        query, flow = single_values(request), self.steps.core.login_flow
        if transaction.used:
            return await flow.repeat_login(transaction.secret, auth.credentials())
        code = _matching(query.get("code"), _CODE)
        if code is None:
            raise self.steps.rejected("code", ENGLISH.login_without_code)
        admission = self.steps.admission(request, auth)
        pair = await flow.complete_login(code, admission, secret=transaction.secret)
        if pair is None:
            pair = await flow.repeat_login(transaction.secret, auth.credentials())
        else:
            await self.steps.end_completed(request, auth, superseded=True)
        self.steps.mark_used(request, auth, query.get("state"))
        return pair

    def _redirect_after_login(self, request: Request, url: str) -> Response:
        """Return a redirect, or a forwarding page if cookies are Strict.

        Browsers do not send Strict cookies along a chain of redirects that started at Descope.
        """
        if self.steps.settings.cookie_samesite == "strict":
            pages = self.steps.pages
            return pages.response(request.scope, forwarding_page(pages.texts(request.scope), url))
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    def _redirect_url(self, request: Request, state: str) -> str:
        callback = self.steps.public_origin.require(request.scope) + sibling_path(request, LOGIN, CALLBACK)
        return f"{callback}?state={state}"

    def _ask_for_organisation(
        self, request: Request, carried: Mapping[str, str], *, is_invalid: bool
    ) -> Response:
        if client_kind(request.scope) is not ClientKind.NAVIGATION:
            detail = ENGLISH.organisation_invalid if is_invalid else ENGLISH.organisation_detail
            raise self.steps.rejected("tenant", f"{detail} Send tenant=<id or e-mail>.")
        page = organisation_page(
            self.steps.pages.texts(request.scope),
            login_path=sibling_path(request, LOGIN, LOGIN),
            carried=carried,
            is_invalid=is_invalid,
        )
        return self.steps.pages.response(request.scope, page, HTTPStatus.BAD_REQUEST)

    # CB-20: the login cookie would stay on the other host.
    def _public_address(self, request: Request) -> str | None:
        """Return the URL of this login at ``DESCOPE_PUBLIC_URL`` if the browser is at another host.

        The redirect to it is marked. If the mark comes back with the other host, there is no second one.

        Raises:
            LoginRejected: The redirect has led back to the other host.
        """
        public_origin, scope = self.steps.public_origin, request.scope
        if not public_origin.is_other_host(scope):
            return None
        self.log_once.warning(_OTHER_HOST)  # without the host, which the client can choose
        if public_origin.has_loopback_host(scope):
            return None
        if _MOVED not in request.query_params:
            query = "&".join(filter(None, (scope["query_string"].decode("latin-1"), f"{_MOVED}=1")))
            return f"{public_origin.require(scope)}{sibling_path(request, LOGIN, LOGIN)}?{query}"
        # A redirect to another host would have made the request cross-site: a proxy replaces Host.
        if request.headers.get("sec-fetch-site") in {"none", "same-origin"}:
            return None
        raise self.steps.rejected("other_host", ENGLISH.login_other_address)


def _matching(value: str | None, grammar: re.Pattern[str]) -> str | None:
    return value if value is not None and grammar.fullmatch(value) else None


def _tenant_hint(value: str | None) -> str | None:
    # Keyboards of phones add a blank after a completed word.
    return None if value is None else _matching(value.strip(" \t"), TENANT_HINT)


async def _session_tenant(options: LoginOptions, auth: RequestAuth) -> str | None:
    """Return the session's tenant for a step-up or MFA, else None. A live session costs no network call."""
    if not (options.stepup or options.mfa):
        return None
    session = (await auth.authenticate()).session
    return session.tenant_id if session else None


def _carried(return_to: str, params: LoginParams, tenant: str | None) -> dict[str, str]:
    """Return the query of the same login, for the form of a page that asks first."""
    return {"return_to": return_to, **params.as_query(), **({} if tenant is None else {"tenant": tenant})}
