// Keeps the activity page up to date. Without scripts it shows the entries of when it was loaded.
"use strict";

const list = document.getElementById("activity");
let wait = 1000;

/** The time as the server writes it, so that nothing moves when the entries are replaced. */
function moment(at) {
  const [, day, month, year, time] = new Date(at * 1000).toUTCString().split(" ");
  return `${time} UTC, ${day} ${month} ${year}`;
}

function entry({ actor, action, report_id, title, at }) {
  const link = Object.assign(document.createElement("a"), { href: `/reports/${encodeURIComponent(report_id)}`, textContent: title });
  const time = Object.assign(document.createElement("time"), { className: "soft", dateTime: new Date(at * 1000).toISOString(), textContent: moment(at) });
  const text = document.createElement("span");
  text.append(`${actor} ${action} `, link);
  const item = document.createElement("li");
  item.append(text, " ", time);
  return item;
}

function connect() {
  const socket = new WebSocket(list.dataset.feed);
  socket.addEventListener("message", ({ data }) => {
    wait = 1000;
    const entries = JSON.parse(data);
    if (entries.length) list.replaceChildren(...entries.map(entry));
  });
  socket.addEventListener("close", () => {
    setTimeout(connect, wait); // also when the session was renewed
    wait = Math.min(2 * wait, 30000);
  });
}
connect();
