"""A browser of the matrix: HTTP and WebSockets over real sockets, with one cookie jar."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Self

import httpx
from websockets.sync.client import ClientConnection, connect

from fastapi_descope.emulator import JwtPair
from fastapi_descope.emulator.client import submit_login_form
from tests.helpers.cookie_jar import PlainJar

__all__ = ["Browser"]

_NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
_SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
_TIMEOUT_SECONDS = 60


class Browser:
    """A browser at the app of ``url``. ``pair`` has the tokens of a session, if there is one."""

    def __init__(self, url: str, pair: JwtPair | None = None) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS)
        self._jar = PlainJar({} if pair is None else {"DS": pair.session_jwt, "DSR": pair.refresh_jwt})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def use(self, server: str) -> None:
        """Send further requests to the process at another URL, as a load balancer does."""
        self._http.base_url = httpx.URL(server)

    def copy_cookies(self, other: "Browser") -> None:
        """Get the cookies of another browser, besides those that are there."""
        self._jar.cookies.update(other.cookies)

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies in the jar, by name."""
        return self._jar.cookies

    @property
    def cookie_header(self) -> str:
        """The value of the header ``Cookie``."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def expire_session(self) -> None:
        """Remove the session cookie, as a browser does when its time is over."""
        self._jar.cookies.pop("DS", None)

    def log_in(self, tenant: str, login_id: str) -> httpx.Response:
        """Go through the login, and return the response of the callback."""
        return self.navigate(self.open_callback(tenant, login_id))

    def open_callback(self, tenant: str, login_id: str) -> str:
        """Go through the login up to the emulator's redirect, and return the URL of the callback."""
        started = self.navigate(f"/login/sso?tenant={tenant}&return_to=/me")
        assert started.status_code == 303, started.text
        with httpx.Client(timeout=_TIMEOUT_SECONDS) as idp:
            page = idp.get(started.headers["location"])
            form = submit_login_form(page.text, login_id)
            callback: str = idp.post(page.url, data=form, headers=_SAME_ORIGIN).headers["location"]
        return callback

    def navigate(self, url: str) -> httpx.Response:
        """Open a page, without following redirects."""
        return self._send("GET", url, _NAVIGATION)

    def get(self, path: str) -> httpx.Response:
        """Send a GET request as a script does."""
        return self._send("GET", path, {})

    def post(self, path: str, form: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a POST request of the app's own page."""
        return self._send("POST", path, {**_SAME_ORIGIN, "origin": self._url}, form)

    @contextmanager
    def stream(self, path: str) -> Generator[httpx.Response]:
        """Open a stream, and close it when the block ends."""
        with self._http.stream("GET", path, headers={"cookie": self.cookie_header}) as response:
            self._receive(response.headers.get_list("set-cookie"))
            yield response

    def connect(self, path: str) -> ClientConnection:
        """Open a WebSocket, and store the cookies of its response.

        Raises:
            InvalidStatus: The server refuses it.
        """
        socket = connect(
            self._url.replace("http", "ws", 1) + path,
            additional_headers={"Cookie": self.cookie_header, "Origin": self._url},
            open_timeout=_TIMEOUT_SECONDS,
            proxy=None,
        )
        assert socket.response is not None
        self._receive(socket.response.headers.get_all("Set-Cookie"))
        return socket

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> httpx.Response:
        cookies = {"cookie": self.cookie_header}
        response = self._http.request(method, url, headers={**cookies, **headers}, data=form)
        self._receive(response.headers.get_list("set-cookie"))
        return response

    def _receive(self, set_cookies: list[str]) -> None:
        self._http.cookies.clear()  # the jar has them
        self._jar.receive([line.encode("ascii") for line in set_cookies])
