"""LG-01: no secret is logged or traced.

Every flow and failure runs over real sockets with all loggers at DEBUG and all spans recorded. Then the
output is searched for every secret that was used: tokens, codes, states, cookie values, the management key
and e-mail addresses. Metrics, our spans and the text of our lines have no user, tenant or project id either.
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

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope._web.login_transactions import Transaction
from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.emulator.server import running
from tests.helpers.app_harness import Browser, add_routes
from tests.helpers.live_server import listening, serve_app
from tests.helpers.magic_link import press
from tests.helpers.otel_sdk import Sdk

pytestmark = pytest.mark.anyio

MANAGEMENT_KEY = "canary-management-key"
_TEST_LOGGERS = ("httpx2", "httpcore2", "asyncio", "websockets")
"""Loggers of the browser client and of the emulator, which know the secrets."""


@dataclass
class LogRecorder(logging.Handler):
    """A handler that records everything logged, with arguments, tracebacks and extra fields."""

    lines: list[str] = field(default_factory=list[str])
    ours: list[str] = field(default_factory=list[str])
    """The text of our lines, without extra fields. The audit stream has ids, so it is not here."""

    def __post_init__(self) -> None:
        super().__init__(logging.DEBUG)

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Record the line, unless a client or server of the tests logged it."""
        if record.name.split(".")[0] in _TEST_LOGGERS:
            return
        error = record.exc_info[1] if record.exc_info else None
        trace = "".join(traceback.format_exception(error)) if error else ""
        if record.name in {"fastapi_descope", "fastapi_descope.events"}:
            self.ours.append(record.getMessage())
        self.lines.append(f"{record.getMessage()} {record.__dict__!r} {trace}")


@pytest.fixture
def log_recorder() -> Generator[LogRecorder]:
    """Set every logger of the process to DEBUG and record its output."""
    handler, root = LogRecorder(), logging.getLogger()
    names = [
        "fastapi_descope",
        "fastapi_descope.audit",
        "httpcore",
        "httpx",
        "h11",
        "uvicorn",
        "uvicorn.access",
        "uvicorn.error",
    ]
    levels = {name: logging.getLogger(name).level for name in ["", *names]}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    logging.getLogger("fastapi_descope.audit").addHandler(handler)
    yield handler
    root.removeHandler(handler)
    logging.getLogger("fastapi_descope.audit").removeHandler(handler)
    logging.getLogger("uvicorn.access").removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _bodies(browser: Browser, app: str) -> list[str]:
    """Return the bodies of the app's responses, except the page of a link, whose button sends its token."""
    urls = ((response, str(response.url)) for response in browser.log)
    return [each.text for each, url in urls if url.startswith(app) and "/magiclink/verify?" not in url]


def _secrets(browsers: list[Browser], emulator: Emulator) -> set[str]:
    """Return every cookie value, code, state, token and e-mail address that was used."""
    secrets = {MANAGEMENT_KEY, *(user.login_id for user in emulator.project.users)}
    for response in (response for browser in browsers for response in browser.log):
        for cookie in response.headers.get_list("set-cookie"):
            value = cookie.partition("=")[2].partition(";")[0]
            secrets.add(value)
            if transaction := Transaction.parse(value.encode()):
                secrets.add(transaction.pending_ref)
        for url in (str(response.url), response.headers.get("location", "")):
            query = parse_qs(urlsplit(url).query)
            secrets.update(value for name in ("code", "state", "t") for value in query.get(name, []))
        secrets.update(re.findall(r"ey[\w-]{20,}\.[\w-]+\.[\w-]+", str(response.request.headers)))
    return {secret for secret in secrets if len(secret) >= 8}


def _found_ids(output: list[str], events: list[object], emulator: Emulator) -> set[tuple[str, str]]:
    """Return each id of the project, a user or a tenant that is in the output, with its line."""
    named = {getattr(event, name, None) for event in events for name in ("user_id", "tenant_id")}
    ids = {emulator.project_id, *(str(each) for each in named if each is not None)}
    assert len(ids) >= 4
    return {(each, text[:300]) for text in output for each in ids if each in text}


