// Makes the console's pages live. Without it they are complete; nothing here is needed to use them.
//
// - Elements with data-live show a figure of the page's event stream (data-live-url), as data-as says.
// - Sections with data-refresh are fetched again with their page every so many seconds.
// - Links with data-confirm open the page that asks first in a dialog.
// - Buttons with data-copy copy an element's text; charts tell the values under the pointer.
"use strict";

// Text of figures; the same as the server's (pages/format.rs).

const grouped = new Intl.NumberFormat("en-US");

function count(number) {
  return grouped.format(Math.round(number));
}

function decimal(number) {
  if (number <= 0) return "0";
  if (number < 0.995) return String(Number(number.toFixed(2)));
  if (number < 9.95) return String(Number(number.toFixed(1)));
  return count(number);
}

function scaled(value, units, base, edge, digits) {
  let unit = 0;
  while (value >= edge && unit + 1 < units.length) {
    value /= base;
    unit += 1;
  }
  return `${digits(value, unit)} ${units[unit]}`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  const digits = (value) => String(Number(value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)));
  return scaled(bytes / 1024, units.slice(1), 1024, 1023.5, digits);
}

function percent(share) {
  const all = share * 100;
  let tenths = Math.round(all * 10) / 10;
  if (tenths >= 100 && all < 100) tenths = 99.9;
  if (tenths <= 0 && all > 0) tenths = 0.1;
  return `${tenths} %`;
}

function nanos(value) {
  const digits = (scaledValue) => String(Number(scaledValue.toFixed(scaledValue < 99.95 ? 1 : 0)));
  return scaled(value, ["ns", "µs", "ms", "s"], 1000, 999.5, digits);
}

const formats = {
  count,
  size,
  nanos,
  share: percent,
  bytes: size,
  rate: (value) => `${decimal(value)}/s`,
  traffic: (value) => `${size(value)}/s`,
};

function ago(at, now) {
  const distance = Math.abs(at - now);
  if (distance < 5) return "just now";
  const days = Math.floor(distance / 86400);
  const roughly = distance < 60 ? `${distance} s`
    : distance < 3600 ? `${Math.floor(distance / 60)} min`
    : distance < 86400 ? `${Math.floor(distance / 3600)} h`
    : days === 1 ? "1 day" : `${count(days)} days`;
  return at > now ? `in ${roughly}` : `${roughly} ago`;
}

// The server's clock, whatever the browser's says.
const started = performance.now();
const startedAt = Number(document.body.dataset.now);

function now() {
  return startedAt + Math.floor((performance.now() - started) / 1000);
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[data-at]")) {
    const text = ago(Number(time.dataset.at), now());
    if (time.textContent !== text) time.textContent = text;
  }
}

// Live figures

const words = { good: "good", fair: "fair", poor: "poor", none: "no gets" };

function showGrade(element, { rate, grade }) {
  const shown = element.querySelector(".rate");
  if (!shown.classList.contains(grade)) {
    shown.classList.remove(...Object.keys(words));
    shown.classList.add(grade);
    const mark = document.getElementById(`mark-${grade}`).content.cloneNode(true);
    shown.querySelector(".mark").replaceWith(mark);
    shown.lastElementChild.textContent = ` ${words[grade]}`;
    const word = element.querySelector(".rate-word");
    if (word) word.textContent = words[grade];
  }
  shown.querySelector(".mark + span").textContent = rate === null ? "–" : percent(rate);
}

// The first event of a stream is of no time, so it has no rates.
function show(event, isFirst) {
  for (const element of document.querySelectorAll("[data-live]")) {
    if (isFirst && /^(rates|p50|p99)/.test(element.dataset.live)) continue;
    const value = element.dataset.live.split(".").reduce((found, name) => found?.[name], event);
    if (value === undefined || String(value) === element.dataset.unless) continue;
    if (element.dataset.as === "grade") {
      showGrade(element, value);
      continue;
    }
    const text = value === null ? "–" : formats[element.dataset.as](value);
    if (element.textContent !== text) element.textContent = text;
  }
  const bar = document.getElementById("memory-bar");
  if (bar && event.memory_used !== null) {
    bar.setAttribute("width", String(Math.round(Math.min(event.memory_used, 1) * 1000)));
  }
}

// What is said to those who listen instead of looking: at most every half minute, and only news.
let spokenAt = -Infinity;
let spoken = "";

function speak({ figures, hit_rates: rates }) {
  if (performance.now() - spokenAt < 30_000) return;
  const { rate, grade } = rates.now;
  const text = `get hits ${count(figures.get_hits)}, get misses ${count(figures.get_misses)}, `
    + `set cmds ${count(figures.sets)}, hit rate ${rate === null ? "none" : percent(rate)}, ${words[grade]}`;
  if (text === spoken) return;
  // The first is on the page already.
  if (spoken) document.getElementById("spoken").textContent = text;
  spoken = text;
  spokenAt = performance.now();
}

// Whether the page moves: the reader can stop it, and it rests while nobody can see it.
let isPaused = false;
const isResting = () => isPaused || document.hidden;

