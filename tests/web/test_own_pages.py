"""Pages in the app's own look: its function renders them, and every promise of the built-in pages holds.

Rules BP-01, BP-02 and BP-03.
"""

import logging
import re
from collections.abc import Callable
from html.parser import HTMLParser

import httpx
import jinja2
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from fastapi_descope import Descope, DescopeSettings, Login, LoginRejected, Page, PageTexts, require_roles
from fastapi_descope.errors import ConfigurationError, Forbidden
from fastapi_descope.pages import Html, PageForm, PageLink
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.notp import csp_hash

pytestmark = pytest.mark.anyio

OWN = "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none';"
OWN_POLICY = f"{OWN} frame-ancestors 'none'"
HOSTILE = """"><script>alert(1)</script><img src=x onerror='alert(2)'> {{ 7 * 7 }} \ud800"""

LAYOUT = """<!doctype html><html lang="{{ page.language }}" dir="{{ page.direction }}"><head>{{ page.head }}
<title>{{ page.title }} | Acme</title><link rel="stylesheet" href="/static/brand.css"></head>
<body class="{{ page.name }}" data-code="{{ page.code }}"><h1>{{ page.title }}</h1>
<p>{{ page.detail }}</p>{{ page.content }}</body></html>"""

PARTS = LAYOUT.replace(
    "{{ page.content }}",
    "{% for part in page.parts %}<div>{{ part }}</div>{% endfor %}<script>{{ page.script }}</script>",
)


def jinja(*, autoescape: bool, layout: str = LAYOUT) -> Callable[[Request, Page], str]:
    """Return a function that renders pages with Jinja2."""
    template = jinja2.Environment(autoescape=autoescape).from_string(layout)  # noqa: S701 - both are tested

    def render(request: Request, page: Page) -> str:
        return template.render(request=request, page=page)

    return render


def format_string(_request: Request, page: Page) -> str:
    """Render without a template engine."""
    return f"<html><head>{page.head}<title>{page.title}</title></head><p>{page.detail}</p>{page.content}"


RENDERERS = {
    "jinja2": jinja(autoescape=True),
    "jinja2 without escaping": jinja(autoescape=False),
    "jinja2, part by part": jinja(autoescape=True, layout=PARTS),
    "format string": format_string,
}
every_renderer = pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)


class Tags(HTMLParser):
    """Collects the elements and the texts of a document, as a browser reads them."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Record an element."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Record a text."""
        self.texts.append(data)


def _refusing(env: AppHarness, detail: str) -> None:
    @env.descope.on_login
    async def refuse(_request: Request, _login: Login) -> None:
        raise LoginRejected(detail)


def _guarded(app: FastAPI) -> None:
    app.get("/forbidden", dependencies=[Depends(_forbid)])(lambda: None)
    app.get("/admins", dependencies=[Depends(require_roles("owner"))])(lambda: None)


async def _forbid() -> None:
    raise Forbidden


@every_renderer
async def test_bp01_page_of_the_app_keeps_status_and_security_headers(
    make_env: EnvFactory, render: Callable[[Request, Page], str]
) -> None:
    """Only files of the app itself are loaded, nothing may frame or store the page."""
    response = await make_env(render_page=render).browser().visit("/callback?code=abc&state=unknown")

    assert response.status_code == 400
    assert response.headers["content-security-policy"] == OWN_POLICY
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/login/sso">Sign in again</a>' in response.text


async def test_bp01_retry_after_stays(make_env: EnvFactory) -> None:
    """The headers of the error are those of the built-in page."""
    env = make_env(render_page=format_string)
    env.emulator.faults.add("authorize", status=503)

    response = await env.browser().visit("/login/sso?tenant=acme")

    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert '<a href="">Try again</a>' in response.text


