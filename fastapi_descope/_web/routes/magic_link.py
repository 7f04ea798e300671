"""The routes of a sign-in by e-mail: ask for a link, open it, confirm it.

Scanners of mailboxes open links, so opening one consumes nothing: its page has a button, whose POST verifies
the token. The browser that asked for the link has the login cookie of its state. Any other browser gets a
login cookie of its own and a page that says so, and signs in only itself (ML-03, ML-04).
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..._config.tenant_hint import EMAIL
from ...errors import DescopeError
from ...events import LoginStarted
from ...page_texts import ENGLISH
from ..app_location import (
    LOGIN_PAGE,
    MAGIC_LINK,
    MAGIC_LINK_PAGE,
    MAGIC_LINK_VERIFY,
    path_in_browser,
    sibling_path,
)
from ..auth_scope import request_auth
from ..client_kind import ClientKind, client_kind
from ..credentials import client_address
from ..error_responses import NO_STORE
from ..login_transactions import LoginTransactions
from ..magic_link_page import link_page, sent_page
from .body import read_fields
from .completion import LoginCompletion
from .login_steps import REDIRECT_HEADERS, LoginSteps
from .query import single_values
from .schemas import LinkSentOut

__all__ = ["MagicLinkRoutes"]

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,2048}")
"""The token of a link (ML-05). It is in a URL, so it has no other characters."""


@dataclass(frozen=True, slots=True)
class MagicLinkRoutes:
    """``/login/magiclink`` and ``/login/magiclink/verify``."""

    completion: LoginCompletion

    @property
    def steps(self) -> LoginSteps:
        """The steps that all logins share."""
        return self.completion.steps

    async def send(self, request: Request) -> Response:
        """Send a link to an e-mail address.

        Takes `email`, and optionally `return_to`, as JSON or as a form. The response is the same whether or
        not the address is known.
        """
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        fields = await read_fields(request)
        return_to = self.steps.targets.safe(fields.get("return_to"), auth)
        auth.login_query = {"return_to": return_to}
        email = fields.get("email", "").strip(" \t")
        if not EMAIL.fullmatch(email):
            raise self.steps.rejected("email", ENGLISH.link_invalid_address)
        options = await self.steps.login_options(request)
        state, cookies = self.steps.start_transaction(request, return_to, method="magiclink")
        await self.steps.core.magic_link_flow.send(
            email, self._link(request, state, return_to), options, client=client_address(request.scope)
        )
        auth.cookies.add(cookies)
        self.steps.events.emit(LoginStarted("magiclink"))
        if client_kind(request.scope) is not ClientKind.NAVIGATION:
            view = LinkSentOut(expires_in=LoginTransactions.LIFETIME)
            return JSONResponse(view.model_dump(mode="json"), HTTPStatus.ACCEPTED, NO_STORE)
        again = f"{sibling_path(request.scope, MAGIC_LINK, LOGIN_PAGE)}?{urlencode({'return_to': return_to})}"
        return self.steps.pages.response(
            request.scope, sent_page(self.steps.pages.texts(request.scope), again)
        )

    async def page(self, request: Request) -> Response:
        """Show the page of a link, which asks the user to confirm. It consumes nothing."""
        auth, scope = request_auth(request.scope), request.scope
        self.steps.guard.require_navigation(request)
        query = single_values(request)
        token = query.get("t", "")
        return_to = self.steps.targets.requested(request, auth)
        auth.login_query = {"return_to": return_to}
        if not _TOKEN.fullmatch(token):
            raise self.steps.rejected("link", ENGLISH.link_incomplete)
        state = query.get("state", "")
        is_own = self.steps.has_transaction(request, state, methods=("magiclink",))
        if not is_own:
            state, cookies = self.steps.start_transaction(request, return_to, method="magiclink")
            auth.cookies.add(cookies)
        page = link_page(
            self.steps.pages.texts(scope),
            host=urlsplit(self.steps.public_origin.require(scope)).netloc,
            path=sibling_path(request.scope, MAGIC_LINK_PAGE, MAGIC_LINK_VERIFY),
            state=state,
            token=token,
            home_path=path_in_browser("/", auth.location.login_app.root_path),
            is_own=is_own,
        )
        return self.steps.pages.response(scope, page)

    async def verify(self, request: Request) -> Response:
        """Sign in with the token of a link.

        Takes `state` and `token` as a form of the page that the link opens.
        """
        try:
            return await self._verify(request)
        except DescopeError:
            auth = request_auth(request.scope)
            auth.is_signed_in = await self.steps.core.browser_tokens.is_signed_in(auth.credentials())
            raise

    async def _verify(self, request: Request) -> Response:
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        fields = await read_fields(request)
        state = fields.get("state")
        transaction = self.steps.find_transaction(request, auth, state, methods=("magiclink",))

        def token() -> str:
            """Return the token."""
            if not _TOKEN.fullmatch(fields.get("token", "")):
                raise self.steps.rejected("link", ENGLISH.link_incomplete)
            return fields["token"]

        url = await self.completion.complete(request, auth, transaction, state, token)
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, REDIRECT_HEADERS)

    def _link(self, request: Request, state: str, return_to: str) -> str:
        """Return the URL of the link, to which Descope appends the token."""
        origin = self.steps.public_origin.require(request.scope)
        path = sibling_path(request.scope, MAGIC_LINK, MAGIC_LINK_PAGE)
        return f"{origin}{path}?{urlencode({'state': state, 'return_to': return_to})}"
