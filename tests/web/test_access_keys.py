"""Access keys as bearers, from the request to Descope and back: AK-01, AK-02, AK-03, AK-04, AK-05, AK-06."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import httpx
import pytest
from starlette.types import Message

from fastapi_descope import Delegate, Forbidden, Machine
from fastapi_descope.emulator import AccessKey, Assumptions, Clock, Emulator, Grants, Project
from fastapi_descope.events import (
    AccessKeyExchanged,
    AccessKeyRefused,
    AccessKeysLimited,
    Event,
    UpstreamDegraded,
    UpstreamTokenRejected,
)
from tests.helpers.app_harness import APP, AppHarness, build_app_harness
from tests.helpers.callers import SCOPE, add_caller_routes
from tests.helpers.emulator import signing_key
from tests.helpers.event_loop import run_ready
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
SECRET = "K2opensesame-0123456789"
ADA = "ada@acme.example"
KEY = AccessKey(
    "K2nightly",
    SECRET,
    "Nightly",
    tenants={"acme": Grants(("viewer",), ("reports.read",))},
    roles=("robot",),
    permissions=(SCOPE,),
)
OTHER = replace(KEY, id="K2other", secret="K2another-0123456789", permissions=())
PROJECT = Project(access_keys=(KEY, OTHER))
KINDS = (AccessKeyExchanged, AccessKeyRefused, AccessKeysLimited)


@dataclass
class Machines:
    """An app that accepts access keys, and clients at any address."""

    env: AppHarness

    async def get(
        self, path: str = "/machine", key: str = SECRET, address: str | None = "192.0.2.1", **headers: str
    ) -> httpx.Response:
        """Send a request with an access key from an address."""
        client = (address, 50_000) if address is not None else None
        transport = httpx.ASGITransport(self.env.app, client=client)  # type: ignore[arg-type] # ASGI permits None
        wire = {"authorization": f"Bearer {key}", **headers}
        async with httpx.AsyncClient(transport=transport, base_url=APP) as http:
            return await http.get(path, headers=wire)

    @property
    def calls(self) -> int:
        """How many exchanges have reached the emulator."""
        return self.env.emulator.requests.count("access_key")

    @property
    def events(self) -> list[Event]:
        """The events about access keys."""
        return [event for event in self.env.events if isinstance(event, KINDS)]

    @property
    def emulator(self) -> Emulator:
        """The emulator."""
        return self.env.emulator

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self.env.emulator.clock.advance(seconds)


Make = Callable[..., Machines]


@pytest.fixture
def make() -> Make:
    """Return a function that makes an app for access keys, on a clock that only ``advance`` moves."""

    def machines(project: Project = PROJECT, **settings: object) -> Machines:
        values = {"access_keys": True, **settings}
        emulator = Emulator(project, clock=Clock(lambda: NOW), signing_key=signing_key())
        return Machines(build_app_harness(emulator=emulator, routes=add_caller_routes, **values))  # type: ignore[arg-type]

    return machines


def _code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


JWTS: Sequence[Literal["key", "without_drn", "bound_user"]] = ("key", "without_drn", "bound_user")
LIVES: Sequence[Literal["setting", "key"]] = ("setting", "key")
FAILURES: Sequence[Literal["same", "distinct"]] = ("same", "distinct")
SWITCHES = [
    Assumptions(access_key_jwt=jwt, access_key_life=life, access_key_failures=failures)
    for jwt, life, failures in product(JWTS, LIVES, FAILURES)
]


@pytest.mark.parametrize("assumptions", SWITCHES)
async def test_access_key_is_a_machine_with_its_roles(make: Make, assumptions: Assumptions) -> None:
    """Whatever Descope puts into the session of a key, the caller is the machine, never a user."""
    machines = make(replace(PROJECT, assumptions=assumptions))

    response = await machines.get()

    facts = {"id": "K2nightly", "subject": "K2nightly", "roles": ["robot"], "tenant": None, "context": None}
    assert response.json() == {"kind": "Machine", **facts}
    assert response.headers["vary"] == "Cookie, Authorization"
    assert machines.events == [AccessKeyExchanged("K2nightly", "K2nightly", None)]
    assert (await machines.get("/caller")).json()["kind"] == "Machine"
    assert (await machines.get("/scope")).json()["kind"] == "Machine"
    assert machines.calls == 1
    assert _code(await machines.get("/scope", key=OTHER.secret)) == (403, "insufficient_scope")


@pytest.mark.parametrize("assumptions", SWITCHES)
async def test_ak04_key_of_a_user_is_a_machine_and_no_session(make: Make, assumptions: Assumptions) -> None:
    """A key that is bound to a user has the user's authorization, and is not the user."""
    key = replace(KEY, bound_user=ADA)
    machines = make(replace(PROJECT, access_keys=(key,), assumptions=assumptions))
    ada = machines.emulator.project.find_user(ADA)
    assert ada is not None

    body = (await machines.get()).json()

    is_user = assumptions.access_key_jwt == "bound_user"
    assert (body["kind"], body["id"], body["roles"]) == ("Machine", "K2nightly", [])
    assert body["subject"] == (ada.user_id if is_user else "K2nightly")
    assert _code(await machines.get("/user")) == (403, "session_required")


