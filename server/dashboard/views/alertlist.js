/** The alerts, drawn: a list of what fires, a list of what is over. */

import { arrange, byId, h, part, setAttribute, setShape, setText, svg } from "../dom.js";
import { formatDuration, formatLabels, formatValue, showMoment } from "../format.js";

export class AlertList {
  #alerts;
  #now;
  #rows = { firing: new Map(), resolved: new Map() };

  /** @param {Function} now the server's time */
  constructor(alerts, now) {
    this.#alerts = alerts;
    this.#now = now;
  }

  /** Draw what changed. */
  draw() {
    this.#drawList("firing", this.#alerts.firingInOrder());
    this.#drawList("resolved", this.#alerts.resolvedInOrder());
    this.#showSure(this.#alerts.sure);
  }

  /** Let time pass. */
  tick() {
    for (const [id, row] of this.#rows.firing) showLasting(row, this.#alerts.firing.get(id), this.#now());
  }

  #showSure(sure) {
    byId("firing-unsure").hidden = sure;
    setText(byId("firing-empty").querySelector("b"), sure ? "Nothing is firing." : "Nothing was firing.");
    byId("firing-empty").querySelector("svg").classList.toggle("ok", sure);
  }

  /** Say what to do next where there is no rule. */
  showFirstRule(missing) {
    byId("first-rule").hidden = !missing;
    byId("firing-hint").hidden = missing;
  }

  #drawList(state, alerts) {
    const rows = this.#rows[state];
    const kept = new Set(alerts.map((alert) => alert.id));
    for (const id of rows.keys()) if (!kept.has(id)) rows.delete(id);
    for (const alert of alerts) {
      if (!rows.has(alert.id)) rows.set(alert.id, makeRow());
      drawRow(rows.get(alert.id), alert, this.#now());
    }
    arrange(byId(state), alerts.map((alert) => rows.get(alert.id)));
    setText(document.querySelector(`[data-count="${state}"]`), String(alerts.length));
    byId(`${state}-empty`).hidden = alerts.length > 0;
  }
}

function makeRow() {
  const title = svg("title", { "data-part": "severity" });
  return h("li", { class: "alert" },
    svg("svg", { class: "shape", role: "img" }, title, svg("use")),
    h("div", { class: "what" }, h("b", { "data-part": "rule" }), h("span", { "data-part": "note" })),
    h("p", { class: "where", "data-part": "where" }),
    h("div", { class: "when muted small" },
      h("span", { "data-part": "verb" }), " ", h("time", { "data-part": "at" }), h("span", { "data-part": "lasting" })));
}

function drawRow(row, alert, now) {
  const over = alert.state !== "firing";
  row.dataset.severity = alert.severity;
  row.dataset.device = alert.device;
  row.dataset.alert = alert.id;
  setShape(row, alert.severity);
  setText(part(row, "severity"), alert.severity);
  setText(part(row, "rule"), alert.rule.name);
  const labels = formatLabels(alert.labels);
  setText(part(row, "where"), `${alert.device} · ${alert.metric}${labels && ` · ${labels}`}`);
  showNote(part(row, "note"), alert, over);
  setText(part(row, "verb"), over ? "resolved" : "since");
  showMoment(part(row, "at"), (over ? alert.resolved_at : alert.fired_at) ?? alert.started_at);
  showLasting(row, alert, now);
}

/** The value beside the limit it crossed; of an alert that is over, how bad it was. */
function showNote(note, alert, over) {
  const crossed = typeof alert.value === "number" && typeof alert.threshold === "number";
  const sign = alert.value < alert.threshold ? "<" : ">";
  const crossing = crossed && `${formatValue(alert.value)} ${sign} ${formatValue(alert.threshold)}`;
  setText(note, over || !crossed ? alert.severity : crossing);
  setAttribute(note, "title", crossed ? `value ${alert.value}, threshold ${alert.threshold}` : alert.severity);
}

function showLasting(row, alert, now) {
  if (!alert) return;
  const end = alert.resolved_at ? Date.parse(alert.resolved_at) : now;
  const lasted = formatDuration(end - Date.parse(alert.fired_at ?? alert.started_at));
  const by = alert.acknowledged_by ? ` by ${alert.acknowledged_by}` : "";
  const seen = alert.acknowledged_at ? ` · acknowledged${by}` : "";
  setText(part(row, "lasting"), ` · ${alert.resolved_at ? "after " : ""}${lasted}${seen}`);
}