async def test_bp01_every_page_is_rendered_by_the_app(make_env: EnvFactory) -> None:
    """Its name tells which page it is, and the code which error."""
    env = make_env(
        render_page=jinja(autoescape=True),
        routes=_guarded,
        login_methods=["sso", "notp"],
        cookie_samesite="strict",
    )
    browser = await env.signed_in_browser()

    pages = [
        await browser.visit("/login/sso"),
        await browser.visit("/login/sso", sec_fetch_site="cross-site"),
        await browser.visit("/login/notp"),
        await browser.visit("/login"),
        await browser.visit("/forbidden"),
    ]
    forwarding = await env.browser().sign_in()

    found = [re.findall(r'<body class="(\w+)" data-code="(\w*)">', page.text)[0] for page in pages]
    names = ["organisation", "confirmation", "notp", "login"]
    assert found == [*((name, "") for name in names), ("error", "forbidden")]
    assert all("no-store" in page.headers["cache-control"] for page in [*pages, forwarding])
    assert '<body class="signed_in"' in forwarding.text
    assert '<head><meta http-equiv="refresh" content="0;url=/me">' in forwarding.text


async def test_bp01_post_form_gets_an_origin(make_env: EnvFactory) -> None:
    """With ``no-referrer`` a browser would send ``Origin: null``, and the logout would be refused."""
    env = make_env(render_page=format_string, routes=_guarded)

    response = await (await env.signed_in_browser()).visit("/admins")

    assert response.headers["referrer-policy"] == "strict-origin"
    assert '<form action="/logout" method="post"><button>Sign out</button></form>' in response.text


@pytest.mark.parametrize("layout", [LAYOUT, PARTS], ids=["content", "parts"])
async def test_np05_only_its_own_script_runs_on_a_page_of_the_app(make_env: EnvFactory, layout: str) -> None:
    """The policy allows the script by its hash, wherever the template puts it."""
    env = make_env(render_page=jinja(autoescape=True, layout=layout), login_methods=["sso", "notp"])

    response = await env.browser().visit("/login/notp")

    (script,) = re.findall(r"<script>(.*)</script>", response.text, re.DOTALL)
    assert response.headers["content-security-policy"] == (
        f"{OWN_POLICY}; script-src '{csp_hash(script)}'; connect-src 'self'"
    )
    assert response.headers["referrer-policy"] == "strict-origin"


@every_renderer
async def test_bp02_hostile_text_is_text(
    make_env: EnvFactory, render: Callable[[Request, Page], str]
) -> None:
    """A detail of a hook and a text of the app end no element and no attribute, escaped or not."""
    texts = PageTexts(sign_in_again=HOSTILE, titles={"login_rejected": HOSTILE}, not_signed_in=HOSTILE)
    env = make_env(render_page=render, texts=[texts])
    _refusing(env, HOSTILE)

    response = await env.browser().sign_in()

    seen = Tags(response.text)
    assert response.status_code == 400
    assert not {"img"} & set(seen.tags)
    assert seen.tags.count("script") == ("<script></script>" in response.text)
    assert "".join(seen.texts).count(HOSTILE.replace("\ud800", "?")) >= 3
    assert "49" not in "".join(seen.texts)


@every_renderer
async def test_bp02_what_the_user_entered_is_text(
    make_env: EnvFactory, render: Callable[[Request, Page], str]
) -> None:
    """The parameters of the login, which another site can choose."""
    env = make_env(render_page=render)
    query = httpx.QueryParams({"login_hint": 'a"<b>@acme.example', "return_to": '/"><script>'})

    response = await env.browser().visit(f"/login/sso?{query}")

    assert '<input type="hidden" name="login_hint" value="a&quot;&lt;b&gt;@acme.example">' in response.text
    assert "<script>a" not in response.text
    assert "b" not in Tags(response.text).tags


@given(text=st.text())
def test_bp02_no_text_contains_markup(text: str) -> None:
    """Whatever it is, it is one text and one attribute for a browser, and a response can contain it."""
    html = Html.escape(text)

    assert not set("<>\"'") & set(html)
    assert Tags(f'<p title="{html}">').tags == ["p"]
    html.encode()
    assert html.__html__() is html


class _BrokenError(Exception):
    """An exception of an app."""


def _raises(_request: Request, page: Page) -> str:
    raise _BrokenError(page.content)


def _returns_nothing(_request: Request, _page: Page) -> str:
    return None  # type: ignore[return-value] # a mistake that a type checker finds


def _cannot_be_sent(_request: Request, page: Page) -> str:
    return f"{page.head}\ud800"


def _without_head(_request: Request, page: Page) -> str:
    return f"<title>{page.title}</title>{page.content}"