async def test_ak04_access_key_is_refused_where_a_user_is_required(make: Make) -> None:
    """The response names the kind of caller that is required, and has no challenge."""
    response = await make().get("/user")
    assert _code(response) == (403, "session_required")
    assert "www-authenticate" not in response.headers
    assert "set-cookie" not in response.headers


async def test_ak04_route_with_an_optional_user_has_none(make: Make) -> None:
    """A machine is served there as a client without a session."""
    response = await make().get("/optional")
    assert (response.status_code, response.json()) == (200, None)


async def test_ak04_session_is_refused_where_a_machine_is_required(make: Make) -> None:
    """By a session token in the header, and by cookies."""
    machines = make()
    pair = machines.emulator.issue(ADA, "acme")
    assert _code(await machines.get(key=pair.session_jwt)) == (403, "machine_required")
    response = await machines.env.browser().get("/machine", cookie=f"DS={pair.session_jwt}")
    assert _code(response) == (403, "machine_required")
    assert machines.calls == 0


async def test_ak04_cookies_do_not_count_with_a_refused_access_key(make: Make) -> None:
    """A valid session cookie beside it authenticates no request."""
    machines = make()
    session = machines.emulator.issue(ADA, "acme").session_jwt
    response = await machines.get("/user", key="K2wrong-0123456789", cookie=f"DS={session}")
    assert _code(response) == (401, "invalid_access_key")


async def test_ak01_without_the_setting_no_bearer_is_exchanged(make: Make) -> None:
    """An app has to want it: each unknown key costs a call to Descope."""
    machines = make(access_keys=False)
    response = await machines.get()
    assert _code(response) == (401, "invalid_token")
    assert machines.calls == 0


@pytest.mark.parametrize(
    "bearer",
    [
        "a.b.c",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJVMSJ9.",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJVMSJ9.c2lnbmF0dXJl=",
        "aaaaaaaa.bbbbbbbb.cccccccc.dddddddd.eeeeeeee",
        "..aaaaaaaa",
        "short12",
        "K" * 513,
        "K2opensesame:0123456789",
        "K2opensesame,0123456789",
        "K2opensesame\x7f0123456789",
        "K2opensesame\xe90123456789",
        "",
    ],
)
async def test_ak01_bearer_that_is_no_access_key_is_not_sent_to_descope(make: Make, bearer: str) -> None:
    """A JWT, also a damaged one, may be a user's, and some characters have a meaning in a header."""
    machines = make()
    transport = httpx.ASGITransport(machines.env.app)
    async with httpx.AsyncClient(transport=transport, base_url=APP) as http:
        response = await http.get(
            "/machine", headers=[(b"authorization", b"Bearer " + bearer.encode("latin-1"))]
        )
    assert _code(response) == (401, "invalid_token")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert machines.calls == 0


@pytest.mark.parametrize("length", [8, 512])
async def test_ak01_access_key_has_8_to_512_characters(make: Make, length: int) -> None:
    """A key of either length is exchanged. A single dot in it does no harm."""
    secret = "K." + "x" * (length - 2)
    machines = make(Project(access_keys=(replace(KEY, secret=secret),)))
    assert (await machines.get(key=secret)).status_code == 200


