"""Faults that are added through the console's API."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
MakeConsole = Callable[..., Emulator]

DATE = "Wed, 21 Oct 2037 07:28:00 GMT"


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ({"status": 503}, "status 503"),
        ({"status": 429, "retry_after": 7}, "status 429, Retry-After 7"),
        ({"delay": 1.5}, "waits 1.5 s"),
        ({"drip": 0.1, "when": "after"}, "after the work, 0.1 s between bytes"),
        ({"cut": "reset"}, "connection reset"),
        ({"cut": "close", "delay": 1}, "waits 1 s, connection closed within the body"),
        ({"status": 503, "retry_after": DATE}, f"status 503, Retry-After {DATE}"),
        ({"garbage": True}, "status 200, as text/html"),
        ({"garbage": True, "status": 502}, "status 502, as text/html"),
        ({"body": {"odd": 1}, "status": 418}, "status 418"),
    ],
)
async def test_each_kind_of_fault(
    call: Call, make_console: MakeConsole, order: dict[str, object], fault: str
) -> None:
    """Each kind of fault can be added, and is listed until it has happened."""
    response = await call(
        make_console(), "POST", "/console/api/faults", json={"endpoint": "me", "times": 3} | order
    )
    assert response.status_code == 201
    assert response.json() == {"faults": [{"endpoint": "me", "times": 3, "fault": fault}]}


@pytest.mark.parametrize(
    ("order", "status", "kind", "body"),
    [
        ({"garbage": True}, 200, "text/html", "<html><body><h1>502 Bad Gateway</h1></body>"),
        ({"body": "nonsense", "status": 502}, 502, "application/json", "nonsense"),
        ({"body": {"a": 1}}, 200, "application/json", '{"a": 1}'),
        ({"status": 204, "body": "not with this status"}, 204, "application/json", ""),
    ],
)
async def test_fault_affects_the_next_call_only(
    call: Call, make_console: MakeConsole, order: dict[str, object], status: int, kind: str, body: str
) -> None:
    """The next call gets the fault, the one after it does not."""
    emulator = make_console()
    await call(emulator, "POST", "/console/api/faults", json={"endpoint": "me"} | order)
    response = await call(emulator, "GET", "/v1/auth/me")
    assert (response.status_code, response.headers["content-type"], response.text) == (status, kind, body)
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 401


async def test_headers_of_a_fault(call: Call, make_console: MakeConsole) -> None:
    """The headers are in the response, and may change its content type."""
    emulator = make_console()
    headers = {"X-Odd": "a b", "Content-Type": "text/plain"}
    order = {"endpoint": "me", "status": 500, "retry_after": DATE, "headers": headers}
    listed = (await call(emulator, "POST", "/console/api/faults", json=order)).json()["faults"]
    response = await call(emulator, "GET", "/v1/auth/me")
    assert listed[0]["fault"] == f"status 500, as text/plain, Retry-After {DATE}"
    assert response.status_code == 500
    assert [response.headers[name] for name in ("x-odd", "content-type")] == ["a b", "text/plain"]
    assert response.headers["retry-after"] == DATE


async def test_faults_are_listed_in_order(call: Call, make_console: MakeConsole) -> None:
    """Faults are listed by endpoint, equal ones together, including held ones added in-process."""
    emulator = make_console()
    for status in (500, 502, 500):
        emulator.faults.add("me", status=status, times=2)
    emulator.faults.add("*", hold=True)
    state = (await call(emulator, "GET", "/console/api/state")).json()
    assert [(one["endpoint"], one["fault"], one["times"]) for one in state["faults"]] == [
        ("*", "held", 1),
        ("me", "status 500", 2),
        ("me", "status 502", 2),
        ("me", "status 500", 2),
    ]


async def test_console_has_no_faults(call: Call, make_console: MakeConsole) -> None:
    """The console can clear a fault of all endpoints."""
    emulator = make_console()
    await call(emulator, "POST", "/console/api/faults", json={"endpoint": "*", "status": 500, "times": 9})
    response = await call(emulator, "DELETE", "/console/api/faults")
    assert (response.status_code, response.json()) == (200, {"faults": []})
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 401


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({}, "endpoint: Field required"),
        ({"endpoint": "renew", "status": 500}, "unknown endpoint 'renew'; expected one of "),
        ({"endpoint": "me"}, "a fault needs a status"),
        ({"endpoint": "me", "status": 99}, "status: Input should be greater than or equal to 200"),
        ({"endpoint": "me", "status": 600}, "status: Input should be less than or equal to 599"),
        ({"endpoint": "me", "status": "canary"}, "status: Input should be a valid integer"),
        ({"endpoint": "me", "status": 500, "times": 0}, "times: Input should be greater"),
        ({"endpoint": "me", "status": 500, "times": 1001}, "times: Input should be less"),
        ({"endpoint": "me", "delay": -1}, "delay: Input should be greater"),
        ({"endpoint": "me", "drip": 3601}, "drip: Input should be less"),
        ({"endpoint": "me", "cut": "off"}, "cut: Input should be 'reset' or 'close'"),
        (
            {"endpoint": "me", "garbage": True, "body": "x"},
            "garbage replaces the body: send one of them",
        ),
        (
            {"endpoint": "me", "garbage": False},
            "a fault needs a status, a body, garbage, a delay, a drip or a cut",
        ),
        ({"endpoint": "me", "status": 500, "times": True}, "times: Input should be a valid integer"),
        ({"endpoint": "me", "status": 500, "times": "2"}, "times: Input should be a valid integer"),
        ({"endpoint": "me", "status": 500, "retry_after": -1}, "retry_after: expected a number of seconds"),
        ({"endpoint": "me", "status": 500, "retry_after": True}, "retry_after: expected a number of"),
        ({"endpoint": "me", "status": 500, "retry_after": "soon"}, "retry_after: expected a number"),
        ({"endpoint": "me", "delay": 1, "retry_after": 5}, "headers and retry_after need a status or"),
        ({"endpoint": "me", "delay": 1, "headers": {"x-a": "b"}}, "headers and retry_after need a status"),
        (
            {"endpoint": "me", "status": 500, "headers": {"x": "a\nb"}},
            "headers.x: expected visible characters",
        ),
        (
            {"endpoint": "me", "status": 500, "headers": {"a b": ""}},
            "headers.a b.[key]: expected a header name",
        ),
        (
            {"endpoint": "me", "status": 500, "headers": {"Connection": ""}},
            "headers.Connection.[key]: expected",
        ),
        ({"endpoint": "me", "cut": "reset", "status": 500}, "a reset replaces the response"),
        ({"endpoint": "me", "status": 500, "open": "/etc/passwd"}, "open: Extra inputs are not permitted"),
    ],
)
async def test_invalid_faults_are_rejected(
    call: Call, make_console: MakeConsole, order: dict[str, object], says: str
) -> None:
    """The error has the position, and no fault is added."""
    emulator = make_console()
    response = await call(emulator, "POST", "/console/api/faults", json=order)
    assert response.status_code == 400
    assert response.json()["message"].startswith(says)
    assert "canary" not in response.text
    assert emulator.faults.pending() == ()
