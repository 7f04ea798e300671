"""Finds broken links and requests to other hosts in the built site."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

__all__ = ["problems"]

_HOST = "https://site.invalid"
_LOADED = {"script", "img", "source", "iframe"}


class _Page(HTMLParser):
    """The anchors and links of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the ids, the links, and the files that the browser loads with the page."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        links = [values[name] for name in ("href", "src") if name in values]
        is_loaded = tag in _LOADED or (
            tag == "link" and values.get("rel") in {"stylesheet", "icon", "preconnect"}
        )
        (self.loaded if is_loaded else self.links).extend(links)


def problems(site: Path, url: str) -> list[str]:
    """Return a line for each broken link, missing anchor, and file that is loaded from another host.

    Args:
        site: The folder with the built pages.
        url: The address of the site, whose links count as internal.
    """
    pages = {
        path.relative_to(site).as_posix(): _Page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
    }
    return [
        f"{name}: {problem}"
        for name, page in sorted(pages.items())
        for link in {*page.links, *page.loaded}
        if (problem := _problem(site, pages, name, link.replace(url, "/"), is_loaded=link in page.loaded))
    ]


def _problem(site: Path, pages: dict[str, _Page], name: str, link: str, *, is_loaded: bool) -> str | None:
    target = urlsplit(urljoin(f"{_HOST}/{name}", link))
    if target.scheme not in {"http", "https"}:
        return None  # mailto, data
    if f"{target.scheme}://{target.netloc}" != _HOST:
        return f"loads {link}" if is_loaded else None
    path = unquote(target.path).lstrip("/")
    file = f"{path}index.html" if path.endswith("/") or not path else path
    if not (site / file).is_file():
        return f"no file for {link}"
    if target.fragment and file in pages and unquote(target.fragment) not in pages[file].anchors:
        return f"no anchor for {link}"
    return None
