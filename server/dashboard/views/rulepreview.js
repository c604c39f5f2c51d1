/** A rule tried on what is stored: the alerts it would have raised, by the very machine that judges what comes. */

import { h, setText, shape } from "../dom.js";
import { saidBy } from "../form.js";
import { formatValue, showMoment } from "../format.js";

const HOUR_MS = 3_600_000;
const SPANS = [["6 hours", 6], ["24 hours", 24], ["7 days", 168], ["30 days", 720]];
const MOST_TOLD = 1_000;
const MOST_SHOWN = 100;
const PATIENCE_MS = 20_000; // the server gives a preview ten seconds
const VERBS = { firing: "fires", escalated: "escalates", deescalated: "goes down", resolved: "is resolved" };
const LACKS = {
  deadline: "It took too long: some of the history was not read.",
  readings: "There are too many readings: some of the history was not read.",
  series: "The rule watches too many series: the last ones were not read.",
  transitions: `There are more than ${MOST_TOLD.toLocaleString()} transitions: these are the first.`,
};

export class PreviewPanel {
  #desk;
  #read;
  #span;
  #button;
  #summary = h("p", { role: "status" });
  #list = h("ol", { class: "preview" });
  #asked = 0;

  /** The <section>, to be put into the page. */
  root;

  /** @param {Function} read gives the rule as it stands in the form, or throws what is missing */
  constructor(desk, read) {
    this.#desk = desk;
    this.#read = read;
    this.#span = h("select", { "aria-label": "On which history" }, SPANS.map(([name, hours]) => h("option", { value: hours, selected: hours === 24 }, `the last ${name}`)));
    this.#button = h("button", { type: "button", class: "quiet" }, "Try it");
    this.#button.addEventListener("click", () => this.#run(), { signal: desk.signal });
    this.root = h("section", { class: "panel fields" },
      h("h2", {}, "What it would have done"),
      h("div", { class: "row preview-ask" }, this.#span, this.#button),
      this.#summary, this.#list);
    setText(this.#summary, "Try the rule on stored readings before it wakes anybody. Nothing is changed, nobody is told.");
  }

  async #run() {
    const { api, clock, signal } = this.#desk;
    const question = ++this.#asked;
    const to = clock.now();
    this.#list.replaceChildren();
    try {
      const rule = this.#read();
      setText(this.#summary, "Reading …");
      this.#button.disabled = true;
      const span = { from: iso(to - this.#span.value * HOUR_MS), to: iso(to) };
      const told = await api.post("/v1/rules/preview", { rule, ...span, limit: MOST_TOLD }, { timeoutMs: PATIENCE_MS });
      if (question === this.#asked && !signal.aborted) this.#show(told);
    } catch (error) {
      if (error.name !== "AbortError") setText(this.#summary, saidBy(error));
    } finally {
      this.#button.disabled = false;
    }
  }

  #show({ series, readings, transitions, truncated_by: lack }) {
    const fired = transitions.filter(({ event }) => event === "firing");
    const devices = new Set(fired.map(({ device }) => device)).size;
    const judged = `${readings.toLocaleString()} readings of ${series.toLocaleString()} series were judged.`;
    const found = fired.length
      ? `It would have fired ${times(fired.length)}, on ${devices} ${devices === 1 ? "device" : "devices"}.`
      : series ? "It would not have fired." : "It watches no series that is stored yet.";
    setText(this.#summary, [found, judged, lack ? LACKS[lack] : ""].filter(Boolean).join(" "));
    this.#list.replaceChildren(...transitions.slice(-MOST_SHOWN).reverse().map(drawTransition));
  }
}

const iso = (ms) => new Date(ms).toISOString();

const times = (count) => (count === 1 ? "once" : `${count.toLocaleString()} times`);

function drawTransition({ event, at, device, metric, severity, value, threshold }) {
  const moment = h("time", { class: "muted" });
  showMoment(moment, at);
  const name = event === "resolved" ? "resolved" : severity;
  return h("li", { "data-severity": event === "resolved" ? "" : severity },
    h("span", { class: "tone" }, shape(name, name)),
    h("span", {}, h("b", {}, device), ` · ${metric} ${VERBS[event] ?? event} at ${formatValue(value)}`, h("span", { class: "muted" }, ` (limit ${formatValue(threshold)})`)),
    moment);
}
