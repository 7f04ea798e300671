"""The example app in Chromium: its look for everyone, and what its scripts do."""

import re
from pathlib import Path
from typing import Literal, TypedDict, cast

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, ViewportSize, expect

from tests.browser.conftest import ADA, HANK, Fieldnotes
from tests.contract.sdks import NODE_SDKS

pytestmark = pytest.mark.browser

AXE = NODE_SDKS / "node_modules" / "axe-core" / "axe.min.js"
STATIC = Path(__file__).parents[2] / "example_app" / "static"
NOTES = "Anchor 7 holds.\n\nAnchor 8 moves by 3 mm under load."
SCREEN, PHONE = ViewportSize(width=1000, height=700), ViewportSize(width=360, height=640)

PUBLIC = ("/", "/login", "/login/sso", "/callback?code=a&state=b", "/nowhere")
SIGNED_IN = (
    "/",
    "/reports",
    "/reports/A-1042",
    "/reports/new",
    "/activity",
    "/account",
    "/admin",
    "/members",
    "/nowhere",
)

_SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(sum), 300);
})"""


class _Violation(TypedDict):
    id: str
    impact: str
    nodes: list[dict[str, object]]


class _AxeResult(TypedDict):
    passes: list[object]
    violations: list[_Violation]


def _type_report(page: Page) -> None:
    page.get_by_label("Title").fill("Roof anchors, second visit")
    page.get_by_label("Site").fill("Harbour warehouse")
    page.get_by_label("Finding").select_option("Urgent")
    page.get_by_label("Summary").fill("One of two replaced anchors moves.")
    page.get_by_label("Notes").fill(NOTES)


def _attach(page: Page, name: str) -> None:
    page.get_by_label("Attach a file").set_input_files(
        {"name": name, "mimeType": "application/pdf", "buffer": b"%PDF-1.4 readings"}
    )
    page.get_by_role("button", name="Attach", exact=True).click()
    expect(page.get_by_role("link", name=name)).to_be_visible()


def _violations(page: Page) -> list[tuple[str, str, object]]:
    """Return what axe finds on the page: the rule, its impact, and the first element."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    result = cast("_AxeResult", page.evaluate("async () => await axe.run()"))
    assert len(result["passes"]) > 10
    return [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in result["violations"]]


@pytest.mark.parametrize(
    ("scheme", "size"),
    [
        ("light", SCREEN),
        ("dark", PHONE),
        pytest.param("dark", SCREEN, marks=pytest.mark.nightly),
        pytest.param("light", PHONE, marks=pytest.mark.nightly),
    ],
)
def test_axe_finds_nothing_on_any_page(
    chromium: Browser, fieldnotes: Fieldnotes, scheme: Literal["light", "dark"], size: ViewportSize
) -> None:
    """In both colour schemes, on a screen and on a phone, signed in and not. No page scrolls sideways."""
    context = chromium.new_context(color_scheme=scheme, viewport=size)
    page = context.new_page()
    found: dict[str, object] = {}
    wide: list[str] = []

    def visit(paths: tuple[str, ...], who: str) -> None:
        for path in paths:
            page.goto(fieldnotes.url + path)
            if violations := _violations(page):
                found[f"{who} {path}"] = violations
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wide.append(path)

    visit(PUBLIC, "public")
    fieldnotes.sign_in_with_google(page, "nomad@example.org")
    visit(("/reports", "/account"), "in no organisation")
    fieldnotes.sign_in_with_google(page, ADA)
    visit(("/reports",), "between organisations")
    fieldnotes.sign_in(page, "/reports/A-1042")
    _attach(page, "anchor-readings-of-the-second-visit-in-october.pdf")
    visit(SIGNED_IN, "signed in")
    page.goto(fieldnotes.url + "/reports")
    page.get_by_text("Acme Corp", exact=True).first.click()
    found |= {"menu": violations} if (violations := _violations(page)) else {}
    context.close()

    assert found == {}
    assert wide == []


def test_first_page_is_small_and_stays_where_it_is(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """Under 200 kB with styles and scripts, all from the app itself, and without a layout shift."""
    page = context.new_page()
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))  # noqa: PLW0108 - needs a Python function

    page.goto(fieldnotes.url, wait_until="networkidle")
    shift = page.evaluate(_SHIFT)

    assert sum(len(response.body()) for response in responses) < 200_000
    assert {response.url.startswith(fieldnotes.url) for response in responses} == {True}
    assert shift == 0


