/** The alerts: which are firing, and which were resolved last. Loaded once, then moved on by events. */

const PAGE_ALERTS = 100;
const MOST_PAGES = 10; // a page with more than a thousand alerts helps nobody
const MOST_RESOLVED = 50;
// They are read anew now and then even while events come: should the two ever differ, the list is right.
const RELOAD_MS = { live: 15_000, otherwise: 5_000 };

/** The higher, the worse. */
export const SEVERITY_RANK = { info: 1, warning: 2, critical: 3 };

export class Alerts extends EventTarget {
  #api;
  #live;
  #since = null; // events that came while a load is under way: it may not contain them yet
  #loadedAt = -Infinity;
  #release = null; // what makes the page say that it is behind, until this list is known to be so
  #ruled = false; // a rule was seen, so the hint that there is none is done with

  /** Id → alert, as the contract shows it. */
  firing = new Map();
  /** Id → alert, in no order; the newest 50. */
  resolved = new Map();
  /** Whether this was read from the server at least once, and the last attempt to did not fail. */
  sure = false;

  constructor(api, live) {
    super();
    this.#api = api;
    this.#live = live;
  }

  /** Follow what happens, until the signal. */
  start(clock, signal) {
    this.#release = this.#live.hold();
    const handlers = {
      onData: (event) => this.#apply(event),
      onSubscribed: (recovered) => recovered || this.load(),
      onRefused: () => this.load(), // the key is bound to some devices: what it may see is read now and then
    };
    this.#live.subscribe("alerts", handlers, signal);
    clock.tick(() => this.#reload(), signal);
    this.load();
  }

  /** Call back whenever anything changed, and now, until the signal. */
  watch(callback, signal) {
    if (signal.aborted) return;
    this.addEventListener("change", () => callback(this), { signal });
    callback(this);
  }

  /** Call back with each event as it comes: `{event, at, alert}`. */
  onEvent(callback, signal) {
    this.addEventListener("event", ({ detail }) => callback(detail), { signal });
  }

  /** Replace everything by what the server says now. Events that arrive meanwhile are applied again on top. */
  async load() {
    if (this.#since) return;
    this.#loadedAt = performance.now();
    const since = (this.#since = []);
    try {
      const resolved = this.#page("resolved", MOST_RESOLVED);
      const [firing, { items }] = await Promise.all([this.#all("firing"), resolved]);
      this.firing = byAlertId(firing);
      this.resolved = byAlertId(items);
      since.forEach((event) => this.#move(event));
      this.sure = true;
      this.#release?.();
      this.#release = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.sure = false;
      this.#release ??= this.#live.hold();
    } finally {
      this.#since = null;
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Put in an alert as the server answered it: what somebody did here is seen at once, its event is the same again. */
  put(alert) {
    this.#apply({ event: "answered", alert });
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
      this.#ruled = (await this.#api.get("/v1/rules")).items.length > 0;
    } catch (error) {
      if (error.status !== 403) throw error;
      this.#ruled = true; // a key that is bound to some devices has no part in rules
    }
    return this.#ruled;
  }

  #reload() {
    const due = this.#live.state.name === "live" && this.sure ? RELOAD_MS.live : RELOAD_MS.otherwise;
    if (performance.now() - this.#loadedAt > due) this.load();
  }

  #apply(event) {
    this.#since?.push(event);
    this.#move(event);
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
    this.dispatchEvent(new Event("change"));
  }

  #page(state, limit, cursor) {
    return this.#api.get("/v1/alerts", { state, limit, cursor });
  }

  async #all(state) {
    const alerts = [];
    let cursor;
    for (let page = 0; page < MOST_PAGES; page++) {
      const { items, next } = await this.#page(state, PAGE_ALERTS, cursor);
      alerts.push(...items);
      if (!next) break;
      cursor = next;
    }
    return alerts;
  }

  #move({ event, alert }) {
    const before = this.firing.get(alert.id);
    // What an event does not carry: whether it is silenced, and what was said when it was acknowledged.
    alert.silenced ??= event === "silenced" || (event !== "unsilenced" && Boolean(before?.silenced));
    alert.acknowledged_comment ??= before?.acknowledged_comment ?? "";
    this.firing.delete(alert.id);
    this.resolved.delete(alert.id);
    (alert.state === "firing" ? this.firing : this.resolved).set(alert.id, alert);
    for (const { id } of this.resolvedInOrder().slice(MOST_RESOLVED)) this.resolved.delete(id);
  }
}

const byAlertId = (alerts) => new Map(alerts.map((alert) => [alert.id, alert]));

const moment = (iso) => (iso ? Date.parse(iso) : 0);
