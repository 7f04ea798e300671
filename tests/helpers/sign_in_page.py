"""A person on the emulator's sign-in page, without a browser."""

import re
import ssl

import httpx

from fastapi_descope.emulator import SeedUser

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to load them takes longer than the visit


def choose(page_url: str, login_id: str | None) -> httpx.URL:
    """Press a user's button on the page, or refuse; the value is where the browser is sent."""
    with httpx.Client(verify=_NO_AUTHORITIES) as browser:
        page = browser.get(page_url)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token is not None
        choice = {"refuse": "yes"} if login_id is None else {"user": SeedUser(login_id).user_id}
        answer = browser.post(page_url, data={"form_token": token[1]} | choice)
    assert answer.status_code == 303
    return httpx.URL(answer.headers["location"])
