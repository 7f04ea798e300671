"""``POST /descope/events``: Descope's audit webhook revokes and refreshes the sessions of users.

Requirements RV-07, RV-08 and RV-09. The emulator sends the webhooks, with every form of what is unknown.
"""

import asyncio
import hmac
import itertools
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope.emulator import Assumptions, Clock, Emulator, Project
from fastapi_descope.events import UserChanged, UserRevoked, WebhookIgnored, WebhookRefused
from tests.helpers.app_harness import APP, IDP, AppHarness, add_routes, build_app_harness
from tests.helpers.emulator import signing_key
from tests.helpers.event_loop import in_virtual_time, run_ready
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"
SECRET = "a secret of this connector".replace(" ", "-")
NOW = 1_800_000_000.0
_PATH = "/descope/events"
_MANY = 100


def _env(assumptions: Assumptions | None = None, **settings: str) -> AppHarness:
    """Return an app whose emulator sends webhooks. Its clock stands still until a test moves it."""
    app = FastAPI()
    project = Project(
        webhook_url=f"{APP}{_PATH}", webhook_secret=SECRET, assumptions=assumptions or Assumptions()
    )
    emulator = Emulator(
        project,
        clock=Clock(lambda: NOW),
        signing_key=signing_key(),
        webhook_transport=httpx.ASGITransport(app),
    )
    values: dict[str, Any] = {"webhook_secret": SECRET, **settings}
    return build_app_harness(app=app, emulator=emulator, **values)


def _signature(body: bytes, secret: str = SECRET) -> str:
    return b64encode(hmac.digest(secret.encode(), body, sha256)).decode()


async def _post(
    env: AppHarness, body: bytes | AsyncIterator[bytes], headers: Mapping[str, str] | None = None
) -> httpx.Response:
    sent = {"content-type": "application/json"} | dict(headers or {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.app)) as client:
        return await client.post(f"{APP}{_PATH}", content=body, headers=sent)


async def _send(env: AppHarness, body: bytes, **headers: str) -> httpx.Response:
    """Send a body with its signature."""
    wire = {name.replace("_", "-"): value for name, value in headers.items()}
    return await _post(env, body, {"x-descope-webhook-s256": _signature(body)} | wire)


def _event(env: AppHarness, action: str = "UserDeleted", **changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "action": action,
        "occurred": int(env.emulator.clock() * 1000),
        "userId": ADA,
        "projectId": env.emulator.project_id,
        "data": {},
    }
    return event | changes


async def _is_signed_in(env: AppHarness, token: str | None) -> bool:
    response = await env.browser().get("/session-of", authorization=f"Bearer {token}")
    return response.status_code == 200


_UNKNOWN = [
    Assumptions(webhook_envelope=envelope, webhook_signature=signature, webhook_delivery=delivery)  # type: ignore[arg-type] # every one
    for envelope, signature, delivery in itertools.product(
        ["array", "object"], ["raw", "base64", "compact"], ["once", "duplicate"]
    )
]


@pytest.mark.parametrize(
    "assumptions",
    _UNKNOWN,
    ids=lambda each: f"{each.webhook_envelope} {each.webhook_signature} {each.webhook_delivery}",
)
async def test_rv07_disabled_user_is_revoked_whatever_form_the_webhook_has(assumptions: Assumptions) -> None:
    """Every form that Descope's documentation describes is accepted at once, and counts once."""
    env = _env(assumptions)
    browser = await env.signed_in_browser()

    statuses = await env.emulator.update_user(ADA, status="disabled")

    assert set(statuses) == {204}
    assert (await browser.get("/me")).status_code == 401
    assert env.events.count(UserRevoked(ADA, "webhook")) == 1
    assert env.calls("refresh") == 0


async def test_rv07_deleted_user_is_revoked() -> None:
    """Also a bearer, which is never refreshed."""
    env = _env()
    token = env.emulator.issue(ADA).session_jwt
    assert await _is_signed_in(env, token)

    assert await env.emulator.delete_user(ADA) == (204,)

    assert not await _is_signed_in(env, token)
    assert UserRevoked(ADA, "webhook") in env.events


