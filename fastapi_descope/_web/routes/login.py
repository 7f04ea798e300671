"""The login route, which redirects to Descope, and the callback, which Descope redirects to."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..._auth.login import LoginRequest
from ..._config.tenant_hint import TENANT_HINT
from ..._upstream.login_options import LoginOptions
from ...errors import DescopeError
from ...events import LoginMethod
from ...page_texts import ENGLISH
from ..app_location import LOGIN, sibling_path
from ..auth_scope import request_auth
from ..client_kind import ClientKind, client_kind
from ..error_responses import NO_STORE
from ..pages import forwarding_page, organisation_page
from ..request_auth import RequestAuth
from .authorization import AuthorizationRedirect
from .completion import LoginCompletion
from .login_steps import REDIRECT_HEADERS, LoginSteps
from .query import single_values

__all__ = ["LoginRoutes", "tenant_hint"]

_BY_CALLBACK: Collection[LoginMethod] = ("sso", "oauth")
"""The ways to sign in that end at the callback."""

_CODE = re.compile(r"[!-~]{1,2048}")


@dataclass(frozen=True, slots=True)
class LoginRoutes:
    """``GET /login/sso`` and ``GET /callback``."""

    authorization: AuthorizationRedirect
    completion: LoginCompletion

    @property
    def steps(self) -> LoginSteps:
        """The steps that all logins share."""
        return self.authorization.steps

    async def login(self, request: Request) -> Response:
        """Send the browser to the organisation's single sign-on.

        `tenant` is the id of a tenant, or a work e-mail whose domain belongs to one.
        """
        has_tenant = "tenant" in request.query_params
        hint = tenant_hint(single_values(request).get("tenant"))
        further = {} if hint is None else {"tenant": hint}
        start = await self.authorization.prepare(request, LOGIN, further)
        if isinstance(start, Response):
            return start
        tenant = hint
        if not has_tenant:
            auth = request_auth(request.scope)
            tenant = await _session_tenant(start.options, auth) or self.steps.settings.default_tenant
        if tenant is None:
            return self._ask_for_organisation(request, start.carried, is_invalid=has_tenant)
        login = LoginRequest(tenant)
        return await self.authorization.redirect(request, LOGIN, start, login, hint or "")

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
        # CB-01 to CB-04
        transaction = self.steps.find_transaction(request, auth, state, methods=_BY_CALLBACK)
        url = await self.completion.complete(
            request, auth, transaction, state, lambda: self._code(request, is_repeated=transaction.used)
        )
        return self._redirect_after_login(request, url)

    def _code(self, request: Request, *, is_repeated: bool) -> str:
        """Return the code of a callback; "" for the callback of a login that this browser has completed."""
        if any(name in request.query_params for name in ("err", "error")):
            raise self.steps.rejected("refused", ENGLISH.login_refused)
        if is_repeated:
            return ""
        query = single_values(request)
        code = _matching(query.get("code"), _CODE)
        if code is None:
            raise self.steps.rejected("code", ENGLISH.login_without_code)
        return code

    def _redirect_after_login(self, request: Request, url: str) -> Response:
        """Return a redirect, or a forwarding page if cookies are Strict.

        Browsers do not send Strict cookies along a chain of redirects that started at Descope.
        """
        if self.steps.settings.cookie_samesite == "strict":
            pages = self.steps.pages
            return pages.response(request.scope, forwarding_page(pages.texts(request.scope), url))
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    def _ask_for_organisation(
        self, request: Request, carried: Mapping[str, str], *, is_invalid: bool
    ) -> Response:
        if client_kind(request.scope) is not ClientKind.NAVIGATION:
            detail = ENGLISH.organisation_invalid if is_invalid else ENGLISH.organisation_detail
            raise self.steps.rejected("tenant", f"{detail} Send tenant=<id or e-mail>.")
        page = organisation_page(
            self.steps.pages.texts(request.scope),
            login_path=sibling_path(request.scope, LOGIN, LOGIN),
            carried=carried,
            is_invalid=is_invalid,
        )
        status = HTTPStatus.BAD_REQUEST if is_invalid else HTTPStatus.OK
        return self.steps.pages.response(request.scope, page, status)


def _matching(value: str | None, grammar: re.Pattern[str]) -> str | None:
    return value if value is not None and grammar.fullmatch(value) else None


def tenant_hint(value: str | None) -> str | None:
    """Return the tenant that a query names, or None if there is none or it is malformed."""
    # Keyboards of phones add a blank after a completed word.
    return None if value is None else _matching(value.strip(" \t"), TENANT_HINT)


async def _session_tenant(options: LoginOptions, auth: RequestAuth) -> str | None:
    """Return the session's tenant for a step-up or MFA, else None. A live session costs no network call."""
    if not (options.stepup or options.mfa):
        return None
    session = (await auth.authenticate()).session
    return session.tenant_id if session else None
