"""The example app across tenants: every route and every table, on SQLite and on PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi import FastAPI
from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import create_async_engine

from example_app.app import create_app
from example_app.models import Activity, Attachment, Base, Finding, Person, Report
from fastapi_descope import ConfigurationError, DescopeSettings
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import Clock, Emulator, Grants, Project
from fastapi_descope.sqlalchemy import DropTenantPolicy
from tests.helpers.postgres_server import PostgresServer
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

APP = "http://127.0.0.1:8000"
SECRET = "acme secret"
REPORT = {"title": "changed", "site": "changed", "finding": "Clear", "summary": "changed"}
BODIES: Mapping[tuple[str, str], dict[str, Any]] = {
    ("POST", "/reports"): {"data": {**REPORT, "organisation": "{tenant}"}},
    ("POST", "/reports/{report_id}"): {"data": {**REPORT, "organisation": "{tenant}"}},
    ("POST", "/reports/{report_id}/attachments"): {"files": {"file": ("a.txt", b"changed")}},
    ("POST", "/api/reports"): {"json": REPORT},
    ("PUT", "/api/reports/{report_id}"): {"json": REPORT},
}
"""The body of each route that reads one. ``{tenant}`` is the tenant of the user."""

MEMBERS = {"/members", "/members/{user_id}/role", "/members/{user_id}/remove"}
"""The routes for members: Descope has their data, and they have tests of their own."""

WITHOUT_DATA = {"/", "/healthz", "/readyz", "/account", "/api/me", "/reports/new", "/activity/feed", *MEMBERS}
"""The routes that show no row of a table. The feed has tests of its own."""

CREATING = {("POST", "/reports"), ("POST", "/api/reports")}
"""The routes that create a row and name none."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """The URL of an empty database: a temporary file, or PostgreSQL."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database().owner.url


@pytest.fixture
def emulator() -> Emulator:
    """Descope, with an admin in each of two tenants."""
    return Emulator(
        Project(rotate_refresh=True), clock=Clock(lambda: 1_800_000_000.0), base_url="http://localhost:8787"
    )


def build(emulator: Emulator, database_url: str | None) -> FastAPI:
    """Return the example app without samples."""
    settings = DescopeSettings(
        project_id=emulator.project_id, base_url="http://localhost:8787", public_url=APP, access_keys=True
    )
    transport = httpx.ASGITransport(emulator)
    return create_app(
        settings=settings, clock=emulator.clock, transport=transport, database_url=database_url, samples=False
    )


@pytest.fixture
async def app(emulator: Emulator, database_url: str | None, anyio_backend: str) -> AsyncIterator[FastAPI]:
    """The running app, with one row of Acme in each table."""
    app = build(emulator, database_url)
    async with app.router.lifespan_context(app):
        for tenant in ("acme", "globex"):
            await _fill(app, tenant)
        yield app


async def _fill(app: FastAPI, tenant: str) -> None:
    secret, report_id = f"{tenant} secret", f"{tenant[0].upper()}-1"
    async with app.state.database.sessions.session(tenant) as db:
        db.add(
            Report(report_id, secret, secret, secret, date(2026, 11, 30), Finding.URGENT, secret, [secret])
        )
        await db.flush()
        db.add(Attachment(report_id, secret, "text/plain", len(secret), secret.encode(), id=f"{tenant}-file"))
        db.add(Activity(1.0, secret, secret, report_id, secret))
        db.add(Person(f"{tenant}-person", secret, secret, [], 1))
        await db.commit()


async def _rows(app: FastAPI, tenant: str) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of every table that a session of the tenant sees."""
    async with app.state.database.sessions.session(tenant) as db:
        return {
            table.name: [tuple(row) for row in await db.execute(select(table).order_by(table.columns["id"]))]
            for table in Base.metadata.sorted_tables
        }


def _routes() -> list[tuple[str, str]]:
    """Return every route of the app itself, as method and path."""
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP)
    table = RouteTable(create_app(settings=settings))
    own = [row for row in table.rows if not (row.is_own or row.is_documentation or row.path.endswith("/*"))]
    return [(method, row.path) for row in own for method in row.methods if row.path not in WITHOUT_DATA]


async def _request(
    app: FastAPI, emulator: Emulator, user: str, tenant: str, route: tuple[str, str]
) -> httpx.Response:
    """Call a route with the ids of Acme's rows, as a user with all permissions in a tenant."""
    method, path = route
    body = json.loads(json.dumps(BODIES.get(route, {}), default=list).replace("{tenant}", tenant))
    if "files" in body:
        body = BODIES[route]
    headers = {"Authorization": f"Bearer {emulator.issue(user, tenant).session_jwt}", "Accept": "text/html"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP, headers=headers) as http:
        return await http.request(method, path.format(report_id="A-1", attachment_id="acme-file"), **body)


@pytest.mark.parametrize("route", _routes(), ids=" ".join)
async def test_ti01_ti02_no_route_reaches_another_tenant(
    app: FastAPI, emulator: Emulator, route: tuple[str, str]
) -> None:
    """A user of Globex calls it with ids of Acme. The same call by a user of Acme shows or changes rows."""
    before = await _rows(app, "acme")

    foreign = await _request(app, emulator, "hank@globex.example", "globex", route)

    assert SECRET not in foreign.text
    assert await _rows(app, "acme") == before
    assert foreign.status_code in ((201, 303) if route in CREATING else (404,) if "{" in route[1] else (200,))
    own = await _request(app, emulator, "ada@acme.example", "acme", route)
    assert own.status_code in {200, 201, 204, 303}
    assert SECRET in own.text or await _rows(app, "acme") != before


