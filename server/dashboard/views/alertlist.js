/** Alerts, drawn as a list, each with what can be done about it. */

import { arrange, h, part, setAttribute, setShape, setText, svg } from "../dom.js";
import { formatDuration, formatLabels, formatValue, showMoment } from "../format.js";
import { routeOf } from "../router.js";
import { acknowledge, silence } from "./alertactions.js";

export class AlertList {
  #list;
  #desk;
  #rows = new Map(); // id → {row, alert}

  /** @param {Element} list the <ul>  @param desk the view's, for the clock and for what can be done */
  constructor(list, desk) {
    this.#list = list;
    this.#desk = desk;
  }

  /** Show these, in this order. */
  draw(alerts) {
    const kept = new Set(alerts.map((alert) => alert.id));
    for (const id of this.#rows.keys()) if (!kept.has(id)) this.#rows.delete(id);
    for (const alert of alerts) {
      if (!this.#rows.has(alert.id)) this.#rows.set(alert.id, { row: this.#makeRow(alert.id) });
      const shown = this.#rows.get(alert.id);
      shown.alert = alert;
      this.#drawRow(shown.row, alert);
    }
    arrange(this.#list, alerts.map((alert) => this.#rows.get(alert.id).row));
  }

  /** Let time pass. */
  tick() {
    for (const { row, alert } of this.#rows.values()) showLasting(row, alert, this.#desk.clock.now());
  }

  #makeRow(id) {
    const { session, signal } = this.#desk;
    const title = svg("title", { "data-part": "severity" });
    const of = (name, label, act) => {
      const button = h("button", { type: "button", class: "quiet", "data-part": name }, label);
      button.addEventListener("click", () => act(this.#rows.get(id).alert, this.#desk), { signal });
      return button;
    };
    const may = session.has("admin");
    return h("li", { class: "alert" },
      svg("svg", { class: "shape", role: "img" }, title, svg("use")),
      h("div", { class: "what" }, h("b", { "data-part": "rule" }), h("span", { "data-part": "note" })),
      h("p", { class: "where" }, h("a", { "data-part": "device" }), h("span", { "data-part": "where" })),
      h("div", { class: "when muted small" },
        h("span", { "data-part": "verb" }), " ", h("time", { "data-part": "at" }), h("span", { "data-part": "lasting" })),
      h("p", { class: "said small", "data-part": "said", hidden: true }),
      may && h("div", { class: "actions", "data-part": "actions" },
        of("ack", "Acknowledge", acknowledge),
        !session.key.device_glob && of("silence", "Silence …", silence)));
  }

  #drawRow(row, alert) {
    const over = alert.state !== "firing";
    Object.assign(row.dataset, { severity: alert.severity, device: alert.device, alert: alert.id });
    setShape(row, alert.severity);
    setText(part(row, "severity"), alert.severity);
    setText(part(row, "rule"), alert.rule.name);
    showDevice(part(row, "device"), alert.device);
    const labels = formatLabels(alert.labels);
    setText(part(row, "where"), ` · ${alert.metric}${labels && ` · ${labels}`}`);
    showNote(part(row, "note"), alert, over);
    setText(part(row, "verb"), over ? "resolved" : "since");
    showMoment(part(row, "at"), (over ? alert.resolved_at : alert.fired_at) ?? alert.started_at);
    showLasting(row, alert, this.#desk.clock.now());
    showSaid(part(row, "said"), alert);
    const actions = part(row, "actions");
    if (!actions) return;
    actions.hidden = over;
    part(row, "ack").hidden = Boolean(alert.acknowledged_at);
  }
}

/** A link to the device's page, once there is one. */
function showDevice(link, device) {
  setText(link, device);
  const path = `#/devices/${encodeURIComponent(device)}`;
  if (routeOf(path).view) setAttribute(link, "href", path);
}

/** The value beside the limit it crossed; of an alert that is over, how bad it was. */
function showNote(note, alert, over) {
  const crossed = typeof alert.value === "number" && typeof alert.threshold === "number";
  const sign = alert.value < alert.threshold ? "<" : ">";
  const crossing = crossed && `${formatValue(alert.value)} ${sign} ${formatValue(alert.threshold)}`;
  setText(note, over || !crossed ? alert.severity : crossing);
  setAttribute(note, "title", crossed ? `value ${alert.value}, threshold ${alert.threshold}` : alert.severity);
}

/** Who looks at it, and that it pages nobody. */
function showSaid(said, alert) {
  const comment = alert.acknowledged_comment ? `: “${alert.acknowledged_comment}”` : "";
  const words = [
    alert.acknowledged_at && `Acknowledged by ${alert.acknowledged_by ?? "somebody"}${comment}`,
    alert.silenced && alert.state === "firing" && "Silenced: its webhooks are held",
  ].filter(Boolean);
  setText(said, words.join(" · "));
  said.hidden = words.length === 0;
}

function showLasting(row, alert, now) {
  const end = alert.resolved_at ? Date.parse(alert.resolved_at) : now;
  const lasted = formatDuration(end - Date.parse(alert.fired_at ?? alert.started_at));
  setText(part(row, "lasting"), ` · ${alert.resolved_at ? "after " : ""}${lasted}`);
}
