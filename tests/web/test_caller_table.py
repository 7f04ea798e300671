"""The tables of docs/reference/callers.md: which credential counts where, and what each route answers.

The page is the source of the expected values (CL-02, CL-03, CL-10, AK-04).
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import httpx
import pytest

from tests.helpers.app_harness import APP, AppHarness, EnvFactory
from tests.helpers.callers import (
    CREDENTIALS,
    OTHER,
    OTHER_KEY,
    PROJECT,
    READER_KEY,
    ROUTES,
    SCOPE,
    Credentials,
    add_caller_routes,
)
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "callers.md"
VALUES = {"User", "Tenant", "AuthSession"}
KINDS = {"user": VALUES, "application": {"Delegate"}, "machine": {"Machine"}}
"""What a route gets from each kind of caller."""


def rows(heading: str) -> dict[str, dict[str, str]]:
    """Return the rows of the page's table whose first column has this heading, by that column."""
    tables = re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    lines = next(table for table in tables if table.startswith(f"| {heading} ")).splitlines()
    names, _, *cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in cells}


CALLERS: Mapping[str, Callable[[Credentials], Awaitable[str]]] = {
    "user": lambda each: each.session(),
    "user without the permission": lambda each: each.session(OTHER),
    "user without a tenant": lambda each: each.session(tenant=None),
    "application": lambda each: each.delegate(),
    "application without the scope": lambda each: each.delegate(scope="openid"),
    "application whose user has the permission instead of the scope": lambda each: each.delegate(
        scope="", dct="acme", tenants={"acme": {"permissions": [SCOPE]}}
    ),
    "application with a token for another API": lambda each: each.delegate(aud="https://other.example"),
    "machine": lambda each: each.key(READER_KEY),
    "machine without the permission": lambda each: each.key(OTHER_KEY),
}
"""The bearers of the second table. ``user`` and the other single words are also in the first one."""

ANSWERS = rows("caller")
CODES = rows("code")


def answer(outcome: str, column: str) -> str:
    """Return the cell of a route for an outcome of the first table: a caller of the second, or an error."""
    if outcome in ANSWERS:
        return ANSWERS[outcome][column]
    return "ok, None" if column == "`OptionalUser`" else outcome


class Sender:
    """Sends a credential to the routes of an app, in one place of a request.

    Attributes:
        place: A column of the first table.
    """

    def __init__(self, env: AppHarness, place: str, credential: str | None) -> None:
        self.env = env
        self.place = place
        self._credential = credential
        names = {
            "`Authorization`": ("authorization", "Bearer "),
            "session cookie": ("cookie", "DS="),
            "refresh cookie": ("cookie", "DSR="),
        }
        name, start = names.get(place, ("", ""))
        self._headers = {name: start + credential} if name and credential is not None else {}
        self._parameters = {"access_token": credential} if not name and credential is not None else {}

    async def assert_http(self, column: str, outcome: str) -> None:
        """Assert the answer of a route to a request, and to a form with a credential that is in no header."""
        path, http = ROUTES[column][0], self.env.browser().http
        response = await http.get(f"{APP}{path}", params=self._parameters, headers=self._headers)
        self._assert_response(response, column, outcome)
        if self._parameters:
            response = await self.env.browser().post(path, self._parameters)
            self._assert_response(response, column, outcome)

    def _assert_response(self, response: httpx.Response, column: str, outcome: str) -> None:
        code, _, cookies = outcome.partition(", ")
        cell = answer(code, column)
        assert _cookies(response) == self._written(code, cookies)
        if cell.startswith("ok"):
            assert response.status_code == 200, response.text
            assert_kind(response.json(), code, cell)
            assert "www-authenticate" not in response.headers
            return
        expected = CODES[cell]
        challenge = expected["`WWW-Authenticate`"].strip("`")
        if self.place != "`Authorization`" and expected["status"] == "401":
            challenge = "Bearer"
        assert (response.status_code, response.json()["code"]) == (int(expected["status"]), cell)
        assert response.headers.get("www-authenticate", "") == challenge

    def _written(self, code: str, cookies: str) -> dict[str, bool]:
        """Return the cookies that the response sets, by name, and whether it deletes them."""
        if self.place == "refresh cookie" and code == "user":
            return {"DS": False, "DSR": False}
        deleted = {"": (), "cookie deleted": ("DSR",), "both cookies deleted": ("DS", "DSR")}[cookies]
        return dict.fromkeys(deleted, True)

    async def assert_websocket(self, column: str, outcome: str) -> None:
        """Assert what the handshake of a WebSocket gets."""
        headers = {"origin": APP, **self._headers}
        socket = WebSocketClient(
            self.env.app,
            [(name.encode(), value.encode()) for name, value in headers.items()],
            path=f"/ws{ROUTES[column][0]}",
            query=str(httpx.QueryParams(self._parameters)).encode(),
        )
        code = outcome.partition(", ")[0]
        cell = answer(code, column)
        first = await socket.open()
        if cell.startswith("ok"):
            assert first["type"] == "websocket.accept"
            assert_kind(json.loads((await socket.next())["text"]), code, cell)
            socket.disconnect()
            return
        assert first == {"type": "websocket.close", "code": int(CODES[cell]["WebSocket"]), "reason": cell}


