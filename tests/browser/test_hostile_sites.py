"""Attacks of other sites on a signed-in user, in Chromium over https.

``app.example.test`` is the app, ``evil.example.test`` a hostile sibling domain, and ``attacker.test`` another
site.
"""

import datetime as dt
import re
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from tests.helpers.sibling_domain import CHUNKED, cookies_of

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Sites:
    """The app, and the origins of the attackers."""

    app: str
    sibling: str
    foreign: str
    emulator: Emulator

    def sign_in(self, page: Page) -> None:
        """Sign Ada in through the sign-in page."""
        page.goto(self.app + "/reports")
        page.get_by_role("button", name="ada@acme.example").click()
        expect(page.get_by_role("heading")).to_have_text("acme")


SitesFactory = Callable[..., Sites]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a self-signed certificate for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example.test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
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
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def sites(certificate: Path) -> Generator[SitesFactory]:
    """Return a function that starts the three sites and the emulator."""
    with ExitStack() as stack:

        def start(project: Project | None = None, **settings: object) -> Sites:
            emulator = Emulator(replace(project or Project(), approved_redirects=("app.example.test",)))
            base_url = stack.enter_context(running(emulator))
            listener, address = stack.enter_context(listening())
            port = address.rpartition(":")[2]
            app = FastAPI()
            app_url = f"https://app.example.test:{port}"
            values: dict[str, object] = {
                "project_id": emulator.project_id,
                "base_url": base_url,
                "public_url": app_url,
                "default_tenant": "acme",
                **settings,
            }
            app_settings = DescopeSettings(**values)  # type: ignore[arg-type] # any setting, by keyword
            Descope(app, settings=app_settings, clock=emulator.clock)
            add_pages(app)
            stack.enter_context(serve_app(app, listener, certificate=certificate))
            evil_listener, evil_address = stack.enter_context(listening())
            evil_port = evil_address.rpartition(":")[2]
            evil = _hostile_pages(emulator, app_url)
            stack.enter_context(serve_app(evil, evil_listener, certificate=certificate))
            sibling, foreign = (
                f"https://{host}:{evil_port}" for host in ("evil.example.test", "attacker.test")
            )
            return Sites(app_url, sibling, foreign, emulator)

        yield start


def _hostile_pages(emulator: Emulator, app_url: str) -> FastAPI:
    app = FastAPI()

    @app.get("/toss/{name}")
    async def toss(name: str) -> HTMLResponse:
        token = emulator.issue("hank@globex.example", tenant="globex").session_jwt
        response = HTMLResponse("<h1>tossed</h1>")
        response.headers.append("set-cookie", f"{name}={token}; Domain=example.test; Path=/; Secure")
        response.headers.append("set-cookie", f"{name}={token}; Domain=example.test; Path=/reports; Secure")
        return response

    @app.get("/plant/{name}")
    async def plant(name: str) -> HTMLResponse:
        session, refresh = emulator.issue("hank@globex.example", tenant="globex")
        response = HTMLResponse("<h1>planted</h1>")
        for cookie in cookies_of(name, refresh if name.endswith("DSR") else session):
            response.headers.append("set-cookie", f"{cookie}; Domain=example.test; Path=/; Secure")
        return response

    @app.get("/form")
    async def form(request: Request) -> HTMLResponse:
        action = app_url + request.query_params["to"]
        return HTMLResponse(f"<form action='{action}' method='post'><button>Win a prize</button></form>")

    @app.get("/embed")
    async def embed() -> HTMLResponse:
        return HTMLResponse(f"<h1>cats</h1><img src='{app_url}/login/sso?tenant=acme' onerror='this.alt=1'>")

    return app


def test_ck03_a_siblings_cookie_does_not_replace_a_session(sites: SitesFactory, page: Page) -> None:
    """CK-03, CK-11: with the default names, no other host can set the cookies that we read."""
    servers = sites()
    servers.sign_in(page)

    for name in ("__Host-DS", "DS", "__Secure-DS"):
        page.goto(f"{servers.sibling}/toss/{name}")
    page.goto(servers.app + "/")

    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


def test_ck03_a_siblings_cookie_signs_no_user_in(sites: SitesFactory, page: Page) -> None:
    """CK-03: without a login the request stays unauthenticated."""
    servers = sites()

    for name in ("__Host-DS", "DS", "__Secure-DS"):
        page.goto(f"{servers.sibling}/toss/{name}")
    page.goto(servers.app + "/")

    expect(page.get_by_role("heading")).to_have_text("not signed in")


def test_ck11_with_plain_names_a_tossed_cookie_authenticates_no_user(sites: SitesFactory, page: Page) -> None:
    """CK-02, CK-11: with two different cookies of one name, the request is unauthenticated."""
    servers = sites(cookie_prefix="")
    servers.sign_in(page)

    page.goto(f"{servers.sibling}/toss/DS")
    page.goto(servers.app + "/")

    expect(page.get_by_role("heading")).to_have_text("not signed in")


