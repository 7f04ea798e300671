"""The HTML pages of an nOTP sign-in: the page with the QR code, and the page for browsers without scripts.

The script is the only one that the plugin serves. It is inline, never changes, and the policy of the page
allows it by its hash. It gets its parameters and texts from attributes, and writes text only (NP-05).
"""

from dataclasses import dataclass, field, replace
from string import Template

from ..page_texts import PageTexts
from ..pages import Html, Page, PageForm, PageLink
from .pages import hidden_inputs, page_of

__all__ = ["CodePage", "waiting_page"]

_SCRIPT = Html("""
"use strict";
const box = document.getElementById("notp");
const { url, state, returnTo, signedIn, failed, expired, timeLeft } = box.dataset;
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
    finish(signedIn.replace("{name}", () => name || email || id));
    element("continue").hidden = false;
    element("again").hidden = true;
    setTimeout(() => location.replace(returnTo), 2000);
  } else if (response.status === 202 || OUTAGES.includes(body.code)) {
    due = Date.now() + Math.max(interval, 1000 * response.headers.get("Retry-After"));
  } else {
    finish(body.detail || failed);
  }
}

function tick() {
  const left = Math.ceil((deadline - Date.now()) / 1000);
  if (left <= 0) {
    finish(expired);
    return;
  }
  const seconds = String(left % 60).padStart(2, "0");
  element("timer").textContent = timeLeft.replace("{time}", `${Math.floor(left / 60)}:${seconds}`);
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
""")

# NP-08: a code can be relayed, so the page says who is signed in where.
_BODY = Template(
    """<div id="notp" data-url="$session_path" data-state="$state" data-return-to="$return_to"
 data-seconds="$seconds" data-interval="$interval" data-signed-in="$signed_in" data-failed="$failed"
 data-expired="$expired" data-time-left="$time_left">
<div id="code">
<p>$detail</p>
$svg
<p><strong>$who</strong>
$warning</p>
<p><a href="$url" target="_blank" rel="noopener noreferrer">$open</a></p>
</div>
<p><span id="status" role="status">$waiting</span> <span id="timer"></span></p>
<noscript>$form</noscript>
<a id="continue" href="$return_to" hidden>$go_on</a>
<a id="again" class="quiet" href="$again">$restart</a>
</div>"""
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

    def page(self, texts: PageTexts) -> Page:
        """Return the page."""
        body = {
            "url": self.url,
            "state": self.state,
            "session_path": self.session_path,
            "again": self.restart_path,
            "return_to": self.return_to,
            "seconds": str(self.seconds),
            "interval": str(self.interval),
            "detail": texts.notp_detail,
            "who": texts.notp_who.replace("{host}", self.host),
            "warning": texts.notp_warning,
            "open": texts.notp_open,
            "waiting": texts.notp_waiting,
            "go_on": texts.go_on,
            "restart": texts.notp_restart,
            "signed_in": texts.notp_signed_in,
            "failed": texts.notp_failed,
            "expired": texts.notp_expired,
            "time_left": texts.notp_time_left,
        }
        escaped = {name: Html.escape(value) for name, value in body.items()}
        form = _form(self.session_path, self.state, texts.notp_sent).__html__()
        html = Html(_BODY.substitute(escaped, svg=self.svg, form=form))
        return replace(page_of(texts, "notp", texts.notp_title, "", html), script=_SCRIPT)


def waiting_page(texts: PageTexts, *, state: str, session_path: str, restart_path: str) -> Page:
    """Return the page for a form that was sent before the message. The arguments are as in ``CodePage``."""
    again = PageLink(label=Html.escape(texts.notp_restart), url=Html.escape(restart_path), is_quiet=True)
    form = _form(session_path, state, texts.notp_check)
    return page_of(texts, "notp_pending", texts.notp_pending_title, texts.notp_pending_detail, form, again)


def _form(path: str, state: str, label: str) -> PageForm:
    return PageForm(
        action=Html.escape(path),
        method="post",
        button=Html.escape(label),
        hidden=hidden_inputs({"state": state}),
    )
