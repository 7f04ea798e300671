"""The whole journey of one user, checked: in, past expiry, across tenants, through an outage, and out."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from fastapi_descope.emulator import Emulator

from .browser import Browser, Seen, form_token

__all__ = ["Journey"]

_EMAIL = "ada@acme.example"
_PAST_EXPIRY = 11 * 60
_CROWD = 8
_STATE_HASH = re.compile(r"_[0-9a-f]{16}$")
_ELSEWHERE = "https://elsewhere.example"


class Unexpected(Exception):
    """A step saw something else than it should have."""

    def __init__(self, what: str, expected: object, saw: object) -> None:
        super().__init__(f"{what}: expected {expected}, saw {saw}")


@dataclass(frozen=True, slots=True)
class Line:
    """A step that went well: what was done, the status that came back, and what was seen."""

    what: str
    status: object
    seen: str


def _expect(what: str, saw: object, expected: object) -> None:
    if saw != expected:
        raise Unexpected(what, expected, saw)


def _expect_text(seen: Seen, status: int, *, says: str, but_not: str | None = None) -> None:
    _expect("status", seen.status, status)
    _expect(f"it says {says!r}", says in seen.text, expected=True)
    if but_not is not None:
        _expect(f"it says {but_not!r}", but_not in seen.text, expected=False)


def _expect_redirect(seen: Seen, path: str) -> None:
    _expect("status", seen.status, 303)
    _expect("redirect", seen.leads_to, path)


class Journey:
    """Walks as Ada: an admin at Acme, a viewer at Globex. The clock is the emulator's and the app's."""

    def __init__(self, browser: Browser, emulator: Emulator, say: Callable[[str], object]) -> None:
        self._browser = browser
        self._emulator = emulator
        self._say = say
        self._callback = ""
        self._old: dict[str, str] = {}

    async def run(self) -> bool:
        """Take every step and say a line for each; False as soon as one does not see what it should."""
        for number, step in enumerate(self._steps(), 1):
            try:
                line = await step()
            except Unexpected as problem:
                self._say(f"{number:>2}  FAILED: {problem}")
                return False
            except httpx.HTTPError as problem:
                self._say(f"{number:>2}  FAILED: expected an answer, saw {type(problem).__name__}")
                return False
            self._say(f"{number:>2}  {line.what:<36}{line.status!s:>9}  {line.seen}")
        return True

    def _steps(self) -> tuple[Callable[[], Awaitable[Line]], ...]:
        return (
            self.home_is_public,
            self.reports_need_a_session,
            self.login_leads_to_the_organisation,
            self.account_is_chosen,
            self.code_becomes_a_session,
            self.code_works_once,
            self.reports_are_acmes,
            self.expired_session_renews_itself,
            self.crowd_shares_one_refresh,
            self.outage_signs_nobody_out,
            self.outage_passes,
            self.admin_is_let_in,
            self.tenant_is_switched,
            self.reports_are_globexs,
            self.admin_is_refused,
            self.switch_back_lets_in_again,
            self.foreign_page_cannot_sign_out,
            self.logout_clears_everything,
            self.reports_are_out_of_reach,
            self.old_cookies_stay_dead,
        )

    # ------------------------------------------------------------------ signing in

    async def home_is_public(self) -> Line:
        seen = await self._browser.go("/")
        _expect_text(seen, 200, says="Continue with single sign-on")
        _expect("cookies set", seen.cookies, ())
        return Line("GET /", seen.status, "public; no cookie set")

    async def reports_need_a_session(self) -> Line:
        seen = await self._browser.go("/reports")
        _expect_redirect(seen, "/login/sso")
        return Line("GET /reports", seen.status, f"to {seen.leads_to}, nobody is signed in")

    async def login_leads_to_the_organisation(self) -> Line:
        seen = await self._browser.go(f"/login/sso?tenant={_EMAIL}&return_to=/reports")
        _expect("status", seen.status, 303)
        host = urlsplit(seen.location).netloc
        _expect("the sign-in page is at", host, urlsplit(self._emulator.base_url).netloc)
        self._callback = seen.location
        return Line("GET /login/sso?tenant=<e-mail>", seen.status, f"to Descope; set: {_cookies(seen)}")

    async def account_is_chosen(self) -> Line:
        address = self._callback
        page = await self._browser.go(address)
        _expect_text(page, 200, says="Sign in to Acme Corp")
        user = self._emulator.project.find_user(_EMAIL)
        fields = {"form_token": form_token(page), "user": user.user_id if user else ""}
        seen = await self._browser.submit(address, fields)
        _expect_redirect(seen, "/callback")
        self._callback = seen.location
        return Line("choose Ada on Descope's page", seen.status, f"to {seen.leads_to} with a one-time code")

    async def code_becomes_a_session(self) -> Line:
        seen = await self._browser.go(self._callback)
        _expect_redirect(seen, "/reports")
        _expect("cookies set", seen.cookies, ("DS", "DSR"))
        _expect("attributes", seen.attributes, "HttpOnly, SameSite=Lax")
        return Line("GET /callback", seen.status, f"to {seen.leads_to}; set: {_cookies(seen)}")

    async def code_works_once(self) -> Line:
        seen = await self._browser.go(self._callback)
        _expect("status", seen.status, 400)
        _expect("cookies set", seen.cookies, ())
        return Line("GET /callback, the same again", seen.status, "refused; no cookie set")

    # ------------------------------------------------------------------ being signed in

    async def reports_are_acmes(self) -> Line:
        seen = await self._browser.go("/reports")
        _expect_text(seen, 200, says="North bridge", but_not="Cooling tower")
        _expect("dct", self._claims("dct"), "acme")
        return Line("GET /reports", seen.status, "Acme's reports and no others; dct acme")

    async def expired_session_renews_itself(self) -> Line:
        before, calls, expiry = self._cookies(), self._refreshes(), self._expiry()
        self._emulator.clock.advance(_PAST_EXPIRY)
        seen = await self._browser.go("/reports")
        _expect_text(seen, 200, says="North bridge")
        _expect("refresh calls", self._refreshes() - calls, 1)
        self._expect_new_pair(seen, before)
        moved = self._expiry() - expiry
        _expect(
            f"expiry moved on by {moved} s, to after now",
            self._expiry() > self._emulator.clock(),
            expected=True,
        )
        return Line(
            "clock +11 min, GET /reports",
            seen.status,
            f"refreshed: 1 call, new DS and DSR, expires +{moved} s",
        )

    async def crowd_shares_one_refresh(self) -> Line:
        calls = self._refreshes()
        self._emulator.clock.advance(_PAST_EXPIRY)
        crowd = await asyncio.gather(*(self._browser.go("/reports") for _ in range(_CROWD)))
        _expect("statuses", {seen.status for seen in crowd}, {200})
        _expect("refresh calls", self._refreshes() - calls, 1)
        return Line(
            f"clock +11 min, {_CROWD} requests at once",
            f"{_CROWD} x 200",
            "refreshed: 1 call for all of them",
        )

    async def outage_signs_nobody_out(self) -> Line:
        before = self._cookies()
        self._emulator.clock.advance(_PAST_EXPIRY)
        self._emulator.faults.add("*", status=500, times=_CROWD)
        seen = await self._browser.go("/reports")
        _expect("status", seen.status, 503)
        _expect("cookies", self._cookies(), before)
        return Line("clock +11 min, Descope is down", seen.status, "asked to come back; both cookies kept")

    async def outage_passes(self) -> Line:
        before = self._cookies()
        self._emulator.faults.clear()
        seen = await self._browser.go("/reports")
        _expect_text(seen, 200, says="North bridge")
        self._expect_new_pair(seen, before)
        return Line("Descope is back, GET /reports", seen.status, "still signed in; new DS and DSR")

    # ------------------------------------------------------------------ tenants and roles

    async def admin_is_let_in(self) -> Line:
        seen = await self._browser.go("/admin")
        _expect_text(seen, 200, says="Ada Lovelace")
        return Line("GET /admin", seen.status, "allowed: Ada is an admin at Acme")

    async def tenant_is_switched(self) -> Line:
        before = self._cookies()
        seen = await self._switch_to("globex")
        self._expect_new_pair(seen, before)
        return Line("POST /tenant/select globex", seen.status, "dct acme -> globex; new DS and DSR")

    async def reports_are_globexs(self) -> Line:
        seen = await self._browser.go("/reports")
        _expect_text(seen, 200, says="Cooling tower", but_not="North bridge")
        foreign = await self._browser.go("/reports/A-1042")
        _expect("status of Acme's report", foreign.status, 404)
        return Line("GET /reports", seen.status, "Globex's reports and no others; Acme's answer 404")

    async def admin_is_refused(self) -> Line:
        seen = await self._browser.go("/admin")
        _expect_text(seen, 403, says="You do not have access to this")
        return Line("GET /admin", seen.status, "refused: Ada is a viewer at Globex")

    async def switch_back_lets_in_again(self) -> Line:
        await self._switch_to("acme")
        seen = await self._browser.go("/admin")
        _expect_text(seen, 200, says="Ada Lovelace")
        return Line("switch back to acme, GET /admin", seen.status, "dct globex -> acme; allowed again")

    # ------------------------------------------------------------------ signing out

    async def foreign_page_cannot_sign_out(self) -> Line:
        seen = await self._browser.submit("/logout", {}, from_site=_ELSEWHERE)
        _expect("status", seen.status, 403)
        _expect("cookies removed", seen.removed, ())
        return Line("POST /logout from another site", seen.status, "refused; both cookies kept")

    async def logout_clears_everything(self) -> Line:
        self._old = self._cookies()
        seen = await self._browser.submit("/logout", {})
        _expect_redirect(seen, "/")
        _expect("cookies removed", seen.removed, ("DS", "DSR"))
        _expect("cookies left", self._cookies(), {})
        _expect("logout calls", self._emulator.requests.count("logout"), 1)
        return Line("POST /logout", seen.status, "DS and DSR removed; Descope was told")

    async def reports_are_out_of_reach(self) -> Line:
        seen = await self._browser.go("/reports")
        _expect_redirect(seen, "/login/sso")
        return Line("GET /reports", seen.status, f"to {seen.leads_to}, nobody is signed in")

    async def old_cookies_stay_dead(self) -> Line:
        self._emulator.clock.advance(_PAST_EXPIRY)
        seen = await self._browser.call("/api/me", self._old)
        _expect_text(seen, 401, says="session_ended")
        return Line("clock +11 min, the old cookies again", seen.status, "refused: signed out is signed out")

    # ------------------------------------------------------------------ looking

    async def _switch_to(self, tenant: str) -> Seen:
        seen = await self._browser.submit("/tenant/select", {"tenant": tenant, "return_to": "/reports"})
        _expect_redirect(seen, "/reports")
        _expect("dct", self._claims("dct"), tenant)
        return seen

    def _expect_new_pair(self, seen: Seen, before: dict[str, str]) -> None:
        _expect("cookies set", seen.cookies, ("DS", "DSR"))
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


def _cookies(seen: Seen) -> str:
    """Names and attributes. The name of a login's cookie ends in a hash of its state, so that is left out."""
    names = (_STATE_HASH.sub("_*", name) for name in seen.cookies)
    return f"{', '.join(names)} ({seen.attributes})"