async def test_exchange_sends_the_project_id_the_key_and_no_options(make: Make) -> None:
    """The bearer is that of wire contract 2.15, with the management key of the project at its end."""
    project = replace(PROJECT, auth_management_key="for-auth")
    machines = make(project, auth_management_key="for-auth")
    assert (await machines.get()).status_code == 200
    [call] = machines.emulator.requests.for_endpoint("access_key")
    assert (call.method, call.path, call.status) == ("POST", "/v1/auth/accesskey/exchange", 200)


async def test_ak02_key_is_exchanged_again_when_its_session_ends(make: Make) -> None:
    """Its session counts until its expiry less the leeway of 5 seconds."""
    machines = make()
    await machines.get()
    machines.advance(594)
    await machines.get()
    assert machines.calls == 1

    machines.advance(1)
    assert (await machines.get()).status_code == 200
    assert machines.calls == 2


async def test_ak02_concurrent_requests_share_one_exchange(make: Make) -> None:
    """Also if the first of them is cancelled."""
    machines = make()
    machines.emulator.faults.add("access_key", hold=True)
    requests = [asyncio.ensure_future(machines.get()) for _ in range(20)]
    await run_ready()
    requests[0].cancel()
    await run_ready()
    machines.emulator.faults.release()

    responses = await asyncio.gather(*requests[1:])

    assert {response.status_code for response in responses} == {200}
    assert machines.calls == 1


async def test_ak02_two_keys_are_two_machines(make: Make) -> None:
    """A machine is found by its own key only."""
    machines = make()
    assert (await machines.get()).json()["id"] == "K2nightly"
    assert (await machines.get(key="K2another-0123456789")).json()["id"] == "K2other"
    assert (await machines.get()).json()["id"] == "K2nightly"
    assert machines.calls == 2


async def test_ak02_machine_ends_with_the_keys_that_verified_it(make: Make) -> None:
    """After Descope has changed its keys, the access key is exchanged again."""
    machines = make()
    await machines.get()
    machines.emulator.rotate_keys(keep_old=False)
    machines.advance(40)
    session = machines.emulator.issue(ADA, "acme").session_jwt
    assert (await machines.get("/user", key=session)).status_code == 200  # fetches the new keys

    assert (await machines.get()).status_code == 200
    assert machines.calls == 2


async def test_ak02_no_machine_counts_without_keys(make: Make) -> None:
    """A day after the last successful fetch there is no verdict, as for sessions (JW-06)."""
    project = replace(PROJECT, access_key_seconds=200_000)
    machines = make(project, jwks_max_stale=60)
    await machines.get()
    machines.emulator.faults.add("keys", status=500, times=50)
    machines.advance(700)
    assert (await machines.get()).status_code in {200, 503}
    await run_ready()
    machines.advance(100_000)
    assert _code(await machines.get()) == (503, "upstream_unavailable")


async def test_ak02_no_access_key_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """No log line, event or repr has an accepted or a refused key."""
    machines = make()
    caplog.set_level(0)
    wrong = "K2wrong-0123456789"
    await machines.get()
    response = await machines.get(key=wrong)
    for key in (SECRET, wrong):
        assert key not in caplog.text + repr(machines.env.events) + response.text


@pytest.mark.parametrize("failures", FAILURES)
@pytest.mark.parametrize(
    "change",
    [
        {"secret": "K2another-9999999999"},
        {"expires_at": 1},
        {"status": "inactive"},
        {"permitted_ips": ("198.51.100.0/24",)},
    ],
)
async def test_ak03_refused_key_is_401(
    make: Make, failures: Literal["same", "distinct"], change: dict[str, object]
) -> None:
    """A wrong, an expired, a disabled key and one for other addresses alike, whatever Descope's code is."""
    key = replace(KEY, **change)  # type: ignore[arg-type] # fields by name
    assumptions = Assumptions(access_key_failures=failures)
    machines = make(Project(access_keys=(key,), assumptions=assumptions))

    response = await machines.get()

    assert _code(response) == (401, "invalid_access_key")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    [event] = machines.events
    assert isinstance(event, AccessKeyRefused)
    assert event.upstream_code.startswith("E06280")


