"""The journey of one user, checked step by step: login, refresh, outage, tenant switch and logout."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from fastapi_descope.emulator import Emulator

from .browser import Browser, PageResponse, form_token

__all__ = ["Journey"]

_EMAIL = "ada@acme.example"
_PAST_EXPIRY = 11 * 60
_CONCURRENT = 8
_STATE_HASH = re.compile(r"_[0-9a-f]{16}$")
_OTHER_SITE = "https://elsewhere.example"


class StepFailed(Exception):
    """A step did not see what it expected."""

    def __init__(self, what: str, expected: object, actual: object) -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}")


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a successful step: the action, the response status, and what was observed."""

    action: str
    status: object
    observed: str


def _expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise StepFailed(what, expected, actual)


def _expect_text(response: PageResponse, status: int, *, contains: str, lacks: str | None = None) -> None:
    _expect("status", response.status, status)
    _expect(f"contains {contains!r}", contains in response.text, expected=True)
    if lacks is not None:
        _expect(f"contains {lacks!r}", lacks in response.text, expected=False)


def _expect_redirect(response: PageResponse, path: str) -> None:
    _expect("status", response.status, 303)
    _expect("redirect", response.redirect_path, path)


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

    def _steps(self) -> tuple[Callable[[], Awaitable[StepResult]], ...]:
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
        )

    # ------------------------------------------------------------------ login

    async def home_is_public(self) -> StepResult:
        response = await self._browser.navigate("/")
        _expect_text(response, 200, contains="Continue with single sign-on")
        _expect("cookies set", response.set_cookies, ())
        return StepResult("GET /", response.status, "public; no cookie set")

    async def reports_need_a_session(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        _expect_redirect(response, "/login/sso")
        return StepResult(
            "GET /reports", response.status, f"redirects to {response.redirect_path}: no session"
        )

    async def login_redirects_to_the_idp(self) -> StepResult:
        response = await self._browser.navigate(f"/login/sso?tenant={_EMAIL}&return_to=/reports")
        _expect("status", response.status, 303)
        host = urlsplit(response.location).netloc
        _expect("host of the sign-in page", host, urlsplit(self._emulator.base_url).netloc)
        self._callback = response.location
        return StepResult(
            "GET /login/sso?tenant=<e-mail>",
            response.status,
            f"redirects to Descope; sets {_cookies(response)}",
        )

    async def user_is_selected(self) -> StepResult:
        sign_in_page = self._callback
        page = await self._browser.navigate(sign_in_page)
        _expect_text(page, 200, contains="Sign in to Acme Corp")
        user = self._emulator.project.find_user(_EMAIL)
        fields = {"form_token": form_token(page), "user": user.user_id if user else ""}
        response = await self._browser.submit_form(sign_in_page, fields)
        _expect_redirect(response, "/callback")
        self._callback = response.location
        return StepResult(
            "select Ada on Descope's page",
            response.status,
            f"redirects to {response.redirect_path} with a one-time code",
        )

    async def callback_sets_the_session(self) -> StepResult:
        response = await self._browser.navigate(self._callback)
        _expect_redirect(response, "/reports")
        _expect("cookies set", _session_names(response.set_cookies), ("DS", "DSR"))
        _expect("attributes", response.cookie_attributes, "HttpOnly, SameSite=Lax")
        return StepResult(
            "GET /callback",
            response.status,
            f"redirects to {response.redirect_path}; sets {_cookies(response)}",
        )

    async def callback_can_be_repeated(self) -> StepResult:
        response = await self._browser.navigate(self._callback)
        _expect_redirect(response, "/reports")
        _expect("cookies set", response.set_cookies, ())
        return StepResult(
            "GET /callback again, same browser",
            response.status,
            f"redirects to {response.redirect_path}; the code is not exchanged again",
        )

    # ------------------------------------------------------------------ session

    async def reports_are_those_of_acme(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        _expect_text(response, 200, contains="North bridge", lacks="Cooling tower")
        _expect("dct", self._claims("dct"), "acme")
        return StepResult("GET /reports", response.status, "only Acme's reports; dct acme")

    async def expired_session_is_refreshed(self) -> StepResult:
        before, calls, expiry = self._cookies(), self._refreshes(), self._expiry()
        self._emulator.clock.advance(_PAST_EXPIRY)
        response = await self._browser.navigate("/reports")
        _expect_text(response, 200, contains="North bridge")
        _expect("refresh calls", self._refreshes() - calls, 1)
        self._expect_new_tokens(response, before)
        later = self._expiry() - expiry
        _expect(
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
        _expect("statuses", {response.status for response in responses}, {200})
        _expect("refresh calls", self._refreshes() - calls, 1)
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
        _expect("status", response.status, 503)
        _expect("cookies", self._cookies(), before)
        return StepResult("clock +11 min, Descope is down", response.status, "retry later; both cookies kept")

    async def session_survives_the_outage(self) -> StepResult:
        before = self._cookies()
        self._emulator.faults.clear()
        response = await self._browser.navigate("/reports")
        _expect_text(response, 200, contains="North bridge")
        self._expect_new_tokens(response, before)
        return StepResult(
            "Descope is up again, GET /reports", response.status, "still signed in; new DS and DSR"
        )

    # ------------------------------------------------------------------ tenants and roles

    async def admin_page_is_allowed_at_acme(self) -> StepResult:
        response = await self._browser.navigate("/admin")
        _expect_text(response, 200, contains="Ada Lovelace")
        return StepResult("GET /admin", response.status, "allowed: Ada is an admin at Acme")

    async def tenant_is_switched(self) -> StepResult:
        before = self._cookies()
        response = await self._switch_to("globex")
        self._expect_new_tokens(response, before)
        return StepResult("POST /tenant/select globex", response.status, "dct acme -> globex; new DS and DSR")

    async def reports_are_those_of_globex(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        _expect_text(response, 200, contains="Cooling tower", lacks="North bridge")
        acme_report = await self._browser.navigate("/reports/A-1042")
        _expect("status of Acme's report", acme_report.status, 404)
        return StepResult("GET /reports", response.status, "only Globex's reports; Acme's are a 404")

    async def admin_page_is_refused_at_globex(self) -> StepResult:
        response = await self._browser.navigate("/admin")
        _expect_text(response, 403, contains="You do not have access to this")
        return StepResult("GET /admin", response.status, "refused: Ada is a viewer at Globex")

    async def switch_back_allows_the_admin_page(self) -> StepResult:
        await self._switch_to("acme")
        response = await self._browser.navigate("/admin")
        _expect_text(response, 200, contains="Ada Lovelace")
        return StepResult(
            "switch back to acme, GET /admin", response.status, "dct globex -> acme; allowed again"
        )

    # ------------------------------------------------------------------ logout

    async def other_site_cannot_log_out(self) -> StepResult:
        response = await self._browser.submit_form("/logout", {}, from_site=_OTHER_SITE)
        _expect("status", response.status, 403)
        _expect("cookies removed", response.removed_cookies, ())
        return StepResult("POST /logout from another site", response.status, "refused; both cookies kept")

    async def logout_ends_the_session(self) -> StepResult:
        self._old_cookies = self._cookies()
        response = await self._browser.submit_form("/logout", {})
        _expect_redirect(response, "/")
        _expect("cookies removed", _session_names(response.removed_cookies), ("DS", "DSR"))
        _expect("cookies left", self._cookies(), {})
        _expect("logout calls", self._emulator.requests.count("logout"), 1)
        return StepResult("POST /logout", response.status, "DS and DSR removed; session revoked at Descope")

    async def reports_need_a_new_login(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        _expect_redirect(response, "/login/sso")
        return StepResult(
            "GET /reports", response.status, f"redirects to {response.redirect_path}: no session"
        )

    async def old_cookies_are_refused(self) -> StepResult:
        self._emulator.clock.advance(_PAST_EXPIRY)
        response = await self._browser.fetch("/api/me", self._old_cookies)
        _expect_text(response, 401, contains="session_ended")
        return StepResult("clock +11 min, the old cookies", response.status, "refused: the session has ended")

    # ------------------------------------------------------------------ helpers

    async def _switch_to(self, tenant: str) -> PageResponse:
        response = await self._browser.submit_form(
            "/tenant/select", {"tenant": tenant, "return_to": "/reports"}
        )
        _expect_redirect(response, "/reports")
        _expect("dct", self._claims("dct"), tenant)
        return response

    def _expect_new_tokens(self, response: PageResponse, before: dict[str, str]) -> None:
        _expect("cookies set", _session_names(response.set_cookies), ("DS", "DSR"))
        unchanged = sorted(name for name, value in self._cookies().items() if before.get(name) == value)
        _expect("cookies with the old value", unchanged, [])

    def _cookies(self) -> dict[str, str]:
        return self._browser.cookies("DS", "DSR")

    def _claims(self, name: str) -> object:
        return self._browser.claims().get(name)

    def _expiry(self) -> int:
        expiry = self._claims("exp")
        return expiry if isinstance(expiry, int) else 0

    def _refreshes(self) -> int:
        return self._emulator.requests.count("refresh")


def _session_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names without those of cookies that belong to a login and stay for a minute."""
    return tuple(name for name in names if not name.startswith("descope_"))


def _cookies(response: PageResponse) -> str:
    """Return names and attributes of the set cookies, without the state hash in a login cookie's name."""
    names = (_STATE_HASH.sub("_*", name) for name in response.set_cookies)
    return f"{', '.join(names)} ({response.cookie_attributes})"
