"""The HTML pages of an nOTP sign-in: the page with the QR code, and the page for browsers without scripts.

The script is the only one that the plugin serves. It is inline, never changes, and the policy of the page
allows it by its hash. It gets its parameters from attributes, and writes text only (NP-05).
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from string import Template

from .pages import FORM_PAGE_HEADERS, PAGE_HEADERS, page

__all__ = ["CODE_PAGE_HEADERS", "CodePage", "waiting_page"]

_SCRIPT = """
"use strict";
const box = document.getElementById("notp");
const { url, state, returnTo } = box.dataset;
const interval = 1000 * box.dataset.interval;
const deadline = Date.now() + 1000 * box.dataset.seconds;
const OUTAGES = ["rate_limited", "upstream_unavailable"];
const element = (id) => document.getElementById(id);
let due = Date.now() + interval;
let isPolling = false;

function finish(text) {
  clearInterval(timer);
  element("status").textContent = text;
  element("timer").textContent = "";
  element("code").hidden = true;
  document.querySelector("main > p").hidden = true;
}

async function poll() {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ state }),
  });
  const body = await response.json();
  if (response.status === 200) {
    const { name, email, id } = body.user;
    finish(`Signed in as ${name || email || id}.`);
    element("continue").hidden = false;
    element("again").hidden = true;
    setTimeout(() => location.replace(returnTo), 2000);
  } else if (response.status === 202 || OUTAGES.includes(body.code)) {
    due = Date.now() + Math.max(interval, 1000 * response.headers.get("Retry-After"));
  } else {
    finish(body.detail || "Signing in did not work.");
  }
}

function tick() {
  const left = Math.ceil((deadline - Date.now()) / 1000);
  if (left <= 0) {
    finish("This code has expired.");
    return;
  }
  const seconds = String(left % 60).padStart(2, "0");
  element("timer").textContent = `The code is valid for ${Math.floor(left / 60)}:${seconds}.`;
  if (document.hidden || isPolling || Date.now() < due) {
    return;
  }
  isPolling = true;
  due = Date.now() + interval;
  poll()
    .catch(() => {})
    .finally(() => { isPolling = false; });
}

const timer = setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
tick();
"""

_SCRIPT_HASH = b64encode(sha256(_SCRIPT.encode()).digest()).decode()

CODE_PAGE_HEADERS: Mapping[str, str] = {
    **FORM_PAGE_HEADERS,
    "Content-Security-Policy": f"{PAGE_HEADERS['Content-Security-Policy']};"
    f" script-src 'sha256-{_SCRIPT_HASH}'; connect-src 'self'",
}
"""Headers of the page with the QR code: the script runs, and polls this origin."""

# NP-08: a code can be relayed, so the page says who is signed in where.
_BODY = Template(
    """<div id="notp" data-url="$session_path" data-state="$state" data-return-to="$return_to"
 data-seconds="$seconds" data-interval="$interval">
<div id="code">
$svg
<p><strong>The person who sends this message is signed in to $host, in this browser.</strong>
Do not show the code to other people, and do not scan a code that another person sent you.</p>
<p><a href="$url" target="_blank" rel="noopener noreferrer">Open WhatsApp</a></p>
</div>
<p><span id="status" role="status">Waiting for your message.</span> <span id="timer"></span></p>
<noscript>$form</noscript>
<a id="continue" href="$return_to" hidden>Continue</a>
<a id="again" class="quiet" href="$again">Start again</a>
</div>
<script>$script</script>"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """The page with the QR code.

    Attributes:
        host: The host of the app, to which the user is signed in.
        url: The link that the QR code contains.
        svg: The QR code, as an element.
        state: Selects the login cookie.
        session_path: Where the script and the form send the state.
        restart_path: The link to start again.
        return_to: Where the browser continues after the sign-in; validated.
        seconds: How long the sign-in can be completed.
        interval: Seconds between two polls.
    """

    host: str
    url: str = field(repr=False)
    svg: str = field(repr=False)
    state: str = field(repr=False)
    session_path: str
    restart_path: str = field(repr=False)
    return_to: str = field(repr=False)
    seconds: int
    interval: int

    def html(self) -> str:
        """Return the page."""
        body = _BODY.substitute(
            host=escape(self.host),
            url=escape(self.url),
            svg=self.svg,
            state=escape(self.state),
            session_path=escape(self.session_path),
            again=escape(self.restart_path),
            return_to=escape(self.return_to),
            seconds=self.seconds,
            interval=self.interval,
            form=_form(self.session_path, self.state, "I have sent the message"),
            script=_SCRIPT,
        )
        detail = (
            "Scan the code with your phone, or open WhatsApp on this device. Then send the prepared message."
        )
        return page("Sign in with WhatsApp", detail, body)


def waiting_page(*, state: str, session_path: str, restart_path: str) -> str:
    """Return the page for a form that was sent before the message. The arguments are as in ``CodePage``."""
    detail = (
        "Your message has not arrived yet. Send it, wait a few seconds, and check again. If you have not"
        " scanned the code yet, start again."
    )
    again = f'<a class="quiet" href="{escape(restart_path)}">Start again</a>'
    return page("Not signed in yet", detail, _form(session_path, state, "Check again") + again)


def _form(path: str, state: str, label: str) -> str:
    return (
        f'<form action="{escape(path)}" method="post"><input type="hidden" name="state"'
        f' value="{escape(state)}"><button>{label}</button></form>'
    )