async def test_ak03_refusal_is_remembered_for_30_seconds(make: Make) -> None:
    """Then the key is tried again: it may have been enabled."""
    machines = make(Project(access_keys=()))
    for _ in range(5):
        assert (await machines.get()).status_code == 401
    machines.advance(29)
    assert (await machines.get()).status_code == 401
    assert machines.calls == 1

    machines.emulator.project = PROJECT
    machines.advance(1)
    assert (await machines.get()).status_code == 200
    assert machines.events[0] == AccessKeyRefused(401, "E062803")


@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        ({"status": 429, "retry_after": 20}, "20"),
        ({"status": 503, "retry_after": 7}, "7"),
        ({"status": 500}, "5"),
        ({"cut": "reset"}, "5"),
        ({"status": 401, "body": b"<html>"}, "5"),
        ({"status": 302}, "5"),
        ({"body": b"not JSON"}, "5"),
        ({"body": {"keyId": "K2nightly"}}, "5"),
        ({"body": {"keyId": "K2nightly", "sessionJwt": "a.b.c"}}, "5"),
    ],
)
async def test_ak03_without_a_verdict_of_descope_it_is_503(
    make: Make, fault: dict[str, object], retry_after: str
) -> None:
    """The key is not refused, and is tried again when the client has been asked to come back."""
    machines = make()
    machines.emulator.faults.add("access_key", **fault)  # type: ignore[arg-type] # parametrised

    response = await machines.get()

    assert _code(response) == (503, "upstream_unavailable")
    assert response.headers["retry-after"] == retry_after
    assert "www-authenticate" not in response.headers
    machines.advance(int(retry_after) - 1)
    again = await machines.get()
    assert (again.status_code, again.headers["retry-after"]) == (503, "1")
    machines.advance(1)
    assert (await machines.get()).status_code == 200
    assert machines.calls == 2


async def test_ak03_token_that_does_not_verify_is_reported(make: Make) -> None:
    """A response with a forged token is no refusal of the key."""
    machines = make()
    token = machines.emulator.issue(ADA, claims={"iss": "https://evil.example"}).session_jwt
    machines.emulator.faults.add("access_key", body={"keyId": "K2nightly", "sessionJwt": token})
    assert (await machines.get()).status_code == 503
    assert [event for event in machines.env.events if isinstance(event, UpstreamTokenRejected)] == [
        UpstreamTokenRejected("issuer")
    ]


async def test_ak03_known_machine_is_served_during_an_outage(make: Make) -> None:
    """Until its session ends it needs no call."""
    machines = make()
    await machines.get()
    machines.emulator.faults.add("*", status=500, times=50)
    assert (await machines.get()).status_code == 200


async def test_id_of_a_key_is_its_subject_if_the_response_has_none(make: Make) -> None:
    """SDKs take it from there, too."""
    machines = make()
    token = machines.emulator.issue(ADA, "acme")
    machines.emulator.faults.add("access_key", body={"sessionJwt": token.session_jwt})
    body = (await machines.get()).json()
    assert body["id"] == body["subject"]


class Suspended(Forbidden):
    """A refusal of the app."""

    code = "suspended"


async def test_ak04_on_caller_hook_decides_once_for_each_session_of_the_key(make: Make) -> None:
    """Its refusal ends with the session of the key."""
    machines = make()
    seen: list[Delegate | Machine] = []

    @machines.env.descope.on_caller
    async def refuse_first(caller: Delegate | Machine) -> None:
        seen.append(caller)
        if len(seen) == 1:
            raise Suspended

    for _ in range(3):
        assert _code(await machines.get()) == (403, "suspended")
    assert [caller.subject for caller in seen] == ["K2nightly"]

    machines.advance(600)
    assert (await machines.get()).status_code == 200
    assert len(seen) == 2


async def test_ak05_eleventh_wrong_key_of_a_client_is_429(make: Make) -> None:
    """Nothing is sent to Descope for it. Another client is served, and so are known machines."""
    machines = make()
    await machines.get()
    for number in range(10):
        assert (await machines.get(key=f"K2wrong-{number:010}")).status_code == 401

    response = await machines.get(key="K2wrong-eleventh")

    assert _code(response) == (429, "too_many_attempts")
    assert response.headers["retry-after"] == "60"
    assert response.headers["cache-control"] == "no-store"
    assert machines.events[-1] == AccessKeysLimited("client")
    assert machines.calls == 11
    assert (await machines.get()).status_code == 200
    assert (await machines.get(key="K2another-0123456789", address="198.51.100.7")).status_code == 200
    machines.advance(60)
    assert (await machines.get(key="K2wrong-twelfth")).status_code == 401