BROKEN = {
    "raises": (_raises, f"raised _BrokenError ({__file__}, line "),
    "returns nothing": (_returns_nothing, "not returned a document with page.head"),
    "returns a lone surrogate": (_cannot_be_sent, "raised UnicodeEncodeError"),
    "undefined variable": (
        jinja(autoescape=True, layout="{{ page.headline.x }}"),
        "raised UndefinedError",
    ),
}


@pytest.mark.parametrize(("render", "failure"), BROKEN.values(), ids=BROKEN)
async def test_bp03_broken_template_gets_the_built_in_page(
    make_env: EnvFactory,
    caplog: pytest.LogCaptureFixture,
    render: Callable[[Request, Page], str],
    failure: str,
) -> None:
    """Status and headers are those of an app without a template. The log has one line, without values."""
    broken, plain = (
        make_env(render_page=render, login_methods=["sso", "notp"]),
        make_env(login_methods=["sso", "notp"]),
    )
    caplog.clear()

    first, second = [await broken.browser().visit("/login/notp") for _ in range(2)]
    expected = await plain.browser().visit("/login/notp")

    assert first.status_code == second.status_code == expected.status_code == 200
    for name in ("content-security-policy", "cache-control", "referrer-policy", "x-content-type-options"):
        assert first.headers[name] == expected.headers[name]
    assert "<h1>Sign in with WhatsApp</h1>" in first.text
    (record,) = [each for each in caplog.records if "render_page" in each.getMessage()]
    assert record.levelno == logging.ERROR
    assert failure in record.getMessage()
    assert "for the page 'notp'" in record.getMessage()
    state = re.findall(r'data-state="([\w-]{43})"', first.text)[0]
    assert state not in caplog.text
    assert record.exc_info is None


async def test_bp03_document_without_the_head_of_its_page_is_not_sent(make_env: EnvFactory) -> None:
    """Otherwise a login with Strict cookies would end on a page that goes nowhere."""
    env = make_env(render_page=_without_head, cookie_samesite="strict")

    forwarding = await env.browser().sign_in()
    question = await env.browser().visit("/login/sso")

    assert '<meta http-equiv="refresh" content="0;url=/me"><title>Signed in</title>' in forwarding.text
    assert question.text.startswith("<title>Sign in</title>")


async def test_turbo_gets_its_marks_in_a_page_of_the_app(make_env: EnvFactory) -> None:
    """They are in the head that the template includes."""
    env = make_env(render_page=format_string)
    turbo = "text/vnd.turbo-stream.html, text/html"

    response = await env.browser().get("/me", accept=turbo, turbo_frame="list", x_turbo_request_id="1")

    assert '<head><meta name="turbo-visit-control" content="reload">' in response.text


def test_an_async_function_is_a_configuration_error() -> None:
    """It would never be awaited."""

    async def render(_request: Request, _page: Page) -> str:
        return ""

    settings = DescopeSettings(project_id="P" + "a" * 27)
    with pytest.raises(ConfigurationError, match=r"render_page: .* write def"):
        Descope(settings=settings, render_page=render)  # type: ignore[arg-type] # the mistake


async def test_a_template_can_use_the_request(make_env: EnvFactory) -> None:
    """For the URLs of static files, and what the app has stored."""

    def render(request: Request, page: Page) -> str:
        return f"{page.head}{request.url.path} {request.app.title}"

    response = await make_env(render_page=render).browser().visit("/login/sso")

    assert response.text == "/login/sso FastAPI"


def test_lg02_repr_of_a_page_shows_no_value_of_a_login() -> None:
    """A state, an address and a QR code are in the parts of pages."""
    link = PageLink(label=Html("Continue"), url=Html("/"))
    form = PageForm(
        action=Html("/login/sso"),
        method="get",
        button=Html("Go on"),
        hidden={Html("state"): Html("secret-state")},
    )
    page = Page(
        name="error",
        language=Html("en"),
        direction="ltr",
        title=Html("Title"),
        detail=Html("secret detail"),
        parts=(form, link, Html("secret code")),
        head=Html("secret head"),
    )

    assert "secret" not in repr((page, form))
    assert "secret-state" in page.content
