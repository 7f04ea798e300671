"""The pages that people see when signing in does not work: one sentence, and a way on.

Plain HTML with its style inside, no script and nothing loaded, so that they show even when everything
else is down. Of the request they hold two things, both escaped: the path of the login, and on the page that
asks for the organisation the return path, which has been checked by then (CB-06, RT-15).
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
    SessionTooLarge,
    StepUpRequired,
    UpstreamUnavailable,
)

__all__ = ["PAGE_HEADERS", "error_page", "organisation_page"]

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
"""Sent with every page. The code in a callback's address must not leak as a referrer (CB-10)."""


def error_page(
    error: DescopeError, *, login_path: str | None, home_path: str, again: bool, has_session: bool
) -> str:
    """The page for ``error``: what happened, and a way to start again.

    ``again`` tells that the same address may be asked for once more: an outage passes. ``has_session``
    tells whether there is a session that the reader may worry about.
    """
    links: list[str] = []
    if again and isinstance(error, UpstreamUnavailable):
        links.append('<a href="">Try again</a>')  # an empty reference is the page's own address
    elif login_path is not None and not isinstance(error, (ConfigurationError, SessionTooLarge)):
        words = "Confirm who you are" if isinstance(error, StepUpRequired) else "Sign in again"
        links.append(f'<a href="{escape(login_path)}">{words}</a>')
    links.append(f'<a class="quiet" href="{escape(home_path)}">Go to the start page</a>')
    detail = error.detail if error.detail != error.title else _what_now(error, has_session=has_session)
    return _page(error.title, detail, f'<div class="actions">{"".join(links)}</div>')


def organisation_page(*, detail: str, login_path: str, carried: Mapping[str, str], tenant: str = "") -> str:
    """The page that asks whose single sign-on to use: a work e-mail, or the organisation's id.

    ``carried`` has been checked; it goes along with the answer. With ``tenant`` it asks somebody who is
    signed in already whether to go on with that one, to which another site sent them.
    """
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in carried.items()
    )
    form = (
        f'<form action="{escape(login_path)}" method="get">{hidden}'
        '<label for="tenant">Work e-mail or organisation</label>'
        f'<input id="tenant" name="tenant" value="{escape(tenant)}" required maxlength="254"'
        ' autocomplete="username" autofocus><button>Continue</button></form>'
    )
    return _page("Sign in again?" if tenant else "Sign in", _ANOTHER_SITE if tenant else detail, form)


def forwarding_page(url: str) -> str:
    """The page that goes on to ``url`` by itself, which makes it a navigation of this site's own."""
    go_on = f'<meta http-equiv="refresh" content="0;url={escape(url)}">'
    return _page("Signed in", "One moment.", f'{go_on}<a href="{escape(url)}">Continue</a>')


_ANOTHER_SITE = (
    "Another site sent you here to sign in at the organisation below, and you are signed in already."
    " Continue only if you want to sign in anew."
)


def _what_now(error: DescopeError, *, has_session: bool) -> str:
    if has_session and isinstance(error, UpstreamUnavailable):
        return "This is not your fault, and you are not signed out. Try again in a moment."
    if not has_session and isinstance(error, Forbidden):  # a login hook says so, and nobody is signed in
        return "Your account is not allowed to do this."
    by_code = _WHAT_NOW.get(error.code)
    return by_code or _WHAT_NOW_BY_STATUS.get(error.status, "")


_WHAT_NOW: Mapping[str, str] = {
    "login_rejected": "You can start again. If it does not help, ask the people who run this application.",
    "step_up_required": "You are signed in, and this needs to be confirmed. What you have just sent was not"
    " kept: confirm, and send it again.",
    "session_too_large": "Your account has more in it than a browser keeps. Signing in again does not help:"
    " the people who run this application have to look at it.",
}
"""What to do about an error that says no more than its title, by its code."""

_WHAT_NOW_BY_STATUS: Mapping[int, str] = {
    400: "Nothing was changed. Go back and start again.",
    401: "You are not signed in, or your session has ended.",
    403: "You are signed in, but your account is not allowed to do this.",
    500: "The people who run this application have to look at it.",
    502: "This is not your fault. Try again in a moment.",
    503: "This is not your fault. Try again in a moment.",
}


def _page(title: str, detail: str, actions: str) -> str:
    return _PAGE.substitute(style=_STYLE, title=escape(title), detail=escape(detail), actions=actions)
