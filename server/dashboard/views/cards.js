/** The fleet, drawn: one card a device, with its newest values. Only cards within sight are kept up to date. */

import { arrange, byId, h, part, setAttribute, setShape, setText, shape } from "../dom.js";
import { formatDuration, formatLabels, formatValue, showAge } from "../format.js";
import { STALE_MS } from "./poll.js";

const FIRST_VALUES = 6; // of a device with more, the rest is one click away
const BY_NAME = new Intl.Collator(undefined, { numeric: true });

export class DeviceCards {
  #fleet;
  #now;
  #cards = new Map(); // device → {root, rows, shown: the rows' values, all: whether these are all}
  #severities = new Map();
  #filter = "all";
  #search = "";
  #sight;

  /** @param {Function} now the server's time  @param {AbortSignal} signal ends it all with the view */
  constructor(fleet, now, signal) {
    this.#fleet = fleet;
    this.#now = now;
    this.#sight = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: "200px" });
    signal.addEventListener("abort", () => this.#sight.disconnect());
    for (const tile of document.querySelectorAll(".tile")) {
      tile.addEventListener("click", () => this.#choose(tile.dataset.filter), { signal });
    }
    byId("search").addEventListener("input", () => this.#choose(this.#filter), { signal });
    byId("show-all").addEventListener("click", () => this.#showAll(), { signal });
    this.#showAll();
  }

  /** Draw the fleet as it is known now. */
  draw() {
    this.#arrangeCards();
    for (const name of this.#fleet.visible) this.#drawCard(name);
    this.#sift();
  }

  /** Let time pass: ages grow, a device falls silent. */
  tick() {
    for (const name of this.#fleet.visible) this.#drawAges(name);
    this.#sift();
  }

  /** Mark where something fires. */
  mark(severities) {
    this.#severities = severities;
    this.draw();
  }

  #choose(filter) {
    this.#filter = filter;
    this.#search = byId("search").value.trim().toLowerCase();
    for (const tile of document.querySelectorAll(".tile")) {
      tile.setAttribute("aria-pressed", String(tile.dataset.filter === filter));
    }
    this.#sift();
  }

  #showAll() {
    byId("search").value = "";
    this.#choose("all");
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      const name = target.dataset.device;
      if (isIntersecting && this.#cards.has(name)) this.#fleet.look(name);
      else this.#fleet.visible.delete(name);
      if (isIntersecting) this.#drawCard(name);
    }
  }

  #arrangeCards() {
    const known = this.#fleet.devices;
    let changed = false;
    for (const [name, { root }] of this.#cards) {
      if (known.has(name)) continue;
      this.#sight.unobserve(root);
      this.#fleet.visible.delete(name);
      changed = this.#cards.delete(name);
    }
    for (const name of known.keys()) {
      if (this.#cards.has(name)) continue;
      this.#cards.set(name, this.#makeCard(name));
      changed = true;
    }
    if (!changed) return;
    const names = [...this.#cards.keys()].sort(BY_NAME.compare);
    arrange(byId("devices"), names.map((name) => this.#cards.get(name).root));
  }

  #makeCard(name) {
    const root = makeCardElement();
    root.dataset.device = name;
    setText(part(root, "device"), name);
    part(root, "device").title = name;
    const card = { root, rows: [], shown: [], all: false };
    part(root, "more").addEventListener("click", () => {
      card.all = !card.all;
      this.#drawCard(name);
    });
    this.#sight.observe(root);
    return card;
  }

  #drawCard(name) {
    const card = this.#cards.get(name);
    const values = this.#fleet.devices.get(name)?.values;
    if (!card || !values) return;
    part(card.root, "waiting").hidden = true;
    card.shown = card.all ? values : values.slice(0, FIRST_VALUES);
    while (card.rows.length < card.shown.length) card.rows.push(makeValueElement());
    card.rows.length = card.shown.length;
    card.shown.forEach((value, place) => drawValue(card.rows[place], value));
    arrange(part(card.root, "values"), card.rows);
    const more = part(card.root, "more");
    more.hidden = values.length <= FIRST_VALUES;
    setText(more, card.all ? "Show fewer" : `Show all ${values.length}`);
    this.#drawAges(name);
  }

  #drawAges(name) {
    const { rows, shown } = this.#cards.get(name);
    const now = this.#now();
    rows.forEach((row, place) => {
      const { ts } = shown[place];
      showAge(part(row, "age"), ts, now);
      row.classList.toggle("stale", now - Date.parse(ts) > STALE_MS);
    });
  }

  /** Count, mark and filter. */
  #sift() {
    const counts = { all: 0, fresh: 0, stale: 0, firing: 0 };
    let shown = 0;
    for (const [name, { root }] of this.#cards) {
      const device = this.#fleet.devices.get(name);
      if (!device) continue; // just deleted: the next draw takes its card away
      const severity = this.#severities.get(name);
      const stale = this.#fleet.isStale(device);
      const groups = ["all", stale ? "stale" : "fresh", severity && "firing"];
      for (const group of groups) if (group) counts[group] += 1;
      drawTag(root, severity ?? (stale ? "stale" : ""), stale ? this.#now() - device.seen : 0);
      root.hidden = !groups.includes(this.#filter) || !name.toLowerCase().includes(this.#search);
      if (!root.hidden) shown += 1;
    }
    for (const tile of document.querySelectorAll(".tile")) {
      setText(tile.querySelector("b"), String(counts[tile.dataset.filter]));
      tile.classList.toggle("some", counts[tile.dataset.filter] > 0);
    }
    byId("devices-empty").hidden = counts.all > 0;
    byId("devices-none").hidden = shown > 0 || counts.all === 0;
  }
}

function makeCardElement() {
  const text = h("span", { "data-part": "tag-text" });
  const tag = h("span", { class: "tag", "data-part": "tag", hidden: true }, shape("stale"), text);
  return h("li", { class: "card", tabindex: "-1" },
    h("h2", {}, h("span", { "data-part": "device" }), tag),
    h("ul", { class: "values", "data-part": "values" }),
    h("p", { class: "muted small waiting", "data-part": "waiting" }, "Waiting for values …"),
    h("button", { type: "button", class: "quiet more", "data-part": "more", hidden: true }));
}

function makeValueElement() {
  return h("li", { class: "value" },
    h("span", { class: "metric", "data-part": "metric" }),
    h("b", { "data-part": "value" }),
    h("time", { class: "age", "data-part": "age" }));
}

function drawValue(row, { name, labels, value }) {
  setText(part(row, "metric"), name);
  setAttribute(part(row, "metric"), "title", formatLabels(labels) || name);
  setText(part(row, "value"), formatValue(value));
  setAttribute(part(row, "value"), "title", String(value));
}

/** What there is to say of a device in a word: how bad it is, or that it is silent. Most of the time, nothing. */
function drawTag(root, kind, silentMs) {
  const tag = part(root, "tag");
  tag.hidden = !kind;
  root.dataset.kind = kind;
  if (!kind) return;
  setShape(tag, kind);
  setText(part(tag, "tag-text"), kind === "stale" ? `stale · ${formatDuration(silentMs)}` : kind);
}
