"""The routes of nOTP: a sign-in that the user confirms by a WhatsApp message from their phone."""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..._auth.notp import POLL_SECONDS
from ..._upstream.login_options import LoginOptions
from ..._upstream.responses import NotpStart
from ...errors import DescopeError, UpstreamUnavailable
from ...events import LoginStarted
from ...session import TokenPair
from ..app_location import NOTP, NOTP_SESSION, PluginRoute, sibling_path
from ..auth_scope import request_auth
from ..client_kind import ClientKind, client_kind
from ..error_responses import NO_STORE
from ..login_transactions import LoginTransactions, Transaction
from ..notp_page import CodePage, waiting_page
from ..qr_code import QrCodes
from ..request_auth import RequestAuth
from .body import read_fields
from .login_steps import REDIRECT_HEADERS, LoginSteps
from .schemas import NotpPendingOut, NotpStartOut, SessionOut

__all__ = ["NotpRoutes"]

_POLL_INTERVAL = 2
"""Seconds between two polls of a page or a script."""


# The pending reference is enough to get the session, so it is only in a cookie of the browser that started
# the sign-in. Pages and scripts have a state, which selects the cookie (NP-01, NP-02).
@dataclass(frozen=True, slots=True)
class NotpRoutes:
    """``/login/notp`` and ``/login/notp/session``."""

    steps: LoginSteps
    qr_codes: QrCodes

    # NP-06
    async def page(self, request: Request) -> Response:
        """Show the page to sign in with WhatsApp: a link, its QR code, and the host of the app."""
        auth = request_auth(request.scope)
        self.steps.guard.require_navigation(request)
        await auth.delete_duplicates()
        return_to = self.steps.targets.requested(request, auth)
        carried = {"return_to": return_to}
        if await self.steps.guard.must_confirm(request, auth):
            return self.steps.guard.confirmation(request, auth, NOTP, carried)
        host = urlsplit(self.steps.public_origin.require(request.scope)).netloc
        options = await self.steps.login_options(request)
        if self.steps.guard.is_crowded(request):
            return self.steps.guard.confirmation(request, auth, NOTP, carried, is_crowded=True)
        state, started = await self._start(request, auth, return_to, options)
        code_page = CodePage(
            host=host,
            url=started.url,
            svg=(await self.qr_codes.draw(started.url)).svg,
            state=state,
            session_path=sibling_path(request.scope, NOTP, NOTP_SESSION),
            restart_path=_restart_path(request, NOTP, return_to),
            return_to=return_to,
            seconds=LoginTransactions.LIFETIME,
            interval=_POLL_INTERVAL,
        )
        page = code_page.page(self.steps.pages.texts(request.scope))
        return self.steps.pages.response(request.scope, page)

    async def start(self, request: Request) -> Response:
        """Start a sign-in with WhatsApp for a script, which shows the link or its QR code."""
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        await auth.delete_duplicates()
        options = await self.steps.login_options(request)
        state, started = await self._start(request, auth, self.steps.targets.landing(auth), options)
        view = NotpStartOut(
            state=state,
            url=started.url,
            qr_code=(await self.qr_codes.draw(started.url)).data_uri,
            expires_in=LoginTransactions.LIFETIME,
            poll_interval=_POLL_INTERVAL,
        )
        return JSONResponse(view.model_dump(mode="json"), headers=NO_STORE)

    async def session(self, request: Request) -> Response:
        """Complete a sign-in with WhatsApp.

        Takes `state` as JSON or as a form. Until the user has sent the message, the response is 202. After
        that it sets the cookies, and is the session for a script and a redirect for a form.
        """
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        state = (await read_fields(request)).get("state", "")
        transaction = self.steps.find_transaction(request, auth, state, methods=("notp",))
        pair = await self._complete(request, auth, transaction, state)
        if pair is None:
            return self._pending(request, auth, transaction, state)
        self.steps.delete_transaction(request, auth, state)
        await auth.delete_duplicates()
        await self.steps.end_completed(request, auth, superseded=True)
        await self.steps.sign_in(auth, pair)
        if client_kind(request.scope) is ClientKind.NAVIGATION:
            url = self.steps.stored_return_to(transaction, auth)
            return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)
        view = SessionOut.from_session(pair.session)
        return JSONResponse(view.model_dump(mode="json"), headers=NO_STORE)

    async def _start(
        self, request: Request, auth: RequestAuth, return_to: str, options: LoginOptions
    ) -> tuple[str, NotpStart]:
        """Start a sign-in, and bind it to the browser. Return its state and its link."""
        async with self.steps.guard.share(request):
            started = await self.steps.core.notp_flow.start(options)
        state, cookies = self.steps.start_transaction(
            request, return_to, method="notp", pending_ref=started.pending_ref
        )
        auth.cookies.add(cookies)
        self.steps.events.emit(LoginStarted("notp"))
        return state, started

    async def _complete(
        self, request: Request, auth: RequestAuth, transaction: Transaction, state: str
    ) -> TokenPair | None:
        """Return the tokens, or None while the sign-in is pending. After an error it is deleted."""
        try:
            admit = self.steps.admission(request, auth)
            return await self.steps.core.notp_flow.complete(transaction.pending_ref, admit)
        except UpstreamUnavailable:  # the next poll may succeed
            raise
        except DescopeError:
            self.steps.delete_transaction(request, auth, state)
            raise

    def _pending(self, request: Request, auth: RequestAuth, transaction: Transaction, state: str) -> Response:
        headers = {**NO_STORE, "Retry-After": str(POLL_SECONDS)}
        if client_kind(request.scope) is ClientKind.NAVIGATION:
            return_to = self.steps.stored_return_to(transaction, auth)
            page = waiting_page(
                self.steps.pages.texts(request.scope),
                state=state,
                session_path=sibling_path(request.scope, NOTP_SESSION, NOTP_SESSION),
                restart_path=_restart_path(request, NOTP_SESSION, return_to),
            )
            return self.steps.pages.response(request.scope, page, headers=headers)
        view = NotpPendingOut(retry_after=POLL_SECONDS)
        return JSONResponse(view.model_dump(mode="json"), HTTPStatus.ACCEPTED, headers)


def _restart_path(request: Request, own: PluginRoute, return_to: str) -> str:
    return sibling_path(request.scope, own, NOTP) + "?" + urlencode({"return_to": return_to})
