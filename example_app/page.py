"""One page of the site: a template, and what the frame around it shows of the session."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from fastapi_descope import AuthSession, OptionalSession

from .samples import NAMES

__all__ = ["AnyPage", "Page", "page_for"]

_HERE = Path(__file__).parent

_HEADERS = {
    # There is no script and nothing comes from elsewhere. form-action is left out on purpose: the sign-in
    # form leads through a redirect to the organisation's identity provider, whose address nobody knows.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def _organisation(tenant_id: str) -> str:
    return NAMES.get(tenant_id, tenant_id)


def _method(reference: str) -> str:
    """A value of ``amr`` in words, where there are any (RFC 8176)."""
    return {"fed": "single sign-on", "mfa": "a second factor", "pwd": "a password"}.get(reference, reference)


def _moment(epoch: float) -> str:
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
        "method": _method,
        "moment": _moment,
        "machine_time": _machine_time,
        "duration": _duration,
    }
    templates.env.filters.update(filters)
    return templates


_TEMPLATES = _templates()


@dataclass(frozen=True, slots=True)
class Page:
    """What every page knows: the request, and the session if somebody is signed in."""

    request: Request
    session: AuthSession | None

    def render(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        context = {"session": self.session, "now": self.request.app.state.clock(), **values}
        return _TEMPLATES.TemplateResponse(
            self.request, template, context, status_code=status, headers=_HEADERS
        )


async def page_for(request: Request, session: OptionalSession) -> Page:
    """The page of this request. Asking for the session is what makes the response ``Vary: Cookie``."""
    return Page(request, session)


AnyPage = Annotated[Page, Depends(page_for)]
