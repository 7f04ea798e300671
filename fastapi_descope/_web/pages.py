"""HTML pages for users: errors, the question for the organisation, and the forwarding page.

The pages have inline styles, no script and no external resources, so that they work while everything else is
down. Only two values of the request appear in them, both escaped (CB-06, RT-15): the paths of login and
logout, and the validated parameters of a login. ``notp_page`` has the pages of an nOTP sign-in.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from string import Template

from ..errors import (
    ConfigurationError,
    DescopeError,
    Forbidden,
    LoginRejected,
    SessionCheckFailed,
    SessionTooLarge,
    StepUpRequired,
    UpstreamUnavailable,
)

__all__ = [
    "FORM_PAGE_HEADERS",
    "PAGE_HEADERS",
    "confirmation_page",
    "error_page",
    "forwarding_page",
    "organisation_page",
    "page",
    "turbo_page",
]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6474; --paper: #f5f6f8; --card: #fff;
  --line: #dfe3ea; --accent: #2456d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a3acbd; --paper: #12151c;
  --card: #1b202b; --line: #303849; --accent: #8fb0ff; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 26rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; padding: 2rem; }
h1 { margin: 0 0 .5rem; font-size: 1.25rem; line-height: 1.3; }
p { margin: 0 0 1.25rem; color: var(--soft); }
label { display: block; margin-bottom: .25rem; font-weight: 600; }
input { width: 100%; margin-bottom: 1rem; padding: .6rem .75rem; font: inherit; color: inherit;
  background: transparent; border: 1px solid var(--line); border-radius: .5rem; }
a, button { display: inline-block; padding: .6rem 1rem; border: 1px solid var(--accent);
  border-radius: .5rem; font: inherit; font-weight: 600; text-decoration: none; cursor: pointer;
  color: var(--card); background: var(--accent); }
.actions { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
svg { display: block; width: 14rem; max-width: 100%; margin: 0 auto 1.25rem; }
[hidden] { display: none; }
a.quiet { padding-inline: 0; color: var(--accent); background: none; border-color: transparent; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
<p>$detail</p>
$actions
</main>
</body>
</html>
"""
)

