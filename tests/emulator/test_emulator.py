"""The emulator's host check, error responses, journal and lifecycle."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_descope.emulator import Emulator, Project, SeedUser
from fastapi_descope.emulator.server import running

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:65535", "LocalHost", "[::1]:8080"])
async def test_loopback_hosts_are_accepted(call: Call, make: Make, host: str) -> None:
    """The three loopback names are accepted on any port."""
    emulator = make()
    path = f"/v2/keys/{emulator.project_id}"
    assert (await call(emulator, "GET", path, headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0",  # noqa: S104 - refused
        "[::]",
        "localhost:port",
        "localhost:123456",
        "localhost ",
    ],
)
async def test_em03_other_hosts_are_rejected(call: Call, make: Make, host: str) -> None:
    """A request with another host may come from DNS rebinding (EM-03)."""
    emulator = make()
    response = await call(emulator, "GET", f"/v2/keys/{emulator.project_id}", headers={"host": host})
    assert response.status_code == 403
    assert response.json() == {
        "errorCode": "E011001",
        "errorDescription": "Request is malformed",
        "errorMessage": "The emulator accepts only loopback hosts",
        "message": "The emulator accepts only loopback hosts",
    }


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"]])
async def test_exactly_one_host_header_is_required(make: Make, hosts: list[str]) -> None:
    """No ``Host``, or several, are rejected too."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/auth/me",
        "query_string": b"",
        "headers": [(b"host", host.encode()) for host in hosts],
    }
    await make()(scope, receive, send)
    assert sent[0]["status"] == 403


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 401), ("none", 401)])
async def test_cross_site_posts_are_rejected(call: Call, make: Make, site: str, status: int) -> None:
    """A form on another site cannot post to the emulator."""
    response = await call(make(), "POST", "/v1/auth/refresh", headers={"sec-fetch-site": site})
    assert response.status_code == status


async def test_cross_site_navigations_are_accepted(call: Call, make: Make) -> None:
    """Every sign-in starts with a navigation from another site."""
    response = await call(make(), "GET", "/signin/unknown", headers={"sec-fetch-site": "cross-site"})
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/", "/v1", "/nowhere", "/console"])
async def test_unknown_path(call: Call, make: Make, path: str) -> None:
    """An unknown path is a 404 in JSON."""
    response = await call(make(), "GET", path)
    assert response.status_code == 404
    assert response.json() == {
        "errorCode": "E011001",
        "errorDescription": "Request is malformed",
        "errorMessage": "Not Found",
        "message": "Not Found",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/v1/auth/me/",
        "/v1/auth/logoutprevious",
        "/v1/auth/otp/signin/email",
        "/v1/auth/webauthn/signin/start",
        "/v1/flow/start",
        "/v1/mgmt/user/delete",
        "/v1/mgmt/tenant/create",
        "/oauth2/v1/apps/device",
    ],
)
async def test_unimplemented_endpoint_of_descope(call: Call, make: Make, path: str) -> None:
    """An unknown path of Descope's API is a 404 that says it is not implemented."""
    response = await call(make(), "POST", path, json={})
    assert (response.status_code, response.json()["errorCode"]) == (404, "E011001")
    assert response.json()["errorMessage"] == "The emulator does not implement this endpoint"


async def test_wrong_method(call: Call, make: Make) -> None:
    """A wrong method is a 405 in JSON that names the right one."""
    response = await call(make(), "GET", "/v1/auth/logout")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["errorMessage"] == "Method Not Allowed"


async def test_default_project() -> None:
    """Without arguments the emulator has the default project and follows real time."""
    emulator = Emulator()
    assert emulator.project_id == emulator.project.project_id == "P2EMULATORforDevelopmentOnly"
    assert emulator.clock() > 1_700_000_000


def test_revoking_an_unknown_user(make: Make) -> None:
    """An unknown user is an error."""
    with pytest.raises(LookupError, match="no such user"):
        make().revoke_sessions("nobody@acme.example")


