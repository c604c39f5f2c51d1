/** Alerts, drawn as a list, each with what can be done about it. */

import { button, h, keyed, setAttribute, setShape, setText, shape } from "../dom.js";
import { formatDuration, formatLabels, formatValue, showMoment } from "../format.js";
import { acknowledge, silence } from "./alertactions.js";

/** Gives the function that draws alerts into a <ul>, in their order; how long they have lasted goes on by itself. */
export function alertList(list, desk) {
  let shown = [];
  const draw = keyed(list, () => makeRow(desk));
  const show = (alerts) => draw((shown = alerts));
  desk.clock.tick(() => shown.some(({ state }) => state === "firing") && draw(shown), desk.signal);
  return show;
}

function makeRow(desk) {
  const { clock, session } = desk;
  let alert;
  const [rule, note, where, verb, lasting] = ["b", "span", "span", "span", "span"].map((name) => h(name));
  const [mark, device, at] = [shape("info", "info"), h("a"), h("time")];
  const said = h("p.said.small", { "data-part": "said" });
  const act = (name, does) => button(name, () => does(alert, desk));
  const ack = act("Acknowledge", acknowledge);
  const actions = h("div.actions", ack, !session.key.device_glob && act("Silence …", silence));
  const row = h("li.alert", mark, h("div.what", rule, note), h("p.where", h("span", device, " · "), where),
    h("div.when.muted.small", verb, " ", at, lasting), said, session.has("admin") && actions);
  const draw = (latest) => {
    alert = latest;
    const over = alert.state !== "firing";
    const { severity, value, threshold, fired_at: fired, started_at: started, resolved_at: resolved } = alert;
    Object.assign(row.dataset, { severity, device: alert.device, alert: alert.id });
    setShape(mark, severity);
    setAttribute(mark, "aria-label", severity);
    setText(rule, alert.rule.name);
    setText(device, alert.device);
    setAttribute(device, "href", `#/devices/${encodeURIComponent(alert.device)}`);
    setText(where, [alert.metric, formatLabels(alert.labels)].filter(Boolean).join(" · "));
    const crossed = typeof value === "number" && typeof threshold === "number";
    const crossing = crossed && `${formatValue(value)} ${value < threshold ? "<" : ">"} ${formatValue(threshold)}`;
    setText(note, over || !crossed ? severity : crossing);
    setAttribute(note, "title", crossed ? `value ${value}, threshold ${threshold}` : severity);
    setText(verb, over ? "resolved" : "since");
    showMoment(at, (over ? resolved : fired) ?? started);
    const lasted = (resolved ? Date.parse(resolved) : clock.now()) - Date.parse(fired ?? started);
    setText(lasting, ` · ${resolved ? "after " : ""}${formatDuration(lasted)}`);
    setText(said, saidOf(alert));
    said.hidden = !said.textContent;
    actions.hidden = over;
    ack.hidden = Boolean(alert.acknowledged_at);
  };
  return { row, draw };
}

function saidOf({ acknowledged_at: seen, acknowledged_by: by, acknowledged_comment: comment, silenced, state }) {
  return [
    seen && `Acknowledged by ${by ?? "somebody"}${comment ? `: “${comment}”` : ""}`,
    silenced && state === "firing" && "Silenced: its webhooks are held",
  ].filter(Boolean).join(" · ");
}
