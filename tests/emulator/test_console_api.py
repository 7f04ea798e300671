"""``/console/api``: what scripts can read and change."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import AccessKey, Clock, Emulator, Grants, Project, SeedTenant, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
MakeConsole = Callable[..., Emulator]

ADA, GRACE = SeedUser("ada@acme.example").user_id, SeedUser("grace@acme.example").user_id
REFRESH = "/v1/auth/refresh"


def message(response: httpx.Response) -> str:
    """Return the message of an error in Descope's format."""
    assert response.json()["message"] == response.json()["errorMessage"]
    text: str = response.json()["message"]
    return text


async def test_state(call: Call, make_console: MakeConsole, clock: Clock) -> None:
    """The state has the URL, the time and its offset, the keys and the endpoints."""
    emulator = make_console()
    emulator.issue("ada@acme.example")
    emulator.faults.add("refresh", times=2, status=503)
    clock.advance(-60)
    response = await call(emulator, "GET", "/console/api/state")
    state = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    endpoints = state.pop("endpoints")
    assert endpoints[0] == "*"
    assert {"authorize", "exchange", "refresh", "keys", "signin"} < set(endpoints)
    assert state == {
        "project_id": "P2EMULATORforDevelopmentOnly",
        "base_url": "http://127.0.0.1",
        "now": "2027-01-15T07:59:00Z",
        "clock_offset": -60,
        "keys": [emulator.public_keys[0]["kid"]],
        "faults": [{"endpoint": "refresh", "times": 2, "fault": "status 503"}],
        "sessions": 1,
        "requests": 0,
    }


async def test_users(call: Call, make_console: MakeConsole) -> None:
    """Tenants and users are listed, with the roles in the project and in each tenant."""
    project = Project(
        tenants=(SeedTenant("acme", "Acme", ("acme.example",)),),
        users=(
            SeedUser("ada@acme.example", "Ada", {"acme": Grants(("admin",), ("read",))}),
            SeedUser("bo@x.example", roles=("staff",), permissions=("Impersonate",)),
        ),
    )
    response = await call(make_console(project=project), "GET", "/console/api/users")
    grants = {"roles": ["admin"], "permissions": ["read"]}
    assert response.json() == {
        "tenants": [{"id": "acme", "name": "Acme", "domains": ["acme.example"], "users": 1}],
        "users": [
            {
                "user_id": ADA,
                "login_id": "ada@acme.example",
                "name": "Ada",
                "roles": [],
                "permissions": [],
                "tenants": {"acme": grants},
            },
            {
                "user_id": SeedUser("bo@x.example").user_id,
                "login_id": "bo@x.example",
                "name": "Bo",
                "roles": ["staff"],
                "permissions": ["Impersonate"],
                "tenants": {},
            },
        ],
    }


async def test_sessions(call: Call, make_console: MakeConsole, clock: Clock) -> None:
    """Sessions are listed newest first; a session of a removed user has no login id."""
    emulator = make_console()
    emulator.issue("ada@acme.example", "acme")
    clock.advance(60)
    emulator.issue("grace@acme.example")
    emulator.project = Project(users=tuple(u for u in emulator.project.users if u.user_id != ADA))
    grace, ada = (await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]
    assert len(ada.pop("id")) == len(grace.pop("id")) == 16
    assert ada == {
        "user_id": ADA,
        "login_id": None,
        "tenant": "acme",
        "since": "2027-01-15T08:00:00Z",
        "actor": None,
        "actor_login_id": None,
        "last_used": "2027-01-15T08:00:00Z",
        "expires": "2027-02-12T08:00:00Z",
    }
    assert (grace["login_id"], grace["tenant"]) == ("grace@acme.example", None)
    assert grace["since"] == "2027-01-15T08:01:00Z"


async def test_impersonated_session_shows_its_actor(call: Call, make_console: MakeConsole) -> None:
    """By id and login id; one who has left the project has no login id."""
    emulator = make_console()
    emulator.issue("ada@acme.example", actor="grace@acme.example")
    listed = (await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]
    assert [(one["actor"], one["actor_login_id"]) for one in listed] == [(GRACE, "grace@acme.example")]

    emulator.project = Project(users=tuple(u for u in emulator.project.users if u.user_id != GRACE))
    listed = (await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]
    assert [(one["actor"], one["actor_login_id"]) for one in listed] == [(GRACE, None)]


