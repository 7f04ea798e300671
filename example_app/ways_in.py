"""The second part of the journey: the same user signs in with Google, then with a link by e-mail."""

from fastapi_descope.emulator import Emulator

from .browser import Browser, hidden_fields
from .steps import EMAIL, Step, StepResult, expect, expect_redirect, expect_text, select_user, session_cookies

__all__ = ["WaysIn"]

_ACCOUNT = "/account"


class WaysIn:
    """The steps of Ada, who is not signed in."""

    def __init__(self, browser: Browser, emulator: Emulator) -> None:
        self._browser = browser
        self._emulator = emulator
        self._next = ""

    def steps(self) -> tuple[Step, ...]:
        """Return the steps in their order."""
        return (
            self.login_page_offers_the_ways,
            self.google_is_asked,
            self.user_is_selected,
            self.social_login_sets_the_session,
            self.organisation_is_asked_for,
            self.logout_ends_the_session,
            self.link_is_sent,
            self.opening_the_link_consumes_nothing,
            self.link_signs_in,
        )

    async def login_page_offers_the_ways(self) -> StepResult:
        response = await self._browser.navigate(f"/login?return_to={_ACCOUNT}")
        for way in ("Work e-mail", "Continue with Google", "Continue with GitHub", "E-mail me a link"):
            expect_text(response, 200, contains=way)
        return StepResult("GET /login", response.status, "offers single sign-on, Google, GitHub and a link")

    async def google_is_asked(self) -> StepResult:
        response = await self._browser.navigate(f"/login/oauth/google?return_to={_ACCOUNT}")
        expect("status", response.status, 303)
        self._next = response.location
        return StepResult("GET /login/oauth/google", response.status, "redirects to Descope")

    async def user_is_selected(self) -> StepResult:
        self._next = await select_user(self._browser, self._emulator, self._next, title="Sign in to Google")
        return StepResult("select Ada on Google's page", 303, "redirects to /callback with a one-time code")

    async def social_login_sets_the_session(self) -> StepResult:
        response = await self._browser.navigate(self._next)
        expect_redirect(response, _ACCOUNT)
        expect("cookies set", session_cookies(response.set_cookies), ("DS", "DSR"))
        page = await self._browser.navigate(_ACCOUNT)
        expect_text(page, 200, contains="a social account")
        return StepResult("GET /callback, GET /account", page.status, "signed in with a social account")

    async def organisation_is_asked_for(self) -> StepResult:
        response = await self._browser.navigate("/reports")
        expect_text(response, 403, contains="Where do you want to work?", lacks="North bridge")
        return StepResult("GET /reports", response.status, "asks for an organisation: Google names none")

    async def logout_ends_the_session(self) -> StepResult:
        response = await self._browser.submit_form("/logout", {})
        expect_redirect(response, "/")
        expect("cookies left", self._browser.cookies("DS", "DSR"), {})
        return StepResult("POST /logout", response.status, "DS and DSR removed")

    async def link_is_sent(self) -> StepResult:
        fields = {"email": EMAIL, "return_to": _ACCOUNT}
        response = await self._browser.submit_form("/login/magiclink", fields)
        expect_text(response, 200, contains="Look in your mailbox")
        self._next = self._emulator.outbox.last(EMAIL).link
        return StepResult("POST /login/magiclink", response.status, "the link is in the emulator's outbox")

    async def opening_the_link_consumes_nothing(self) -> StepResult:
        responses = [await self._browser.navigate(self._next) for _ in range(2)]
        for response in responses:
            expect_text(response, 200, contains="Finish signing in")
        expect("tokens verified", self._emulator.requests.count("magiclink_verify"), 0)
        return StepResult("open the link twice", "2 x 200", "nothing is consumed; a button to sign in")

    async def link_signs_in(self) -> StepResult:
        fields = hidden_fields(await self._browser.navigate(self._next))
        response = await self._browser.submit_form("/login/magiclink/verify", fields)
        expect_redirect(response, _ACCOUNT)
        expect("cookies set", session_cookies(response.set_cookies), ("DS", "DSR"))
        page = await self._browser.navigate(_ACCOUNT)
        expect_text(page, 200, contains="a link or a code by e-mail")
        return StepResult("press the button, GET /account", page.status, "signed in with a link by e-mail")
