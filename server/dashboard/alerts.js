/** The alerts: which are firing, and which were resolved last. Loaded once, then moved on by events. */

const PAGE_ALERTS = 100;
const MOST_PAGES = 10; // a page with more than a thousand alerts helps nobody
const MOST_RESOLVED = 50;

/** The higher, the worse. */
export const SEVERITY_RANK = { info: 1, warning: 2, critical: 3 };

export class Alerts {
  #api;
  #since = null; // events that came while a load is under way: it may not contain them yet

  #ruled = false; // a rule was seen, so the hint that there is none is done with

  /** Id → alert, as the contract shows it. */
  firing = new Map();
  /** Id → alert, in no order. */
  resolved = new Map();

  constructor(api) {
    this.#api = api;
  }

  /** Replace everything by what the server says now. Events that arrive meanwhile are applied again on top. */
  async load() {
    if (this.#since) return;
    const since = (this.#since = []);
    try {
      const [firing, resolved] = await Promise.all([this.#all("firing"), this.#api.alerts("resolved", MOST_RESOLVED)]);
      this.firing = byAlertId(firing);
      this.resolved = byAlertId(resolved.items);
      since.forEach((event) => this.#move(event));
    } finally {
      this.#since = null;
    }
  }

  /** Move on by one event. */
  apply(event) {
    this.#since?.push(event);
    this.#move(event);
  }

  /** What is firing: the worst first, among equals the newest. */
  firingInOrder() {
    const rank = (alert) => SEVERITY_RANK[alert.severity] ?? 0;
    return [...this.firing.values()].sort((a, b) => rank(b) - rank(a) || moment(b.fired_at) - moment(a.fired_at));
  }

  /** What was resolved: the newest first. */
  resolvedInOrder() {
    return [...this.resolved.values()].sort((a, b) => moment(b.resolved_at) - moment(a.resolved_at));
  }

  /** Device → the worst severity that is firing there. */
  severities() {
    const worst = new Map();
    for (const { device, severity } of this.firingInOrder()) if (!worst.has(device)) worst.set(device, severity);
    return worst;
  }

  /** Whether anybody has made a rule yet; true where this key may not know. */
  async hasRules() {
    if (this.#ruled) return true;
    try {
      this.#ruled = (await this.#api.rules()).items.length > 0;
    } catch (error) {
      if (error.status !== 403) throw error;
      this.#ruled = true; // a key that is bound to some devices has no part in rules
    }
    return this.#ruled;
  }

  async #all(state) {
    const alerts = [];
    let cursor;
    for (let page = 0; page < MOST_PAGES; page++) {
      const { items, next } = await this.#api.alerts(state, PAGE_ALERTS, cursor);
      alerts.push(...items);
      if (!next) break;
      cursor = next;
    }
    return alerts;
  }

  #move({ alert }) {
    this.firing.delete(alert.id);
    this.resolved.delete(alert.id);
    (alert.state === "firing" ? this.firing : this.resolved).set(alert.id, alert);
    for (const { id } of this.resolvedInOrder().slice(MOST_RESOLVED)) this.resolved.delete(id);
  }
}

const byAlertId = (alerts) => new Map(alerts.map((alert) => [alert.id, alert]));

const moment = (iso) => (iso ? Date.parse(iso) : 0);
