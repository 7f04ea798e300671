"""Signing in: the way to Descope and the way back."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..core.authenticator import Admission, LoginRequest
from ..core.login_options import LoginOptions
from ..core.session import Session, TokenPair, UserProfile
from ..errors import Forbidden, LoginRejected
from ..events import Events, LoginFailed, LoginStarted, RedirectRejected
from ..settings import DescopeSettings
from ..tenant_name import TENANT_NAME
from .origins import Origins
from .own_routes import CALLBACK, LOGIN
from .pages import PAGE_HEADERS, forwarding_page, organisation_page
from .paths import path_in_app, path_in_browser
from .pending_session import PendingSession, pending_session
from .responses import NO_STORE, Asker, asker
from .transactions import LoginTransactions, Transaction

__all__ = ["LoginHook", "LoginRoutes", "OptionsHook"]

LoginHook = Callable[[Request, Session], Awaitable[None]]
"""Called with the verified session of a login, before its cookies; ``LoginRejected`` refuses it."""

OptionsHook = Callable[[Request], Awaitable[LoginOptions | None]]
"""Called as a login begins, for what it asks beyond an identity."""

_LEAVING = {**NO_STORE, "Referrer-Policy": "no-referrer"}
"""For redirects away from an address that has a code or a state in it (CB-10)."""

_UNNAMED = "Your organisation decides how you sign in."
_NO_NAME = "That is neither a work e-mail nor the id of an organisation."

_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[!-~]{1,2048}")
_HINT = re.compile(r"[ -~]{1,256}")
_TRUE = frozenset({"true", "1"})


@dataclass(frozen=True, slots=True)
class LoginRoutes:
    """``GET /login/sso`` and ``GET /callback``."""

    settings: DescopeSettings
    transactions: LoginTransactions
    origins: Origins
    events: Events
    options: Sequence[OptionsHook]
    hooks: Sequence[LoginHook]

    # Signed in already or not, a login is a new one: never a way straight to return_to (CB-15).
    async def login(self, request: Request) -> Response:
        """Send the browser to the organisation's single sign-on.

        `tenant` is the id of a tenant, or a work e-mail whose domain belongs to one.
        """
        pending = pending_session(request.scope)
        self._refuse_subresource(request)
        return_to = self._return_to(request, pending)
        named = "tenant" in request.query_params
        tenant = _one(request, "tenant", TENANT_NAME) if named else self.settings.default_tenant
        if tenant is None:
            return self._ask_for_organisation(request, return_to, _NO_NAME if named else _UNNAMED)
        secure = self.origins.secure(request.scope)
        state, cookies = self.transactions.begin(
            request.scope["headers"], return_to=return_to, now=pending.now(), secure=secure
        )
        callback = self.origins.public_origin(request.scope) + _beside_login(request, CALLBACK.path)
        url = await pending.authenticator.begin_login(
            await self._login_request(request, tenant, f"{callback}?state={state}"),
            presented=pending.credentials(),
        )
        pending.queue(cookies)
        self.events.emit(LoginStarted())
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _LEAVING)

    async def callback(self, request: Request) -> Response:
        """Trade the one-time code for a session, and send the browser to where it wanted to go."""
        pending = pending_session(request.scope)
        transaction = self._transaction(request, pending)
        if any(name in request.query_params for name in ("err", "error")):
            raise self._rejected("refused", "The sign-in was cancelled, or your organisation refused it.")
        code = _one(request, "code", _CODE)
        if code is None:
            raise self._rejected("code", "The sign-in service sent no usable code.")
        pair = await pending.authenticator.complete_login(code, self._admission(request, pending))
        pending.write(pair)  # over whatever session the browser had (CB-09)
        # Checked when it was stored; and once more now, because the cookie was in the browser since.
        safe = self.origins.return_to(transaction.return_to, request.scope, forbidden=pending.own_paths)
        return self._arrived(safe or self._landing(pending))

    def _arrived(self, url: str) -> Response:
        """On to ``url``: by a page where a redirect, begun at Descope, would leave Strict cookies behind."""
        if self.settings.cookie_samesite == "strict":
            return HTMLResponse(forwarding_page(url), HTTPStatus.OK, {**PAGE_HEADERS, **NO_STORE})
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, _LEAVING)

    def _admission(self, request: Request, pending: PendingSession) -> Admission:
        async def admit(pair: TokenPair, profile: UserProfile | None) -> None:
            pending.sign_in(pair, profile)
            for hook in self.hooks:
                await hook(request, pair.session)

        return admit

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
            self.origins.return_to(asked[0], request.scope, forbidden=pending.own_paths)
            if len(asked) == 1
            else None
        )
        if safe is None:
            self.events.emit(RedirectRejected())
        return safe or self._landing(pending)

    def _landing(self, pending: PendingSession) -> str:
        return pending.root_path + self.settings.post_login_path

    async def _login_request(self, request: Request, tenant: str, redirect_url: str) -> LoginRequest:
        options = LoginOptions()
        for hook in self.options:  # one at most
            options = await hook(request) or options
        return LoginRequest(
            tenant=tenant,
            redirect_url=redirect_url,
            login_hint=_one(request, "login_hint", _HINT),
            sso_id=_one(request, "sso_id", TENANT_NAME),
            prompt=_one(request, "prompt", _HINT),
            force_authn=request.query_params.get("force_authn") in _TRUE,
            # Anybody may ask to be checked more strictly.
            options=replace(
                options,
                stepup=options.stepup or request.query_params.get("step_up") in _TRUE,
                mfa=options.mfa or request.query_params.get("mfa") in _TRUE,
            ),
        )

    def _ask_for_organisation(self, request: Request, return_to: str, detail: str) -> Response:
        if asker(request.scope) is not Asker.PERSON:
            raise self._rejected("tenant", f"{detail} Name it: tenant=<id or e-mail>.")
        login_path = _beside_login(request, LOGIN.path)
        page = organisation_page(detail=detail, login_path=login_path, return_to=return_to)
        return HTMLResponse(page, HTTPStatus.BAD_REQUEST, {**PAGE_HEADERS, **NO_STORE})

    def _refuse_subresource(self, request: Request) -> None:
        """A login starts because somebody went there, not because an image or a prefetch did (CB-13)."""
        mode = request.headers.get("sec-fetch-mode", "navigate")
        if mode != "navigate" or asker(request.scope) is Asker.PREFETCH:
            self.events.emit(LoginFailed("not_a_navigation"))
            raise Forbidden("Go to this address with a browser; a script cannot follow it.")

    def _rejected(self, reason: str, detail: str) -> LoginRejected:
        self.events.emit(LoginFailed(reason))
        return LoginRejected(detail, reason=reason)


def _one(request: Request, name: str, grammar: re.Pattern[str]) -> str | None:
    """The parameter, if it is there exactly once and well-formed; else None (CB-05, CB-12)."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 and grammar.fullmatch(values[0]) else None


def _beside_login(request: Request, path: str) -> str:
    """Where browsers find ``path`` of the router, seen from the login."""
    prefix = path_in_app(request.scope).removesuffix(LOGIN.path)
    return path_in_browser(prefix + path, request.scope.get("root_path", ""))
