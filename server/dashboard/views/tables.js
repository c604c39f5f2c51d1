/** The panels of the view `system` that are tables: what was refused and why, and the workers. */

import { arrange, h, setText } from "../dom.js";
import { formatBytes, formatCount, formatDuration, formatSeconds, formatUtc, formatValue } from "../format.js";

const MOST_ROWS = 12;

/** What to make of a reason, by its code; a code that is not here speaks for itself. */
const MEANINGS = {
  overloaded: "more came than could be stored in time",
  unavailable: "PostgreSQL did not answer, or we were stopping",
  unauthorized: "no valid key",
  forbidden: "the key may not do that",
  quota: "a key's quota was used up",
  invalid: "readings that are not valid",
  too_large: "a body or a batch over the limit",
};

class Table {
  #body = h("tbody");
  #empty;
  #rows = new Map();

  constructor(title, columns, empty, note = "") {
    const head = columns.map((column, place) => h("th", { scope: "col", class: place ? "number" : false }, column));
    this.#empty = h("p", { class: "muted", hidden: true }, empty);
    const table = h("table", {}, h("thead", {}, h("tr", {}, head)), this.#body);
    const scroll = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title }, table);
    const hint = note && h("p", { class: "muted small" }, note);
    this.root = h("section", { class: "panel figure" }, h("h2", {}, title), scroll, this.#empty, hint);
  }

  /** Draw `[[name, hint, ...cells]]`. */
  fill(rows) {
    const kept = new Set(rows.map(([name]) => name));
    for (const name of this.#rows.keys()) if (!kept.has(name)) this.#rows.delete(name);
    for (const [name, hint, ...cells] of rows) {
      if (!this.#rows.has(name)) this.#rows.set(name, makeRow(name, cells.length));
      const row = this.#rows.get(name);
      row.title = hint;
      cells.forEach((cell, place) => setText(row.children[place + 1], cell));
    }
    arrange(this.#body, rows.map(([name]) => this.#rows.get(name)));
    this.#empty.hidden = rows.length > 0;
    this.root.querySelector(".scroll").hidden = rows.length === 0;
  }
}

function makeRow(name, cells) {
  const rest = Array.from({ length: cells }, () => h("td", { class: "number" }));
  return h("tr", {}, h("th", { scope: "row" }, name), rest);
}

/** What was refused, and what else went wrong, by reason. */
export class Refusals extends Table {
  constructor() {
    super("Refused and failed", ["Reason", "Now", "Since the start"], "Nothing was refused since the start.");
  }

  draw(figures) {
    const rows = reasons(figures.latest).slice(0, MOST_ROWS);
    this.fill(rows.map(({ name, code, count }) => {
      const now = figures.rate((sample) => reasons(sample).find((each) => each.name === name)?.count ?? 0);
      return [name, MEANINGS[code] ?? "", now ? `${formatValue(now)} /s` : "0", formatCount(count)];
    }));
  }
}

function reasons({ refused, failures }) {
  const all = [
    ...refused.map(({ status, code, count }) => ({ name: `${status} ${code}`, code, count })),
    ...failures.credentials.map(({ door, count }) => ({ name: `no valid key (${door})`, code: "unauthorized", count })),
    ...failures.hindered.map(({ code, count }) => ({ name: `batch set aside: ${code}`, code, count })),
    ...failures.streams.map(({ cause, count }) => ({ name: `export cut: ${cause}`, code: cause, count })),
  ];
  return all.sort((a, b) => b.count - a.count);
}

/** The processes that do the work. */
export class Workers extends Table {
  constructor() {
    const note = "Late: by how much its event loop was, when it looked last; above 50 ms everything waits.";
    super("Workers", ["Process", "Up", "Processor", "Memory", "Late"], "No worker has told of itself yet.", note);
  }

  draw(figures) {
    const { workers, ms } = figures.latest;
    this.fill(workers.map((worker) => {
      const busy = figures.rate((sample) => sample.workers.find(({ pid }) => pid === worker.pid)?.cpu_s ?? worker.cpu_s);
      return [
        String(worker.pid),
        `since ${formatUtc(worker.started_at)}`,
        formatDuration(ms - Date.parse(worker.started_at)),
        busy === null ? "–" : `${formatValue(Math.round(busy * 100))} %`,
        formatBytes(worker.resident_bytes),
        formatSeconds(worker.lag_s),
      ];
    }));
  }
}
