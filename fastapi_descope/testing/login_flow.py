"""A login as a user performs it: the app's login route, the emulator's page, the app's callback."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlsplit

import httpx
import httpx2
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from .._web.app_location import PluginRoute
from .._web.routes.table import RouteTable
from ..emulator.client import submit_login_form
from .clients import EMULATOR_HOST

__all__ = ["LoginFlow", "login_path"]

_FORM = re.compile(r'<form action="([^"]*)" method="post">')
_INPUT = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
_EMULATOR = f"http://{EMULATOR_HOST}"


@dataclass(frozen=True, slots=True)
class LoginFlow:
    """One login with a client of the app.

    It ends early if the app does not redirect to the emulator's page. The result is then the app's last
    response.

    Attributes:
        idp: The emulator.
        path: The path of the app's login route.
        query: The query parameters of the request to the login route.
        login_id: The user who signs in; None to press *Refuse*.
    """

    idp: ASGIApp
    path: str
    query: Mapping[str, str]
    login_id: str | None

    def log_in(self, client: TestClient) -> httpx2.Response:
        """Run the login and return the app's response to the callback.

        Raises:
            TypeError: The client is asynchronous.
            LookupError: The emulator's page did not redirect back to the app.
        """
        if not isinstance(client, TestClient):  # pyright: ignore[reportUnnecessaryIsInstance] # tests have no types
            raise TypeError("This client is asynchronous. Use: await log_in_async(client)")
        started = client.get(self.path, params=dict(self.query), follow_redirects=False)
        page = _sign_in_page(started)
        if page is None:
            return started
        browser = TestClient(self.idp, base_url=_EMULATOR, follow_redirects=False)
        form = submit_login_form(browser.get(page).text, self.login_id)
        return client.get(_callback_url(browser.post(page, data=form)), follow_redirects=False)

    async def log_in_async(self, client: httpx.AsyncClient) -> httpx.Response:
        """Run the login with an asynchronous client and return the app's response to the callback.

        Raises:
            TypeError: The client is not asynchronous.
            LookupError: The emulator's page did not redirect back to the app.
        """
        if not isinstance(client, httpx.AsyncClient):  # pyright: ignore[reportUnnecessaryIsInstance] # tests have no types
            raise TypeError("This client is not asynchronous. Use: log_in(client), without await")
        started = await client.get(self.path, params=dict(self.query), follow_redirects=False)
        page = _sign_in_page(started)
        if page is None:
            return started
        transport = httpx.ASGITransport(self.idp)
        async with httpx.AsyncClient(transport=transport, base_url=_EMULATOR) as browser:
            form = submit_login_form((await browser.get(page)).text, self.login_id)
            submitted = await browser.post(page, data=form)
        return await client.get(_callback_url(submitted), follow_redirects=False)


@dataclass(frozen=True, slots=True)
class LinkForm:
    """The form of the page that a link opens."""

    action: str
    fields: Mapping[str, str] = field(repr=False)


def link_form(page: str) -> LinkForm | None:
    """Return the form of a page of the app that confirms a link, or None if it has none."""
    action = _FORM.search(page)
    fields = {unescape(name): unescape(value) for name, value in _INPUT.findall(page)}
    return None if action is None or "token" not in fields else LinkForm(unescape(action[1]), fields)


def login_path(app: ASGIApp, route: PluginRoute) -> str:
    """Return the path of a login route of the app, with its prefix and mounts.

    Looks through wrappers that keep the wrapped app in an attribute ``app``.

    Raises:
        LookupError: The app has no such route, or a wrapper hides it.
    """
    inner: object = app
    while inner is not None and not isinstance(inner, Starlette):
        inner = getattr(inner, "app", None)
    rows = RouteTable(inner).rows if inner is not None else ()
    for row in rows:
        if row.is_own and row.path.endswith(route.path):
            return row.path
    raise LookupError(
        f"This app has no {route.path} route of the plugin. Is descope.router included, and does"
        " DESCOPE_LOGIN_METHODS list this way to sign in?"
    )


def _sign_in_page(response: httpx.Response | httpx2.Response) -> str | None:
    """Return the path of the emulator's sign-in page that the app redirects to, or None."""
    url = urlsplit(response.headers.get("location", ""))
    return url.path if url.netloc == EMULATOR_HOST else None


def _callback_url(response: httpx.Response | httpx2.Response) -> str:
    """Return the URL of the app that the emulator redirects to."""
    url: str | None = response.headers.get("location")
    if url is None:
        raise LookupError(
            f"The emulator's sign-in page responded with status {response.status_code} and no redirect"
        )
    return url
