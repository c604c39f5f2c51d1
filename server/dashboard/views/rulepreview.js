/** A rule tried on what is stored: the alerts it would have raised, by the very machine that judges what comes. */

import { button, h, select, setText, shape } from "../dom.js";
import { saidBy } from "../form.js";
import { formatValue, showMoment } from "../format.js";

const HOUR_MS = 3_600_000;
const SPANS = [["6 hours", 6], ["24 hours", 24], ["7 days", 168], ["30 days", 720]].map(([name, hours]) => [hours, `the last ${name}`]);
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

/** Gives the <section>. `read()` gives the rule as it stands in the form, or throws what is missing. */
export function previewPanel({ api, clock }, read) {
  const summary = h("p", { role: "status" }, "Try the rule on stored readings before it wakes anybody. Nothing is changed, nobody is told.");
  const list = h("ol.preview");
  const span = select({ "aria-label": "On which history" }, SPANS, 24);
  const attempt = button("Try it", async () => {
    const to = clock.now();
    list.replaceChildren();
    attempt.disabled = true;
    try {
      const question = { rule: read(), from: new Date(to - span.value * HOUR_MS), to: new Date(to), limit: MOST_TOLD };
      setText(summary, "Reading …");
      const told = await api.post("/v1/rules/preview", question, { timeoutMs: PATIENCE_MS });
      setText(summary, summaryOf(told));
      list.replaceChildren(...told.transitions.slice(-MOST_SHOWN).reverse().map(drawTransition));
    } catch (error) {
      if (error.name !== "AbortError") setText(summary, saidBy(error));
    } finally {
      attempt.disabled = false;
    }
  });
  return h("section.panel.fields",
    h("h2", "What it would have done"), h("div.row.preview-ask", span, attempt), summary, list);
}

function summaryOf({ series, readings, transitions, truncated_by: lack }) {
  const fired = transitions.filter(({ event }) => event === "firing");
  const devices = new Set(fired.map(({ device }) => device)).size;
  const times = fired.length === 1 ? "once" : `${fired.length.toLocaleString()} times`;
  const found = fired.length
    ? `It would have fired ${times}, on ${devices} ${devices === 1 ? "device" : "devices"}.`
    : series ? "It would not have fired." : "It watches no series that is stored yet.";
  const judged = `${readings.toLocaleString()} readings of ${series.toLocaleString()} series were judged.`;
  return `${found} ${judged} ${LACKS[lack] ?? ""}`.trim();
}

function drawTransition({ event, at, device, metric, severity, value, threshold }) {
  const moment = h("time.muted");
  showMoment(moment, at);
  const name = event === "resolved" ? "resolved" : severity;
  return h("li", { "data-severity": name },
    h("span.tone", shape(name, name)),
    h("span", h("b", device), ` · ${metric} ${VERBS[event] ?? event} at ${formatValue(value)}`,
      h("span.muted", ` (limit ${formatValue(threshold)})`)),
    moment);
}
