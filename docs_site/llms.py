"""The file llms.txt of the site (llmstxt.org): every page with one sentence."""

import re
from pathlib import Path

from .navigation import Entry, Section

__all__ = ["index"]

_INTRODUCTION = """\
# fastapi-descope

> Single sign-on for FastAPI through Descope: sessions in HttpOnly cookies that are verified on every request
> and refreshed automatically, tenants, roles, WebSockets, an emulator of Descope, and a pytest plugin.

The wheel contains `fastapi_descope/llms.txt`, a short guide for coding assistants.
"""

_SENTENCE = re.compile(r"^(?![#|<>`!\[\]\s:*-])(.+?[.:])(?=\s|$)", re.DOTALL | re.MULTILINE)
_MARKUP = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def index(sections: list[Section], pages: Path, url: str) -> str:
    """Return the text of llms.txt."""
    parts = [_INTRODUCTION]
    for section in sections:
        lines = [_line(entry, pages, url) for entry in section.entries()]
        parts.append(f"## {section.title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(entry: Entry, pages: Path, url: str) -> str:
    address = url + entry.path.removesuffix("index.md").removesuffix(".md")
    page = pages / entry.path
    description = entry.description or (_first_sentence(page.read_text("utf-8")) if page.exists() else "")
    return f"- [{entry.title}]({address.rstrip('/')}/){f': {description}' if description else ''}"


def _first_sentence(text: str) -> str:
    found = _SENTENCE.search(text)
    return " ".join(_MARKUP.sub(r"\1", found[1]).split()) if found else ""
