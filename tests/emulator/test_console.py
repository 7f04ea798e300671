"""``/console``: the page and its forms."""

import re
from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import AccessKey, Clock, Emulator, Grants, Project, SeedTenant, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
MakeConsole = Callable[..., Emulator]
Submit = Callable[..., Coroutine[None, None, httpx.Response]]

ACTIONS = ["fail", "clear", "rotate", "drop", "revoke", "clock"]


@pytest.fixture
def submit(call: Call) -> Submit:
    """Return a function that opens the page and submits one of its forms, as a browser does."""

    async def send(emulator: Emulator, action: str, /, **fields: str) -> httpx.Response:
        page = await call(emulator, "GET", "/console")
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        form = {"form_token": token[1] if token else ""} | fields
        return await call(
            emulator,
            "POST",
            f"/console/{action}",
            content=str(httpx.QueryParams(form)).encode(),
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "sec-fetch-site": "same-origin",
                "origin": "http://127.0.0.1:4000",
            },
        )

    return send


async def test_page_headers_and_policy(call: Call, make_console: MakeConsole) -> None:
    """The page cannot be cached, framed or opened by others, and runs only its own script."""
    response = await call(make_console(), "GET", "/console")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    policy = re.fullmatch(
        r"default-src 'none'; style-src 'nonce-([\w-]{22})'; img-src data:; base-uri 'none'; "
        r"frame-ancestors 'none'; form-action 'self'; script-src 'nonce-\1'; connect-src 'self'",
        response.headers["content-security-policy"],
    )
    assert policy is not None
    assert re.findall(r"<(?:script|style)[^>]*>", response.text) == [
        f'<style nonce="{policy[1]}">',
        f'<script nonce="{policy[1]}">',
    ]
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == ["data:,"]
    assert not re.search(r"\bon\w+=|style=|url\(", response.text)


async def test_page_shows_the_state(call: Call, make_console: MakeConsole, clock: Clock) -> None:
    """The page shows how to connect, users, sessions, requests, pending faults, keys and the time."""
    emulator = make_console()
    token = emulator.issue("ada@acme.example", "acme").refresh_jwt
    await call(emulator, "POST", "/v1/auth/refresh", token=token)
    await call(emulator, "GET", "/signin/canary-page", params={"canary": "query"})
    emulator.faults.add("refresh", times=3, status=429, retry_after=9)
    emulator.rotate_keys()
    clock.advance(90)
    text = (await call(emulator, "GET", "/console")).text
    for shown in (
        "export DESCOPE_PROJECT_ID=P2EMULATORforDevelopmentOnly",
        "export DESCOPE_BASE_URL=http://127.0.0.1",
        "fastapi-descope token issue --user ada@acme.example",
        "<strong>Grace Hopper</strong>",
        "<strong>acme</strong> viewer",
        "acme.example",
        '<td class="mono">refresh<td>status 429, Retry-After 9<td>3',
        "POST /v1/auth/refresh<td>refresh",
        "GET /signin/…<td>signin",
        '<td class="status" data-class="4">404',
        "<time>2027-01-15 08:01:30</time> UTC, +90 s from real time",
        *(key["kid"] for key in emulator.public_keys),
        emulator.requests.for_endpoint("refresh")[0].caller,
    ):
        assert shown in text
    assert "canary" not in text
    assert token not in text


async def test_page_shows_machines_applications_and_actors(call: Call, make_console: MakeConsole) -> None:
    """Access keys without their secrets, consents, and who acts in a session."""
    key = AccessKey("K2nightly", "canary-secret", "Nightly", roles=("robot",), bound_user="ada@acme.example")
    old = AccessKey("K2old", "canary-old-secret", expires_at=1)
    emulator = make_console(project=Project(access_keys=(key, old)))
    emulator.issue("ada@acme.example", "acme", actor="grace@acme.example")
    text = (await call(emulator, "GET", "/console")).text
    for shown in (
        "<strong>Nightly</strong>",
        "K2nightly",
        "as ada@acme.example",
        "<td>never",
        '<td class="status" data-class="2">active',
        "<time>1970-01-01</time>",
        '<td class="status" data-class="4">expired',
        "actor: grace@acme.example",
    ):
        assert shown in text
    assert "canary" not in text