async def test_access_keys(call: Call, make_console: MakeConsole, clock: Clock) -> None:
    """Keys are listed with what they may do and whether they can be exchanged, without their secrets."""
    now = int(clock())
    ada = SeedUser("ada@acme.example", tenants={"acme": Grants(("admin",), ("read",))})
    project = Project(
        tenants=(SeedTenant("acme", "Acme"),),
        users=(ada, SeedUser("bo@x.example", status="disabled")),
        access_keys=(
            AccessKey("K1", "canary-secret-1", "Nightly", {"acme": Grants(("viewer",))}, ("robot",), ("w",)),
            AccessKey("K2", "canary-secret-2", expires_at=now + 60, bound_user="ada@acme.example"),
            AccessKey("K3", "canary-secret-3", status="inactive"),
            AccessKey("K4", "canary-secret-4", bound_user="bo@x.example"),
        ),
    )
    emulator = make_console(project=project)
    response = await call(emulator, "GET", "/console/api/access-keys")
    first, bound, inactive, of_disabled = response.json()["access_keys"]
    assert first == {
        "id": "K1",
        "name": "Nightly",
        "status": "active",
        "expires": None,
        "bound_user": None,
        "roles": ["robot"],
        "permissions": ["w"],
        "tenants": {"acme": {"roles": ["viewer"], "permissions": []}},
    }
    assert (bound["bound_user"], bound["expires"]) == ("ada@acme.example", "2027-01-15T08:01:00Z")
    assert bound["tenants"] == {"acme": {"roles": ["admin"], "permissions": ["read"]}}
    assert (bound["status"], inactive["status"], of_disabled["status"]) == ("active", "inactive", "inactive")
    assert "canary" not in response.text

    clock.advance(60)
    page = await call(emulator, "GET", "/console")
    keys = (await call(emulator, "GET", "/console/api/access-keys")).json()["access_keys"]
    assert [key["status"] for key in keys] == ["active", "expired", "inactive", "inactive"]
    assert "canary" not in page.text


async def test_idle_sessions_are_not_listed(call: Call, make_console: MakeConsole, clock: Clock) -> None:
    """A session that was idle for too long has ended."""
    emulator = make_console(project=Project(inactivity_seconds=720))
    emulator.issue("ada@acme.example")
    for seconds, count in ((720, 1), (1, 0)):
        clock.advance(seconds)
        listed = (await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]
        assert len(listed) == count


async def test_requests(call: Call, make_console: MakeConsole) -> None:
    """Requests are listed newest first, without query, token or page id, and without the console's own."""
    emulator = make_console()
    token = emulator.issue("ada@acme.example").refresh_jwt
    await call(emulator, "GET", "/v1/auth/me", token=token, params={"canary": "query"})
    await call(emulator, "GET", "/signin/canary-page")
    await call(emulator, "GET", "/console/api/requests")
    response = await call(emulator, "GET", "/console/api/requests")
    first, second = response.json()["requests"]
    assert (first["path"], first["endpoint"], first["status"]) == ("/signin/…", "signin", 404)
    assert second == {
        "time": "2027-01-15T08:00:00Z",
        "method": "GET",
        "path": "/v1/auth/me",
        "endpoint": "me",
        "status": 200,
        "caller": emulator.requests.for_endpoint("me")[0].caller,
    }
    assert "canary" not in response.text
    assert token not in response.text


async def test_requests_by_endpoint_and_limit(call: Call, make_console: MakeConsole) -> None:
    """The list can be limited to an endpoint and a number."""
    emulator = make_console()
    for path in ("/v1/auth/me", "/nowhere", "/v1/auth/me"):
        await call(emulator, "GET", path)
    api = "/console/api/requests"
    of_me = (await call(emulator, "GET", api, params={"endpoint": "me"})).json()["requests"]
    two = (await call(emulator, "GET", api, params={"limit": "2"})).json()["requests"]
    assert [one["path"] for one in of_me] == ["/v1/auth/me"] * 2
    assert [one["path"] for one in two] == ["/v1/auth/me", "/nowhere"]


@pytest.mark.parametrize("limit", ["0", "10001", "-1", "x", "", "²", "1e3", "9" * 5000, "0" * 5 + "19" * 9])
async def test_bad_limit(call: Call, make_console: MakeConsole, limit: str) -> None:
    """An invalid limit gets an error that says so."""
    response = await call(make_console(), "GET", "/console/api/requests", params={"limit": limit})
    assert (response.status_code, message(response)) == (400, "limit must be a number from 1 to 10000")


async def test_keys(call: Call, make_console: MakeConsole) -> None:
    """A new key signs and the old one stays valid; dropping it invalidates what it signed."""
    emulator = make_console()
    token = emulator.issue("ada@acme.example").refresh_jwt
    old = emulator.public_keys[0]["kid"]
    rotated = await call(emulator, "POST", "/console/api/keys/rotate", json={})
    assert rotated.json()["keys"][1:] == [old]
    assert (await call(emulator, "POST", REFRESH, token=token)).status_code == 200
    dropped = await call(emulator, "POST", "/console/api/keys/drop", json={})
    assert dropped.json()["keys"] == rotated.json()["keys"][:1]
    assert (await call(emulator, "POST", REFRESH, token=token)).status_code == 401


async def test_revoking_a_session(call: Call, make_console: MakeConsole) -> None:
    """One session ends and the user's other one stays; a second time there is nothing to end."""
    emulator = make_console()
    first, second = (emulator.issue("ada@acme.example").refresh_jwt for _ in range(2))
    listed = (await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]
    body = {"session": listed[1]["id"]}
    response = await call(emulator, "POST", "/console/api/revoke", json=body)
    assert response.json()["sessions"] == listed[:1]
    responses = [await call(emulator, "POST", REFRESH, token=token) for token in (first, second)]
    assert [one.status_code for one in responses] == [401, 200]
    again = await call(emulator, "POST", "/console/api/revoke", json=body)
    assert (again.status_code, message(again)) == (404, "There is no active session with this id")