async def _run_session(browser: Browser, app: str, emulator: Emulator) -> None:
    """Run every step of a session, and the failures of each."""
    await browser.visit(f"{app}/me")
    login = await browser.visit(
        f"{app}/login/sso?tenant=ada%40acme.example&login_hint=ada%40acme.example&return_to=/me"
    )
    page = await browser.visit(login.headers["location"])
    callback = (await browser.choose(page, "ada@acme.example")).headers["location"]
    for url in (callback, callback + "&code=twice", callback, f"{app}/me", f"{app}/session/profile"):
        await browser.visit(url)
    emulator.clock.advance(660)
    for status, body in ((500, None), (401, b"<html>"), (429, None), (200, b"{")):
        emulator.faults.add("refresh", status=status, body=body)
        await browser.get(f"{app}/session-of")
        emulator.clock.advance(60)  # longer than the Retry-After of a 429
    await browser.get(f"{app}/session-of")
    await browser.post(f"{app}/tenant/select", {"tenant": "globex"})
    await browser.post(f"{app}/tenant/select", {"tenant": "unknown"})
    await browser.post(f"{app}/logout", origin="https://evil.example", sec_fetch_site="cross-site")
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    await browser.post(f"{app}/logout/all")
    await browser.get(f"{app}/session-of", cookie=old)
    await _send_invalid_tokens(browser, app, emulator)


async def _sign_in_with_a_message(browser: Browser, app: str, emulator: Emulator) -> None:
    """Poll before and after the confirmation, during an outage, and once more."""
    page = (await browser.visit(f"{app}/login/notp?return_to=/me")).text
    link = re.search(r'<a href="([^"]+)" target="_blank"', page)
    state = re.search(r'name="state" value="([^"]+)"', page)
    assert link
    assert state
    await browser.choose(await browser.visit(link[1]), "ada@acme.example")
    emulator.faults.add("notp_pending", status=503)
    for expected in (503, 200, 400):
        response = await browser.post(f"{app}/login/notp/session", {"state": state[1]})
        assert response.status_code == expected
        emulator.clock.advance(1)


async def _sign_in_with_a_link(browser: Browser, app: str, emulator: Emulator) -> None:
    """Ask for a link, during an outage too, open it, and press its button twice."""
    emulator.faults.add("magiclink_start", status=503)
    for email in ("ada@acme.example", "nobody@acme.example", "ada@acme.example"):
        await browser.post(f"{app}/login/magiclink", {"email": email}, sec_fetch_mode="navigate")
    page = await browser.visit(emulator.outbox.last("ada@acme.example").link)
    for _ in range(2):
        await press(browser, page, app=app)


async def _send_invalid_tokens(browser: Browser, app: str, emulator: Emulator) -> None:
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


async def test_lg01_no_secret_is_logged(log_recorder: LogRecorder, sdk: Sdk) -> None:
    """LG-01, LG-05, ML-02: no log line of any library, no span, no event and no body has one."""
    emulator = Emulator(Project(rotate_refresh=True, auth_management_key=MANAGEMENT_KEY))
    app = FastAPI(telemetry={"tracer_provider": sdk.tracer_provider})
    events: list[object] = []
    with running(emulator) as base_url, listening() as (listener, url):
        settings = DescopeSettings(
            project_id=emulator.project_id,
            base_url=base_url,
            public_url=url,
            auth_management_key=MANAGEMENT_KEY,
            login_methods=["sso", "magiclink", "notp"],
        )
        descope = Descope(
            app,
            settings=settings,
            clock=emulator.clock,
            tracer_provider=sdk.tracer_provider,
            meter_provider=sdk.meter_provider,
        )
        descope.on_event(events.append)
        add_routes(app)
        # Not the library that the package uses, so that their log lines can be distinguished.
        async with httpx2.AsyncClient(trust_env=False) as client:
            browser = Browser(cast("httpx.AsyncClient", client))
            # The emulator's server has disabled this logger for the whole process.
            logging.getLogger("uvicorn.access").addHandler(log_recorder)
            logging.getLogger("uvicorn.access").setLevel(logging.DEBUG)
            with serve_app(app, listener, access_log=True):
                for run in (_run_session, _sign_in_with_a_message, _sign_in_with_a_link):
                    await run(browser, url, emulator)

    ours, spans = sdk.exported(), sdk.exporter.get_finished_spans()
    output = [
        *log_recorder.lines,
        *ours,
        *(f"{span.to_json()}" for span in spans),
        *(repr(event) for event in events),
    ]
    bodies = _bodies(browser, url)
    secrets = _secrets([browser], emulator)
    leaks = {(secret[:12], line[:300]) for line in output for secret in secrets if secret in line}
    tokens = {secret for secret in secrets if "@" not in secret}
    leaks |= {(token[:12], body[:300]) for body in bodies for token in tokens if token in body}
    assert len(secrets) > 20
    assert any("/callback?state=[redacted]&code=[redacted]" in line for line in log_recorder.lines)
    assert leaks == set()
    assert any('"class_uid":3002' in line for line in log_recorder.lines)
    assert len(spans) > 20
    assert {span.name for span in spans} >= {"descope.refresh", "descope.callback"}
    assert _found_ids([*ours, *log_recorder.ours], events, emulator) == set()
