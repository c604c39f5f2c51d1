/** One metric of a device: its newest value, its chart, what limits it, and its readings as a file. */

import { button, h, setAttribute, setText, shape } from "../dom.js";
import { formatLabels, formatValue, showAge } from "../format.js";
import { Chart, MOST_LINES } from "./chart.js";
import { follow } from "./gestures.js";
import { selection } from "./history.js";
import { limitsOf } from "./limits.js";
import { iso } from "./span.js";
import { nearest, showTooltip, swatch } from "./tooltip.js";

export class Panel {
  #page;
  #chart;
  #newest = h("b.newest", "–");
  #age = h("time.age.muted.small");
  #at = h("span.at.small");
  #limits = h("span.limits.small");
  #legend = h("ul.legend.small");
  #note = h("p.note.muted.small", "Loading …");
  #tooltip = h("div.tooltip", { hidden: true });
  #box = h("div.plot", { role: "img" });
  #first = 0; // of the series, which is drawn first: there may be more of them than colours
  #seen = false;
  #told = new Map(); // series → {busy, problem}
  #series = [];

  constructor(metric, page) {
    this.metric = metric;
    this.#page = page;
    const aim = ({ target }) => (target.href = this.#file()); // when somebody is about to follow it
    this.root = h("figure.chart.panel", { "data-metric": metric, "aria-busy": "true" },
      h("figcaption", h("h2", { title: metric }, metric), this.#at, h("span.now", this.#newest, " ", this.#age)),
      h("div.box", this.#box, this.#tooltip, this.#note),
      h("div.under", this.#limits, h("a", {
        class: "small", href: "#", download: true, title: "What is seen here, as a file", onpointerenter: aim, onfocus: aim,
      }, "CSV")),
      this.#legend);
    this.root.series = this.#series; // for whoever looks from outside, such as a test
    this.#chart = new Chart(this.#box, page.colours, { zoom: page.on.between, cursor: (...where) => this.#point(...where) });
    follow(this.#box, page.on);
    page.signal.addEventListener("abort", () => this.#chart.end(), { once: true });
  }

  add(series) {
    this.#series.push(series);
    this.#show();
  }

  judge(alerts, rules) {
    this.#chart.alerts = alerts.filter(({ metric }) => metric === this.metric);
    this.#chart.limits = limitsOf(rules, this.#chart.lines);
    this.#limits.replaceChildren(...this.#chart.limits.map(({ severity, side, value, rule }) =>
      h("span.tag", { "data-severity": severity, title: `${severity}: ${rule.name}` },
        shape(severity, severity), `${side === "above" ? ">" : "<"} ${formatValue(value)}`)));
    this.want();
  }

  /** Whether it is within sight, where that has changed, or its width: only then is it loaded and drawn. */
  see(seen = this.#seen) {
    this.#seen = seen;
    if (seen) this.#chart.resize();
    for (const series of this.#series) this.#page.history.seen(series, seen && this.#chart.lines.includes(series), this.#chart.width);
    this.want();
  }

  want() {
    if (this.#seen) this.#page.want(this);
  }

  tell(series, state) {
    this.#told.set(series, state);
    this.want();
  }

  draw() {
    const now = this.#page.now();
    const { lines } = this.#chart;
    const [from, to] = this.#page.span.bounds(now);
    this.#chart.draw(from, to, now);
    const newest = this.#series.map((each) => each.newest).filter(Boolean).sort((a, b) => b.ts - a.ts)[0];
    if (newest) {
      setText(this.#newest, formatValue(newest.value));
      this.#newest.title = newest.value;
      showAge(this.#age, iso(newest.ts), now * 1_000);
    }
    lines.forEach((line, place) => {
      if (this.#legend.children[place] && line.newest) setText(this.#legend.children[place].lastChild, formatValue(line.newest.value));
    });
    const told = lines.map((line) => this.#told.get(line)).filter(Boolean);
    const loaded = lines.some(({ level }) => level !== null);
    const some = lines.some((line) => line.columns().x.some((x) => x >= from && x <= to));
    const problem = told.find((each) => each.problem)?.problem;
    setAttribute(this.root, "aria-busy", String(!told.length || told.some(({ busy }) => busy)));
    setText(this.#note, problem || (!loaded ? "Loading …" : some ? "" : "Nothing was reported in this time."));
    setAttribute(this.#box, "aria-label", `${this.metric} over time; newest value ${newest?.value ?? "unknown"}`);
  }

  #file() {
    const { span, now, device } = this.#page;
    const [from, to] = span.bounds(now());
    const which = this.#series.length > 1 ? { device, metric: this.metric } : selection(device, this.#series[0]);
    return `/v1/readings?${new URLSearchParams({ ...which, from: iso(from), to: iso(to), format: "csv" })}`;
  }

  #show() {
    const all = this.#series.length;
    const lines = this.#series.slice(this.#first, this.#first + MOST_LINES);
    this.#chart.show(lines);
    const entries = lines.map((line, place) =>
      h("li", swatch(place), h("span", formatLabels(line.labels) || "no labels"), h("b", "–")));
    if (all > MOST_LINES) {
      const next = button("Show the next", () => {
        this.#first = this.#first + MOST_LINES < all ? this.#first + MOST_LINES : 0;
        this.#show();
      });
      const range = `label sets ${this.#first + 1} – ${this.#first + lines.length} of ${all}`;
      entries.push(h("li", h("span.muted", range), next));
    }
    this.#legend.replaceChildren(...(all > 1 ? entries : []));
    this.see();
  }

  #point(seconds, hovered, left) {
    const perPixel = this.#page.span.length / this.#chart.width;
    this.#tooltip.hidden = !hovered;
    if (hovered) showTooltip(this.#tooltip, this.#chart, seconds, left, perPixel);
    const point = seconds === null || hovered ? null : nearest(this.#chart.lines[0], seconds, perPixel);
    setText(this.#at, point ? formatValue(point.value) : "");
  }
}
