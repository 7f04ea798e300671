"""The guard of the start of a login: another site must not begin one in the user's browser unnoticed."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from ..._auth.core import Core
from ...events import EventBus, LoginFailed
from ...settings import DescopeSettings
from ..app_location import PluginRoute, path_in_browser, sibling_path
from ..client_kind import ClientKind, client_kind, is_cross_origin_navigation, is_cross_site
from ..error_responses import NotANavigation
from ..own_logins import OwnLogins
from ..page_responses import PageResponses
from ..pages import confirmation_page
from ..request_auth import RequestAuth

__all__ = ["LoginGuard"]

_CROSS_SITE_STARTS = 2
"""How many logins that other sites begin may call Descope at once: fewer than the connections for logins."""


@dataclass(frozen=True, slots=True)
class LoginGuard:
    """Decides whether a request may start a login at once, after a question, or not at all."""

    core: Core
    settings: DescopeSettings
    own_logins: OwnLogins
    events: EventBus
    pages: PageResponses
    _cross_site_starts: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_CROSS_SITE_STARTS)
    )

    def require_navigation(self, request: Request) -> None:
        """Reject images, scripts and prefetches: only a navigation may start a login (CB-13)."""
        kind, mode = client_kind(request.scope), request.headers.get("sec-fetch-mode", "navigate")
        if kind in {ClientKind.HTMX, ClientKind.TURBO}:  # they load the URL again as a navigation
            raise NotANavigation
        if mode != "navigate" or kind is ClientKind.PREFETCH:
            self.events.emit(LoginFailed("not_a_navigation"))
            raise NotANavigation("Open this address in a browser. A script cannot follow it.")

    async def must_confirm(self, request: Request, auth: RequestAuth) -> bool:
        """Return whether the user must confirm a login that another site may have begun (login CSRF, CB-15).

        Not if the browser has no session, or if our own redirect began the login. A ``Strict`` session
        cookie does not come along from another site, so there the session is unknown.
        """
        if not is_cross_origin_navigation(request.headers):
            return False
        is_own, deletions = self.own_logins.take(request.scope)
        auth.cookies.add(deletions)
        if is_own:
            return False
        is_unknown = self.settings.cookie_samesite == "strict" and is_cross_site(request.headers)
        return is_unknown or await self.core.browser_tokens.may_be_signed_in(auth.credentials())

    def confirmation(
        self,
        request: Request,
        auth: RequestAuth,
        route: PluginRoute,
        carried: Mapping[str, str],
        *,
        is_crowded: bool = False,
    ) -> Response:
        """Return the page that asks the user to confirm the login at ``route`` with the query ``carried``."""
        page = confirmation_page(
            self.pages.texts(request.scope),
            login_path=sibling_path(request.scope, route, route),
            home_path=path_in_browser("/", auth.location.login_app.root_path),
            carried=carried,
            is_crowded=is_crowded,
        )
        return self.pages.response(request.scope, page)

    def is_crowded(self, request: Request) -> bool:
        """Return whether other sites begin too many logins at once for another one of theirs (CB-19)."""
        return is_cross_origin_navigation(request.headers) and self._cross_site_starts.locked()

    def share(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Return the context of the call to Descope that begins a login. Never waits after ``is_crowded``."""
        if is_cross_origin_navigation(request.headers):
            return self._cross_site_starts
        return nullcontext()