async def test_page_of_an_empty_project(call: Call, make_console: MakeConsole) -> None:
    """A project without users has a page too."""
    emulator = make_console(project=Project(tenants=(), users=(), access_keys=()))
    text = (await call(emulator, "GET", "/console")).text
    for shown in ("--user LOGIN_ID", "No active sessions.", "No requests yet.", "No access keys."):
        assert shown in text


async def test_names_are_escaped(call: Call, make_console: MakeConsole) -> None:
    """Names of the seed and requested paths are text, not markup."""
    user = SeedUser("x@acme.example", "<b>Bold</b>", tenants={"acme": Grants(("<i>",))})
    emulator = make_console(
        project=Project(tenants=(SeedTenant("acme", "<u>"),), users=(user,), access_keys=())
    )
    await call(emulator, "GET", "/<s>path</s>")
    text = (await call(emulator, "GET", "/console")).text
    assert not re.search("<(b|i|u|s)>", text)
    assert "&lt;s&gt;path" in text


async def test_read_only_console_has_no_forms(call: Call, make_console: MakeConsole, submit: Submit) -> None:
    """Without the flag the page has no forms, and a forged one has no effect (EM-08)."""
    emulator = make_console("view")
    emulator.issue("ada@acme.example")
    emulator.rotate_keys()
    keys = emulator.public_keys
    page = await call(emulator, "GET", "/console")
    assert "<form" not in page.text
    assert "start the emulator with <code>--faults</code>" in page.text
    for action in ACTIONS:
        response = await submit(
            emulator, action, user="ada@acme.example", seconds="60", endpoint="me", kind="reset"
        )
        assert response.status_code == 403
        assert "Start the emulator with --faults to change its state." in response.text
    assert (emulator.public_keys, emulator.clock.offset, emulator.faults.pending()) == (keys, 0, ())
    assert len((await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]) == 1


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kind": "status", "status": "503"}, "status 503"),
        ({"kind": "limit", "seconds": "5"}, "status 429, Retry-After 5"),
        ({"kind": "delay", "seconds": "1.5"}, "waits 1.5 s"),
        ({"kind": "drip", "seconds": "0.2"}, "0.2 s between bytes"),
        ({"kind": "reset"}, "connection reset"),
        ({"kind": "close", "when": "after"}, "after the work, connection closed within the body"),
        ({"kind": "garbage"}, "status 200, as text/html"),
    ],
)
async def test_form_adds_each_kind_of_fault(
    make_console: MakeConsole, submit: Submit, fields: dict[str, str], fault: str
) -> None:
    """Each kind in the form is a fault; numbers that the kind does not need are ignored."""
    emulator = make_console()
    given = {"endpoint": "me", "times": "2", "status": "500", "seconds": "1", "when": "before"} | fields
    response = await submit(emulator, "fail", **given)
    assert (response.status_code, response.headers["location"]) == (303, "/console")
    assert response.headers["cache-control"] == "no-store"
    assert [(name, str(one), times) for name, one, times in emulator.faults.pending()] == [("me", fault, 2)]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "endpoint: Field required"),
        ({"endpoint": "me"}, "a fault needs a status"),
        ({"endpoint": "me", "kind": "explode"}, "a fault needs a status"),
        ({"endpoint": "me", "kind": "status", "status": "many"}, "status: Input should be a valid integer"),
        (
            {"endpoint": "me", "kind": "limit", "seconds": "1.5"},
            "retry_after: expected a number of seconds",
        ),
        ({"endpoint": "me", "kind": "delay", "seconds": "nan"}, "delay: Input should be"),
        ({"endpoint": "me", "kind": "delay"}, "a fault needs a status"),
    ],
)
async def test_invalid_fault_form(
    make_console: MakeConsole, submit: Submit, fields: dict[str, str], says: str
) -> None:
    """The page says what is wrong, and no fault is added."""
    emulator = make_console()
    response = await submit(emulator, "fail", **fields)
    assert response.status_code == 400
    assert "The action failed" in response.text
    assert says in response.text
    assert emulator.faults.pending() == ()


