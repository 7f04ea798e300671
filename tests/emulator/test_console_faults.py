"""Faults that are ordered through the console's API."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
MakeConsole = Callable[..., Emulator]


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ({"status": 503}, "status 503"),
        ({"status": 429, "retry_after": 7}, "status 429, Retry-After 7"),
        ({"delay": 1.5}, "waits 1.5 s"),
        ({"drip": 0.1, "when": "after"}, "the work is done, 0.1 s between bytes"),
        ({"cut": "reset"}, "connection reset"),
        ({"cut": "close", "delay": 1}, "waits 1 s, ends in mid-body"),
        ({"garbage": True}, "status 200"),
        ({"body": {"odd": 1}, "status": 418}, "status 418"),
    ],
)
async def test_orders(call: Call, make_console: MakeConsole, order: dict[str, object], fault: str) -> None:
    """Each kind of fault can be ordered, and is listed until it has happened."""
    answer = await call(
        make_console(), "POST", "/console/api/faults", json={"endpoint": "me", "times": 3} | order
    )
    assert answer.status_code == 201
    assert answer.json() == {"faults": [{"endpoint": "me", "times": 3, "fault": fault}]}


@pytest.mark.parametrize(
    ("order", "status", "kind", "body"),
    [
        ({"garbage": True}, 200, "text/html", "<html><body><h1>502 Bad Gateway</h1></body>"),
        ({"body": "nonsense", "status": 502}, 502, "application/json", "nonsense"),
        ({"body": {"a": 1}}, 200, "application/json", '{"a": 1}'),
        ({"status": 204, "body": "not with this status"}, 204, "application/json", ""),
    ],
)
async def test_an_order_carried_out(
    call: Call, make_console: MakeConsole, order: dict[str, object], status: int, kind: str, body: str
) -> None:
    """The next call suffers what was ordered, the one after it nothing."""
    emulator = make_console()
    await call(emulator, "POST", "/console/api/faults", json={"endpoint": "me"} | order)
    answer = await call(emulator, "GET", "/v1/auth/me")
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (status, kind, body)
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 401


async def test_faults_are_listed_as_they_come(call: Call, make_console: MakeConsole) -> None:
    """By endpoint, equal neighbours together; a held one from the process itself is there, too."""
    emulator = make_console()
    for status in (500, 502, 500):
        emulator.faults.add("me", status=status, times=2)
    emulator.faults.add("*", hold=True)
    state = (await call(emulator, "GET", "/console/api/state")).json()
    assert [(one["endpoint"], one["fault"], one["times"]) for one in state["faults"]] == [
        ("*", "is held", 1),
        ("me", "status 500", 2),
        ("me", "status 502", 2),
        ("me", "status 500", 2),
    ]


async def test_no_fault_happens_to_the_console(call: Call, make_console: MakeConsole) -> None:
    """Whoever let every endpoint fail can still call it off."""
    emulator = make_console()
    await call(emulator, "POST", "/console/api/faults", json={"endpoint": "*", "status": 500, "times": 9})
    answer = await call(emulator, "DELETE", "/console/api/faults")
    assert (answer.status_code, answer.json()) == (200, {"faults": []})
    assert (await call(emulator, "GET", "/v1/auth/me")).status_code == 401


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({}, "endpoint: Field required"),
        ({"endpoint": "renew", "status": 500}, "no endpoint 'renew'; there are "),
        ({"endpoint": "me"}, "a fault needs a status"),
        ({"endpoint": "me", "status": 99}, "status: Input should be greater than or equal to 200"),
        ({"endpoint": "me", "status": 600}, "status: Input should be less than or equal to 599"),
        ({"endpoint": "me", "status": "canary"}, "status: Input should be a valid integer"),
        ({"endpoint": "me", "status": 500, "times": 0}, "times: Input should be greater"),
        ({"endpoint": "me", "status": 500, "times": 1001}, "times: Input should be less"),
        ({"endpoint": "me", "delay": -1}, "delay: Input should be greater"),
        ({"endpoint": "me", "drip": 3601}, "drip: Input should be less"),
        ({"endpoint": "me", "cut": "off"}, "cut: Input should be 'reset' or 'close'"),
        ({"endpoint": "me", "cut": "reset", "status": 500}, "a reset takes the place of the answer"),
        ({"endpoint": "me", "status": 500, "open": "/etc/passwd"}, "open: Extra inputs are not permitted"),
    ],
)
async def test_bad_orders(call: Call, make_console: MakeConsole, order: dict[str, object], says: str) -> None:
    """An order that cannot be carried out is refused with its place, and nothing is going to fail."""
    emulator = make_console()
    answer = await call(emulator, "POST", "/console/api/faults", json=order)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(says)
    assert "canary" not in answer.text
    assert emulator.faults.waiting() == ()