def test_ck02_a_tossed_cookie_leads_to_an_explanation(sites: SitesFactory, page: Page) -> None:
    """CK-02: the login deletes the cookies that it can. If one is left, a page explains it: no loop."""
    servers = sites(cookie_prefix="")
    servers.sign_in(page)

    page.goto(f"{servers.sibling}/toss/DS")
    page.goto(servers.app + "/reports")
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("There are two different session cookies")
    expect(page.get_by_text("delete the cookies of this site")).to_be_visible()
    page.goto(servers.app + "/")
    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


@dataclass(frozen=True)
class Attack:
    """Cookies of Hank that the sibling domain plants, after a cookie of Ada has expired."""

    planted: tuple[str, ...]
    expired: str = "DS"
    project: Project | None = None

    def run(self, servers: Sites, page: Page, prefix: str) -> None:
        """Sign Ada in, let her cookie expire, and plant those of Hank."""
        servers.sign_in(page)
        page.context.clear_cookies(name=re.compile(rf"^{prefix}{self.expired}(\.\d)?$"))
        for name in self.planted:
            page.goto(f"{servers.sibling}/plant/{prefix}{name}")


EACH_ATTACK = pytest.mark.parametrize(
    "attack",
    [
        pytest.param(Attack(("DS",)), id="session"),
        pytest.param(Attack(("DSR",)), id="refresh"),
        pytest.param(Attack(("DS", "DSR")), id="both"),
        pytest.param(Attack(("DSR",), expired="DSR"), id="refresh of a live session"),
        pytest.param(Attack(("DS",), project=CHUNKED), id="session in chunks"),
        pytest.param(Attack(("DS", "DSR"), project=CHUNKED), id="both in chunks"),
    ],
)


def _users(servers: Sites, page: Page) -> list[str | None]:
    """Open the home page three times, and return its headings."""
    headings: list[str | None] = []
    for _ in range(3):
        page.goto(servers.app + "/")
        headings.append(page.get_by_role("heading").text_content())
    return headings


def _log_out(page: Page) -> None:
    status: object = page.evaluate("fetch('/logout', {method: 'POST'}).then(answer => answer.status)")
    assert status == 204


@EACH_ATTACK
def test_kd05_ck11_with_the_default_names_the_victim_stays_the_victim(
    sites: SitesFactory, page: Page, attack: Attack
) -> None:
    """KD-05, CK-11: the browser refuses the planted cookies, and logout signs the victim out."""
    servers = sites(attack.project)
    attack.run(servers, page, "__Host-")

    assert _users(servers, page) == ["ada@acme.example"] * 3
    _log_out(page)
    assert _users(servers, page) == ["not signed in"] * 3


@EACH_ATTACK
def test_kd05_ck11_with_plain_names_the_victim_never_becomes_the_attacker(
    sites: SitesFactory, page: Page, attack: Attack
) -> None:
    """KD-05, CK-11: not while the victim's own cookies are in the jar, and not after the logout."""
    servers = sites(attack.project, cookie_prefix="")
    attack.run(servers, page, "")

    assert _users(servers, page) == ["not signed in"] * 3
    _log_out(page)
    assert _users(servers, page) == ["not signed in"] * 3
    names = [str(cookie.get("name")) for cookie in page.context.cookies(servers.app)]
    assert [name for name in names if name.startswith("DS")] == []


@EACH_ATTACK
def test_kd05_ck02_with_plain_names_one_login_removes_what_was_planted(
    sites: SitesFactory, page: Page, attack: Attack
) -> None:
    """KD-05, CK-02: a page explains the conflict, and its link leads to the login that heals it."""
    servers = sites(attack.project, cookie_prefix="")
    attack.run(servers, page, "")

    page.goto(servers.app + "/reports")
    expect(page.get_by_role("heading")).to_have_text("There are two different session cookies")
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert _users(servers, page) == ["ada@acme.example"] * 3


def test_ck13_two_deployments_on_one_host_leave_each_others_sessions_alone(
    sites: SitesFactory, page: Page
) -> None:
    """CK-13: with names of their own. Cookies do not know ports."""
    one, other = sites(), sites(session_cookie_name="ADS", refresh_cookie_name="ADSR")
    one.sign_in(page)
    other.sign_in(page)
    assert _users(one, page) == _users(other, page) == ["ada@acme.example"] * 3

    page.goto(one.app + "/")
    _log_out(page)

    assert _users(one, page) == ["not signed in"] * 3
    assert _users(other, page) == ["ada@acme.example"] * 3


