"""What other sites can do to a signed-in person, in a real Chromium over https: nothing.

``app.example.test`` is ours, ``evil.example.test`` a sibling sub-domain in the wrong hands, and
``attacker.test`` another site altogether.
"""

import datetime as dt
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from playwright.sync_api import Page, expect
from starlette.requests import Request
from starlette.responses import HTMLResponse

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.emulator.server import running
from tests.browser.conftest import add_pages
from tests.helpers.live_server import listening, serve_app

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Sites:
    """Our app, and who means it ill."""

    app: str
    sibling: str
    foreign: str
    emulator: Emulator

    def sign_in(self, page: Page) -> None:
        """Ada signs in, as a person does."""
        page.goto(self.app + "/reports")
        page.get_by_role("button", name="ada@acme.example").click()
        expect(page.get_by_role("heading")).to_have_text("acme")


SitesFactory = Callable[..., Sites]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of nobody's, made for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    pkcs8 = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private = key.private_bytes(serialization.Encoding.PEM, *pkcs8)
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def sites(certificate: Path) -> Generator[SitesFactory]:
    """Starts the three sites and the emulator."""
    with ExitStack() as stack:

        def start(**settings: object) -> Sites:
            emulator = Emulator(Project(approved_redirects=("app.example.test",)))
            base_url = stack.enter_context(running(emulator))
            listener, address = stack.enter_context(listening())
            port = address.rpartition(":")[2]
            app = FastAPI()
            ours = f"https://app.example.test:{port}"
            values: dict[str, object] = {
                "project_id": emulator.project_id,
                "base_url": base_url,
                "public_url": ours,
                "default_tenant": "acme",
                **settings,
            }
            checked = DescopeSettings(**values)  # type: ignore[arg-type] # any setting, by keyword
            Descope(app, settings=checked, clock=emulator.clock)
            add_pages(app)
            stack.enter_context(serve_app(app, listener, certificate=certificate))
            evil_listener, evil_address = stack.enter_context(listening())
            evil_port = evil_address.rpartition(":")[2]
            evil = _hostile_pages(emulator, ours)
            stack.enter_context(serve_app(evil, evil_listener, certificate=certificate))
            sibling, foreign = (
                f"https://{host}:{evil_port}" for host in ("evil.example.test", "attacker.test")
            )
            return Sites(ours, sibling, foreign, emulator)

        yield start


def _hostile_pages(emulator: Emulator, ours: str) -> FastAPI:
    app = FastAPI()

    @app.get("/toss/{name}")
    async def toss(name: str) -> HTMLResponse:
        token = emulator.issue("hank@globex.example", tenant="globex").session_jwt
        answer = HTMLResponse("<h1>tossed</h1>")
        answer.headers.append("set-cookie", f"{name}={token}; Domain=example.test; Path=/; Secure")
        answer.headers.append("set-cookie", f"{name}={token}; Domain=example.test; Path=/reports; Secure")
        return answer

    @app.get("/form")
    async def form(request: Request) -> HTMLResponse:
        action = ours + request.query_params["to"]
        return HTMLResponse(f"<form action='{action}' method='post'><button>Win a prize</button></form>")

    @app.get("/embed")
    async def embed() -> HTMLResponse:
        return HTMLResponse(f"<h1>cats</h1><img src='{ours}/login/sso?tenant=acme' onerror='this.alt=1'>")

    return app


def test_ck03_a_siblings_cookie_never_becomes_a_session(sites: SitesFactory, page: Page) -> None:
    """CK-03, CK-11: with ``__Host-`` no other host can write what we read; Ada stays Ada."""
    here = sites(cookie_prefix="__Host-")
    here.sign_in(page)

    for name in ("__Host-DS", "DS", "__Secure-DS"):
        page.goto(f"{here.sibling}/toss/{name}")
    page.goto(here.app + "/")

    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


def test_ck03_nobody_is_signed_in_by_a_siblings_cookie(sites: SitesFactory, page: Page) -> None:
    """CK-03: who never signed in is nobody, whatever a sibling wrote."""
    here = sites(cookie_prefix="__Host-")

    for name in ("__Host-DS", "DS", "__Secure-DS"):
        page.goto(f"{here.sibling}/toss/{name}")
    page.goto(here.app + "/")

    expect(page.get_by_role("heading")).to_have_text("nobody")


