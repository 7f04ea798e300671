"""Signing in: the way to Descope and the way back."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..core.authenticator import LoginRequest
from ..core.login_options import LoginOptions
from ..core.session import Session
from ..errors import AmbiguousCookies, Forbidden, LoginRejected
from ..events import Events, LoginFailed, LoginStarted, RedirectRejected
from ..settings import DescopeSettings
from .origins import Origins
from .pages import PAGE_HEADERS, organisation_page
from .pending_session import PendingSession, pending_session
from .responses import NO_STORE, Asker, asker, is_sent_from_elsewhere, own_paths
from .transactions import LoginTransactions, Transaction

__all__ = ["LoginHook", "LoginRoutes"]

LoginHook = Callable[[Request, Session], Awaitable[None]]
"""Called with the verified session of a login, before its cookies; ``LoginRejected`` refuses it."""

_LEAVING = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""For redirects away from an address that has a code or a state in it (CB-10)."""

_LOGIN, _CALLBACK = "/login/sso", "/callback"
_TENANT = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[!-~]{1,2048}")
_HINT = re.compile(r"[ -~]{1,256}")
_TRUE = re.compile(r"true|1")

_CARRIED = {
    "step_up": _TRUE,
    "mfa": _TRUE,
    "force_authn": _TRUE,
    "login_hint": _HINT,
    "sso_id": _TENANT,
    "prompt": _HINT,
}
"""What a login may ask for beside its tenant and its way back, and the grammar of each."""


@dataclass(frozen=True, slots=True)
class LoginRoutes:
    """``GET /login/sso`` and ``GET /callback``."""

    settings: DescopeSettings
    transactions: LoginTransactions
    origins: Origins
    events: Events
    login_options: Callable[[Request], LoginOptions | None]
    hooks: Sequence[LoginHook]

    # Signed in already or not, a login is a new one: never a way straight to return_to (CB-15).
    async def login(self, request: Request) -> Response:
        """Send the browser to the organisation's single sign-on.

        `tenant` is the id of a tenant, or a work e-mail whose domain belongs to one.
        """
        pending = pending_session(request.scope)
        self._refuse_subresource(request)
        pending.heal()
        return_to = self._return_to(request, pending)
        options, named = self._options(request), _one(request, "tenant", _TENANT)
        if named is not None and _is_sent_over_a_session(request, pending):
            return _organisation_page(request, return_to, named)
        tenant = named or await _own_tenant(options, pending) or self.settings.default_tenant
        if tenant is None:
            return self._ask_for_organisation(request, return_to)
        secure = self.origins.secure(request.scope)
        state, cookies = self.transactions.begin(
            request.scope["headers"], return_to=return_to, now=pending.now(), secure=secure
        )
        callback = (
            f"{self.origins.public_origin(request.scope)}{_base(request, _LOGIN)}{_CALLBACK}?state={state}"
        )
        url = await pending.authenticator.begin_login(
            _login_request(request, tenant, callback, options), presented=pending.credentials()
        )
        pending.queue(cookies)
        self.events.emit(LoginStarted())
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _LEAVING)

    async def callback(self, request: Request) -> Response:
        """Trade the one-time code for a session, and send the browser to where it wanted to go."""
        pending = pending_session(request.scope)
        transaction = self._transaction(request, pending)
        if pending.credentials().ambiguous:
            # The login has tried to heal it: to go on would lead to a page where nobody is signed in (CK-02).
            pending.heal()
            raise self._rejected("cookie_ambiguous", AmbiguousCookies().detail)
        if any(name in request.query_params for name in ("err", "error")):
            raise self._rejected("refused", "The sign-in was cancelled, or your organisation refused it.")
        code = _one(request, "code", _CODE)
        if code is None:
            raise self._rejected("code", "The sign-in service sent no usable code.")
        pair = await pending.authenticator.complete_login(code)
        for hook in self.hooks:
            await hook(request, pair.session)
        pending.write(pair)  # over whatever session the browser had (CB-09)
        # Checked when it was stored; and once more now, because the cookie was in the browser since.
        safe = self.origins.return_to(transaction.return_to, request.scope, forbidden=own_paths(pending))
        return RedirectResponse(safe or self._landing(pending), HTTPStatus.SEE_OTHER, _LEAVING)

    def _transaction(self, request: Request, pending: PendingSession) -> Transaction:
        """The login that this callback ends; it counts once, however it ends (CB-01 to CB-04)."""
        state = _one(request, "state", _STATE)
        headers, secure = request.scope["headers"], self.origins.secure(request.scope)
        found = None
        if state is not None:
            found = self.transactions.find(headers, state=state, now=pending.now(), secure=secure)
            pending.queue(self.transactions.end(headers, state=state, secure=secure))
        if found is None:
            raise self._rejected(
                "state", "This sign-in is too old, was begun in another browser, or has been used already."
            )
        return found

    def _return_to(self, request: Request, pending: PendingSession) -> str:
        """Where to go after the login: what was asked for if it is safe, else the landing path."""
        asked = request.query_params.getlist("return_to")
        if not asked:
            return self._landing(pending)
        safe = (
            self.origins.return_to(asked[0], request.scope, forbidden=own_paths(pending))
            if len(asked) == 1
            else None
        )
        if safe is None:
            self.events.emit(RedirectRejected())
        return safe or self._landing(pending)

    def _landing(self, pending: PendingSession) -> str:
        return pending.root_path + self.settings.post_login_path

    def _options(self, request: Request) -> LoginOptions:
        options = self.login_options(request) or LoginOptions()
        # Anybody may ask to be checked more strictly.
        return replace(
            options,
            stepup=options.stepup or _one(request, "step_up", _TRUE) is not None,
            mfa=options.mfa or _one(request, "mfa", _TRUE) is not None,
        )

    def _ask_for_organisation(self, request: Request, return_to: str) -> Response:
        if asker(request.scope) is not Asker.PERSON:
            raise self._rejected("tenant", "Say whose single sign-on to use: tenant=<id or e-mail>.")
        return _organisation_page(request, return_to)

    def _refuse_subresource(self, request: Request) -> None:
        """A login starts because somebody went there, not because an image or a prefetch did (CB-13)."""
        mode = request.headers.get("sec-fetch-mode", "navigate")
        if mode != "navigate" or asker(request.scope) is Asker.PREFETCH:
            self.events.emit(LoginFailed("not_a_navigation"))
            raise Forbidden("Go to this address with a browser; a script cannot follow it.")

    def _rejected(self, reason: str, detail: str) -> LoginRejected:
        self.events.emit(LoginFailed(reason))
        return LoginRejected(reason, detail)