def _cookies(response: httpx.Response) -> dict[str, bool]:
    lines = response.headers.get_list("set-cookie")
    return {line.partition("=")[0]: "Max-Age=0" in line for line in lines}


def assert_kind(body: dict[str, object] | None, caller: str, cell: str) -> None:
    """Assert that the route has got this caller, and as nothing else."""
    if cell == "ok, None":
        assert body is None
    else:
        assert body is not None
        assert body["kind"] in KINDS[caller.partition(" ")[0]]


async def credential_of(row: str, env: AppHarness) -> str | None:
    """Return the credential of a row of the first table, as the emulator issues it."""
    if row == "none":
        return None
    kind, _, change = row.partition(", ")
    credentials = Credentials(env)
    credential = await CREDENTIALS[kind](credentials)
    changes: Mapping[str, Callable[[str], str]] = {
        "expired": credentials.expire,
        "tampered": credentials.tamper,
    }
    return changes[change](credential) if change else credential


@pytest.mark.parametrize("row", rows("credential"))
async def test_cl10_credential_counts_where_the_table_says(
    make_env: EnvFactory, subtests: pytest.Subtests, row: str
) -> None:
    """For each route, over HTTP and as the handshake of a WebSocket: as one kind of caller, or not at all."""
    env = make_env(project=PROJECT, routes=add_caller_routes, access_keys=True)
    for place, outcome in rows("credential")[row].items():
        sender = Sender(env, place, await credential_of(row, env))
        for column in ROUTES:
            with subtests.test(column, place=place, transport="http"):
                await sender.assert_http(column, outcome)
            with subtests.test(column, place=place, transport="websocket"):
                await sender.assert_websocket(column, outcome)


def test_table_has_every_credential_expired_and_tampered() -> None:
    """And one request without any."""
    changes = ("", ", expired", ", tampered")
    assert list(rows("credential")) == [
        "none",
        *(f"{kind}{change}" for kind in CREDENTIALS for change in changes),
    ]


@pytest.mark.parametrize("caller", CALLERS)
async def test_cl02_cl03_ak04_each_caller_gets_what_the_table_says(
    make_env: EnvFactory, subtests: pytest.Subtests, caller: str
) -> None:
    """A caller of one kind is never one of another kind, and has no scope by another's right."""
    env = make_env(project=PROJECT, routes=add_caller_routes, access_keys=True)
    sender = Sender(env, "`Authorization`", await CALLERS[caller](Credentials(env)))
    for column in ANSWERS[caller]:
        with subtests.test(column, transport="http"):
            await sender.assert_http(column, caller)
        with subtests.test(column, transport="websocket"):
            await sender.assert_websocket(column, caller)


def test_every_caller_and_route_of_the_table_is_tested() -> None:
    """And none is tested that the table lacks."""
    assert list(ANSWERS) == list(CALLERS)
    assert all(list(row) == list(ROUTES) for row in ANSWERS.values())
