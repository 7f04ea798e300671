"""docs/errors has one page for each error code, and each says what a client receives."""

import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from docs_site.generated import error_codes
from fastapi_descope import Descope, DescopeError, DescopeSettings, Forbidden, LoginRejected
from tests.test_errors import EXAMPLES

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[2] / "docs" / "errors"
CODES = sorted(error_codes())

_HEADERS = ("Cache-Control", "Retry-After", "WWW-Authenticate")


def _example(code: str) -> DescopeError:
    """Return an error of the class that introduces the code."""
    return next(error for error in EXAMPLES if type(error) is error_codes()[code])


def _raising(error: DescopeError) -> Callable[[], Awaitable[None]]:
    async def endpoint() -> None:
        raise error

    return endpoint


def test_each_code_has_one_page() -> None:
    """No code without a page, and no page without a code."""
    assert {page.stem for page in FOLDER.glob("*.md")} - {"index"} == set(CODES)


@pytest.mark.parametrize("code", CODES)
async def test_a_page_shows_what_a_client_receives(code: str) -> None:
    """Status, headers, title and problem document are those of a real response."""
    page = (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id="P" + "a" * 27))
    app.get("/")(_raising(_example(code)))

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        response = await client.get("/")

    headers = ", ".join(
        f"`{name}: {response.headers[name]}`" for name in _HEADERS if name in response.headers
    )
    assert page.startswith(f"# {code}\n\n")
    assert f"| status | {response.status_code} {HTTPStatus(response.status_code).phrase} |" in page
    assert f"| headers | {headers} |" in page
    assert f"| title | {_example(code).title} |" in page
    assert json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0]) == response.json()


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_what_to_do(code: str) -> None:
    """Whether the user is signed in, what becomes of the cookies, and the next step of each person."""
    page = (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", page, re.MULTILINE))

    for row in ("is the user signed in?", "cookies", "the user", "the developer", "the operator"):
        assert rows[row], row


def test_the_type_of_a_problem_is_the_address_of_its_page() -> None:
    """The address is that of the site."""
    site = re.findall(
        r'site_url = "(.+)"',
        (FOLDER.parents[1] / "docs_site" / "zensical.toml").read_text(encoding="utf-8"),
    )[0]

    for code, cls in error_codes().items():
        assert cls.problem_type == f"{site}errors/{code}/"


def test_an_error_of_an_app_has_the_type_of_its_base() -> None:
    """It has no page of its own, so it inherits that of the class from which it derives, or sets its own."""

    class Suspended(Forbidden):
        code = "account_suspended"

    class Closed(Suspended):
        problem_type = "https://app.example/problems/closed"

    assert Suspended().problem_type == Forbidden.problem_type
    assert LoginRejected(reason="blocked").problem_type.endswith("/errors/login_rejected/")
    assert Closed.problem_type == "https://app.example/problems/closed"