async def test_revoking_a_user(call: Call, make_console: MakeConsole) -> None:
    """All sessions of the user end, and no others."""
    emulator = make_console()
    for user in ("ada@acme.example", "ada@acme.example", "grace@acme.example"):
        emulator.issue(user)
    response = await call(emulator, "POST", "/console/api/revoke", json={"user": "ADA@acme.example"})
    assert [one["user_id"] for one in response.json()["sessions"]] == [GRACE]
    unknown = await call(emulator, "POST", "/console/api/revoke", json={"user": "canary@x.example"})
    assert (unknown.status_code, message(unknown)) == (404, "The project has no such user")


@pytest.mark.parametrize("body", [{}, {"session": 1}, {"user": None}, {"user": ["ada"]}])
async def test_revoke_without_session_and_user(
    call: Call, make_console: MakeConsole, body: dict[str, object]
) -> None:
    """A body with neither session nor user is an error."""
    assert (await call(make_console(), "POST", "/console/api/revoke", json=body)).status_code == 400


async def test_clock(call: Call, make_console: MakeConsole, clock: Clock) -> None:
    """The clock moves, and sessions expire by it."""
    emulator = make_console()
    token = emulator.issue("ada@acme.example").refresh_jwt
    response = await call(emulator, "POST", "/console/api/clock", json={"advance": 28 * 24 * 3600})
    assert response.json()["clock_offset"] == clock.offset == 28 * 24 * 3600
    assert response.json()["now"] == "2027-02-12T08:00:00Z"
    assert (await call(emulator, "POST", REFRESH, token=token)).status_code == 401
    back = await call(emulator, "POST", "/console/api/clock", json={"advance": -28 * 24 * 3600.0})
    assert back.json()["clock_offset"] == 0


@pytest.mark.parametrize("advance", [None, True, "60", [], 1e9, -1e9, 10**400])
async def test_bad_clock(call: Call, make_console: MakeConsole, clock: Clock, advance: object) -> None:
    """The clock stays within ten years of the real time, and accepts numbers only."""
    response = await call(make_console(), "POST", "/console/api/clock", json={"advance": advance})
    assert response.status_code == 400
    assert clock.offset == 0


LEVERS = [
    ("POST", "faults"),
    ("DELETE", "faults"),
    ("POST", "keys/rotate"),
    ("POST", "keys/drop"),
    ("POST", "revoke"),
    ("POST", "consents/withdraw"),
    ("POST", "clock"),
]


@pytest.mark.parametrize(("method", "path"), LEVERS)
async def test_em08_read_only_console_rejects_every_change(
    call: Call, make_console: MakeConsole, method: str, path: str
) -> None:
    """A read-only console rejects each change, and says what to do (EM-08)."""
    body = {"endpoint": "*", "status": 500, "user": "ada@acme.example", "advance": 1}
    emulator = make_console("view")
    before = emulator.public_keys
    response = await call(emulator, method, f"/console/api/{path}", json=body)
    assert (response.status_code, message(response)) == (
        403,
        "This console is read-only: start the emulator with --faults",
    )
    assert (emulator.faults.pending(), emulator.public_keys, emulator.clock.offset) == ((), before, 0)
    assert (await call(emulator, "GET", "/console/api/state")).status_code == 200


@pytest.mark.parametrize(("method", "path"), [*LEVERS, ("GET", "state"), ("GET", "requests")])
async def test_no_console_by_default(
    call: Call, make: Callable[..., Emulator], method: str, path: str
) -> None:
    """In-process there is no console by default: its paths are 404 (EM-08)."""
    emulator = make()
    assert (await call(emulator, method, f"/console/api/{path}", json={})).status_code == 404
    assert (await call(emulator, "GET", "/console")).status_code == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "text/json"])
async def test_form_content_types_are_rejected(call: Call, make_console: MakeConsole, kind: str) -> None:
    """A body that a browser's form can send is rejected, whatever it contains."""
    emulator = make_console()
    response = await call(
        emulator,
        "POST",
        "/console/api/faults",
        content=b'{"endpoint":"*","status":500}',
        headers={"content-type": kind},
    )
    assert (response.status_code, message(response)) == (415, "The Content-Type must be application/json")
    assert emulator.faults.pending() == ()


@pytest.mark.parametrize("content", [b"[1]", b"{", b'{"a":NaN}', b"\xff", b"[" * 50_000, b" " * 70_000])
async def test_broken_json(call: Call, make_console: MakeConsole, content: bytes) -> None:
    """Bytes that are not a JSON object, or too many, get 400."""
    response = await call(
        make_console(),
        "POST",
        "/console/api/faults",
        content=content,
        headers={"content-type": "application/json; charset=utf-8"},
    )
    assert response.status_code == 400
