"""The journey of one user, checked step by step: login, refresh, outage, tenants, logout, other ways in."""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from fastapi_descope.emulator import Emulator

from .browser import Browser, PageResponse
from .steps import (
    EMAIL,
    Step,
    StepFailed,
    StepResult,
    expect,
    expect_redirect,
    expect_text,
    select_user,
    session_cookies,
)
from .ways_in import WaysIn

__all__ = ["Journey"]

_PAST_EXPIRY = 11 * 60
_CONCURRENT = 8
_STATE_HASH = re.compile(r"_[0-9a-f]{16}$")
_OTHER_SITE = "https://elsewhere.example"


class Journey:
    """The journey of Ada, an admin at Acme and a viewer at Globex. App and emulator share the clock."""

    def __init__(self, browser: Browser, emulator: Emulator, write_line: Callable[[str], object]) -> None:
        self._browser = browser
        self._emulator = emulator
        self._write_line = write_line
        self._callback = ""
        self._old_cookies: dict[str, str] = {}

    async def run(self) -> bool:
        """Run the steps and write a line for each. Return False after the first one that fails."""
        for number, step in enumerate(self._steps(), 1):
            try:
                result = await step()
            except StepFailed as error:
                self._write_line(f"{number:>2}  FAILED: {error}")
                return False
            except httpx.HTTPError as error:
                self._write_line(f"{number:>2}  FAILED: expected a response, got {type(error).__name__}")
                return False
            self._write_line(f"{number:>2}  {result.action:<36}{result.status!s:>9}  {result.observed}")
        return True

    def _steps(self) -> tuple[Step, ...]:
        return (
            self.home_is_public,
            self.reports_need_a_session,
            self.login_redirects_to_the_idp,
            self.user_is_selected,
            self.callback_sets_the_session,
            self.callback_can_be_repeated,
            self.reports_are_those_of_acme,
            self.expired_session_is_refreshed,
            self.concurrent_requests_share_one_refresh,
            self.outage_keeps_the_session,
            self.session_survives_the_outage,
            self.admin_page_is_allowed_at_acme,
            self.tenant_is_switched,
            self.reports_are_those_of_globex,
            self.admin_page_is_refused_at_globex,
            self.switch_back_allows_the_admin_page,
            self.other_site_cannot_log_out,
            self.logout_ends_the_session,
            self.reports_need_a_new_login,
            self.old_cookies_are_refused,
            *WaysIn(self._browser, self._emulator).steps(),
        )

    # ------------------------------------------------------------------ login

    async def home_is_public(self) -> StepResult:
        response = await self._browser.navigate("/")
        expect_text(response, 200, contains="Fieldnotes has no password of its own")
        expect("cookies set", response.set_cookies, ())
        return StepResult("GET /", response.status, "public; no cookie set")

    async def reports_need_a_session(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        expect_redirect(response, "/login")
        return StepResult(
            "GET /reports", response.status, f"redirects to {response.redirect_path}: no session"
        )

    async def login_redirects_to_the_idp(self) -> StepResult:
        response = await self._browser.navigate(f"/login/sso?tenant={EMAIL}&return_to=/reports")
        expect("status", response.status, 303)
        host = urlsplit(response.location).netloc
        expect("host of the sign-in page", host, urlsplit(self._emulator.base_url).netloc)
        self._callback = response.location
        return StepResult(
            "GET /login/sso?tenant=<e-mail>",
            response.status,
            f"redirects to Descope; sets {_cookies(response)}",
        )

    async def user_is_selected(self) -> StepResult:
        self._callback = await select_user(
            self._browser, self._emulator, self._callback, title="Sign in to Acme Corp"
        )
        return StepResult("select Ada on Descope's page", 303, "redirects to /callback with a one-time code")

    async def callback_sets_the_session(self) -> StepResult:
        response = await self._browser.navigate(self._callback)
        expect_redirect(response, "/reports")
        expect("cookies set", session_cookies(response.set_cookies), ("DS", "DSR"))
        expect("attributes", response.cookie_attributes, "HttpOnly, SameSite=Lax")
        return StepResult(
            "GET /callback",
            response.status,
            f"redirects to {response.redirect_path}; sets {_cookies(response)}",
        )

    async def callback_can_be_repeated(self) -> StepResult:
        response = await self._browser.navigate(self._callback)
        expect_redirect(response, "/reports")
        expect("cookies set", response.set_cookies, ())
        return StepResult(
            "GET /callback again, same browser",
            response.status,
            f"redirects to {response.redirect_path}; the code is not exchanged again",
        )

    # ------------------------------------------------------------------ session

    async def reports_are_those_of_acme(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        expect_text(response, 200, contains="North bridge", lacks="Cooling tower")
        expect("dct", self._claims("dct"), "acme")
        return StepResult("GET /reports", response.status, "only Acme's reports; dct acme")

    async def expired_session_is_refreshed(self) -> StepResult:
        before, calls, expiry = self._cookies(), self._refreshes(), self._expiry()
        self._emulator.clock.advance(_PAST_EXPIRY)
        response = await self._browser.navigate("/reports")
        expect_text(response, 200, contains="North bridge")
        expect("refresh calls", self._refreshes() - calls, 1)
        self._expect_new_tokens(response, before)
        later = self._expiry() - expiry
        expect(
            f"expiry {later} s later is in the future",
            self._expiry() > self._emulator.clock(),
            expected=True,
        )
        return StepResult(
            "clock +11 min, GET /reports",
            response.status,
            f"refreshed: 1 call, new DS and DSR, expires +{later} s",
        )

    async def concurrent_requests_share_one_refresh(self) -> StepResult:
        calls = self._refreshes()
        self._emulator.clock.advance(_PAST_EXPIRY)
        responses = await asyncio.gather(*(self._browser.navigate("/reports") for _ in range(_CONCURRENT)))
        expect("statuses", {response.status for response in responses}, {200})
        expect("refresh calls", self._refreshes() - calls, 1)
        return StepResult(
            f"clock +11 min, {_CONCURRENT} requests at once",
            f"{_CONCURRENT} x 200",
            "refreshed: 1 call for all",
        )

    async def outage_keeps_the_session(self) -> StepResult:
        before = self._cookies()
        self._emulator.clock.advance(_PAST_EXPIRY)
        self._emulator.faults.add("*", status=500, times=_CONCURRENT)
        response = await self._browser.navigate("/reports")
        expect("status", response.status, 503)
        expect("cookies", self._cookies(), before)
        return StepResult("clock +11 min, Descope is down", response.status, "retry later; both cookies kept")

    async def session_survives_the_outage(self) -> StepResult:
        before = self._cookies()
        self._emulator.faults.clear()
        response = await self._browser.navigate("/reports")
        expect_text(response, 200, contains="North bridge")
        self._expect_new_tokens(response, before)
        return StepResult(
            "Descope is up again, GET /reports", response.status, "still signed in; new DS and DSR"
        )

    # ------------------------------------------------------------------ tenants and roles

    async def admin_page_is_allowed_at_acme(self) -> StepResult:
        response = await self._browser.navigate("/admin")
        expect_text(response, 200, contains="Ada Lovelace")
        return StepResult("GET /admin", response.status, "allowed: Ada is an admin at Acme")

    async def tenant_is_switched(self) -> StepResult:
        before = self._cookies()
        response = await self._switch_to("globex")
        self._expect_new_tokens(response, before)
        return StepResult("POST /tenant/select globex", response.status, "dct acme -> globex; new DS and DSR")

    async def reports_are_those_of_globex(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        expect_text(response, 200, contains="Cooling tower", lacks="North bridge")
        acme_report = await self._browser.navigate("/reports/A-1042")
        expect("status of Acme's report", acme_report.status, 404)
        return StepResult("GET /reports", response.status, "only Globex's reports; Acme's are a 404")

    async def admin_page_is_refused_at_globex(self) -> StepResult:
        response = await self._browser.navigate("/admin")
        expect_text(response, 403, contains="You do not have access to this")
        return StepResult("GET /admin", response.status, "refused: Ada is a viewer at Globex")

    async def switch_back_allows_the_admin_page(self) -> StepResult:
        await self._switch_to("acme")
        response = await self._browser.navigate("/admin")
        expect_text(response, 200, contains="Ada Lovelace")
        return StepResult(
            "switch back to acme, GET /admin", response.status, "dct globex -> acme; allowed again"
        )

    # ------------------------------------------------------------------ logout

    async def other_site_cannot_log_out(self) -> StepResult:
        response = await self._browser.submit_form("/logout", {}, from_site=_OTHER_SITE)
        expect("status", response.status, 403)
        expect("cookies removed", response.removed_cookies, ())
        return StepResult("POST /logout from another site", response.status, "refused; both cookies kept")

    async def logout_ends_the_session(self) -> StepResult:
        self._old_cookies = self._cookies()
        response = await self._browser.submit_form("/logout", {})
        expect_redirect(response, "/")
        expect("cookies removed", session_cookies(response.removed_cookies), ("DS", "DSR"))
        expect("cookies left", self._cookies(), {})
        expect("logout calls", self._emulator.requests.count("logout"), 1)
        return StepResult("POST /logout", response.status, "DS and DSR removed; session revoked at Descope")

    async def reports_need_a_new_login(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        expect_redirect(response, "/login")
        return StepResult(
            "GET /reports", response.status, f"redirects to {response.redirect_path}: no session"
        )

    async def old_cookies_are_refused(self) -> StepResult:
        self._emulator.clock.advance(_PAST_EXPIRY)
        response = await self._browser.fetch("/api/me", self._old_cookies)
        expect_text(response, 401, contains="session_ended")
        return StepResult("clock +11 min, the old cookies", response.status, "refused: the session has ended")

    # ------------------------------------------------------------------ helpers

    async def _switch_to(self, tenant: str) -> PageResponse:
        response = await self._browser.submit_form(
            "/tenant/select", {"tenant": tenant, "return_to": "/reports"}
        )
        expect_redirect(response, "/reports")
        expect("dct", self._claims("dct"), tenant)
        return response

    def _expect_new_tokens(self, response: PageResponse, before: dict[str, str]) -> None:
        expect("cookies set", session_cookies(response.set_cookies), ("DS", "DSR"))
        unchanged = sorted(name for name, value in self._cookies().items() if before.get(name) == value)
        expect("cookies with the old value", unchanged, [])

    def _cookies(self) -> dict[str, str]:
        return self._browser.cookies("DS", "DSR")

    def _claims(self, name: str) -> object:
        return self._browser.claims().get(name)

    def _expiry(self) -> int:
        expiry = self._claims("exp")
        return expiry if isinstance(expiry, int) else 0

    def _refreshes(self) -> int:
        return self._emulator.requests.count("refresh")


def _cookies(response: PageResponse) -> str:
    """Return names and attributes of the set cookies, without the state hash in a login cookie's name."""
    names = (_STATE_HASH.sub("_*", name) for name in response.set_cookies)
    return f"{', '.join(names)} ({response.cookie_attributes})"
