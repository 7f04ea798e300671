"""Renders the emulator's pages: self-contained, not cached, and not embeddable in frames."""

import secrets
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..api.request_parsing import read_body

__all__ = ["PRIVATE_HEADERS", "PageRenderer", "read_form"]

PRIVATE_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of responses that caches and other sites must not see."""


class PageRenderer:
    """Renders the templates with a content security policy that allows only the page's own style."""

    def render(
        self,
        template: str,
        status: int = 200,
        *,
        form_action: str = "'none'",
        scripted: bool = False,
        **values: object,
    ) -> Response:
        """Return a page.

        Args:
            template: The file name of the template.
            status: The status.
            form_action: Where the forms of the page may lead (CSP).
            scripted: Allow the page's own script, which may call this origin only.
            **values: The variables of the template.
        """
        nonce = secrets.token_urlsafe(16)
        html = _templates().get_template(template).render(nonce=nonce, **values)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action {form_action}"
        )
        if scripted:
            policy += f"; script-src 'nonce-{nonce}'; connect-src 'self'"
        return HTMLResponse(html, status, {"content-security-policy": policy} | PRIVATE_HEADERS)

    def render_notice(self, status: int, title: str, text: str) -> Response:
        """Return a page with a title and a text."""
        return self.render("notice.html", status, title=title, text=text)


@cache
def _templates() -> Environment:
    # One for all emulators of a process: compiling the templates takes longer than a login.
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


async def read_form(request: Request) -> dict[str, str]:
    """Return the first value of each field of an urlencoded form, without empty ones.

    Raises:
        ApiError: The form is larger than 64 KiB.
    """
    fields = parse_qs((await read_body(request)).decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}