def _login_request(request: Request, tenant: str, redirect_url: str, options: LoginOptions) -> LoginRequest:
    return LoginRequest(
        tenant=tenant,
        redirect_url=redirect_url,
        login_hint=_one(request, "login_hint", _HINT),
        sso_id=_one(request, "sso_id", _TENANT),
        prompt=_one(request, "prompt", _HINT),
        force_authn=_one(request, "force_authn", _TRUE) is not None,
        options=options,
    )


async def _own_tenant(options: LoginOptions, pending: PendingSession) -> str | None:
    """The tenant of the session that a step-up or MFA is about; a live session costs no call to Descope."""
    if not (options.stepup or options.mfa):
        return None
    session = (await pending.resolve()).session
    tenant = session.tenant_id if session else None
    return tenant if tenant and _TENANT.fullmatch(tenant) else None


def _is_sent_over_a_session(request: Request, pending: PendingSession) -> bool:
    """Whether another site sent a browser here that has a session: it may mean to swap users (CB-15)."""
    held = pending.credentials()
    has_session = held.session is not None or held.refresh is not None or held.ambiguous
    return has_session and is_sent_from_elsewhere(request.headers)


def _organisation_page(request: Request, return_to: str, tenant: str = "") -> Response:
    """The question whose single sign-on it is to be; the answer goes on with all that was asked for."""
    asked = {name: _one(request, name, grammar) for name, grammar in _CARRIED.items()}
    carried = {"return_to": return_to, **{name: value for name, value in asked.items() if value}}
    page = organisation_page(login_path=_base(request, _LOGIN) + _LOGIN, carried=carried, tenant=tenant)
    status = HTTPStatus.OK if tenant else HTTPStatus.BAD_REQUEST
    return HTMLResponse(page, status, {**PAGE_HEADERS, **NO_STORE})


def _one(request: Request, name: str, grammar: re.Pattern[str]) -> str | None:
    """The parameter, if it is there exactly once and well-formed; else None (CB-05, CB-12)."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 and grammar.fullmatch(values[0]) else None


def _base(request: Request, own: str) -> str:
    """The path, as browsers see it, under which the router is mounted; "" at the root."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    seen = path if path.startswith(root) else root + path
    return quote(seen.removesuffix(own))
