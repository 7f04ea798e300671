"""Responses with the plugin's pages: in the language of the browser, and in the app's look if it has one."""

import logging
import re
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import Scope

from .._telemetry.log_once import LogOnce
from ..errors import ConfigurationError
from ..page_texts import PageTexts
from ..pages import Page, RenderPage
from .hooks import require_sync
from .page_layout import STYLE_SOURCE, html_document, source_hash

__all__ = ["PageResponses"]

_MAX_LANGUAGES = 20

_LANGUAGE_RANGE = re.compile(
    r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
"""An element of Accept-Language (RFC 9110, section 12.5.4)."""

_POLICY = "default-src 'none'; {sources}; base-uri 'none'; frame-ancestors 'none'"
_BUILT_IN_SOURCES = f"style-src {STYLE_SOURCE}"
_APP_SOURCES = "style-src 'self'; img-src 'self' data:; font-src 'self'"

_UNUSABLE = (
    "render_page has {failure} for the page {name!r}, so the built-in page was sent. It is also called while"
    " Descope is down, and for requests without a session"
)


class PageResponses:
    """Renders pages.

    Args:
        texts: The texts, one for each language. The first is that of a browser that wants none of them.
        render: The app's function, or None for the built-in look.

    Raises:
        ConfigurationError: There are no texts, or two of one language, or ``render`` is async.
    """

    def __init__(self, texts: Sequence[PageTexts], render: RenderPage | None) -> None:
        languages = [each.language.lower() for each in texts]
        if not languages or len(set(languages)) < len(languages):
            raise ConfigurationError("texts: give one PageTexts for each language")
        if render is not None:
            require_sync(render, "render_page")
        self._texts = dict(zip(languages, texts, strict=True))
        self._render = render
        self._log_once = LogOnce()

    def texts(self, scope: Scope) -> PageTexts:
        """Return the texts in the language that the browser prefers."""
        first, *others = self._texts
        if not others:
            return self._texts[first]
        for wanted in _wanted_languages(Headers(scope=scope).get("accept-language", "")):
            best = max(self._texts, key=lambda language: _likeness(language, wanted))
            if wanted == "*" or _likeness(best, wanted) > (0, False):
                return self._texts[best]
        return self._texts[first]

    def response(
        self,
        scope: Scope,
        page: Page,
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """Return the response with ``page``.

        If the app's function raises, or its document lacks the ``head`` of the page, the built-in page is
        sent, and the failure is logged: an error page must not become a 500.
        """
        document = None if self._render is None else self._app_document(self._render, scope, page)
        sources = _BUILT_IN_SOURCES if document is None else _APP_SOURCES
        return HTMLResponse(
            html_document(page) if document is None else document,
            status,
            {**(headers or {}), **_security_headers(page, sources)},
        )

    def _app_document(self, render: RenderPage, scope: Scope, page: Page) -> bytes | None:
        """Return the app's document, or None if there is no usable one."""
        try:
            document = cast("object", render(Request(scope), page))
            if isinstance(document, str) and page.head in document:
                return document.encode()
            failure = "not returned a document with page.head"
        except Exception as error:  # noqa: BLE001 - whatever the app's code raises
            failure = _without_message(error)
        self._log_once.warning(_UNUSABLE.format(failure=failure, name=page.name), level=logging.ERROR)
        return None


# BP-03: the message of an exception may contain any value.
def _without_message(error: Exception) -> str:
    """Return the class of an exception, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"raised {type(error).__name__} ({place.filename}, line {place.lineno})"


# BP-01: for the pages of the app too. CB-10: the code in the URL of a callback must not leak as a referrer.
# CS-01: with ``no-referrer``, browsers send ``Origin: null`` for a POST.
def _security_headers(page: Page, sources: str) -> dict[str, str]:
    policy = _POLICY.format(sources=sources)
    if page.script:
        policy += f"; script-src {source_hash(page.script)}; connect-src 'self'"
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "strict-origin" if page.posts else "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


# BP-04
def _wanted_languages(header: str) -> list[str]:
    """Return the language ranges of Accept-Language, the most wanted first. Malformed ones are ignored."""
    elements = header.split(",", _MAX_LANGUAGES)[:_MAX_LANGUAGES]
    ranges = [match for each in elements if (match := _LANGUAGE_RANGE.fullmatch(each)) is not None]
    weighted = [(float(match[2] or "1"), match[1].lower()) for match in ranges]
    return [name for weight, name in sorted(weighted, key=lambda each: -each[0]) if weight > 0]


def _likeness(language: str, wanted: str) -> tuple[int, bool]:
    """Return how many leading subtags two languages have in common, and whether they are the same."""
    pairs = zip(language.split("-"), wanted.split("-"), strict=False)
    differences = [one != other for one, other in pairs] + [True]
    return differences.index(True), language == wanted