@pytest.mark.postgres
async def test_text_that_postgresql_cannot_hold_is_refused(
    emulator: Emulator, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a mistake of the client, and not one of the app. No log line has the text."""
    app = build(emulator, postgres.database().owner.url)
    headers = {"Authorization": f"Bearer {emulator.issue('ada@acme.example', 'acme').session_jwt}"}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=APP, headers=headers) as http,
    ):
        responses = [
            await http.get("/reports/%00secret"),
            await http.post("/api/reports", json={**REPORT, "title": "\0secret"}),
        ]

    assert [response.status_code for response in responses] == [422, 422]
    assert "secret" not in caplog.text


async def test_ti01_every_table_shows_a_tenant_its_own_rows(app: FastAPI) -> None:
    """One row of each tenant is in every table."""
    for tenant, other in (("acme", "globex"), ("globex", "acme")):
        rows = await _rows(app, tenant)
        assert {table: len(found) for table, found in rows.items()} == dict.fromkeys(Base.metadata.tables, 1)
        assert other not in str(rows)


@pytest.mark.postgres
@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
async def test_ti06_app_does_not_start_without_a_policy(
    emulator: Emulator, postgres: PostgresServer, table: str
) -> None:
    """For each of its tables."""
    url = postgres.database().owner.url
    app = build(emulator, url)
    async with app.router.lifespan_context(app):
        pass
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(DropTenantPolicy(table))
    await engine.dispose()

    with pytest.raises(ConfigurationError, match=f"the table {table} has no row-level security"):
        async with app.router.lifespan_context(app):
            pass


async def test_migrations_create_the_mapped_tables(app: FastAPI) -> None:
    """With the columns, types and keys of the mapping."""
    engine = create_async_engine(app.state.database.url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert [each for each in differences if "alembic_version" not in str(each)] == []


def _differences(connection: Connection) -> list[object]:
    return [*compare_metadata(MigrationContext.configure(connection), Base.metadata)]


@pytest.mark.postgres
async def test_several_processes_start_at_once(emulator: Emulator, postgres: PostgresServer) -> None:
    """One of them creates the tables of an empty database."""
    url = postgres.database().owner.url
    apps = [build(emulator, url) for _ in range(3)]

    async def start(app: FastAPI) -> None:
        async with app.router.lifespan_context(app):
            pass

    await asyncio.gather(*map(start, apps))


class Feed:
    """A client of the activity feed."""

    def __init__(self, app: FastAPI, emulator: Emulator, user: str, tenant: str) -> None:
        token = emulator.issue(user, tenant).session_jwt
        self.socket = WebSocketClient(
            app, [(b"authorization", f"Bearer {token}".encode())], path="/activity/feed"
        )

    async def open(self) -> list[str]:
        """Connect, and return the titles of the first message."""
        assert (await self.socket.open())["type"] == "websocket.accept"
        return await self.next()

    async def next(self) -> list[str]:
        """Return the titles of the next message."""
        message = await self.socket.next()
        return [entry["title"] for entry in json.loads(message["text"])]

    async def close(self) -> None:
        """Disconnect, and wait until the app has noticed."""
        self.socket.disconnect()
        await self.socket.wait()


async def _file(app: FastAPI, emulator: Emulator) -> None:
    response = await _request(app, emulator, "ada@acme.example", "acme", ("POST", "/api/reports"))
    assert response.status_code == 201, response.text


async def test_reports_that_are_filed_at_one_moment_have_different_numbers(
    app: FastAPI, emulator: Emulator
) -> None:
    """Each is filed, with the number after that of another."""
    route = ("POST", "/api/reports")
    filed = await asyncio.gather(
        *(_request(app, emulator, "ada@acme.example", "acme", route) for _ in range(5))
    )
    ids = [response.json()["id"] for response in filed]
    assert sorted(ids) == [f"A-{number}" for number in range(2, 7)]


async def test_feed_shows_a_change_to_its_tenant_only(app: FastAPI, emulator: Emulator) -> None:
    """At once, without a poll."""
    app.state.database.feed.poll_seconds = 3_600
    acme = Feed(app, emulator, "ada@acme.example", "acme")
    globex = Feed(app, emulator, "hank@globex.example", "globex")
    assert (await acme.open(), await globex.open()) == (["acme secret"], ["globex secret"])

    await _file(app, emulator)

    assert await acme.next() == ["changed", "acme secret"]
    await globex.close()
    await acme.close()
    assert [message["type"] for message in globex.socket.sent] == ["websocket.accept", "websocket.send"]


async def test_feed_shows_a_change_of_another_process(
    app: FastAPI, emulator: Emulator, database_url: str | None
) -> None:
    """PostgreSQL notifies it; with SQLite it looks for changes each second."""
    url = database_url or str(app.state.database.url)
    other = build(emulator, url)
    feed = Feed(app, emulator, "ada@acme.example", "acme")
    async with other.router.lifespan_context(other):
        await feed.open()
        await _file(other, emulator)
        assert await feed.next() == ["changed", "acme secret"]
        await feed.close()


async def test_machines_use_the_api_with_their_scopes(app: FastAPI, emulator: Emulator) -> None:
    """The key of the emulator may read, in the only tenant that it has, and may not write."""
    key = replace(emulator.project.access_keys[0], tenants={"acme": Grants()})
    emulator.project = replace(emulator.project, access_keys=(key,))
    headers = {"Authorization": f"Bearer {key.secret}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP, headers=headers) as http:
        read, written = await http.get("/api/reports"), await http.post("/api/reports", json=REPORT)
        page = await http.get("/reports")
    assert [report["title"] for report in read.json()] == ["acme secret"]
    assert (written.status_code, written.json()["code"]) == (403, "insufficient_scope")
    assert page.status_code == 403
