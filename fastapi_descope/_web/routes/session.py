"""The routes of a signed-in user: session, profile, tenant switch, logout."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..._auth.auth_result import AuthResult
from ..._auth.session_service import LogoutNotifier
from ..._config.tenant_hint import TENANT_HINT
from ...errors import BadRequest
from ...session import AuthSession, tenant_id_var
from ..app_location import public_path
from ..auth_scope import request_auth
from ..client_kind import ClientKind, client_kind
from ..error_responses import NO_STORE, htmx_redirect
from ..hooks import hook_request
from ..pending_login import fetch_user_profile, running_hooks
from ..request_auth import RequestAuth
from .body import read_fields
from .login_steps import LoginSteps
from .schemas import ProfileOut, SessionOut, TenantNamesOut

__all__ = ["SessionRoutes"]

logger = logging.getLogger("fastapi_descope")

_HOOK_TIMEOUT = 2.0
"""Seconds that an ``on_logout`` hook may take."""

_BODY_TIMEOUT = 1.0
"""Seconds that a logout waits for its body, while it calls Descope."""


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """``/logout``, ``/tenant/select`` and ``/session``."""

    steps: LoginSteps

    async def logout(self, request: Request) -> Response:
        """End this session. Its cookies are deleted even if Descope is unreachable.

        Takes `return_to`, as JSON or as a form, or no body. A form gets a redirect, a script a 204.
        """
        return await self._logout(request, everywhere=False)

    async def logout_all(self, request: Request) -> Response:
        """End every session of the user, on all devices.

        Takes what `/logout` takes, and responds as it does.
        """
        return await self._logout(request, everywhere=True)

    async def select_tenant(self, request: Request) -> Response:
        """Make another of the user's tenants the current one.

        Takes `tenant`, and optionally `return_to`, as JSON or as a form. A script receives the new session, a
        form a redirect.
        """
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        fields = await read_fields(request)
        tenant = fields.get("tenant", "")
        if not TENANT_HINT.fullmatch(tenant):
            raise BadRequest("Name the tenant: tenant=<id>")
        with auth.cookies.clear_if_ended():
            pair, login = await self.steps.core.session_service.select_tenant(auth.credentials(), tenant)
        auth.cookies.write(pair)  # whatever follows: Descope may have rotated the token (SG-04)
        await self.steps.core.session_gate.require(pair)
        with running_hooks(auth, pair, login):
            for hook in self.steps.hooks.tenant_switch:
                await hook(request, pair.session)
        if client_kind(request.scope) is ClientKind.API:
            return _json(SessionOut.from_session(pair.session))
        return self._redirect(request, auth, fields, self.steps.settings.post_login_path)

    # CK-12. The docstrings of endpoints are published in OpenAPI.
    async def session(self, request: Request) -> Response:
        """Return the session for a front end: user, tenant, roles, expiry. It contains no token."""
        return _json(SessionOut.from_session(await request_auth(request.scope).require()))

    async def profile(self, request: Request) -> Response:
        """Return the user object from Descope. Each request is one call to Descope."""
        return _json(ProfileOut.from_profile(await fetch_user_profile(request_auth(request.scope))))

    async def tenant_names(self, request: Request) -> Response:
        """Return the names of the user's tenants from Descope. Each request is one call to Descope."""
        auth = request_auth(request.scope)
        await auth.require()
        with auth.cookies.clear_if_ended():
            names = await self.steps.core.session_service.tenant_names(
                auth.credentials(), await auth.authenticate()
            )
        return _json(TenantNamesOut(tenants=names))

    async def _logout(self, request: Request, *, everywhere: bool) -> Response:
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        credentials = auth.credentials()
        if credentials.bearer is not None:
            # LO-06: a bearer token has no refresh token that could be revoked.
            raise BadRequest(
                "Logout ends the session of the cookies: send it without an Authorization header"
            )
        notify = self._logout_notifier(request) if self.steps.hooks.logout else None
        fields, *_ = await asyncio.gather(
            _fields_if_any(request),
            self.steps.core.session_service.logout(credentials, everywhere=everywhere, notify=notify),
            auth.delete_duplicates(),
            self.steps.end_completed(request, auth),
        )
        auth.cookies.clear()
        if client_kind(request.scope) is ClientKind.API:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=NO_STORE)
        return self._redirect(request, auth, fields, self.steps.settings.post_logout_path)

    def _logout_notifier(self, request: Request) -> LogoutNotifier:
        lasting_request, auth = hook_request(request), request_auth(request.scope)

        async def notify(session: AuthSession) -> None:
            tenant_id_var.set(session.tenant_id)  # in the context of the logout's own task
            # The session is revoked already, and hooks may ask for it.
            auth.result = auth.result or AuthResult(session, source="cookie")
            for hook in self.steps.hooks.logout:
                try:
                    async with asyncio.timeout(_HOOK_TIMEOUT):
                        await hook(lasting_request, session)
                except Exception:  # the app's code: the logout succeeds all the same (LO-07)
                    logger.exception("An on_logout hook failed")

        return notify

    def _redirect(
        self, request: Request, auth: RequestAuth, fields: Mapping[str, str], default: str
    ) -> Response:
        """Redirect a navigation or HTMX to ``return_to`` if it is safe, else to ``default`` (RT-16)."""
        target = self.steps.targets.accepted(fields.get("return_to") or None, auth)
        url = target or public_path(default, auth.location.login_app.root_path)
        if client_kind(request.scope) is ClientKind.HTMX:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers={**NO_STORE, **htmx_redirect(url)})
        return RedirectResponse(url, HTTPStatus.SEE_OTHER, NO_STORE)


def _json(view: SessionOut | ProfileOut | TenantNamesOut) -> JSONResponse:
    return JSONResponse(view.model_dump(mode="json"), headers=NO_STORE)


async def _fields_if_any(request: Request) -> Mapping[str, str]:
    """Return the fields of the body, or none if it is malformed or slow: a logout never fails (LO-01)."""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            return await read_fields(request)
    except (BadRequest, TimeoutError):
        return {}
