"""The emulator's pages: rendered on the server, self-contained, and not to be framed, cached or extended."""

import secrets
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
"""Headers for answers whose address or content is nobody else's business."""


class PageRenderer:
    """Renders the templates. Each page allows its own style and nothing else, unless told."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(
        self,
        template: str,
        status: int = 200,
        *,
        form_action: str = "'none'",
        scripted: bool = False,
        **values: object,
    ) -> Response:
        """A page. ``form_action`` says where its forms may lead (CSP).

        ``scripted`` lets the page's own script run, which may ask this origin and no other.
        """
        nonce = secrets.token_urlsafe(16)
        html = self._templates.get_template(template).render(nonce=nonce, **values)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action {form_action}"
        )
        if scripted:
            policy += f"; script-src 'nonce-{nonce}'; connect-src 'self'"
        return HTMLResponse(html, status, {"content-security-policy": policy} | PRIVATE_HEADERS)

    def render_notice(self, status: int, title: str, text: str) -> Response:
        """A page that says one thing."""
        return self.render("notice.html", status, title=title, text=text)


async def read_form(request: Request) -> dict[str, str]:
    """The first value of each field of an urlencoded form, empty ones left out.

    Raises ApiError for a form of more than 64 KiB.
    """
    fields = parse_qs((await read_body(request)).decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}
