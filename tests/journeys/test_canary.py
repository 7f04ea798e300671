"""LG-01: nothing that could be used to impersonate anybody is written anywhere.

Every flow and failure is walked over real sockets with every logger at DEBUG and every span kept. Then all
that was ever a secret in it (tokens, codes, states, cookie values, the management key, e-mail addresses) is
looked for in what was written.
"""

import logging
import re
import traceback
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.emulator.server import running
from tests.helpers.app_harness import Browser, add_routes
from tests.helpers.live_server import listening, serve_app

pytestmark = pytest.mark.anyio

MANAGEMENT_KEY = "canary-management-key"
_EMULATORS_OWN = ("httpx2", "httpcore2", "asyncio", "websockets")
"""Loggers of the tests' own machinery, which speaks for the browser and not for the package."""


@dataclass
class Notebook(logging.Handler):
    """Everything that was logged, with arguments, tracebacks and extra fields."""

    lines: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        super().__init__(logging.DEBUG)

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write it down, unless it is of the tests' own machinery."""
        if record.name.split(".")[0] in _EMULATORS_OWN:
            return
        error = record.exc_info[1] if record.exc_info else None
        trace = "".join(traceback.format_exception(error)) if error else ""
        self.lines.append(f"{record.getMessage()} {record.__dict__!r} {trace}")


@pytest.fixture
def notebook() -> Generator[Notebook]:
    """Every logger of the process at DEBUG, written down."""
    handler, root = Notebook(), logging.getLogger()
    names = ["fastapi_descope", "httpcore", "httpx", "h11", "uvicorn", "uvicorn.access", "uvicorn.error"]
    levels = {name: logging.getLogger(name).level for name in ["", *names]}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    logging.getLogger("uvicorn.access").removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _secrets(browsers: list[Browser], emulator: Emulator) -> set[str]:
    """All that was ever in a Set-Cookie, a code, a state, or a person's address."""
    found = {MANAGEMENT_KEY, *(user.login_id for user in emulator.project.users)}
    for response in (response for browser in browsers for response in browser.log):
        for cookie in response.headers.get_list("set-cookie"):
            found.add(cookie.partition("=")[2].partition(";")[0])
        for url in (str(response.url), response.headers.get("location", "")):
            query = parse_qs(urlsplit(url).query)
            found.update(value for name in ("code", "state") for value in query.get(name, []))
        found.update(re.findall(r"ey[\w-]{20,}\.[\w-]+\.[\w-]+", str(response.request.headers)))
    return {secret for secret in found if len(secret) >= 8}


async def _walk(browser: Browser, app: str, emulator: Emulator) -> None:
    """Every step of a session's life, and what can go wrong with each."""
    here = browser
    await here.visit(f"{app}/me")
    login = await here.visit(
        f"{app}/login/sso?tenant=ada%40acme.example&login_hint=ada%40acme.example&return_to=/me"
    )
    page = await here.visit(login.headers["location"])
    callback = (await here.choose(page, "ada@acme.example")).headers["location"]
    for url in (callback, callback + "&code=twice", callback, f"{app}/me", f"{app}/session/profile"):
        await here.visit(url)
    emulator.clock.advance(660)
    for status, body in ((500, None), (401, b"<html>"), (429, None), (200, b"{")):
        emulator.faults.add("refresh", status=status, body=body)
        await here.get(f"{app}/session-of")
        emulator.clock.advance(60)  # past the pause that a 429 asks for
    await here.get(f"{app}/session-of")
    await here.post(f"{app}/tenant/select", {"tenant": "globex"})
    await here.post(f"{app}/tenant/select", {"tenant": "nobody"})
    await here.post(f"{app}/logout", origin="https://evil.example", sec_fetch_site="cross-site")
    old = f"DS={here.cookie('DS')}; DSR={here.cookie('DSR')}"
    await here.post(f"{app}/logout/all")
    await here.get(f"{app}/session-of", cookie=old)
    await _hostile(here, app, emulator)


async def _hostile(browser: Browser, app: str, emulator: Emulator) -> None:
    pair = emulator.issue("hank@globex.example", tenant="globex")
    for token in (
        pair.session_jwt[:-6] + "AAAAAA",
        pair.refresh_jwt,
        pair.session_jwt + "!!",
        pair.session_jwt,
    ):
        await browser.get(f"{app}/me", authorization=f"Bearer {token}")
        await browser.get(f"{app}/me", cookie=f"DS={token}; DSR={token}")
    await browser.get(f"{app}/session-of", cookie=f"DSR={pair.refresh_jwt}\x01")
    emulator.faults.add("authorize", status=400)
    await browser.visit(f"{app}/login/sso?tenant=acme&login_hint=hank%40globex.example")
    emulator.faults.add("exchange", status=401)
    page = await browser.visit((await browser.visit(f"{app}/login/sso?tenant=acme")).headers["location"])
    await browser.visit((await browser.choose(page, "grace@acme.example")).headers["location"])
    emulator.rotate_keys(keep_old=False)
    await browser.get(
        f"{app}/me", authorization=f"Bearer {emulator.issue('hank@globex.example').session_jwt}"
    )


async def test_lg01_no_secret_is_ever_written(notebook: Notebook) -> None:
    """LG-01, LG-05: neither in a log line of anybody, nor in a span, an event, or a body."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    emulator = Emulator(Project(rotate_refresh=True, auth_management_key=MANAGEMENT_KEY))
    app = FastAPI(telemetry={"tracer_provider": provider})
    events: list[object] = []
    with running(emulator) as base_url, listening() as (listener, url):
        settings = DescopeSettings(
            project_id=emulator.project_id,
            base_url=base_url,
            public_url=url,
            auth_management_key=MANAGEMENT_KEY,
        )
        descope = Descope(app, settings=settings, clock=emulator.clock)
        descope.on_event(events.append)
        add_routes(app)
        # Another library than the package's, so that the two can be told apart in the log.
        async with httpx2.AsyncClient(trust_env=False) as client:
            browser = Browser(cast("httpx.AsyncClient", client))
            # The emulator's server has switched this logger off for the whole process.
            logging.getLogger("uvicorn.access").addHandler(notebook)
            logging.getLogger("uvicorn.access").setLevel(logging.DEBUG)
            with serve_app(app, listener, access_log=True):
                await _walk(browser, url, emulator)

    written = [
        *notebook.lines,
        *(f"{span.to_json()}" for span in spans.get_finished_spans()),
        *(repr(event) for event in events),
    ]
    bodies = [response.text for response in browser.log if str(response.url).startswith(url)]
    secrets = _secrets([browser], emulator)
    leaks = {(secret[:12], line[:300]) for line in written for secret in secrets if secret in line}
    tokens = {secret for secret in secrets if "@" not in secret}
    leaks |= {(token[:12], body[:300]) for body in bodies for token in tokens if token in body}
    assert len(secrets) > 20
    assert len(spans.get_finished_spans()) > 20
    assert any("/callback?state=[redacted]&code=[redacted]" in line for line in notebook.lines)
    assert leaks == set()
