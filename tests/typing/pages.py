"""Pages in the app's own look and language, checked by mypy and pyright and never run."""

from collections.abc import Mapping
from typing import assert_type

from fastapi import FastAPI
from starlette.requests import Request

from fastapi_descope import Descope, Page, PageTexts
from fastapi_descope.pages import Html, PageField, PageForm, PageLink

app = FastAPI()


def render_page(request: Request, page: Page) -> str:
    assert_type(page.title, Html)
    assert_type(page.content, Html)
    for part in page.parts:
        if isinstance(part, PageForm):
            assert_type(part.fields, tuple[PageField, ...])
            assert_type(part.hidden, Mapping[Html, Html])
        else:
            assert_type(part, PageLink | Html)
    return f"<title>{page.title}</title>{page.head}{page.content}{request.url}"


async def render_page_async(_request: Request, _page: Page) -> str:
    return ""


german = PageTexts(language="de", go_on="Weiter", titles={"forbidden": "Kein Zugriff"})
Descope(app, texts=[german, PageTexts()], render_page=render_page)
Descope(app, render_page=render_page_async)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
PageTexts(go_onn="Weiter")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
PageTexts(direction="up")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
PageForm(action="/", method="get", button=Html("Go"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
