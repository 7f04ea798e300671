"""The form of the emulator's sign-in page, filled in by a program that plays a person."""

import re
from html import unescape

__all__ = ["submit_login_form"]

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


def submit_login_form(page: str, login_id: str | None) -> dict[str, str]:
    """What the form sends for whoever types this login id; without one, for whoever refuses.

    Raises LookupError for another page, such as that of a sign-in that is over.
    """
    form_token = _FORM_TOKEN.search(page)
    if form_token is None:
        raise LookupError("The emulator showed no sign-in page that could be filled in")
    choice = {"refuse": "yes"} if login_id is None else {"login_id": login_id}
    return {"form_token": unescape(form_token[1])} | choice
