"""Reports and their attachments: what users write, and what browsers get back."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from example_app.attachments import LIMIT
from example_app.tests.app_env import ADA, APP, GRACE, OpenBrowser

pytestmark = pytest.mark.anyio

FORM = {
    "organisation": "acme",
    "title": "  Roof anchors  ",
    "site": "Warehouse",
    "finding": "Urgent",
    "summary": "Two gave way.",
    "notes": "One.\r\n\r\nTwo.",
}
ORIGIN = {"Origin": APP}
PNG = b"\x89PNG\r\n\x1a\n rest"


async def _attach(
    browser: httpx.AsyncClient, name: str, content: bytes, content_type: str = "text/html"
) -> httpx.Response:
    files = {"file": (name, content, content_type)}
    return await browser.post("/reports/A-1042/attachments", files=files, headers=ORIGIN)


async def _links(browser: httpx.AsyncClient) -> list[str]:
    page = (await browser.get("/reports/A-1042")).text
    return re.findall(r'href="(/reports/A-1042/attachments/[^"]+)"', page)


async def test_a_report_is_filed_edited_and_deleted(open_browser: OpenBrowser) -> None:
    """It gets the next number of the organisation, and the form shows what it says."""
    browser = await open_browser(ADA, "acme")

    filed = await browser.post("/reports", data=FORM, headers=ORIGIN)
    path = filed.headers["location"]
    assert (filed.status_code, path) == (303, "/reports/A-1043")
    page = (await browser.get(path)).text
    assert "<h1>Roof anchors</h1>" in page
    assert "<p>One.</p>\n<p>Two.</p>" in page

    form = (await browser.get(f"{path}/edit")).text
    assert 'value="Roof anchors"' in form
    assert "<option selected>Urgent</option>" in form
    assert ">One.\n\nTwo.</textarea>" in form
    edited = await browser.post(path, data={**FORM, "finding": "Clear", "notes": ""}, headers=ORIGIN)
    assert edited.headers["location"] == path
    assert "Clear" in (await browser.get(path)).text

    deleted = await browser.post(f"{path}/delete", headers=ORIGIN)
    assert deleted.headers["location"] == "/reports"
    assert (await browser.get(path)).status_code == 404

    filed = await browser.post("/reports", data=FORM, headers=ORIGIN)
    assert filed.headers["location"] == "/reports/A-1044"  # links to A-1043 show no other report


async def test_the_form_of_a_new_report_is_empty(open_browser: OpenBrowser) -> None:
    """It is for the current organisation."""
    browser = await open_browser(ADA, "acme")
    form = await browser.get("/reports/new")
    assert form.status_code == 200
    assert '<input type="hidden" name="organisation" value="acme">' in form.text
    assert "selected" not in form.text


async def test_the_feed_names_what_happened(open_browser: OpenBrowser) -> None:
    """With who did it."""
    browser = await open_browser(ADA, "acme")
    await browser.post("/reports", data=FORM, headers=ORIGIN)
    await _attach(browser, "a.txt", b"text")
    page = (await browser.get("/activity")).text
    assert {*re.findall(r"<span>(.*?) <a", page)} == {"Ada Lovelace attached a file to", "Ada Lovelace filed"}


@pytest.mark.parametrize("path", ["", "/delete", "/attachments"])
async def test_viewers_change_nothing(open_browser: OpenBrowser, path: str) -> None:
    """A report, and its attachments."""
    browser = await open_browser(GRACE, "acme")
    response = await browser.post(f"/reports/A-1042{path}", data=FORM, headers=ORIGIN)
    assert response.status_code == 403
    assert "reports.write" in response.text


async def test_a_form_for_another_organisation_is_refused(open_browser: OpenBrowser) -> None:
    """The user has switched in another tab since it was opened."""
    browser = await open_browser(ADA, "acme")
    response = await browser.post("/reports/A-1042", data={**FORM, "organisation": "globex"}, headers=ORIGIN)
    assert response.status_code == 403
    assert "North bridge" in (await browser.get("/reports/A-1042")).text


async def test_an_attachment_is_saved_by_the_browser(open_browser: OpenBrowser) -> None:
    """Nothing in it runs: it is a download, in a sandbox, with the type of its content."""
    browser = await open_browser(ADA, "acme")
    assert (
        await _attach(browser, "../..\\evil\r\nname é.html", b"<script>alert(1)</script>")
    ).status_code == 303

    (link,) = await _links(browser)
    response = await browser.get(link)

    assert response.content == b"<script>alert(1)</script>"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert re.fullmatch(r"[\w%.-]+", response.headers["content-disposition"].partition("''")[2])
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"%PDF-1.7", "application/pdf"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        ("é".encode(), "text/plain; charset=utf-8"),
    ],
)
async def test_the_content_decides_the_type(
    open_browser: OpenBrowser, content: bytes, content_type: str
) -> None:
    """The type that the browser names is ignored."""
    browser = await open_browser(ADA, "acme")
    await _attach(browser, "file", content, "image/svg+xml")
    (link,) = await _links(browser)
    assert (await browser.get(link)).headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"MZ\x90\x00", 415),
        (b"\xff\xfe", 415),
        (b"x" * LIMIT, 303),
        (b"x" * (LIMIT + 1), 413),
        (b"x" * (LIMIT + 10_000), 413),
    ],
    ids=["program", "no text", "limit", "above the limit", "far above the limit"],
)
async def test_attachments_are_limited(open_browser: OpenBrowser, content: bytes, status: int) -> None:
    """In type and size."""
    browser = await open_browser(ADA, "acme")
    assert (await _attach(browser, "file", content)).status_code == status
    assert len(await _links(browser)) == (status == 303)


async def test_an_upload_has_a_length_and_a_file(open_browser: OpenBrowser) -> None:
    """Without a length it is refused before it is read."""
    browser = await open_browser(ADA, "acme")

    async def body() -> AsyncIterator[bytes]:
        yield b"--x--"

    headers = {**ORIGIN, "Content-Type": "multipart/form-data; boundary=x"}
    stream = await browser.post("/reports/A-1042/attachments", content=body(), headers=headers)
    empty = await browser.post("/reports/A-1042/attachments", content=b"--x--\r\n", headers=headers)
    assert (stream.status_code, empty.status_code) == (411, 422)


async def test_an_attachment_is_removed(open_browser: OpenBrowser) -> None:
    """Alone, and with its report."""
    browser = await open_browser(ADA, "acme")
    await _attach(browser, "one.txt", b"one")
    await _attach(browser, "two.txt", b"two")
    one, two = await _links(browser)

    removed = await browser.post(f"{one}/delete", headers=ORIGIN)
    assert removed.headers["location"] == "/reports/A-1042"
    assert await _links(browser) == [two]
    await browser.post("/reports/A-1042/delete", headers=ORIGIN)
    assert (await browser.get(two)).status_code == 404
