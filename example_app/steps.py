"""What the steps of a journey have in common: their results, and what they expect."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi_descope.emulator import Emulator

from .browser import Browser, PageResponse, hidden_fields

__all__ = [
    "EMAIL",
    "Step",
    "StepFailed",
    "StepResult",
    "expect",
    "expect_redirect",
    "expect_text",
    "select_user",
    "session_cookies",
]

EMAIL = "ada@acme.example"


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


def expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise StepFailed(what, expected, actual)


def expect_text(response: PageResponse, status: int, *, contains: str, lacks: str | None = None) -> None:
    expect("status", response.status, status)
    expect(f"contains {contains!r}", contains in response.text, expected=True)
    if lacks is not None:
        expect(f"contains {lacks!r}", lacks in response.text, expected=False)


def expect_redirect(response: PageResponse, path: str) -> None:
    expect("status", response.status, 303)
    expect("redirect", response.redirect_path, path)


def session_cookies(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names without those of cookies that belong to a login and stay for a minute."""
    return tuple(name for name in names if not name.startswith("descope_"))


async def select_user(browser: Browser, emulator: Emulator, sign_in_page: str, *, title: str) -> str:
    """Select Ada on the emulator's sign-in page with this title, and return the URL of the callback."""
    page = await browser.navigate(sign_in_page)
    expect_text(page, 200, contains=title)
    user = emulator.project.find_user(EMAIL)
    fields = hidden_fields(page) | {"user": user.user_id if user else ""}
    response = await browser.submit_form(sign_in_page, fields)
    expect_redirect(response, "/callback")
    return response.location


Step = Callable[[], Awaitable[StepResult]]