_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every page. The code in the URL of a callback must not leak as a referrer (CB-10)."""

FORM_PAGE_HEADERS: Mapping[str, str] = {**PAGE_HEADERS, "Referrer-Policy": "strict-origin"}
"""Headers of a page with a POST form. With ``no-referrer`` browsers send ``Origin: null`` for it (CS-01)."""


def error_page(
    error: DescopeError,
    *,
    login_path: str | None,
    logout_path: str | None,
    home_path: str,
    can_retry: bool,
    has_session: bool,
) -> str:
    """Return the page for ``error``, with links to continue.

    Args:
        error: The error. Its detail is shown if it says more than its title.
        login_path: Target of the link to sign in; None hides the link.
        logout_path: Target of the form to sign out; None hides the form.
        home_path: Target of the link to the start page.
        can_retry: Whether the page may link to its own URL, to repeat the request after an outage.
        has_session: Whether the browser sent a session, so that the page can say that it is kept.
    """
    links: list[str] = []
    if can_retry and isinstance(error, (UpstreamUnavailable, SessionCheckFailed)):
        links.append('<a href="">Try again</a>')  # an empty href is the URL of the page itself
    elif login_path is not None and not isinstance(error, (ConfigurationError, SessionTooLarge)):
        label = "Confirm who you are" if isinstance(error, StepUpRequired) else "Sign in again"
        links.append(f'<a href="{escape(login_path)}">{label}</a>')
    if logout_path is not None:
        links.append(f'<form action="{escape(logout_path)}" method="post"><button>Sign out</button></form>')
    links.append(f'<a class="quiet" href="{escape(home_path)}">Go to the start page</a>')
    detail = error.detail if error.detail != error.title else _advice(error, has_session=has_session)
    if isinstance(error, LoginRejected):
        detail += " You are still signed in as before." if has_session else " You are not signed in."
    return page(error.title, detail, f'<div class="actions">{"".join(links)}</div>')


def organisation_page(*, detail: str, login_path: str, carried: Mapping[str, str]) -> str:
    """Return the page that asks for a work e-mail or an organisation id.

    Args:
        detail: The sentence that explains the question.
        login_path: Where the form is submitted.
        carried: Validated parameters of the login, submitted along with the form.
    """
    return page("Sign in", detail, _login_form(login_path, carried, _tenant_field("")))


def confirmation_page(
    *, login_path: str, home_path: str, carried: Mapping[str, str], is_crowded: bool = False
) -> str:
    """Return the page on which a user confirms a login that another site has begun.

    Args:
        login_path: Where the form is submitted.
        home_path: Target of the link to the start page.
        carried: Validated parameters of the login. The user sees the organisation.
        is_crowded: Whether many such logins begin at the moment. Otherwise the user may be signed in.
    """
    tenant = carried.get("tenant")
    hidden = {name: value for name, value in carried.items() if name != "tenant"}
    form = _login_form(login_path, hidden, _tenant_field(tenant) if tenant else "")
    detail = (
        _CROWDED
        if is_crowded
        else f"{_ANOTHER_SITE}{' at the organisation below' if tenant else ''}. {_STAY}"
    )
    home = f'<a class="quiet" href="{escape(home_path)}">Go to the start page</a>'
    return page("Sign in?" if is_crowded else "Sign in again?", detail, form + home)


def _login_form(login_path: str, hidden: Mapping[str, str], fields: str) -> str:
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    return (
        f'<form action="{escape(login_path)}" method="get">{inputs}{fields}<button>Continue</button></form>'
    )


def _tenant_field(tenant: str) -> str:
    return (
        '<label for="tenant">Work e-mail or organisation</label>'
        f'<input id="tenant" name="tenant" value="{escape(tenant)}" required maxlength="254"'
        ' autocomplete="username" autofocus>'
    )


def turbo_page(page: str, url: str | None, *, in_frame: bool) -> str:
    """Return ``page`` with marks for Turbo.

    Args:
        page: The page.
        url: Where the browser navigates as soon as Turbo shows the page; None to stay.
        in_frame: Whether a frame has requested it. It replaces the whole page then.
    """
    marks = '<meta name="turbo-visit-control" content="reload">' if in_frame else ""
    return page.replace("<title>", f"{marks}{_refresh(url) if url else ''}<title>", 1)


def forwarding_page(url: str) -> str:
    """Return a page that navigates to ``url``, so that the navigation is same-site."""
    return page("Signed in", "One moment.", f'{_refresh(url)}<a href="{escape(url)}">Continue</a>')


def _refresh(url: str) -> str:
    return f'<meta http-equiv="refresh" content="0;url={escape(url)}">'


_ANOTHER_SITE = "Another site sent you here to sign in"
_STAY = (
    "If you were signed in, you still are. Continue only if you want to sign in again, possibly as another"
    " user."
)
_CROWDED = "Other sites send many browsers here to sign in at the moment. Continue if you want to sign in."


def _advice(error: DescopeError, *, has_session: bool) -> str:
    """Return what the user can do about an error whose detail is only its title."""
    if has_session and isinstance(error, (UpstreamUnavailable, SessionCheckFailed)):
        return "This is not your fault. You are still signed in. Please try again in a moment."
    if isinstance(error, SessionTooLarge):
        return f"{_STILL if has_session else 'You are not signed in.'} {_TOO_LARGE}"
    if not has_session and isinstance(error, Forbidden):  # raised by a hook during a login
        return "Your account is not allowed to do this."
    return _ADVICE_BY_CODE.get(error.code) or _ADVICE_BY_STATUS.get(error.status, "")


_STILL = "You are still signed in, but this application cannot use the new session."

_TOO_LARGE = (
    "Your account has more data than a browser can keep. Signing in again does not help. Please tell the"
    " people who run this application."
)

_ADVICE_BY_CODE: Mapping[str, str] = {
    "session_ended": "Please sign in again.",
    "login_rejected": "You can start again. If that does not help, ask the people who run this application.",
    "step_up_required": "You are signed in, but this step needs your confirmation."
    " What you sent was not saved. Please confirm, and then send it again.",
}

_ADVICE_BY_STATUS: Mapping[int, str] = {
    400: "Nothing was changed. Please go back and start again.",
    401: "You are not signed in, or your session has ended.",
    403: "You are signed in, but your account is not allowed to do this.",
    500: "Please tell the people who run this application.",
    502: "This is not your fault. Please try again in a moment.",
    503: "This is not your fault. Please try again in a moment.",
}


def page(title: str, detail: str, actions: str) -> str:
    """Return a page. Title and detail are text, which is escaped; ``actions`` is HTML."""
    return _PAGE.substitute(style=_STYLE, title=escape(title), detail=escape(detail), actions=actions)
