"""The way through a login: from the app's login route over the emulator's page to the app's callback."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import httpx2
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from .._web.routes.table import RouteTable
from ..emulator.client import submit_login_form
from .clients import EMULATOR_HOST

__all__ = ["LoginFlow", "login_path"]

_LOGIN = "/login/sso"
_EMULATOR = f"http://{EMULATOR_HOST}"


@dataclass(frozen=True, slots=True)
class LoginFlow:
    """One login, to be walked through with a client of the app.

    ``idp`` is the emulator, and ``path`` that of the app's login route.
    ``query`` is what the login route is asked with; ``login_id`` is who signs in, None for one who refuses.
    Where the app goes another way, the walk ends, and the answer is the app's last one.
    """

    idp: ASGIApp
    path: str
    query: Mapping[str, str]
    login_id: str | None

    def log_in(self, client: TestClient) -> httpx2.Response:
        """The app's answer to the callback."""
        if not isinstance(client, TestClient):  # pyright: ignore[reportUnnecessaryIsInstance] # tests have no types
            raise TypeError("This client is asynchronous: await log_in_async(client)")
        begun = client.get(self.path, params=dict(self.query), follow_redirects=False)
        page = _page(begun)
        if page is None:
            return begun
        person = TestClient(self.idp, base_url=_EMULATOR, follow_redirects=False)
        form = submit_login_form(person.get(page).text, self.login_id)
        return client.get(_callback(person.post(page, data=form)), follow_redirects=False)

    async def log_in_async(self, client: httpx.AsyncClient) -> httpx.Response:
        """The same with an asynchronous client."""
        if not isinstance(client, httpx.AsyncClient):  # pyright: ignore[reportUnnecessaryIsInstance] # tests have no types
            raise TypeError("This client is not asynchronous: log_in(client), without await")
        begun = await client.get(self.path, params=dict(self.query), follow_redirects=False)
        page = _page(begun)
        if page is None:
            return begun
        transport = httpx.ASGITransport(self.idp)
        async with httpx.AsyncClient(transport=transport, base_url=_EMULATOR) as person:
            form = submit_login_form((await person.get(page)).text, self.login_id)
            back = await person.post(page, data=form)
        return await client.get(_callback(back), follow_redirects=False)


def login_path(app: ASGIApp) -> str:
    """Where the app has its login route, prefix and mounts included, looking through what wraps the app.

    Raises LookupError if it cannot be found.
    """
    found: object = app
    while found is not None and not isinstance(found, Starlette):
        found = getattr(found, "app", None)
    rows = RouteTable(found).rows if found is not None else ()
    for row in rows:
        if row.is_own and row.path.endswith(_LOGIN):
            return row.path
    raise LookupError(f"No route of this app is found to be the plugin's {_LOGIN}")


def _page(answer: httpx.Response | httpx2.Response) -> str | None:
    """The sign-in page of the emulator that the app sends its visitor to."""
    url = urlsplit(answer.headers.get("location", ""))
    return url.path if url.netloc == EMULATOR_HOST else None


def _callback(answer: httpx.Response | httpx2.Response) -> str:
    """The address of the app that the emulator sends its visitor back to."""
    where: str | None = answer.headers.get("location")
    if where is None:
        raise LookupError(f"The emulator's sign-in page answered {answer.status_code} and led nowhere")
    return where
