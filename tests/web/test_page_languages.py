"""The language of the pages: the app gives the texts, and the browser's Accept-Language picks (BP-04)."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from html import unescape

import httpx
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from fastapi_descope import (
    ConfigurationError,
    CurrentUser,
    Descope,
    DescopeError,
    DescopeSettings,
    Forbidden,
    Login,
    LoginRejected,
    PageTexts,
    SessionTooLarge,
    require_mfa,
    require_roles,
)
from fastapi_descope._web.page_responses import PageResponses
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

_TEXTS = [
    each.name for each in fields(PageTexts) if each.name not in {"language", "direction", "titles", "details"}
]


def _mark(text: str) -> str:
    """Return a text that can be told from English, with the same placeholders."""
    return f"«{text}»"


def translated(language: str = "de") -> PageTexts:
    """Return texts of which none is the English one."""
    english = PageTexts()
    details = {code: _mark(text) for code, text in english.details.items()}
    texts = {name: _mark(getattr(english, name)) for name in _TEXTS}
    return replace(PageTexts(language=language, details=details), **texts)  # type: ignore[arg-type] # texts only


def _english_in(page: str) -> list[str]:
    """Return the English texts of a page that no marks surround."""
    shown = re.sub("«[^»]*»", "", unescape(page))
    english = {getattr(PageTexts(), name) for name in _TEXTS}
    return sorted(text for text in english if f">{text}<" in shown or (_is_sentence(text) and text in shown))


def _is_sentence(text: str) -> bool:
    return text.endswith(".")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("DE-at", "de"),
        ("fr, de;q=0.8", "fr"),
        ("fr;q=0.5, de;q=0.8", "de"),
        ("ja, de;q=0.1", "de"),
        ("zh-Hant-TW", "zh-Hant"),
        ("zh-Hans-CN", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("en", "en"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("*", "fr"),
        ("ja", "fr"),
        ("", "fr"),
        ("de;q=0", "fr"),
        ("de;q=2", "fr"),
        ("de;q=0.5;level=1", "fr"),
        ("fr;q=nan, de", "de"),
        ("-, de--de, d e, de", "de"),
        (";;;,,,q=1", "fr"),
        ("ja," * 19 + "de", "de"),
        ("ja," * 20 + "de", "fr"),
    ],
)
def test_bp04_browser_gets_the_language_that_it_prefers(header: str, language: str) -> None:
    """Or a variant of it. A browser that wants none of them gets the first one."""
    offered = [PageTexts(language=each) for each in ("fr", "de", "zh-Hans", "zh-Hant", "en")]
    pages = PageResponses(offered, None)

    texts = pages.texts({"type": "http", "headers": [(b"accept-language", header.encode())]})

    assert texts.language == language


def test_a_browser_without_the_header_gets_the_first_language() -> None:
    """Scripts and old clients send none."""
    pages = PageResponses([PageTexts(language="fr"), PageTexts()], None)

    assert pages.texts({"type": "http", "headers": []}).language == "fr"


@given(header=st.binary())
def test_bp04_any_header_picks_a_language_of_the_app(header: bytes) -> None:
    """No value of the header causes an error, or is shown."""
    offered = [PageTexts(language="fr"), PageTexts(language="de")]

    texts = PageResponses(offered, None).texts({"type": "http", "headers": [(b"accept-language", header)]})

    assert texts in offered


async def test_the_document_names_its_language_and_direction(make_env: EnvFactory) -> None:
    """So that screen readers pronounce it, and an Arabic page is read from the right."""
    arabic = PageTexts(language="ar", direction="rtl", organisation_title="تسجيل الدخول")
    env = make_env(texts=[PageTexts(), arabic])

    english = await env.browser().visit("/login/sso")
    page = await env.browser(accept_language="ar-EG").visit("/login/sso")

    assert '<html lang="en" dir="ltr">' in english.text
    assert '<html lang="ar" dir="rtl">' in page.text
    assert "<h1>تسجيل الدخول</h1>" in page.text


def _routes(app: FastAPI) -> None:
    async def too_large() -> None:
        raise SessionTooLarge

    async def error(status: int) -> None:
        failed = type("Failed", (DescopeError,), {"status": status, "code": "failed", "title": "Failed"})
        raise failed

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    app.get("/large")(too_large)
    app.get("/errors/{status}")(error)
    app.get("/admins", dependencies=[Depends(require_roles("owner"))])(lambda: None)
    app.get("/vault", dependencies=[Depends(require_mfa())])(lambda: None)
    app.post("/vault", dependencies=[Depends(require_mfa())])(lambda: None)


async def _signed_in_errors(env: AppHarness) -> list[str]:
    browser = await env.signed_in_browser()
    pages = [
        await browser.visit("/admins"),
        await browser.visit("/large"),
        await browser.post("/vault", sec_fetch_mode="navigate"),
        await browser.visit("/callback?code=a"),
        await browser.visit("/login/sso", sec_fetch_site="cross-site"),
        await browser.visit("/login/sso?tenant=acme", sec_fetch_site="cross-site"),
        await browser.visit("/login/sso?tenant=%00"),
        await browser.post("/tenant/select", {"tenant": "nowhere"}, sec_fetch_mode="navigate"),
        *[await browser.visit(f"/errors/{status}") for status in (400, 401, 403, 500, 502, 503)],
    ]
    env.emulator.clock.advance(700)
    env.emulator.faults.add("refresh", status=503)
    pages.append(await browser.visit("/me"))
    return [page.text for page in pages]


async def _logins(env: AppHarness) -> list[str]:
    browser = env.browser()
    refused = await browser.visit("/login/sso?tenant=acme")
    pages = [
        await browser.visit("/callback?code=abc&state=unknown"),
        await browser.visit(
            (await browser.refuse(await browser.visit(refused.headers["location"]))).headers["location"]
        ),
        await browser.visit("/login/sso?tenant=unknown"),
        await browser.visit("/login"),
        await browser.visit("/login?mfa=true"),
        await browser.visit("/login/oauth/guild"),
        await browser.visit("/login/notp"),
        await _pending(browser),
        await browser.visit("/errors/403"),
        await browser.visit("/large"),
    ]
    env.emulator.faults.add("exchange", status=401)
    pages.append(await browser.sign_in())
    env.emulator.faults.add("notp_start", status=400)
    pages.append(await browser.visit("/login/notp"))
    return [page.text for page in pages]


async def _pending(browser: Browser) -> httpx.Response:
    page = await browser.visit("/login/notp")
    state = page.text.split('data-state="')[1].split('"')[0]
    return await browser.post("/login/notp/session", {"state": state}, sec_fetch_mode="navigate")


@pytest.mark.parametrize("visits", [_signed_in_errors, _logins])
async def test_a_translated_app_shows_no_english_text(
    make_env: EnvFactory, visits: Callable[[AppHarness], Awaitable[list[str]]]
) -> None:
    """Neither on error pages nor in questions. Each sentence of ours has a field."""
    env = make_env(texts=[translated()], routes=_routes, login_methods=["sso", "oauth:guild", "notp"])

    pages = await visits(env)

    assert [_english_in(page) for page in pages] == [[]] * len(pages)
    assert all("«" in page for page in pages)


async def test_the_sentence_of_a_hook_is_shown_as_it_is(make_env: EnvFactory) -> None:
    """The app knows its user, so its sentence is not replaced by ours."""
    env = make_env(texts=[translated()])

    @env.descope.on_login
    async def refuse(_request: Request, _login: Login) -> None:
        raise LoginRejected("Ihr Konto ist gesperrt.")

    response = await env.browser().sign_in()

    assert "<p>Ihr Konto ist gesperrt. «You are not signed in.»</p>" in response.text


async def test_an_error_class_of_the_app_gets_its_texts_by_its_code(make_env: EnvFactory) -> None:
    """Title and sentence. Without them it is the title of the class, and the advice for the status."""

    class Suspended(Forbidden):
        code = "suspended"
        title = "Suspended"

    def routes(app: FastAPI) -> None:
        @app.get("/suspended")
        async def suspended(_user: CurrentUser) -> None:
            raise Suspended

    german = PageTexts(
        language="de", titles={"suspended": "Gesperrt"}, details={"suspended": "Fragen Sie & uns."}
    )
    env = make_env(texts=[german, PageTexts()], routes=routes)
    browser, english = [await env.signed_in_browser(accept_language=each) for each in ("de", "en")]

    pages = [await each.visit("/suspended") for each in (browser, english)]

    assert "<h1>Gesperrt</h1>\n<p>Fragen Sie &amp; uns.</p>" in pages[0].text
    assert f"<h1>Suspended</h1>\n<p>{PageTexts().advice_403}</p>" in pages[1].text


async def test_problem_documents_stay_english(make_env: EnvFactory) -> None:
    """Programs and their developers read them. The code is the same in every language."""
    env = make_env(texts=[translated()])

    response = await env.browser(accept_language="de").get("/callback?code=a&state=b")

    assert response.json()["detail"] == PageTexts().login_expired


@pytest.mark.parametrize("language", ["", "d", "de_AT", "de-", 'de"', "deutschland", "de AT"])
def test_a_language_is_a_language_tag(language: str) -> None:
    """Otherwise no browser would ever get it."""
    with pytest.raises(ConfigurationError, match="language tag"):
        PageTexts(language=language)


@pytest.mark.parametrize(
    "change", [{"notp_who": "in diesem Browser"}, {"notp_time_left": "{zeit}"}, {"home": "{host}"}]
)
def test_a_text_has_the_placeholders_of_its_english_text(change: dict[str, str]) -> None:
    """A missing host would take the warning from the page of nOTP (NP-08)."""
    (name,) = change

    with pytest.raises(ConfigurationError, match=f"{name} has other placeholders than"):
        replace(PageTexts(), **change)  # type: ignore[arg-type] # texts only


@pytest.mark.parametrize("texts", [[], [PageTexts(), PageTexts()], [PageTexts(language="EN"), PageTexts()]])
def test_there_is_one_set_of_texts_for_each_language(texts: Sequence[PageTexts]) -> None:
    """An empty list, or a language that occurs twice, is a mistake."""
    settings = DescopeSettings(project_id="P" + "a" * 27)

    with pytest.raises(ConfigurationError, match="one PageTexts for each language"):
        Descope(settings=settings, texts=texts)


def test_every_english_text_occurs_once() -> None:
    """An error finds its text by the English sentence. Labels may repeat: no error has one as its detail."""
    english = [getattr(PageTexts(), name) for name in _TEXTS]
    sentences = [text for text in english if _is_sentence(text) and english.count(text) > 1]

    assert sentences == [PageTexts().advice_502, PageTexts().advice_503]