async def test_clear_rotate_drop_and_clock_forms(
    call: Call, make_console: MakeConsole, submit: Submit
) -> None:
    """Faults are cleared, keys change, and the clock moves."""
    emulator = make_console()
    old = emulator.public_keys[0]
    await submit(emulator, "fail", endpoint="me", kind="reset")
    for action, fields in (("clear", {}), ("rotate", {}), ("clock", {"seconds": "-90.5"})):
        assert (await submit(emulator, action, **fields)).status_code == 303
    assert emulator.faults.pending() == ()
    assert emulator.public_keys[1:] == (old,)
    assert emulator.clock.offset == -90.5
    assert "Drop old keys" in (await call(emulator, "GET", "/console")).text
    await submit(emulator, "drop")
    assert old not in emulator.public_keys


async def test_revoke_forms(call: Call, make_console: MakeConsole, submit: Submit) -> None:
    """One button revokes a session, another all sessions of a user; an ended session gets 404."""
    emulator = make_console()
    for _ in range(3):
        emulator.issue("ada@acme.example")
    page = await call(emulator, "GET", "/console")
    session = re.findall(r'name="session" value="([^"]+)"', page.text)[0]
    assert (await submit(emulator, "revoke", session=session)).status_code == 303
    assert len((await call(emulator, "GET", "/console/api/sessions")).json()["sessions"]) == 2
    assert (await submit(emulator, "revoke", session=session)).status_code == 404
    assert (await submit(emulator, "revoke", user=SeedUser("ada@acme.example").user_id)).status_code == 303
    assert "No active sessions." in (await call(emulator, "GET", "/console")).text
    assert "The project has no such user" in (await submit(emulator, "revoke")).text


@pytest.mark.parametrize("seconds", ["", "soon", "nan", "inf", "1e300"])
async def test_invalid_clock_form(make_console: MakeConsole, submit: Submit, seconds: str) -> None:
    """The clock accepts numbers only, within its limits."""
    emulator = make_console()
    assert (await submit(emulator, "clock", seconds=seconds)).status_code == 400
    assert emulator.clock.offset == 0


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("token", ["", "guessed", "\udcff"])
async def test_forged_forms(call: Call, make_console: MakeConsole, action: str, token: str) -> None:
    """A form without the token of this console is rejected, wherever it comes from."""
    emulator = make_console()
    body = b"endpoint=me&kind=reset&seconds=60&form_token=" + token.encode("utf-8", "surrogateescape")
    response = await call(emulator, "POST", f"/console/{action}", content=body)
    assert response.status_code == 403
    assert "The form is not from this console" in response.text
    assert (emulator.faults.pending(), emulator.clock.offset) == ((), 0)
    assert len(emulator.public_keys) == 1


async def test_form_token_of_another_emulator_is_rejected(call: Call, make_console: MakeConsole) -> None:
    """The token of another emulator is not valid here."""
    pages = [await call(make_console(), "GET", "/console") for _ in range(2)]
    tokens = [set(re.findall(r'name="form_token" value="([^"]+)"', page.text)) for page in pages]
    assert [len(each) for each in tokens] == [1, 1]
    assert tokens[0] != tokens[1]


async def test_unknown_action(make_console: MakeConsole, submit: Submit) -> None:
    """An unknown action gets 404."""
    assert (await submit(make_console(), "explode")).status_code == 404