@pytest.mark.parametrize(
    "header", ["forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip", "cf-connecting-ip"]
)
async def test_hp03_client_does_not_change_its_address_by_a_header(make: Make, header: str) -> None:
    """A server that trusts its proxy has evaluated such headers before."""
    machines = make()
    for number in range(10):
        await machines.get(key=f"K2wrong-{number:010}", **{header: f"198.51.100.{number}"})

    response = await machines.get(key="K2wrong-eleventh", **{header: "198.51.100.10"})

    assert _code(response) == (429, "too_many_attempts")


async def test_ak05_spent_client_gets_429_where_a_user_is_optional(make: Make) -> None:
    """It is no request without credentials."""
    machines = make()
    for number in range(10):
        await machines.get(key=f"K2wrong-{number:010}")
    assert (await machines.get("/optional", key="K2wrong-eleventh")).status_code == 429


async def test_ak05_concurrent_wrong_keys_are_limited_too(make: Make) -> None:
    """An attempt counts from its start, so a burst gets no more calls than a sequence."""
    machines = make()
    responses = await asyncio.gather(*(machines.get(key=f"K2wrong-{number:010}") for number in range(60)))
    assert machines.calls == 10
    assert sorted({response.status_code for response in responses}) == [401, 429]


async def test_ak05_burst_of_valid_keys_is_not_limited(make: Make) -> None:
    """After a restart all machines behind one address come at once."""
    keys = tuple(replace(KEY, id=f"K2{n}", secret=f"K2valid-{n:010}") for n in range(60))
    machines = make(Project(access_keys=keys))
    responses = await asyncio.gather(*(machines.get(key=key.secret) for key in keys))
    assert {response.status_code for response in responses} == {200}


async def test_ak05_hundred_wrong_keys_of_all_clients_are_503_for_unknown_keys(make: Make) -> None:
    """Known machines are served as before."""
    machines = make()
    await machines.get()
    for number in range(100):
        await machines.get(key=f"K2wrong-{number:010}", address=f"2001:db8:0:{number:x}::1")

    response = await machines.get(key="K2another-0123456789", address="198.51.100.7")

    assert _code(response) == (503, "upstream_unavailable")
    assert response.headers["retry-after"] == "60"
    assert machines.events[-1] == AccessKeysLimited("app")
    assert (await machines.get()).status_code == 200
    assert machines.calls == 101


async def test_ak05_known_machine_is_exchanged_again_while_others_are_limited(make: Make) -> None:
    """Its session has ended. An attacker with many wrong keys does not stop the machines that are there."""
    machines = make()
    await machines.get()
    machines.advance(600)
    for number in range(10):
        await machines.get(key=f"K2wrong-{number:010}")
    assert (await machines.get(key="K2another-0123456789")).status_code == 429

    assert (await machines.get()).status_code == 200

    assert machines.calls == 12


async def test_ak05_refused_key_is_limited_although_it_was_known(make: Make) -> None:
    """It has expired since its exchange."""
    machines = make(Project(access_keys=(replace(KEY, expires_at=int(NOW) + 300),)))
    await machines.get()
    machines.advance(600)
    assert (await machines.get()).status_code == 401
    machines.advance(31)
    for number in range(10):
        await machines.get(key=f"K2wrong-{number:010}")

    assert (await machines.get()).status_code == 429


async def test_ak05_outage_does_not_count_as_an_attempt(make: Make) -> None:
    """It is not the client's fault."""
    machines = make()
    for number in range(30):
        machines.emulator.faults.add("access_key", status=429, retry_after=1)
        assert (await machines.get(key=f"K2wrong-{number:010}")).status_code == 503
        machines.advance(5)
    assert (await machines.get(key="K2wrong-eleventh")).status_code == 401


async def test_ak05_client_without_an_address_is_not_limited_alone(make: Make) -> None:
    """On a Unix socket all clients would be one."""
    machines = make()
    for number in range(11):
        assert (await machines.get(key=f"K2wrong-{number:010}", address=None)).status_code == 401