@pytest.mark.parametrize("event", ["status", "attempts", "none"])
async def test_session_of_a_disabled_user_ends_whatever_event_is_sent(event: str) -> None:
    """Without an event it ends at the next refresh of the session."""
    env = _env(Assumptions(webhook_disabled=event))  # type: ignore[arg-type] # every one
    browser = await env.signed_in_browser()

    await env.emulator.update_user(ADA, status="disabled")
    if event == "none":
        assert (await browser.get("/me")).status_code == 200
        env.emulator.clock.advance(700)

    assert (await browser.get("/me")).status_code == 401


async def test_rv06_changed_roles_count_at_the_next_request() -> None:
    """The session is refreshed, once."""
    env = _env()
    browser = await env.signed_in_browser()
    assert (await browser.get("/me")).json()["roles"] == ["admin"]
    env.emulator.clock.advance(2)

    assert await env.emulator.update_user(ADA, tenants={"acme": ["viewer"]}) == (204,)
    env.emulator.clock.advance(2)

    assert (await browser.get("/me")).json()["roles"] == ["viewer"]
    assert (await browser.get("/me")).status_code == 200
    assert env.calls("refresh") == 1
    assert env.events.count(UserChanged(ADA)) == 1


async def test_rv08_replayed_change_refreshes_no_session_again() -> None:
    """The app gets one event."""
    env = _env()
    browser = await env.signed_in_browser()
    body = json.dumps([_event(env, "UserModified")]).encode()
    env.emulator.clock.advance(2)

    for _ in range(2):
        assert (await _send(env, body)).status_code == 204
        assert (await browser.get("/me")).status_code == 200

    assert env.calls("refresh") == 1
    assert env.events.count(UserChanged(ADA)) == 1


@in_virtual_time
async def test_rv07_body_that_does_not_arrive_is_413() -> None:
    """It is waited for ten seconds."""
    env = _env()

    async def never() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    response = await _post(env, never(), {"x-descope-webhook-s256": _signature(b"[")})

    assert response.status_code == 413
    assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.1)


async def test_lock_after_wrong_passwords_revokes_nobody_whom_descope_still_accepts() -> None:
    """Anyone can cause this event with wrong passwords."""
    env = _env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(2)
    body = json.dumps([_event(env, "LoginExceedMaxAttempts")]).encode()
    env.emulator.clock.advance(2)

    assert (await _send(env, body)).status_code == 204

    assert (await browser.get("/me")).status_code == 200
    assert env.calls("refresh") == 1


async def test_batch_of_a_hundred_events_is_applied() -> None:
    """Whatever else is in it."""
    env = _env()
    token = env.emulator.issue(ADA).session_jwt
    events = [_event(env, userId=f"U2user{number}") for number in range(_MANY - 2)]
    body = json.dumps([*events, _event(env, "UserCreated"), _event(env)]).encode()

    assert (await _send(env, body)).status_code == 204

    assert not await _is_signed_in(env, token)
    assert sum(isinstance(event, UserRevoked) for event in env.events) == _MANY - 1


_Reason = Literal["content_type", "signature"]
_Headers = Callable[[bytes], dict[str, str]]

_REFUSED: dict[str, tuple[int, _Reason, _Headers]] = {
    "no signature": (401, "signature", lambda _body: {}),
    "wrong secret": (401, "signature", lambda body: {"x-descope-webhook-s256": _signature(body, "b" * 16)}),
    "changed body": (401, "signature", lambda body: {"x-descope-webhook-s256": _signature(body + b" ")}),
    "empty signature": (401, "signature", lambda body: {"x-descope-webhook-s256": ""}),
    "short signature": (401, "signature", lambda body: {"x-descope-webhook-s256": _signature(body)[:40]}),
    "signature that is not base64": (401, "signature", lambda body: {"x-descope-webhook-s256": "ä" * 44}),
    "signature in hexadecimal": (
        401,
        "signature",
        lambda body: {"x-descope-webhook-s256": hmac.digest(SECRET.encode(), body, sha256).hex()},
    ),
    "text": (415, "content_type", lambda body: {"content-type": "text/plain"}),
    "a form": (415, "content_type", lambda body: {"content-type": "application/x-www-form-urlencoded"}),
    "no content type": (415, "content_type", lambda body: {"content-type": ""}),
}


