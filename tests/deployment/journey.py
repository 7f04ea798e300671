"""The journey through one server.

Each step asserts what no server may break, and returns its word in the table.
"""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from websockets.exceptions import InvalidStatus

from fastapi_descope.emulator import Emulator, JwtPair

from .browser import Browser
from .matrix import Result

__all__ = ["Journey"]

_ADA = "ada@acme.example"
_LISTENING_SECONDS = 1
_SHUTDOWN_SECONDS = 30


@dataclass
class Journey:
    """A journey.

    Attributes:
        url: The URL at which browsers reach the server.
        port: The port of the server itself.
        emulator: The app's Descope.
        process: The process of the server, which the last step ends.
        ask_another_process: Sends a request for ``/me`` with a header ``Cookie`` to another process of the
            fleet, and returns the status.
    """

    url: str
    port: int
    emulator: Emulator
    process: subprocess.Popen[bytes]
    ask_another_process: Callable[[str], int]
    user_id: str = field(init=False)

    def walk(self) -> Result:
        """Go through all steps."""
        return Result(
            login=self._log_in(),
            refresh=self._refresh(),
            accept=self._accept(),
            rejection=self._reject(),
            stream=self._stream(),
            logout=self._log_out(),
            shutdown=self._shut_down(),
        )

    def _log_in(self) -> str:
        with Browser(self.url) as browser:
            response = browser.log_in("acme", _ADA)
            assert (response.status_code, response.headers["location"]) == (303, "/me")
            session = browser.get("/me")
            assert session.status_code == 200
            self.user_id = session.json()["user"]
            return "works"

    def _refresh(self) -> str:
        with self._expired_browser() as browser:
            self._assert_refreshed(browser, browser.get("/me"))
            assert not browser.get("/me").headers.get_list("set-cookie")
            return "works"

    def _accept(self) -> str:
        """RF-04: a server that drops the cookies of ``accept`` costs no session."""
        with self._expired_browser() as browser:
            refresh_token = browser.cookies["DSR"]
            with browser.connect("/ws") as websocket:
                assert websocket.recv() == self.user_id
            delivered = browser.cookies["DSR"] != refresh_token
            browser.expire_session()
            self._assert_refreshed(browser, browser.get("/me"))
            return "delivered" if delivered else "dropped"

    def _reject(self) -> str:
        try:
            with Browser(self.url) as browser, browser.connect("/ws"):
                raise AssertionError("a WebSocket without a session was accepted")
        except InvalidStatus as error:
            return str(error.response.status_code)

    def _stream(self) -> str:
        with self._expired_browser() as browser:
            refresh_token = browser.cookies["DSR"]
            with browser.stream("/events") as response:
                assert next(response.iter_lines()) == f"data: {self.user_id}"
            assert browser.cookies["DSR"] != refresh_token
            assert browser.get("/me").status_code == 200
            return "works"

    def _log_out(self) -> str:
        with self._expired_browser() as browser:
            assert browser.get("/me").status_code == 200
            refresh_token = browser.cookies["DSR"]
            assert browser.post("/logout").status_code == 204
            assert not browser.cookies
            assert browser.get("/me").status_code == 401
            assert self.ask_another_process(f"DSR={refresh_token}") == 401
            return "works"

    def _shut_down(self) -> str:
        """Stop the server while Descope has rotated the token and not responded yet."""
        with self._expired_browser() as browser, ThreadPoolExecutor(1) as executor:
            former = browser.cookie_header
            self.emulator.faults.add("refresh", hold=True, when="after")
            request = executor.submit(self._try_get, browser)
            asyncio.run(self.emulator.faults.wait_until_held())
            self.process.send_signal(signal.SIGTERM)
            self._wait_until_shutting_down()
            self.emulator.faults.release()
            response = request.result()
            self.process.wait(_SHUTDOWN_SECONDS)
            assert self.ask_another_process(former) == 200
            if response is None:
                return "cut"
            self._assert_refreshed(browser, response)
            assert self.ask_another_process(browser.cookie_header) == 200
            return "sent"

    def _expired_browser(self) -> Browser:
        """Return a browser whose session has expired, and so has its cookie."""
        pair: JwtPair = self.emulator.issue(_ADA, "acme", session_seconds=-60)
        browser = Browser(self.url, pair)
        browser.expire_session()
        return browser

    def _assert_refreshed(self, browser: Browser, response: httpx.Response) -> None:
        assert (response.status_code, response.json()["user"]) == (200, self.user_id)
        assert {"DS", "DSR"} <= browser.cookies.keys()

    def _try_get(self, browser: Browser) -> httpx.Response | None:
        try:
            return browser.get("/me")
        except httpx.TransportError:
            return None

    def _wait_until_shutting_down(self) -> None:
        """Wait until the server refuses connections. Granian accepts them until it exits."""
        deadline = time.monotonic() + _LISTENING_SECONDS
        with suppress(OSError):
            while time.monotonic() < deadline:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                time.sleep(0.01)
