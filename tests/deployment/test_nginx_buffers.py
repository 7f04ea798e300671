"""The buffers of nginx for large cookies: the documented table, measured (F-10, CK-14)."""

import re
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator, Grants, Project, SeedTenant, SeedUser
from fastapi_descope.emulator.server import running
from tests.helpers.app_harness import add_routes
from tests.helpers.emulator import signing_key
from tests.helpers.live_server import listening, serve_app
from tests.helpers.nginx import nginx_in_front_of

from .browser import Browser

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "behind-a-proxy.md"
_ROW = re.compile(r"^\| (?:up to \d+ KiB|more) \| (.+) \| (.+) \|$", re.MULTILINE)

TENANTS = tuple(SeedTenant(f"T2abcdefghijklmnopqrstuvw{number:02d}", str(number)) for number in range(96))
ROWS = (20, 60, 80, 96)
"""For each row of the table, a number of tenants whose cookies need it. The last token is at its limit."""


def directives() -> list[tuple[str, str]]:
    """Return the directives of each row of the documentation, for ``location`` and for ``server``."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [(directive(location), directive(server)) for location, server in rows]


def directive(cell: str) -> str:
    """Return the code in a cell of the table, or an empty string."""
    return cell.strip("`") if cell.startswith("`") else ""


def users() -> tuple[SeedUser, ...]:
    """Return a user for each row, with that many tenants."""
    return tuple(
        SeedUser(
            f"{count}@example.com", tenants={each.id: Grants(("Tenant Admin",)) for each in TENANTS[:count]}
        )
        for count in ROWS
    )


@contextmanager
def served_behind(nginx_for: Callable[[str], AbstractContextManager[str]]) -> Generator[str]:
    """Serve an app behind the nginx that ``nginx_for`` starts for its URL, and yield the URL of nginx."""
    emulator = Emulator(Project(tenants=TENANTS, users=users()), signing_key=signing_key())
    with ExitStack() as stack:
        base_url = stack.enter_context(running(emulator))
        listener, upstream = stack.enter_context(listening())
        url = stack.enter_context(nginx_for(upstream))
        app = FastAPI()
        Descope(
            app,
            settings=DescopeSettings(project_id=emulator.project_id, base_url=base_url, public_url=url),
        )
        add_routes(app)
        stack.enter_context(serve_app(app, listener))
        yield url


@contextmanager
def served_with(folder: Path, location: str, server: str) -> Generator[str]:
    """Serve an app behind nginx with these directives, and yield the URL of nginx."""
    with served_behind(lambda upstream: nginx_in_front_of(upstream, folder, location, server=server)) as url:
        yield url


def log_in(url: str, tenants: int) -> tuple[int, int]:
    """Log in a user with that many tenants. Return the statuses of the callback and of the next request."""
    with Browser(url) as browser:
        callback = browser.log_in(TENANTS[0].id, f"{tenants}@example.com")
        return callback.status_code, browser.get("/me").status_code


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_ck14_buffers_that_the_documentation_names_are_large_enough(row: int, tmp_path: Path) -> None:
    """They fit together as well: otherwise nginx does not start."""
    with served_with(tmp_path, *directives()[row]) as url:
        assert log_in(url, ROWS[row]) == (303, 200)


@pytest.mark.parametrize("row", range(len(ROWS) - 2))
def test_ck14_too_small_a_buffer_of_nginx_is_a_502_and_one_log_line(
    row: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The browser gets no cookies. Without the line nothing in the app would say why."""
    with served_with(tmp_path, *directives()[row]) as url:
        for _ in range(2):
            assert log_in(url, ROWS[row + 1]) == (502, 401)

    assert len([line for line in caplog.messages if "proxy_buffer_size" in line]) == 1


def test_ck14_too_small_a_buffer_for_requests_is_a_400(tmp_path: Path) -> None:
    """It is nginx's own response: the app never sees the request."""
    response_buffers, _ = directives()[-1]
    with served_with(tmp_path, response_buffers, "") as url:
        assert log_in(url, ROWS[-1]) == (303, 400)