@pytest.mark.parametrize("case", _REFUSED)
async def test_rv07_request_that_is_not_signed_changes_nothing(case: str) -> None:
    """It is refused by its headers, and the event says why."""
    status, reason, headers = _REFUSED[case]
    env = _env()
    token = env.emulator.issue(ADA).session_jwt
    body = json.dumps([_event(env)]).encode()
    signed = {} if reason == "signature" else {"x-descope-webhook-s256": _signature(body)}
    sent = {"content-type": "application/json"} | signed | headers(body)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.app)) as client:
        wire = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        response = await client.post(f"{APP}{_PATH}", content=body, headers=wire)

    assert (response.status_code, response.content) == (status, b"")
    assert response.headers["cache-control"] == "no-store"
    assert env.events == [WebhookRefused(reason)]
    assert await _is_signed_in(env, token)


async def test_rv07_two_signatures_are_refused() -> None:
    """One of them is right."""
    env = _env()
    body = json.dumps([_event(env)]).encode()
    headers = [("content-type", "application/json")] + [
        ("x-descope-webhook-s256", each) for each in (_signature(body), _signature(b"other"))
    ]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.app)) as client:
        response = await client.post(f"{APP}{_PATH}", content=body, headers=headers)

    assert response.status_code == 401


_MALFORMED = {
    "no JSON": b"<html>",
    "an empty body": b"",
    "two values": b"[],[]",
    "a member next to the body": b'[],"x":[]',
    "the end of the object around it": b"[]}",
    "an object around the events": b'{"events": []}',
    "a number": b"1",
    "null": b"null",
    "a list of numbers": b"[1]",
    "a list in a list": b"[[]]",
    "an event without an action": b'[{"userId": "U2ada"}]',
    "a duplicate name": b'[{"action": "UserCreated", "action": "UserDeleted"}]',
    "a number that is not finite": b'[{"action": "UserDeleted", "occurred": NaN}]',
    "half a character": b'[{"action": "\xff"}]',
    "more than a thousand events": json.dumps([{"action": "UserCreated"}] * 1001).encode(),
}


@pytest.mark.parametrize("case", _MALFORMED)
async def test_rv07_signed_body_that_is_no_list_of_events_is_400(case: str) -> None:
    """Nothing in it is applied."""
    env = _env()

    response = await _send(env, _MALFORMED[case])

    assert (response.status_code, response.content) == (400, b"")
    assert env.events == [WebhookRefused("malformed")]


async def test_rv07_large_body_is_413() -> None:
    """A megabyte is refused before its signature is computed, whether or not its length is known."""
    env = _env()
    body = b" " * 1_000_000 + json.dumps([_event(env)]).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    signed = {"x-descope-webhook-s256": _signature(body)}
    statuses = [(await _post(env, each, signed)).status_code for each in (body, chunks())]

    assert statuses == [413, 413]
    assert env.events == [WebhookRefused("too_large")] * 2


_IGNORED: dict[str, dict[str, object]] = {
    "unknown action": {"action": "UserLoggedOut"},
    "action of another kind": {"action": "TenantModified"},
    "another project": {"projectId": "P2another"},
    "another project and no user": {"projectId": "P2another", "userId": ""},
}
_INCOMPLETE: dict[str, tuple[dict[str, object], Literal["user", "time"]]] = {
    "no user": ({"userId": ""}, "user"),
    "a user that is no text": ({"userId": 7}, "user"),
    "an address as user": ({"userId": "ada@acme.example"}, "user"),
    "a time that is no number": ({"occurred": "1800000000000"}, "time"),
    "no time": ({"occurred": None}, "time"),
}


@pytest.mark.parametrize("case", _IGNORED)
async def test_rv07_event_about_something_else_is_ignored(case: str) -> None:
    """The webhook is accepted: sent again, it would be ignored again."""
    env = _env()
    token = env.emulator.issue(ADA).session_jwt

    assert (await _send(env, json.dumps([_event(env) | _IGNORED[case]]).encode())).status_code == 204

    assert env.events == []
    assert await _is_signed_in(env, token)


@pytest.mark.parametrize("case", _INCOMPLETE)
@pytest.mark.parametrize("action", ["UsersDeleted", "UsersModified"])
async def test_rv07_event_without_a_user_or_a_time_is_reported_to_the_app(case: str, action: str) -> None:
    """As of several users at once. The other events of the webhook count."""
    env = _env()
    token = env.emulator.issue(ADA).session_jwt
    members, missing = _INCOMPLETE[case]
    incomplete = _event(env) | {"action": action} | members

    assert (await _send(env, json.dumps([incomplete]).encode())).status_code == 204
    assert env.events == [WebhookIgnored(action, missing)]
    assert await _is_signed_in(env, token)

    assert (await _send(env, json.dumps([incomplete, _event(env)]).encode())).status_code == 204
    assert not await _is_signed_in(env, token)