def test_ck13_domain_that_is_added_in_a_release_replaces_the_cookies(sites: SitesFactory, page: Page) -> None:
    """CK-13: one sign-in, and the listed cookies of the earlier release are gone."""
    sites(cookie_prefix="").sign_in(page)
    servers = sites(cookie_prefix="", cookie_domain="example.test")

    page.goto(servers.app + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")

    assert _users(servers, page) == ["ada@acme.example"] * 3
    cookies = page.context.cookies(servers.app)
    domains = {
        (each.get("name"), each.get("domain")) for each in cookies if each.get("name") in {"DS", "DSR"}
    }
    assert domains == {("DS", ".example.test"), ("DSR", ".example.test")}


@pytest.mark.parametrize("attacker", ["sibling", "foreign"])
def test_cb15_every_form_of_link_is_confirmed(sites: SitesFactory, page: Page, attacker: str) -> None:
    """CB-15: also with the default tenant, and with a step-up that no page of the app has asked for."""
    servers = sites()
    servers.sign_in(page)

    for query in ("", "?login_hint=hank@globex.example", "?sso_id=x", "?prompt=login", "?step_up=true"):
        page.goto(f"{getattr(servers, attacker)}/form?to=/")
        page.evaluate("url => { location.href = url }", f"{servers.app}/login/sso{query}")
        expect(page.get_by_role("heading")).to_have_text("Sign in again?")
    page.get_by_role("link", name="Go to the start page").click()
    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


@pytest.mark.parametrize("sender", ["sibling", "foreign"])
def test_cb15_link_in_an_email_is_not_confirmed(sites: SitesFactory, page: Page, sender: str) -> None:
    """CB-15: a link to a protected page, clicked in a web mailer, signed in or not."""
    servers = sites()

    page.goto(f"{getattr(servers, sender)}/form?to=/")
    page.evaluate("url => { location.href = url }", f"{servers.app}/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")
    page.goto(f"{getattr(servers, sender)}/form?to=/")
    page.evaluate("url => { location.href = url }", f"{servers.app}/payout?id=1")
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("paid out")


@pytest.mark.parametrize("attacker", ["sibling", "foreign"])
def test_cb15_another_site_cannot_swap_the_user(sites: SitesFactory, page: Page, attacker: str) -> None:
    """CB-15: a signed-in user sees a confirmation page; the app's own links to the same URL work."""
    servers = sites()
    servers.sign_in(page)
    address = f"{servers.app}/login/sso?tenant=globex&return_to=/reports"

    page.goto(f"{getattr(servers, attacker)}/form?to=/")
    page.evaluate("address => { location.href = address }", address)
    expect(page.get_by_role("heading")).to_have_text("Sign in again?")
    page.goto(servers.app + "/")
    page.evaluate("address => { location.href = address }", address)

    page.get_by_role("button", name="hank@globex.example").click()
    expect(page.get_by_role("heading")).to_have_text("globex")


@pytest.mark.parametrize("attacker", ["sibling", "foreign"])
@pytest.mark.parametrize("to", ["/logout", "/logout/all", "/tenant/select", "/act"])
def test_cs01_cs02_cs09_a_form_of_another_site_is_refused(
    sites: SitesFactory, page: Page, attacker: str, to: str
) -> None:
    """CS-01, CS-02, CS-09: on the plugin's routes and the app's own, also from a sibling domain."""
    servers = sites()
    servers.sign_in(page)
    page.goto(f"{getattr(servers, attacker)}/form?to={to}")

    with page.expect_response(lambda response: response.url == servers.app + to) as response_info:
        page.get_by_role("button", name="Win a prize").click()

    # With SameSite=Lax the browser sends no cookies from another site, so the app's route returns 401.
    assert response_info.value.status == (401 if (attacker, to) == ("foreign", "/act") else 403)
    assert servers.emulator.requests.count("logout") + servers.emulator.requests.count("logout_all") == 0
    page.goto(servers.app + "/reports")
    expect(page.get_by_role("heading")).to_have_text("acme")


def test_cb04_abandoned_logins_do_not_accumulate(sites: SitesFactory, page: Page) -> None:
    """CB-04: of twelve started logins the cookies of five are kept, at most 4 KB together."""
    servers = sites()
    for number in range(12):
        page.goto(f"{servers.app}/login/sso?tenant=acme&return_to=/reports?n={number}")

    cookies = {cookie.get("name", ""): cookie.get("value", "") for cookie in page.context.cookies()}
    logins = {name: value for name, value in cookies.items() if name.startswith("__Host-descope_login")}

    assert len(logins) == 5
    assert sum(len(name) + len(value) for name, value in logins.items()) <= 4096
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")


def test_cb13_an_embedded_image_starts_no_login(sites: SitesFactory, page: Page) -> None:
    """CB-13: so another site cannot evict the logins in progress."""
    servers = sites()

    page.goto(f"{servers.foreign}/embed")

    page.wait_for_function("document.images[0].alt === '1'")  # loading the image failed
    assert page.context.cookies() == []
    assert servers.emulator.requests.count("authorize") == 0