def test_ck11_with_plain_names_a_tossed_cookie_is_nobody_rather_than_the_attacker(
    sites: SitesFactory, page: Page
) -> None:
    """CK-02, CK-11: two different cookies of one name decide nothing."""
    here = sites()
    here.sign_in(page)

    page.goto(f"{here.sibling}/toss/DS")
    page.goto(here.app + "/")

    expect(page.get_by_role("heading")).to_have_text("nobody")


def test_ck02_a_tossed_cookie_ends_in_a_page_that_says_so(sites: SitesFactory, page: Page) -> None:
    """CK-02: the login deletes what it can reach; what is left leads to a page, and never in a circle."""
    here = sites()
    here.sign_in(page)

    page.goto(f"{here.sibling}/toss/DS")
    page.goto(here.app + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("There are two different session cookies")
    expect(page.get_by_text("DESCOPE_COOKIE_PREFIX=__Host-")).to_be_visible()
    page.goto(here.app + "/")
    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


@pytest.mark.parametrize("who", ["sibling", "foreign"])
def test_cb15_another_site_cannot_swap_the_user(sites: SitesFactory, page: Page, who: str) -> None:
    """CB-15: who is signed in is asked; our own links to the very same address go on."""
    here = sites()
    here.sign_in(page)
    address = f"{here.app}/login/sso?tenant=globex&return_to=/reports"

    page.goto(f"{getattr(here, who)}/form?to=/")
    page.evaluate("address => { location.href = address }", address)
    expect(page.get_by_role("heading")).to_have_text("Sign in again?")
    page.goto(here.app + "/")
    page.evaluate("address => { location.href = address }", address)

    page.get_by_role("button", name="hank@globex.example").click()
    expect(page.get_by_role("heading")).to_have_text("globex")


@pytest.mark.parametrize("who", ["sibling", "foreign"])
@pytest.mark.parametrize("to", ["/logout", "/logout/all", "/tenant/select", "/act"])
def test_cs01_cs02_cs09_a_foreign_form_does_nothing(
    sites: SitesFactory, page: Page, who: str, to: str
) -> None:
    """CS-01, CS-02, CS-09: the plugin's routes and the app's own; same-site siblings as well."""
    here = sites()
    here.sign_in(page)
    page.goto(f"{getattr(here, who)}/form?to={to}")

    with page.expect_response(lambda response: response.url == here.app + to) as answered:
        page.get_by_role("button", name="Win a prize").click()

    # From another site SameSite=Lax keeps the cookies at home, so the app's route sees nobody at all.
    assert answered.value.status == (401 if (who, to) == ("foreign", "/act") else 403)
    assert here.emulator.requests.count("logout") + here.emulator.requests.count("logout_all") == 0
    page.goto(here.app + "/reports")
    expect(page.get_by_role("heading")).to_have_text("acme")


def test_cb04_abandoned_logins_do_not_pile_up(sites: SitesFactory, page: Page) -> None:
    """CB-04: of a dozen logins begun, five are remembered, and together they stay under 4 KB."""
    here = sites()
    for number in range(12):
        page.goto(f"{here.app}/login/sso?tenant=acme&return_to=/reports?n={number}")

    held = {cookie.get("name", ""): cookie.get("value", "") for cookie in page.context.cookies()}
    logins = {name: value for name, value in held.items() if name.startswith("__Host-descope_login")}

    assert len(logins) == 5
    assert sum(len(name) + len(value) for name, value in logins.items()) <= 4096
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")


def test_cb13_an_embedded_image_starts_no_login(sites: SitesFactory, page: Page) -> None:
    """CB-13: so nobody flushes the logins under way from outside."""
    here = sites()

    page.goto(f"{here.foreign}/embed")

    page.wait_for_function("document.images[0].alt === '1'")  # the image has come to nothing
    assert page.context.cookies() == []
    assert here.emulator.requests.count("authorize") == 0