async def test_rv08_replayed_webhook_changes_nothing() -> None:
    """After a new login, and for as long as the revocation is kept. The app gets no further event."""
    env = _env()
    body = json.dumps([_event(env)]).encode()
    assert (await _send(env, body)).status_code == 204
    env.emulator.clock.advance(1)
    token = env.emulator.issue(ADA, session_seconds=40 * 24 * 3600).session_jwt

    for _ in range(3):
        assert (await _send(env, body)).status_code == 204
        env.emulator.clock.advance(9 * 24 * 3600)

    assert await _is_signed_in(env, token)
    assert env.events.count(UserRevoked(ADA, "webhook")) == 1


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
async def test_rv09_order_of_webhooks_does_not_matter(order: tuple[int, ...]) -> None:
    """What counts is when the events happened."""
    env = _env()
    bodies: list[bytes] = []
    tokens: list[str] = []
    for action in ("UserDeleted", "UserModified", "UserDeleted"):
        bodies.append(json.dumps([_event(env, action)]).encode())
        env.emulator.clock.advance(2)
        tokens.append(env.emulator.issue(ADA).session_jwt)
        env.emulator.clock.advance(2)

    for index in order:
        assert (await _send(env, bodies[index])).status_code == 204

    assert [await _is_signed_in(env, token) for token in tokens] == [False, False, True]


async def test_rv09_event_in_the_future_counts_until_now() -> None:
    """Otherwise a wrong clock at Descope would lock the user out."""
    env = _env()
    old = env.emulator.issue(ADA).session_jwt
    body = json.dumps([_event(env, occurred=int((NOW + 3600) * 1000))]).encode()
    assert (await _send(env, body)).status_code == 204
    env.emulator.clock.advance(1)

    assert not await _is_signed_in(env, old)
    assert await _is_signed_in(env, env.emulator.issue(ADA).session_jwt)


@pytest.mark.parametrize("occurred", [0, -1, 10**19])
async def test_rv09_absurd_time_harms_nothing(occurred: int) -> None:
    """Neither an error nor a lock that lasts."""
    env = _env()
    assert (await _send(env, json.dumps([_event(env, occurred=occurred)]).encode())).status_code == 204
    env.emulator.clock.advance(1)

    assert await _is_signed_in(env, env.emulator.issue(ADA).session_jwt)


@pytest.mark.redis
async def test_rv08_webhook_that_the_fleet_does_not_know_yet_is_503(redis_victim: RedisServer) -> None:
    """The process applies it, and the sender tries again until Redis has it."""
    env = _env(redis_url=redis_victim.url)
    token = env.emulator.issue(ADA).session_jwt
    redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "1")
    body = json.dumps([_event(env)]).encode()

    response = await _send(env, body)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert not await _is_signed_in(env, token)

    redis_victim.command("CONFIG", "SET", "min-replicas-to-write", "0")
    env.emulator.clock.advance(60)  # the time until Redis is tried again
    async with asyncio.timeout(60):
        while (await _send(env, body)).status_code == 503:
            await run_ready()
    await env.descope.aclose()


async def test_rv07_without_the_secret_there_is_no_route() -> None:
    """An app opts in."""
    env = build_app_harness()

    assert (await _send(env, b"[]")).status_code == 404


async def test_webhook_needs_no_session_in_a_protected_app() -> None:
    """Its signature is what counts, also below a prefix."""
    app = FastAPI()
    emulator = Emulator(
        Project(webhook_url=f"{APP}/auth{_PATH}", webhook_secret=SECRET),
        signing_key=signing_key(),
        base_url=IDP,
        webhook_transport=httpx.ASGITransport(app),
    )
    env = build_app_harness(
        app=app, emulator=emulator, webhook_secret=SECRET, prefix="/auth", routes=add_routes
    )
    env.app.user_middleware[0].kwargs["protect"] = True

    assert await env.emulator.delete_user(ADA) == (204,)
    assert (await env.browser().get("/public")).status_code == 401


async def test_route_accepts_post_only() -> None:
    """Webhooks are sent with POST."""
    env = _env()

    assert (await env.browser().get(_PATH)).status_code == 405
