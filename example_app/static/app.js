// What the pages of Fieldnotes do besides HTMX. Without scripts they work too, except for the drafts.
"use strict";

const identity = document.body.dataset.identity; // user and organisation; empty if signed out
const notices = document.getElementById("notices");

/** Show a notice at the bottom of the window; screen readers announce it. No text removes it. */
function notify(id, text, reload = false) {
  document.getElementById(id)?.remove();
  if (!text) return;
  const notice = Object.assign(document.createElement("p"), { id, textContent: text });
  if (reload) {
    notice.append(" ", Object.assign(document.createElement("a"), { href: "", textContent: "Load this page again" }));
  }
  notices.append(notice);
}

// Offline

function showConnection() {
  notify("offline", navigator.onLine ? "" : "You are offline. What you type is kept in this tab.");
}
addEventListener("online", showConnection);
addEventListener("offline", showConnection);
showConnection();

// Refusals and outages: HTMX shows no response with an error status.

document.addEventListener("htmx:beforeRequest", () => notify("problem"));
document.addEventListener("htmx:sendError", () => notify("problem", "The server cannot be reached. Try again."));
document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  if (xhr.getResponseHeader("HX-Redirect")) return; // to the login
  let problem = {};
  try {
    problem = JSON.parse(xhr.response);
  } catch {
    // a page, of a proxy for instance
  }
  notify("problem", problem.title ?? "That did not work. Try again in a moment.");
});

// Other tabs: one browser has one session, so a switch or a sign-out is a switch in all of them.

const tabs = new BroadcastChannel("fieldnotes");
tabs.addEventListener("message", ({ data }) => {
  const changed = data.organisation ? `Another tab works for ${data.organisation} now.` : "Another tab has changed your sign-in.";
  notify("elsewhere", data.identity === identity ? "" : changed, true);
});
tabs.postMessage({ identity, organisation: document.body.dataset.organisation });

// Drafts: they survive an expired session and the sign-in after it. They stay in this tab, belong to one user in one
// organisation, and end with the tab or a sign-out.

const draftForm = document.querySelector("form[data-draft]");
const draftKey = `draft ${identity} ${location.pathname}`;

if (draftForm) {
  const fields = [...draftForm.elements].filter((field) => field.name && field.type !== "hidden" && field.type !== "file");
  const draft = JSON.parse(sessionStorage.getItem(draftKey) ?? "{}");
  for (const field of fields) {
    if (field.name in draft) field.value = draft[field.name];
  }
  document.getElementById("draft-restored").hidden = Object.keys(draft).length === 0;
  draftForm.addEventListener("input", () => {
    sessionStorage.setItem(draftKey, JSON.stringify(Object.fromEntries(fields.map((field) => [field.name, field.value]))));
  });
  draftForm.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.xhr.status < 300) sessionStorage.removeItem(draftKey);
  });
  draftForm.addEventListener("reset", () => sessionStorage.removeItem(draftKey));
}
document.addEventListener("submit", ({ target }) => {
  if (new URL(target.action).pathname.startsWith("/logout")) sessionStorage.clear();
});

// The time that is left of the session

function showTimeLeft() {
  const element = document.querySelector("[data-seconds-left]");
  if (!element) return;
  element.dataset.since ??= performance.now();
  const left = Math.ceil(element.dataset.secondsLeft - (performance.now() - element.dataset.since) / 1000);
  const minutes = Math.floor(left / 60);
  element.textContent = left <= 0 ? "none: your next click renews it" : minutes ? `${minutes} min ${left % 60} s` : `${left} s`;
}
setInterval(showTimeLeft, 1000);

// Menus close with Escape, and with a click elsewhere.

function closeMenus(keep) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== keep) menu.open = false;
  }
}
document.addEventListener("click", ({ target }) => closeMenus(target.closest("details.menu")));
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  const open = document.querySelector("details.menu[open]");
  closeMenus();
  open?.querySelector("summary").focus();
});
