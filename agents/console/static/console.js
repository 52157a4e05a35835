// Keeps a page as it is at the server, sends what people do, and listens to the keyboard. Every page
// works without it, but for what comes by itself.
"use strict";

const main = document.getElementById("main");
const acts = document.getElementById("acts");
const live = document.body.dataset.live || "";
const customer = document.body.dataset.customer || "";

// ── the page as it is now ────────────────────────────────────────────────────────────────────────

// Somebody writes or chooses in there: it stays as it is until they are done.
function isBusy(element) {
  if (element.querySelector("details[open] form")) return true;
  const fields = element.querySelectorAll("textarea, input:not([type=hidden]), select");
  for (const field of fields) {
    if (field === document.activeElement && field.type !== "submit") return true;
    if (field.tagName === "TEXTAREA" && field.value !== field.defaultValue) return true;
  }
  return false;
}

// Takes over what is new, piece by piece where pieces have a name, so that focus, open forms and
// half-written text stay where they are.
function takeOver(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.hasAttribute("data-load")) return;
  const named = [...fresh.children].filter((one) => one.id);
  if (old.tagName === fresh.tagName && named.length && named.length === fresh.children.length) {
    takeOverRows(old, fresh);
    return;
  }
  const parts = (element) => [...element.children];
  const before = parts(old), after = parts(fresh);
  const same = before.length === after.length && before.every((one, at) => one.tagName === after[at].tagName && one.id === after[at].id);
  if (same && before.length && !onlyText(old) && !onlyText(fresh)) {
    takeAttributes(old, fresh);
    before.forEach((one, at) => takeOver(one, after[at]));
  } else if (!isBusy(old)) {
    if (old === main) old.replaceChildren(...fresh.childNodes);  // it stays: others hold on to it
    else replace(old, fresh);
  }
}

function onlyText(element) {
  return [...element.childNodes].some((one) => one.nodeType === Node.TEXT_NODE && one.textContent.trim());
}

function takeAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function takeOverRows(old, fresh) {
  const wanted = new Set([...fresh.children].map((one) => one.id));
  for (const one of [...old.children]) {
    if (wanted.has(one.id)) continue;
    const next = one.nextElementSibling || one.previousElementSibling;
    const focused = one.contains(document.activeElement);
    one.remove();
    if (focused) (next && next.querySelector("a, button") || main).focus();
  }
  const known = new Map([...old.children].map((one) => [one.id, one]));
  let at = old.firstElementChild;
  for (const one of [...fresh.children]) {
    const here = known.get(one.id);
    if (!here) {
      one.classList.add("new");
      old.insertBefore(one, at);
      continue;
    }
    if (here === at) at = at.nextElementSibling;
    else old.insertBefore(here, at);
    if (here.isEqualNode(one)) continue;
    if (!here.matches("tr, li")) takeOver(here, one);
    else if (!isBusy(here)) replace(here, one);
  }
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...old.querySelectorAll("a, button, select, input")].indexOf(focused);
  old.replaceWith(fresh);
  if (focused) {
    const there = [...fresh.querySelectorAll("a, button, select, input")][place];
    if (there) there.focus();
  }
}

let asking = null, again = false;

async function refresh() {
  if (asking) { again = true; return asking; }
  asking = look().catch(() => {}).finally(() => {
    asking = null;
    if (again) { again = false; refresh(); }
  });
  return asking;
}

async function look() {
  const answer = await fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
  if (answer.redirected && answer.url.includes("/console/login")) { location.reload(); return; }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const nav = fresh.querySelector("header nav"), here = document.querySelector("header nav");
  if (nav && here && !here.contains(document.activeElement) && !here.isEqualNode(nav)) here.replaceWith(nav);
  const content = fresh.getElementById("main");
  if (content) takeOver(main, content);
}

// ── what changes ─────────────────────────────────────────────────────────────────────────────────

const link = document.getElementById("link");
let source = null, timer = 0, due = 0;

function soon(wait) {
  const at = Date.now() + wait;
  if (timer && due <= at) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(() => { timer = 0; refresh(); }, wait);
}

// How long to wait before this page looks again, in milliseconds; null: it is not its affair.
function waitFor(news) {
  const customers = news.customers === null || news.customers.length > 0;
  switch (live) {
    case "held": return news.held || news.desk ? 60 : null;
    case "desk": return news.held || news.desk ? 60 : null;
    case "alerts": return news.alerts || news.desk ? 60 : customers ? 1500 : null;
    case "customer": return news.desk || news.customers === null || news.customers.includes(customer) ? 60 : null;
    case "portfolio": return news.held || customers ? 10000 : news.desk ? 60 : null;
    default: return null;
  }
}

