/** The alerts, drawn: a list of what fires, a list of what is over. */

import { arrange, byId, clone, part, setAttribute, setShape, setText } from "./dom.js";
import { formatDuration, formatLabels, formatValue, showMoment } from "./format.js";

const SPOKEN = { firing: "fires", escalated: "escalated", deescalated: "went down", resolved: "is resolved" };

export class AlertList {
  #alerts;
  #now;
  #onDevice;
  #rows = { firing: new Map(), resolved: new Map() };

  /** @param {Function} now the server's time  @param {Function} onDevice called with the device that was chosen */
  constructor(alerts, now, onDevice) {
    this.#alerts = alerts;
    this.#now = now;
    this.#onDevice = onDevice;
    // On a phone the devices matter more than what is over.
    byId("history").open = matchMedia("(min-width: 60rem)").matches;
  }

  /** Draw what changed. */
  draw() {
    this.#drawList("firing", this.#alerts.firingInOrder());
    this.#drawList("resolved", this.#alerts.resolvedInOrder());
    const count = this.#alerts.firing.size;
    document.title = count ? `(${count}) Sluice` : "Sluice";
  }

  /** Let time pass. */
  tick() {
    for (const [id, row] of this.#rows.firing) showLasting(row, this.#alerts.firing.get(id), this.#now());
  }

  /** Say an event to those who do not see the page. */
  announce({ event, alert }) {
    const spoken = SPOKEN[event];
    if (spoken) setText(byId("announcer"), `${alert.severity}: ${alert.rule.name} on ${alert.device} ${spoken}.`);
  }

  /** Say whether what the list shows is known to be so. */
  showSure(sure) {
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
      if (!rows.has(alert.id)) rows.set(alert.id, this.#makeRow());
      drawRow(rows.get(alert.id), alert, this.#now());
    }
    arrange(byId(state), alerts.map((alert) => rows.get(alert.id)));
    setText(document.querySelector(`[data-count="${state}"]`), String(alerts.length));
    byId(`${state}-empty`).hidden = alerts.length > 0;
  }

  #makeRow() {
    const row = clone("alert-template");
    part(row, "where").addEventListener("click", (event) => {
      event.preventDefault();
      this.#onDevice(row.dataset.device);
    });
    return row;
  }
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