async def test_lifespan(make: Make) -> None:
    """The lifespan protocol is supported."""
    steps = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[object] = []

    async def receive() -> Message:
        return {"type": next(steps)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await make()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_journal(call: Call, make: Make) -> None:
    """Every request is recorded in order, with endpoint and status."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    await call(emulator, "GET", "/v1/auth/me", token=token)
    await call(emulator, "POST", "/v1/auth/refresh", params={"dcs": "t"})
    await call(emulator, "GET", "/nowhere")
    await call(emulator, "GET", "/v1/auth/me", headers={"host": "evil.example"})
    assert [(one.method, one.path, one.endpoint, one.status) for one in emulator.requests] == [
        ("GET", "/v1/auth/me", "me", 200),
        ("POST", "/v1/auth/refresh", "refresh", 401),
        ("GET", "/nowhere", "", 404),
        ("GET", "/v1/auth/me", "me", 403),
    ]
    assert emulator.requests.for_endpoint("refresh")[0].query == {"dcs": "t"}
    assert (emulator.requests.count("me"), len(emulator.requests)) == (2, 4)
    emulator.requests.clear()
    assert len(emulator.requests) == 0


async def test_journal_has_fingerprints_of_bearers(call: Call, make: Make) -> None:
    """Equal bearers have equal fingerprints, other bearers different ones; no token is stored."""
    emulator = make()
    first, second = (emulator.issue("ada@acme.example").refresh_jwt for _ in range(2))
    for token in (first, first, second):
        await call(emulator, "GET", "/v1/auth/me", token=token)
    await call(emulator, "GET", "/v1/auth/me", headers={"authorization": ""})
    marks = [one.caller for one in emulator.requests]
    assert marks[0] == marks[1] != marks[2]
    assert [len(mark) for mark in marks] == [8, 8, 8, 0]
    assert first not in str([asdict(one) for one in emulator.requests])


async def test_journal_hides_page_ids_and_queries(call: Call, make: Make) -> None:
    """The id of a sign-in page is not recorded, and the repr has no query."""
    emulator = make()
    await call(emulator, "GET", "/signin/secret-page", params={"code": "secret"})
    (one,) = emulator.requests.for_endpoint("signin")
    assert one.path == "/signin/…"
    assert "secret" not in repr(one)


@pytest.fixture
def broken(make: Make) -> Emulator:
    """An emulator that fails at ``/me`` because its user cannot be serialized."""
    return make(Project(users=(SeedUser("ada@acme.example", custom_attributes={"odd": object()}),)))


async def test_internal_error_is_raised_in_process(call: Call, broken: Emulator) -> None:
    """In-process the exception is raised."""
    token = broken.issue("ada@acme.example").refresh_jwt
    with pytest.raises(TypeError, match="not JSON serializable"):
        await call(broken, "GET", "/v1/auth/me", token=token)


def test_internal_error_on_a_socket_is_logged(broken: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """On a socket the log has the traceback, and the client gets an error in Descope's format."""
    bearer = f"Bearer {broken.project_id}:{broken.issue('ada@acme.example').refresh_jwt}"
    with running(broken) as url:
        response = httpx.get(f"{url}/v1/auth/me", headers={"authorization": bearer})
    assert response.status_code == 500
    assert response.json() == {
        "errorCode": "E000000",
        "errorDescription": "Internal failure",
        "errorMessage": "The emulator failed: see its log",
        "message": "The emulator failed: see its log",
    }
    assert "not JSON serializable" in caplog.text


async def test_context_manager(call: Call, make: Make) -> None:
    """The context manager returns the emulator, and clears faults on exit."""
    async with asyncio.TaskGroup() as group, make() as emulator:
        emulator.faults.add("me", hold=True)
        emulator.faults.add("me", status=500)
        call_task = group.create_task(call(emulator, "GET", "/v1/auth/me"))
        await emulator.faults.wait_until_held()
    assert call_task.result().status_code == 401
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 401


async def test_context_manager_propagates_exceptions(make: Make) -> None:
    """An exception in the block is raised."""
    with pytest.raises(KeyError):
        async with make():
            raise KeyError


async def test_client_disconnect_is_no_error(make: Make) -> None:
    """No exception reaches the server, and the call is in the journal."""
    emulator = make()
    transport = httpx.ASGITransport(_hung_up(emulator))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.post("/v1/auth/refresh")
    assert emulator.requests.count("refresh") == 1


def _hung_up(emulator: Emulator) -> ASGIApp:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        await emulator(scope, receive, send)

    return app
