"""The page where a person picks who to be: what an identity provider's sign-in page does."""

import secrets
from pathlib import Path
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from .arguments import read_body
from .authority import Authority
from .logins import Login, Logins
from .project import User
from .redirects import form_target, with_parameters

__all__ = ["SignInPage"]

_REFUSED = {
    "err": "access_denied",
    "error": "access_denied",
    "error_description": "The sign-in was refused",
}
_QUIET = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    return Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)


class SignInPage:
    """``/signin/{page}``: lists the tenant's users, and lets one say no.

    A page works once. The form is safe from other sites: the page's id cannot be guessed, the form holds
    a token of its own, and the emulator refuses cross-site posts.
    """

    def __init__(self, authority: Authority, logins: Logins) -> None:
        self._authority = authority
        self._logins = logins
        self._templates = _templates()

    @property
    def routes(self) -> list[Route]:
        """The page and the answer to it, under one endpoint name."""
        return [
            Route("/signin/{page}", self.show, methods=["GET"], name="signin"),
            Route("/signin/{page}", self.answer, methods=["POST"], name="signin"),
        ]

    async def show(self, request: Request) -> Response:
        """The page, or 404 once it was answered or is ten minutes old."""
        login = self._logins.find(request.path_params["page"])
        if login is None:
            return self._gone()
        hint = login.login_hint.lower()
        return self._html(
            "signin.html",
            200,
            form_action=f"'self' {form_target(login.redirect_url)}",
            login=login,
            users=self._choices(login),
            hinted=next((one for one in self._choices(login) if one.login_id.lower() == hint), None),
        )

    async def answer(self, request: Request) -> Response:
        """Send the browser back: with a code, or with the refusal. 400 for a form that is not ours."""
        page = request.path_params["page"]
        login = self._logins.find(page)
        if login is None:
            return self._gone()
        form = await _form(request)
        user = next((u for u in self._choices(login) if u.user_id == form.get("user")), None)
        refused = form.get("refuse") == "yes"
        if not login.is_from_page(form.get("form_token", "")) or refused == (user is not None):
            return self._notice(400, "That did not come from the sign-in page", "Go back and pick again.")
        self._logins.end(page)
        parameters = _REFUSED if user is None else {"code": self._logins.confirm(login, user)}
        location = with_parameters(login.redirect_url, parameters)
        return Response(status_code=303, headers={"location": location} | _QUIET)

    def _choices(self, login: Login) -> tuple[User, ...]:
        members = self._authority.project.members(login.tenant.id)
        return tuple(one for one in members if login.user_id in {None, one.user_id})

    def _gone(self) -> Response:
        return self._notice(
            404, "This sign-in is over", "It was finished, or left open too long. Start again in the app."
        )

    def _notice(self, status: int, title: str, text: str) -> Response:
        return self._html("notice.html", status, form_action="'none'", title=title, text=text)

    def _html(self, template: str, status: int, *, form_action: str, **values: object) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = self._templates.get_template(template).render(nonce=nonce, **values)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action {form_action}"
        )
        return HTMLResponse(html, status, {"content-security-policy": policy} | _QUIET)


async def _form(request: Request) -> dict[str, str]:
    """The first value of each field of an urlencoded form."""
    fields = parse_qs((await read_body(request)).decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}
