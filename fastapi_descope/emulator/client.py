"""A client of the emulator's sign-in page, for tests and tools that sign in without a browser."""

import re
from html import unescape

__all__ = ["submit_login_form"]

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


def submit_login_form(page: str, login_id: str | None) -> dict[str, str]:
    """Return the form fields that sign in as ``login_id``, or refuse the sign-in.

    The caller posts them to the URL of the page. No network call.

    Args:
        page: The HTML of the sign-in page.
        login_id: The user to sign in as; None to refuse.

    Raises:
        LookupError: The page has no sign-in form, for example because the sign-in has ended.
    """
    form_token = _FORM_TOKEN.search(page)
    if form_token is None:
        raise LookupError("The page of the emulator has no sign-in form")
    choice = {"refuse": "yes"} if login_id is None else {"login_id": login_id}
    return {"form_token": unescape(form_token[1])} | choice
