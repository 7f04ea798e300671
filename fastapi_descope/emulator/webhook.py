"""The audit webhook: sends events about users to an app, as the connector of a project does."""

import hmac
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Literal

import httpx

from .directory import SeedUser
from .project import Project
from .tokens import rfc3339

__all__ = ["AuditWebhook"]

_ATTEMPTS = 3
_RETRY_SECONDS = 0.1
_OK = range(200, 300)

Change = Literal["modified", "disabled", "deleted"]


class AuditWebhook:
    """Sends the audit events of a project, signed, to its ``webhook_url``.

    Args:
        project: Returns the project.
        clock: Returns epoch seconds.
        pause: Waits for a number of seconds before a retry.
        transport: Replaces the connections to the app.
    """

    def __init__(
        self,
        project: Callable[[], Project],
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[object]],
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._project = project
        self._clock = clock
        self._pause = pause
        self._transport = transport

    def event(self, user: SeedUser, change: Change) -> dict[str, object] | None:
        """Return the event about a change of a user, or None if the project sends none."""
        now, project = self._clock(), self._project()
        action, data = "UserDeleted" if change == "deleted" else "UserModified", dict[str, object]()
        if change == "disabled":
            if project.assumptions.webhook_disabled == "none":
                return None
            if project.assumptions.webhook_disabled == "attempts":
                action = "LoginExceedMaxAttempts"
            else:
                data = {"Change": {"status": "disabled"}}
        return {
            "action": action,
            "occurred": int(now * 1000),
            "occurred_formatted": rfc3339(now),
            "actorId": "emulator",
            "userId": user.user_id,
            "projectId": project.project_id,
            "device": "",
            "method": "",
            "geo": "",
            "remoteAddress": "127.0.0.1",
            "loginIds": [user.login_id],
            "tenants": sorted(user.tenants) or None,
            "data": data,
        }

    def request(self, events: Sequence[dict[str, object]]) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of a request with these events."""
        project = self._project()
        content = events if project.assumptions.webhook_envelope == "array" else events[0]
        compact = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        body = signed = compact
        if project.assumptions.webhook_signature == "base64":
            signed = b64encode(compact)
        elif project.assumptions.webhook_signature == "compact":
            body = json.dumps(content, ensure_ascii=False, indent=2).encode()
        headers = {"content-type": "application/json"}
        if project.webhook_secret is not None:
            digest = hmac.digest(project.webhook_secret.encode(), signed, sha256)
            headers["x-descope-webhook-s256"] = b64encode(digest).decode()
        return body, headers

    async def send(self, user: SeedUser, change: Change) -> tuple[int, ...]:
        """Send the event about a change of a user, and return the status of each attempt.

        Without a ``webhook_url`` nothing is sent. An attempt that reaches no server has the status 0.
        """
        event, project = self.event(user, change), self._project()
        if event is None or not project.webhook_url:
            return ()
        body, headers = self.request([event])
        statuses: list[int] = []
        copies = 2 if project.assumptions.webhook_delivery == "duplicate" else 1
        async with httpx.AsyncClient(transport=self._transport, trust_env=False) as client:
            for _ in range(copies):
                statuses += await self._deliver(client, project.webhook_url, body, headers)
        return tuple(statuses)

    async def _deliver(
        self, client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]
    ) -> list[int]:
        """Send a request until its status is a success, three times at most."""
        statuses: list[int] = []
        while not (statuses and statuses[-1] in _OK) and len(statuses) < _ATTEMPTS:
            if statuses:
                await self._pause(_RETRY_SECONDS)
            try:
                statuses.append((await client.post(url, content=body, headers=headers)).status_code)
            except httpx.TransportError:
                statuses.append(0)
        return statuses
