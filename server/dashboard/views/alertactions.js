/** What can be done about an alert: say that somebody looks at it, and have it page nobody for a while. */

import { announce, h } from "../dom.js";
import { askFor, field } from "../form.js";

const MOST_COMMENT = 1_000; // characters
const HOUR_MS = 3_600_000;
/** For how long, in milliseconds. */
export const LASTING = [["1 hour", HOUR_MS], ["4 hours", 4 * HOUR_MS], ["24 hours", 24 * HOUR_MS], ["7 days", 168 * HOUR_MS]];

/** A field for why. */
export const commentField = (hint) =>
  field("Comment", h("input", { name: "comment", maxlength: MOST_COMMENT, autocomplete: "off" }), hint);

/** A field for how long. */
export const lastingField = () =>
  field("For", h("select", { name: "lasting" }, LASTING.map(([name, ms]) => h("option", { value: ms }, name))));

/** Acknowledge an alert. */
export async function acknowledge(alert, { api, alerts, signal }) {
  const done = await askFor({
    title: "Acknowledge the alert",
    lead: `Says to everybody that you look at “${alert.rule.name}” on ${alert.device}. It goes on firing until its condition is gone.`,
    fields: [commentField("Optional: what you found, what you do.")],
    action: "Acknowledge",
    submit: (values) => api.post(`/v1/alerts/${alert.id}/ack`, { comment: values.get("comment") }),
  }, signal);
  if (!done) return;
  announce("Acknowledged.");
  alerts.load();
}

/** Hold the webhooks of an alert, or of more. */
export async function silence(alert, { api, clock, alerts, signal }) {
  const covers = [
    [`This rule on ${alert.device}`, { device: alert.device, metric: alert.metric, rule: alert.rule.id }],
    [`Everything on ${alert.device}`, { device: alert.device }],
    ["This rule on all devices", { rule: alert.rule.id }],
  ];
  const choice = h("select", { name: "covers" }, covers.map(([name], place) => h("option", { value: place }, name)));
  const done = await askFor({
    title: "Silence",
    lead: "Its webhooks are held. The alert is still shown here, and still recorded.",
    fields: [field("What", choice), lastingField(), commentField("Optional: why.")],
    action: "Silence",
    submit: (values) => api.post("/v1/silences", {
      ...covers[values.get("covers")][1],
      until: new Date(clock.now() + Number(values.get("lasting"))).toISOString(),
      comment: values.get("comment"),
    }),
  }, signal);
  if (!done) return;
  announce("Silenced.");
  alerts.load();
}