function live(url) {
  const sign = document.getElementById("live");
  const word = document.getElementById("live-word");
  const toggle = document.getElementById("live-toggle");
  let stream = null;
  const state = (name, text) => {
    sign.dataset.state = name;
    word.textContent = text;
  };
  const follow = () => {
    if (isResting()) {
      stream?.close();
      stream = null;
      state("off", isPaused ? "paused" : "resting");
      return;
    }
    if (stream) return;
    let isFirst = true;
    stream = new EventSource(url);
    stream.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      state("live", "live");
      show(event, isFirst);
      speak(event);
      isFirst = false;
    });
    stream.addEventListener("error", () => {
      isFirst = true;
      // Closed for good: signed out, or the cache is gone.
      const isOver = stream.readyState === EventSource.CLOSED;
      state("lost", isOver ? "not live: reload the page" : "connection lost, trying again");
    });
  };
  toggle.addEventListener("click", () => {
    isPaused = !isPaused;
    toggle.setAttribute("aria-pressed", String(isPaused));
    toggle.textContent = isPaused ? "Go on" : "Pause";
    follow();
  });
  document.addEventListener("visibilitychange", follow);
  // A page that the browser keeps for the way back must not hold its stream.
  window.addEventListener("pagehide", () => { stream?.close(); stream = null; });
  window.addEventListener("pageshow", follow);
  sign.hidden = false;
  toggle.hidden = false;
  follow();
}

// Sections that are fetched again

function isInUse(section) {
  const selection = document.getSelection();
  return section.contains(document.activeElement)
    || section.querySelector(".cursor") !== null
    || (selection && !selection.isCollapsed && section.contains(selection.anchorNode));
}

async function refresh(id) {
  const section = document.getElementById(id);
  if (isResting() || isInUse(section)) return;
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  // Signed out meanwhile, or the like: the reader is told by the next click.
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.getElementById(id);
  const current = document.getElementById(id);
  if (!fresh || isInUse(current)) return;
  const scrolled = [...current.querySelectorAll(".scroll")].map((area) => area.scrollLeft);
  for (const open of current.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
    if (same) same.open = true;
  }
  current.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((area, at) => { area.scrollLeft = scrolled[at] ?? 0; });
  prepare(fresh);
}

// Dialogs

async function ask(link) {
  const response = await fetch(link.href, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const question = page.getElementById("confirm");
  if (!response.ok || !question) {
    location.assign(link.href);
    return;
  }
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "confirm-title");
  dialog.append(question);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    link.focus();
  });
  question.querySelector("[data-cancel]").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.close();
  });
  dialog.showModal();
}

// Copying

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // No right to the clipboard, as on plain HTTP: what is selected can be copied by hand.
    document.getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

// Charts

function points(path) {
  const found = path.getAttribute("d").matchAll(/[ML]([\d.]+) ([\d.]+)/g);
  return [...found].map(([, x, y]) => ({ x: Number(x), y: Number(y) }));
}

// Tells the values under the pointer, as the lines show them.
function trackPointer(chart) {
  const svg = chart.querySelector(".plot svg[role=img]");
  const top = Number(chart.dataset.top);
  const lines = [...chart.querySelectorAll("path[data-name]")].reverse()
    .map((path) => ({ name: path.dataset.name, points: points(path) }));
  const seconds = Number(chart.closest("[data-seconds]").dataset.seconds);
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.setAttribute("aria-hidden", "true");
  chart.append(readout);
  const leave = () => {
    readout.textContent = "";
    svg.querySelector(".cursor")?.remove();
  };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * 1000;
    const near = lines.map(({ name, points: all }) => {
      const distance = (point) => Math.abs(point.x - x);
      const nearest = all.reduce((best, point) => (distance(point) < distance(best) ? point : best), all[0]);
      return { name, nearest };
    }).filter(({ nearest }) => nearest && Math.abs(nearest.x - x) < 15);
    leave();
    if (near.length === 0) return;
    const place = near[0].nearest.x;
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    for (const [name, value] of Object.entries({ x1: place, x2: place, y1: 0, y2: 100 })) {
      cursor.setAttribute(name, String(value));
    }
    svg.append(cursor);
    const values = near.map(({ name, nearest }) =>
      `${name} ${formats[chart.dataset.unit]((1 - nearest.y / 100) * top)}`);
    const before = Math.round((1 - place / 1000) * seconds);
    readout.textContent = `${ago(now() - before, now())}: ${values.join(" · ")}`;
  });
}

// What a fresh part of the page needs.
function prepare(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.parentElement.classList.add("has-button");
    button.addEventListener("click", () => copy(button));
  }
  for (const chart of root.querySelectorAll(".chart[data-unit]")) {
    if (chart.querySelector(".plot")) trackPointer(chart);
  }
  const sections = [...root.querySelectorAll("[data-refresh]")];
  if (root instanceof Element && root.matches("[data-refresh]")) sections.push(root);
  for (const { id, dataset } of sections) {
    setTimeout(() => keepFresh(id), Number(dataset.refresh) * 1000);
  }
}

// One look at a time; the next begins when it is over, whether it went well or not.
async function keepFresh(id) {
  const before = document.getElementById(id);
  if (!before) return;
  await refresh(id).catch(() => {});
  const after = document.getElementById(id);
  if (after === before) setTimeout(() => keepFresh(id), Number(after.dataset.refresh) * 1000);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-confirm]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !isPlain) return;
  event.preventDefault();
  ask(link).catch(() => location.assign(link.href));
});

prepare(document);
const url = document.querySelector("main").dataset.liveUrl;
if (url) live(url);
setInterval(tellTimes, 10_000);
