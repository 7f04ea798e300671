"""An HTML page of the site: its template, the session, and security headers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from fastapi_descope import AuthSession, OptionalSession
from fastapi_descope import Page as DescopePage

from .samples import NAMES

__all__ = ["CurrentPage", "Page", "current_page", "redirect", "render_descope_page"]

_HERE = Path(__file__).parent

_HEADERS = {
    # The site loads nothing from other origins, and no inline script runs. form-action is left out because
    # browsers apply it to redirects too: the login form redirects to the identity provider, whose origin is
    # unknown.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def _organisation(tenant_id: str) -> str:
    return NAMES.get(tenant_id, tenant_id)


_METHODS = {
    "email": "a link or a code by e-mail",
    "fed": "single sign-on",
    "mfa": "a second factor",
    "oauth": "a social account",
    "pwd": "a password",
    "sms": "a code by SMS",
    "totp": "an authenticator app",
    "webauthn": "a passkey",
    "whatsapp": "WhatsApp",
}


def _authentication_method(reference: str) -> str:
    """Return a label for a value of ``amr``: one of Descope's, or of RFC 8176."""
    return _METHODS.get(reference, reference)


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%H:%M:%S UTC, %d %b %Y")


def _machine_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _templates() -> Jinja2Templates:
    templates = Jinja2Templates(_HERE / "templates")
    templates.env.trim_blocks = templates.env.lstrip_blocks = True
    filters: dict[str, Callable[..., str]] = {
        "organisation": _organisation,
        "method": _authentication_method,
        "moment": _utc,
        "machine_time": _machine_time,
        "duration": _duration,
    }
    templates.env.filters.update(filters)
    return templates


_TEMPLATES = _templates()


@dataclass(frozen=True, slots=True)
class Page:
    """The request, and the session if the user is signed in. Every page needs both."""

    request: Request
    session: AuthSession | None

    def render(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        context = {"session": self.session, "now": self.request.app.state.clock(), **values}
        return _TEMPLATES.TemplateResponse(
            self.request, template, context, status_code=status, headers=_HEADERS
        )


def render_descope_page(request: Request, page: DescopePage) -> str:
    """Return a page of the plugin in the look of the site."""
    template = _TEMPLATES.get_template("descope.html")
    return template.render(request=request, page=page, language=page.language, direction=page.direction)


def redirect(request: Request, path: str) -> Response:
    """Return the redirect after a form, also for HTMX, which follows the header instead of the status."""
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": path})
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


async def current_page(request: Request, session: OptionalSession) -> Page:
    """Return the page of this request. Because it uses the session, the response gets ``Vary: Cookie``."""
    return Page(request, session)


CurrentPage = Annotated[Page, Depends(current_page)]