async def test_ak06_failing_exchanges_do_not_affect_sessions(make: Make) -> None:
    """After five failures no key is sent for a while, and sessions are refreshed as before."""
    machines = make()
    machines.emulator.faults.add("access_key", status=500, times=5)
    for number in range(5):
        await machines.get(key=f"K2wrong-{number:010}")
    assert _code(await machines.get()) == (503, "upstream_unavailable")
    assert machines.calls == 5
    degraded = [event for event in machines.env.events if isinstance(event, UpstreamDegraded)]
    assert degraded == [UpstreamDegraded("server_error", "access_keys")]

    browser = machines.env.browser()
    pair = machines.emulator.issue(ADA, "acme", session_seconds=-10)
    response = await browser.get("/user", cookie=f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}")
    assert response.status_code == 200


async def test_ak06_hanging_exchanges_leave_connections_to_sessions(make: Make) -> None:
    """Four calls are in progress, 200 wait, and any other is 503 at once."""
    machines = make()
    machines.emulator.faults.add("access_key", hold=True, times=300)
    keys = [
        asyncio.ensure_future(machines.get(key=f"K2held-{n:010}", address=f"2001:db8:0:{n:x}::1"))
        for n in range(250)
    ]
    await run_ready()
    assert machines.calls == 4
    assert sum(key.done() and key.result().status_code == 503 for key in keys) == 46

    session = machines.emulator.issue(ADA, "acme", session_seconds=-10)
    cookie = f"DS={session.session_jwt}; DSR={session.refresh_jwt}"
    assert (await machines.env.browser().get("/user", cookie=cookie)).status_code == 200
    for key in keys:
        key.cancel()
    machines.emulator.faults.clear()
    await asyncio.gather(*keys, return_exceptions=True)
    await machines.env.descope.aclose()


async def test_ws_access_key_opens_a_websocket(make: Make) -> None:
    """The WebSocket is closed when the session of the key ends, as that of a user is (WS-04)."""
    machines = make()
    socket = WebSocketClient(machines.env.app, [_bearer(SECRET)], path="/ws/machine")
    assert (await socket.open())["type"] == "websocket.accept"
    assert json.loads((await socket.next())["text"])["id"] == "K2nightly"

    machines.advance(606)
    socket.send_text("hello")
    assert await socket.next() == _close(4401, "session ended")


@pytest.mark.parametrize(
    ("key", "message"),
    [("K2wrong-0123456789", (4401, "invalid_access_key")), ("a.b.c", (4401, "invalid_token"))],
)
async def test_ws_refused_access_key_closes_the_websocket(
    make: Make, key: str, message: tuple[int, str]
) -> None:
    """The reason is the code of the error."""
    machines = make()
    socket = WebSocketClient(machines.env.app, [_bearer(key)], path="/ws/machine")
    assert await socket.open() == _close(*message)


async def test_ws_too_many_attempts_close_with_try_again_later(make: Make) -> None:
    """The limit of the client applies to WebSockets."""
    machines = make()
    for number in range(10):
        await machines.get(key=f"K2wrong-{number:010}", address="192.0.2.1")

    async def at_address(scope: dict[str, object], receive: object, send: object) -> None:
        await machines.env.app({**scope, "client": ("192.0.2.1", 1)}, receive, send)  # type: ignore[arg-type]

    socket = WebSocketClient(at_address, [_bearer("K2wrong-eleventh")], path="/ws/machine")  # type: ignore[arg-type]
    assert await socket.open() == _close(1013, "too_many_attempts")


def _bearer(key: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {key}".encode()


def _close(code: int, reason: str) -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


async def test_browser_with_a_refused_access_key_sees_a_page_without_a_login(make: Make) -> None:
    """A proxy that adds the header adds it after a login, too."""
    response = await make().get("/user", key="K2wrong-0123456789", accept="text/html")
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("text/html")
    assert "/login/sso" not in response.text


async def test_shutdown_waits_for_an_exchange(make: Make) -> None:
    """It is completed before the connections are closed."""
    machines = make()
    machines.emulator.faults.add("access_key", delay=0.01)
    request = asyncio.ensure_future(machines.get())
    await run_ready()
    await machines.env.descope.aclose()
    assert (await request).status_code == 200
