"""The link check of the site finds what is broken."""

from pathlib import Path

import pytest

from docs_site.links import problems

URL = "https://docs.example/"


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ('<a href="../other/#there">', []),
        ('<a href="https://docs.example/other/">', []),
        ('<a href="https://elsewhere.example/">', []),
        ('<a href="mailto:a@b.example">', []),
        ('<img src="../pic.webp#only-dark">', []),
        ('<a href="../gone/">', ["page/index.html: no file for ../gone/"]),
        ('<a href="../other/#gone">', ["page/index.html: no anchor for ../other/#gone"]),
        ('<a href="#gone">', ["page/index.html: no anchor for #gone"]),
        ('<img src="../gone.webp">', ["page/index.html: no file for ../gone.webp"]),
        ('<a href="https://docs.example/gone/">', ["page/index.html: no file for /gone/"]),
        (
            '<script src="https://cdn.example/x.js"></script>',
            ["page/index.html: loads https://cdn.example/x.js"],
        ),
        (
            '<link rel="stylesheet" href="https://fonts.example/a.css">',
            ["page/index.html: loads https://fonts.example/a.css"],
        ),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, link: str, found: list[str]) -> None:
    """A missing file or anchor, and a file that a page loads from another host."""
    for name, text in {"page": link, "other": '<h2 id="there">'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(text, encoding="utf-8")
    (tmp_path / "pic.webp").touch()

    assert problems(tmp_path, URL) == found