def test_pages_do_not_shift(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """Neither while they load nor when a notice appears."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports")
    shifts: dict[str, float] = {}
    for path in SIGNED_IN:
        page.goto(fieldnotes.url + path, wait_until="networkidle")
        context.set_offline(True)
        expect(page.get_by_text("You are offline.")).to_be_visible()
        shifts[path] = page.evaluate(_SHIFT)
        context.set_offline(False)

    assert shifts == dict.fromkeys(SIGNED_IN, 0)


@pytest.mark.parametrize("width", [320, 360, 1000])
def test_navigation_of_an_admin_is_one_row(chromium: Browser, fieldnotes: Fieldnotes, width: int) -> None:
    """With all sections, on the smallest phones too. The account is in the menu of the user."""
    context = chromium.new_context(viewport=ViewportSize(width=width, height=640))
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports")
    links = page.get_by_role("navigation", name="Main").get_by_role("link")

    tops = {link.evaluate("link => link.getBoundingClientRect().top") for link in links.all()}

    assert links.all_inner_texts() == ["Reports", "Activity", "Admin", "Members"]
    assert len(tops) == 1
    page.locator("details.menu").last.locator("summary").click()
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()
    context.close()


def test_keyboard_skips_to_the_content_and_closes_menus(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """The first stop is the link to the content. Escape closes a menu and returns the focus."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    menu = page.locator("details.menu").first.locator("summary")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Globex")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("button", name="Globex")).to_be_hidden()
    expect(menu).to_be_focused()


def test_typed_form_survives_an_expired_session(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """The user signs in again, finds everything typed, and files the report. Then the draft is gone."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports/new")
    _type_report(page)
    fieldnotes.expire_everything()

    page.get_by_role("button", name="File the report").click()
    page.get_by_label("Work e-mail or organisation").fill(ADA)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name=ADA).click()
    page.wait_for_url(fieldnotes.url + "/reports/new")
    expect(page.get_by_text("Your draft from before is back.")).to_be_visible()
    expect(page.get_by_label("Notes")).to_have_value(NOTES)
    expect(page.get_by_label("Finding")).to_have_value("Urgent")
    page.get_by_role("button", name="File the report").click()
    page.wait_for_url(re.compile(r"/reports/A-1043$"))

    expect(page.get_by_text("Anchor 8 moves by 3 mm under load.")).to_be_visible()
    page.goto(fieldnotes.url + "/reports/new")
    expect(page.get_by_label("Notes")).to_have_value("")
    expect(page.get_by_text("Your draft from before is back.")).to_be_hidden()


def test_typed_form_is_renewed_within_the_session(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """After twenty minutes only the session token has expired, and the user notices nothing."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports/new")
    _type_report(page)
    fieldnotes.emulator.clock.advance(20 * 60)

    page.get_by_role("button", name="File the report").click()

    page.wait_for_url(re.compile(r"/reports/A-1043$"))
    expect(page.get_by_role("heading", name="Roof anchors, second visit")).to_be_visible()


def test_draft_is_for_its_user_and_organisation_only(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """Another user of the same tab does not see it, and a sign-out deletes it."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports/new")
    _type_report(page)

    fieldnotes.sign_in(page, "/reports/new", HANK, "globex")
    expect(page.get_by_label("Notes")).to_have_value("")
    fieldnotes.sign_in(page, "/reports/new")
    expect(page.get_by_label("Notes")).to_have_value(NOTES)
    page.goto(fieldnotes.url + "/account")
    page.get_by_role("button", name="Sign out", exact=True).last.click()
    page.wait_for_url(fieldnotes.url + "/")
    fieldnotes.sign_in(page, "/reports/new")

    expect(page.get_by_label("Notes")).to_have_value("")


def test_outage_of_descope_keeps_the_form(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """The session cannot be renewed at the moment. A notice says so, and the next attempt succeeds."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports/new")
    _type_report(page)
    fieldnotes.emulator.clock.advance(20 * 60)
    fieldnotes.emulator.faults.add("refresh", status=503, times=10)

    page.get_by_role("button", name="File the report").click()
    expect(page.get_by_role("status")).to_contain_text("The sign-in service cannot be reached")
    expect(page.get_by_label("Notes")).to_have_value(NOTES)
    fieldnotes.emulator.faults.clear()
    fieldnotes.emulator.clock.advance(60)
    page.get_by_role("button", name="File the report").click()

    page.wait_for_url(re.compile(r"/reports/A-1043$"))