function listen() {
  if (source || document.hidden) return;
  source = new EventSource("/console/live");
  source.onopen = () => {
    link.hidden = true;
    document.body.dataset.listening = "yes";
    refresh();  // what happened while nobody listened
    pendingActs().forEach(askAbout);
  };
  source.onerror = () => {
    delete document.body.dataset.listening;
    link.textContent = link.dataset.off;
    link.hidden = false;
    if (source.readyState !== EventSource.CLOSED) return;  // it comes back by itself
    source = null;
    setTimeout(() => { refresh(); listen(); }, 3000);  // the session may be over: that is seen there
  };
  source.addEventListener("news", (event) => {
    const news = JSON.parse(event.data);
    const wait = waitFor(news);
    if (wait !== null) soon(wait);
    for (const act of pendingActs()) {
      if (news.acts.includes(act.dataset.act) || news.desk || news.customers === null || news.customers.length) askAbout(act);
    }
  });
}

document.addEventListener("visibilitychange", () => {
  // Browsers open few connections to one server: those of pages that nobody sees are let go.
  if (document.hidden && source) { source.close(); source = null; } else listen();
});

// ── what people do ───────────────────────────────────────────────────────────────────────────────

function pendingActs() { return [...acts.querySelectorAll("[data-pending]")]; }

async function askAbout(act) {
  const answer = await fetch(act.dataset.url, { credentials: "same-origin" });
  if (answer.ok) show(await answer.text(), act);
}

function show(text, instead) {
  const box = document.createElement("template");
  box.innerHTML = text;  // of our own server, which escapes what it puts in
  const fresh = box.content.firstElementChild;
  if (!fresh) return null;
  if (instead && instead.isConnected) {
    if (!instead.isEqualNode(fresh)) instead.replaceWith(fresh);
  } else acts.prepend(fresh);
  while (acts.children.length > 5) acts.lastElementChild.remove();
  return fresh;
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.act");
  if (!form || event.defaultPrevented) return;
  event.preventDefault();
  const buttons = [...form.querySelectorAll("button")];
  if (form.dataset.sending) return;
  form.dataset.sending = "yes";
  buttons.forEach((one) => one.setAttribute("aria-disabled", "true"));
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), credentials: "same-origin" });
    const act = show(await answer.text());
    if (answer.ok) {
      form.reset();
      const details = form.closest("details");
      if (details) { details.open = false; details.querySelector("summary").focus(); }
    }
    for (const wait of [400, 1500, 4000, 11000]) setTimeout(() => pendingActs().forEach(askAbout), wait);
    if (act) act.scrollIntoView({ block: "nearest" });
  } catch {
    link.textContent = link.dataset.off;
    link.hidden = false;
  } finally {
    delete form.dataset.sending;
    buttons.forEach((one) => one.removeAttribute("aria-disabled"));
  }
});

async function load(place, address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  const box = document.createElement("template");
  box.innerHTML = await answer.text();
  place.replaceChildren(box.content);
}

for (const place of document.querySelectorAll("[data-load]")) load(place, place.dataset.load);

document.addEventListener("click", (event) => {
  const asked = event.target.closest("a[data-into]");
  if (!asked || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const place = document.getElementById(asked.dataset.into);
  place.setAttribute("data-load", "");
  place.textContent = asked.dataset.wait;
  place.setAttribute("role", "status");
  load(place, asked.href);
});

// ── keys ─────────────────────────────────────────────────────────────────────────────────────────

const dialog = document.getElementById("keys");
const switched = document.getElementById("keys-on");
switched.checked = localStorage.getItem("keys") !== "off";
switched.addEventListener("change", () => localStorage.setItem("keys", switched.checked ? "on" : "off"));
document.getElementById("keys-open").addEventListener("click", () => dialog.showModal());

function rows() { return [...document.querySelectorAll("[data-row]")]; }

function rowHere() {
  const focused = document.activeElement && document.activeElement.closest("[data-row]");
  return focused || document.querySelector("[data-row].at");
}

function go(step) {
  const all = rows();
  if (!all.length) return;
  const here = all.indexOf(rowHere());
  const there = all[here < 0 ? 0 : Math.min(Math.max(here + step, 0), all.length - 1)];
  all.forEach((one) => one.classList.toggle("at", one === there));
  const first = there.querySelector("a, button");
  if (first) first.focus();
  there.scrollIntoView({ block: "nearest" });
}

let before = "";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || !switched.checked) return;
  const field = event.target.closest("input, select, textarea");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const two = before + event.key;
  before = event.key === "g" ? "g" : "";
  if (two.length === 2 && two[0] === "g") {
    const page = document.querySelector(`header nav a[data-key="${CSS.escape(event.key)}"]`);
    if (page) { event.preventDefault(); page.click(); }
    return;
  }
  const row = rowHere();
  const does = {
    "?": () => dialog.showModal(),
    "/": () => document.getElementById("q").focus(),
    j: () => go(1),
    k: () => go(-1),
    o: () => row && (row.querySelector("[data-open]") || row.querySelector("a")).click(),
    r: () => { const button = row && row.querySelector("form.act button"); if (button) button.focus(); },
  }[event.key];
  if (does) { event.preventDefault(); does(); }
});

listen();
