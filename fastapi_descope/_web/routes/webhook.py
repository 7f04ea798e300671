"""``POST /descope/events``: the audit webhook of the Descope project."""

import asyncio
from http import HTTPStatus
from typing import Literal

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..._auth.core import Core
from ..._revocation.audit_webhook import AuditEvent, IncompleteEvent, is_signed, parse_events
from ...events import EventBus, UserChanged, UserRevoked, WebhookIgnored, WebhookRefused
from ..error_responses import NO_STORE
from ..public_endpoints import public
from .body import media_type, read_body

__all__ = ["WebhookRoute"]

_SIGNATURE = "x-descope-webhook-s256"
_MAX_BYTES = 524_288
_BODY_TIMEOUT = 10.0
_RETRY_AFTER = "5"

_STATUSES = {
    "content_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "signature": HTTPStatus.UNAUTHORIZED,
    "malformed": HTTPStatus.BAD_REQUEST,
}

_Reason = Literal["content_type", "too_large", "signature", "malformed"]


class WebhookRoute:
    """The endpoint of the webhook.

    Args:
        core: The objects of the core.
        events: Receives an event for each user, and for each webhook that is refused.
        secret: The HMAC secret of the connector.
        project_id: The project; events of another one are ignored.
    """

    # RV-07, RV-08, RV-09

    def __init__(self, core: Core, events: EventBus, *, secret: str, project_id: str) -> None:
        self._core = core
        self._events = events
        self._secret = secret.encode()
        self._project_id = project_id

    @public
    async def receive(self, request: Request) -> Response:
        """Apply the events of Descope's audit webhook. Its signature is verified first."""
        if media_type(request) != "application/json":
            return self._refuse("content_type")
        body = await _read(request)
        if body is None:
            return self._refuse("too_large")
        signatures = request.headers.getlist(_SIGNATURE)
        if len(signatures) != 1 or not is_signed(body, signatures[0], self._secret):
            return self._refuse("signature")
        try:
            events = parse_events(body, self._project_id)
        except ValueError:
            return self._refuse("malformed")
        await asyncio.gather(*(self._apply(event) for event in events))
        if not self._core.revocations.are_shared():
            # Descope's next attempt, here or at another process, writes what Redis has not got.
            return Response(
                status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers={**NO_STORE, "Retry-After": _RETRY_AFTER}
            )
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=NO_STORE)

    async def _apply(self, event: AuditEvent | IncompleteEvent) -> None:
        revocations = self._core.revocations
        if isinstance(event, IncompleteEvent):
            self._events.emit(WebhookIgnored(event.action, event.missing))
        elif event.is_end:
            if await revocations.revoke_user(event.user_id, at=event.at):
                self._events.emit(UserRevoked(event.user_id, "webhook"))
        elif await revocations.refresh_user(event.user_id, at=event.at):
            self._events.emit(UserChanged(event.user_id))

    def _refuse(self, reason: _Reason) -> Response:
        self._events.emit(WebhookRefused(reason))
        return Response(status_code=_STATUSES[reason], headers=NO_STORE)


async def _read(request: Request) -> bytes | None:
    """Return the body, or None if it is too large, too slow or incomplete."""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            return await read_body(request, _MAX_BYTES)
    except (TimeoutError, ClientDisconnect):
        return None
