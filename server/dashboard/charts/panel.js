/** One metric of a device: its newest value, its chart, what limits it, and its readings as a file. */

import { arrange, h, setAttribute, setText, shape } from "../dom.js";
import { formatDuration, formatLabels, formatValue } from "../format.js";
import { Chart, MOST_LINES } from "./chart.js";
import { follow } from "./gestures.js";
import { limitsOf } from "./limits.js";
import { selection } from "./history.js";
import { iso } from "./span.js";
import { nearest, showNewest, swatch, Tooltip } from "./tooltip.js";

export class Panel {
  #page;
  #chart;
  #tooltip = new Tooltip();
  #newest = h("b", { class: "newest" }, "–");
  #age = h("time", { class: "age muted small" });
  #at = h("span", { class: "at small" });
  #limits = h("span", { class: "limits small" });
  #legend = h("ul", { class: "legend small" });
  #note = h("p", { class: "note muted small" }, "Loading …");
  #csv = h("a", { class: "small", href: "#", download: "", title: "What is seen here, as a file" }, "CSV");
  #box = h("div", { class: "plot", role: "img" });
  #first = 0; // of the series, which is drawn first: there may be more of them than colours
  #seen = false;
  #told = new Map(); // series → {busy, problem}

  /** All series of the metric. */
  series = [];

  /** @param {object} page what is shared: `{device, now, span, palette, frames, history, on, signal}` */
  constructor(metric, page) {
    this.metric = metric;
    this.#page = page;
    this.root = h("figure", { class: "chart panel", "data-metric": metric, "aria-busy": "true" },
      h("figcaption", {},
        h("h2", { title: metric }, metric), this.#at, h("span", { class: "now" }, this.#newest, " ", this.#age)),
      h("div", { class: "box" }, this.#box, this.#tooltip.root, this.#note),
      h("div", { class: "under" }, this.#limits, this.#csv),
      this.#legend);
    this.root.series = this.series; // for whoever looks from outside, such as a test
    const on = { zoom: page.on.between, cursor: (...where) => this.#point(...where) };
    this.#chart = new Chart(this.#box, page.palette, on);
    for (const type of ["pointerenter", "focus"]) this.#csv.addEventListener(type, () => this.#link(), { signal: page.signal });
    follow(this.#box, () => this.#chart.over, page.on, page.signal);
    page.signal.addEventListener("abort", () => this.#chart.end(), { once: true });
  }

  /** What is drawn. */
  get lines() {
    return this.#chart.lines;
  }

  /** Another label set. */
  add(series) {
    this.series.push(series);
    this.#show();
  }

  /** What alerts and rules say of it. */
  judge(alerts, rules) {
    this.#chart.alerts = alerts.filter(({ metric }) => metric === this.metric);
    this.#chart.limits = limitsOf(rules, this.#chart.lines);
    const texts = this.#chart.limits.map(({ severity, side, value, rule }) =>
      h("span", { class: "tag", "data-severity": severity, title: `${severity}: ${rule.name}` },
        shape(severity, severity), `${side === "above" ? ">" : "<"} ${formatValue(value)}`));
    this.#limits.replaceChildren(...texts);
    this.want();
  }

  /** Whether it is within sight: only then is it loaded and drawn. */
  see(seen) {
    this.#seen = seen;
    if (seen) this.#chart.resize();
    for (const series of this.series) {
      this.#page.history.seen(series, seen && this.lines.includes(series), this.#chart.width);
    }
    if (seen) this.want();
  }

  /** It may be wider now, or narrower. */
  resized() {
    if (this.#seen) this.see(true);
  }

  /** Have it drawn soon, if it is within sight. */
  want() {
    if (this.#seen) this.#page.frames.want(this);
  }

  /** Draw it now; for `Frames`. */
  draw() {
    const now = this.#page.now();
    const [from, to] = this.#page.span().bounds(now);
    this.#chart.draw(from, to, now);
    this.#showState();
    const newest = showNewest(this.#newest, this.series);
    if (newest) {
      setText(this.#age, `${formatDuration((now - newest.ts) * 1_000)} ago`);
      setAttribute(this.#age, "datetime", iso(newest.ts));
      setAttribute(this.#age, "title", `${iso(newest.ts).replace("T", " ").replace("Z", "")} UTC`);
    }
    this.lines.forEach((line, place) => {
      setText(this.#legend.children[place]?.lastElementChild ?? h("i"), line.newest ? formatValue(line.newest.value) : "–");
    });
  }

  /** Where the readings that are seen are had as a file: written when somebody is about to follow it. */
  #link() {
    const [from, to] = this.#page.span().bounds(this.#page.now());
    const [only, ...others] = this.series;
    const which = others.length ? { device: this.#page.device, metric: this.metric } : selection(this.#page.device, only);
    this.#csv.href = `/v1/readings?${new URLSearchParams({ ...which, from: iso(from), to: iso(to), format: "csv" })}`;
  }

  /** What became of loading a series. */
  tell(series, state) {
    this.#told.set(series, state);
    this.#showState();
  }

  #showState() {
    const told = this.lines.map((line) => this.#told.get(line)).filter(Boolean);
    const problem = told.find((each) => each.problem)?.problem ?? "";
    const loaded = this.lines.some(({ level }) => level !== null);
    const [from, to] = this.#page.span().bounds(this.#page.now());
    const some = this.lines.some((line) => line.columns().x.some((x) => x >= from && x <= to));
    const empty = loaded && !some ? "Nothing was reported in this time." : "";
    setAttribute(this.root, "aria-busy", String(!told.length || told.some(({ busy }) => busy)));
    setText(this.#note, problem || (loaded ? empty : "Loading …"));
    const newest = this.series.find((each) => each.newest)?.newest;
    setAttribute(this.#box, "aria-label", `${this.metric} over time; newest value ${newest?.value ?? "unknown"}`);
  }

  #show() {
    const lines = this.series.slice(this.#first, this.#first + MOST_LINES);
    this.#chart.show(lines);
    const several = this.series.length > 1;
    const entries = lines.map((line, place) =>
      h("li", {}, swatch(place), h("span", {}, formatLabels(line.labels) || "no labels"), h("b", {}, "–")));
    arrange(this.#legend, several ? [...entries, this.#more(lines.length)].filter(Boolean) : []);
    this.see(this.#seen);
  }

  #more(shown) {
    if (this.series.length <= MOST_LINES) return null;
    const range = `${this.#first + 1} – ${this.#first + shown} of ${this.series.length}`;
    const button = h("button", { type: "button", class: "quiet" }, "Show the next");
    button.addEventListener("click", () => {
      this.#first = this.#first + MOST_LINES < this.series.length ? this.#first + MOST_LINES : 0;
      this.#show();
    }, { signal: this.#page.signal });
    return h("li", {}, h("span", { class: "muted" }, `label sets ${range}`), button);
  }

  #point(seconds, hovered, left) {
    const over = this.#chart.over;
    const reach = seconds === null || !over ? 0 : this.#page.span().length / this.#chart.width;
    if (hovered) this.#tooltip.show(this.#chart, seconds, left, reach);
    else this.#tooltip.hide();
    const point = seconds === null || hovered ? null : nearest(this.lines[0], seconds, reach * 24);
    setText(this.#at, point ? formatValue(point.value) : "");
  }
}
