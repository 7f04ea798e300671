"""The audit webhook: what the emulator sends about changed users."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from hashlib import sha256

import httpx
import pytest

from fastapi_descope.emulator import Assumptions, Clock, Emulator, Project, SigningKey
from fastapi_descope.emulator.server import running
from tests.helpers.emulator import signing_key

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]

ADA = "ada@acme.example"
URL = "http://127.0.0.1:8000/descope/events"
SECRET = "connector-secret"


@dataclass
class _Receiver:
    """Records requests, and answers with ``statuses``, then with 204."""

    statuses: list[int] = field(default_factory=list[int])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])
    paused: list[float] = field(default_factory=list[float])

    def emulator(self, assumptions: Assumptions | None = None, secret: str | None = SECRET) -> Emulator:
        """Return an emulator that sends to this receiver."""
        project = Project(webhook_url=URL, webhook_secret=secret, assumptions=assumptions or Assumptions())
        return Emulator(
            project,
            clock=Clock(lambda: 1_800_000_000.5),
            pause=self._pause,
            signing_key=signing_key(),
            console="faults",
            webhook_transport=httpx.MockTransport(self._receive),
        )

    def events(self) -> object:
        """Return the content of the last request."""
        return json.loads(self.requests[-1].content)

    def _receive(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 0:
            raise httpx.ConnectError("down")
        return httpx.Response(status)

    async def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)


async def test_deleted_user_is_an_event() -> None:
    """The body is signed. The user is gone, and the session has ended."""
    receiver = _Receiver()
    emulator = receiver.emulator()
    user = emulator.project.find_user(ADA)
    assert user is not None

    assert await emulator.delete_user(ADA) == (204,)

    assert emulator.project.find_user(ADA) is None
    request = receiver.requests[-1]
    assert str(request.url) == URL
    assert request.headers["content-type"] == "application/json"
    digest = hmac.digest(SECRET.encode(), request.content, sha256)
    assert request.headers["x-descope-webhook-s256"] == b64encode(digest).decode()
    assert receiver.events() == [
        {
            "action": "UserDeleted",
            "occurred": 1_800_000_000_500,
            "occurred_formatted": "2027-01-15T08:00:00Z",
            "actorId": "emulator",
            "userId": user.user_id,
            "projectId": emulator.project_id,
            "device": "",
            "method": "",
            "geo": "",
            "remoteAddress": "127.0.0.1",
            "loginIds": [ADA],
            "tenants": ["acme", "globex"],
            "data": {},
        }
    ]


async def test_changes_of_a_user() -> None:
    """A new status is in the event; new roles are not, and count for tokens that are issued later."""
    receiver = _Receiver()
    emulator = receiver.emulator()

    assert await emulator.update_user(ADA, status="disabled") == (204,)
    assert "'data': {'Change': {'status': 'disabled'}}" in str(receiver.events())
    assert await emulator.update_user(ADA, status="enabled", tenants={"acme": ["viewer"]}) == (204,)
    assert "'action': 'UserModified'" in str(receiver.events())

    user = emulator.project.find_user(ADA)
    assert user is not None
    assert (user.status, user.grants_in("acme").roles, list(user.tenants)) == (
        "enabled",
        ("viewer",),
        ["acme"],
    )


async def test_unknown_user_and_tenant() -> None:
    """Nothing is changed or sent."""
    receiver = _Receiver()
    emulator = receiver.emulator()

    with pytest.raises(LookupError):
        await emulator.update_user("nobody", status="disabled")
    with pytest.raises(LookupError):
        await emulator.delete_user("nobody")
    with pytest.raises(ValueError, match="tenants the project does not have"):
        await emulator.update_user(ADA, tenants={"unknown": []})

    assert receiver.requests == []


@pytest.mark.parametrize(
    ("statuses", "result"),
    [([503, 204], (503, 204)), ([0, 500, 401, 204], (0, 500, 401))],
    ids=["second attempt", "three attempts"],
)
async def test_webhook_is_sent_again_until_it_is_accepted(
    statuses: list[int], result: tuple[int, ...]
) -> None:
    """Three times at most, with pauses."""
    receiver = _Receiver(list(statuses))

    assert await receiver.emulator().delete_user(ADA) == result
    assert receiver.paused == [0.1] * (len(result) - 1)


async def test_webhook_without_a_secret_is_not_signed() -> None:
    """As with a connector without one."""
    receiver = _Receiver()

    await receiver.emulator(secret=None).delete_user(ADA)

    assert "x-descope-webhook-s256" not in receiver.requests[-1].headers


async def test_project_without_a_url_sends_nothing() -> None:
    """The user is changed all the same."""
    emulator = Emulator(signing_key=signing_key())

    assert await emulator.update_user(ADA, status="disabled") == ()
    assert emulator.project.find_user(ADA).is_disabled  # type: ignore[union-attr] # the default project has her


async def test_alternatives() -> None:
    """One object, twice, with white space that is not signed; the lock of a disabled user, or nothing."""
    receiver = _Receiver()
    assumptions = Assumptions(
        webhook_envelope="object",
        webhook_signature="compact",
        webhook_delivery="duplicate",
        webhook_disabled="attempts",
    )

    assert await receiver.emulator(assumptions).update_user(ADA, status="disabled") == (204, 204)

    event = receiver.events()
    assert isinstance(event, dict)
    assert event["action"] == "LoginExceedMaxAttempts"
    assert receiver.requests[0].content == receiver.requests[1].content
    assert b"\n  " in receiver.requests[0].content
    assert (
        await receiver.emulator(Assumptions(webhook_disabled="none")).update_user(ADA, status="disabled")
        == ()
    )


async def test_signature_of_the_body_in_base64() -> None:
    """The body itself is sent as it is."""
    receiver = _Receiver()
    await receiver.emulator(Assumptions(webhook_signature="base64")).delete_user(ADA)

    request = receiver.requests[-1]
    digest = hmac.digest(SECRET.encode(), b64encode(request.content), sha256)
    assert request.headers["x-descope-webhook-s256"] == b64encode(digest).decode()


async def test_console(call: Call) -> None:
    """Users are changed and deleted with the JSON API."""
    receiver = _Receiver()
    emulator = receiver.emulator()

    responses = [
        await call(emulator, "POST", f"/console/api/users/{action}", json={"user": ADA} | changes)
        for action, changes in (
            ("update", {"status": "disabled"}),
            ("update", {"tenants": {"acme": ["viewer"]}}),
            ("delete", {}),
            ("delete", {}),
        )
    ]

    assert [response.status_code for response in responses] == [200, 200, 200, 404]
    assert [response.json() for response in responses[:3]] == [{"webhooks": [204]}] * 3


@pytest.mark.parametrize(
    "changes",
    [{"status": "asleep"}, {"tenants": ["acme"]}, {"tenants": {"unknown": []}}, {"tenants": {"acme": [1]}}],
)
async def test_console_refuses_invalid_changes(call: Call, changes: dict[str, object]) -> None:
    """Nothing is changed or sent."""
    receiver = _Receiver()

    response = await call(
        receiver.emulator(), "POST", "/console/api/users/update", json={"user": ADA} | changes
    )

    assert response.status_code == 400
    assert receiver.requests == []


async def test_webhook_is_sent_over_a_socket() -> None:
    """Another emulator receives it: it has no such route."""
    with running(Emulator(signing_key=signing_key())) as url:
        emulator = Emulator(Project(webhook_url=f"{url}/descope/events"), signing_key=SigningKey.generate())

        assert await emulator.delete_user(ADA) == (404, 404, 404)