def test_tenant_switch_is_seen_in_the_other_tab(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """Its form is refused for the other organisation, so that no report is filed in the wrong one."""
    form, other = context.new_page(), context.new_page()
    fieldnotes.sign_in(form, "/reports/new")
    _type_report(form)
    other.goto(fieldnotes.url + "/reports")

    other.locator("details.menu").first.locator("summary").click()
    other.get_by_role("button", name="Globex").click()
    expect(other.get_by_text("Cooling tower, water quality")).to_be_visible()

    expect(form.get_by_role("status")).to_contain_text("Another tab works for Globex now.")
    form.get_by_role("button", name="File the report").click()
    expect(form.get_by_role("status")).to_contain_text("You do not have access to this")
    expect(form.get_by_label("Notes")).to_have_value(NOTES)
    other.goto(fieldnotes.url + "/reports")
    expect(other.get_by_text("Roof anchors, second visit")).to_be_hidden()
    form.get_by_role("link", name="Load this page again").click()
    expect(form.get_by_role("heading", name="You do not have access to this")).to_be_visible()


def test_sign_out_is_seen_in_the_other_tab(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """Every tab of a browser has the same session."""
    one, other = context.new_page(), context.new_page()
    fieldnotes.sign_in(one, "/reports")
    other.goto(fieldnotes.url + "/account")

    other.get_by_role("button", name="Sign out on all devices").click()
    other.wait_for_url(fieldnotes.url + "/")

    expect(one.get_by_role("status")).to_contain_text("Another tab has changed your sign-in.")


def test_offline_banner_appears_and_goes(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """It is in a live region, so screen readers announce it."""
    page = context.new_page()
    page.goto(fieldnotes.url)

    context.set_offline(True)
    expect(page.get_by_role("status")).to_contain_text("You are offline.")
    context.set_offline(False)

    expect(page.get_by_role("status")).to_be_empty()


def test_account_counts_down_the_session(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """Every second, without a request. Loading the page after the expiry renews the session."""
    page = context.new_page()
    fieldnotes.emulator.clock.advance(0)
    fieldnotes.sign_in(page, "/account")
    left = page.locator("[data-seconds-left]")
    first = left.inner_text()

    expect(left).not_to_have_text(first)
    left.evaluate("element => { element.dataset.secondsLeft = 0; }")
    expect(left).to_have_text("none: your next click renews it")
    fieldnotes.emulator.clock.advance(660)
    page.reload()

    expect(left).to_have_text(re.compile(r"^(10|9) min"))


def test_archiving_needs_no_reload_by_the_user(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """HTMX sends the form, and follows to the page."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/admin")

    page.get_by_role("button", name="Archive Boiler room, annual check").click()

    expect(page.get_by_role("button", name="Archive Boiler room, annual check")).to_have_count(0)
    expect(page.get_by_role("button", name="Archive Fire doors, office floors")).to_be_visible()


def test_admin_changes_the_role_of_a_member(context: BrowserContext, fieldnotes: Fieldnotes) -> None:
    """And removes the member after a question."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/members")
    page.on("dialog", lambda dialog: dialog.accept())

    fieldnotes.make_admin(page, "Grace Hopper")
    expect(page.get_by_label("Role of Grace Hopper")).to_have_value("admin")
    page.get_by_role("button", name="Remove Grace Hopper").click()

    expect(page.get_by_text("Grace Hopper")).to_have_count(0)


def test_pages_work_without_scripts(chromium: Browser, fieldnotes: Fieldnotes) -> None:
    """Forms and menus are plain HTML."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports/new")
    _type_report(page)

    page.get_by_role("button", name="File the report").click()
    page.wait_for_url(re.compile(r"/reports/A-1043$"))
    page.locator("details.menu").first.locator("summary").click()
    page.get_by_role("button", name="Globex").click()

    expect(page.get_by_text("Cooling tower, water quality")).to_be_visible()
    context.close()


def test_nothing_is_loaded_from_elsewhere_and_no_policy_is_violated(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """HTMX is the published one, with its licence, and works under a policy without inline code."""
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    fieldnotes.sign_in(page, "/reports")
    for path in SIGNED_IN[:-1]:
        page.goto(fieldnotes.url + path, wait_until="networkidle")

    assert messages == []
    assert {
        url for url in urls if not url.startswith((fieldnotes.url, fieldnotes.emulator.base_url))
    } == set()
    published = NODE_SDKS / "node_modules" / "htmx.org"
    assert (STATIC / "htmx.min.js").read_bytes() == (published / "dist" / "htmx.min.js").read_bytes()
    assert (STATIC / "htmx.LICENSE.txt").read_bytes() == (published / "LICENSE").read_bytes()
