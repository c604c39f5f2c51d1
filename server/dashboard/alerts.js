/** The alerts: which are firing, and which were resolved last. Loaded once, then moved on by events. */

const PAGE = 100;
const MOST_FIRING = 1_000; // a page with more alerts helps nobody
const MOST_RESOLVED = 50;
// They are read anew now and then even while events come: should the two ever differ, the list is right.
const RELOAD_MS = { live: 15_000, otherwise: 5_000 };
const TOGETHER_MS = 50;

export const SEVERITY_RANK = { info: 1, warning: 2, critical: 3 };

export class Alerts extends EventTarget {
  #api;
  #live;
  #since = null; // events that came while a load is under way: it may not contain them yet
  #again; // a load was asked for meanwhile
  #telling;
  #loadedAt = -Infinity;
  #release; // what makes the page say that it is behind, until this list is known to be so

  /** Id → alert, as the contract shows it. */
  firing = new Map();
  resolved = new Map();
  /** Whether this was read from the server at least once, and the last attempt to did not fail. */
  sure = false;

  constructor(api, live) {
    super();
    this.#api = api;
    this.#live = live;
  }

  start(clock, signal) {
    this.#release = this.#live.hold();
    this.#live.subscribe("alerts", {
      onData: (event) => this.#apply(event),
      onSubscribed: (recovered) => recovered || this.load(),
      onRefused: () => this.load(), // the key is bound to some devices: what it may see is read now and then
    }, signal);
    clock.tick(() => {
      const due = this.#live.state.name === "live" && this.sure ? RELOAD_MS.live : RELOAD_MS.otherwise;
      if (performance.now() - this.#loadedAt > due) this.load();
    }, signal);
    this.load();
  }

  watch(callback, signal) {
    if (signal.aborted) return;
    this.addEventListener("change", () => callback(this), { signal });
    callback(this);
  }

  /** Replace everything by what the server says now. Events that arrive meanwhile are applied again on top. */
  async load() {
    if (this.#since) return void (this.#again = true);
    this.#again = false;
    this.#loadedAt = performance.now();
    const since = (this.#since = []);
    try {
      const lists = await Promise.all([this.#read("firing", MOST_FIRING), this.#read("resolved", MOST_RESOLVED)]);
      [this.firing, this.resolved] = lists.map((alerts) => new Map(alerts.map((alert) => [alert.id, alert])));
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
    if (this.#again) await this.load();
  }

  /** What is firing: the worst first, among equals the newest. */
  firingInOrder() {
    const rank = (alert) => SEVERITY_RANK[alert.severity] ?? 0;
    return [...this.firing.values()].sort((a, b) => rank(b) - rank(a) || Date.parse(b.fired_at ?? 0) - Date.parse(a.fired_at ?? 0));
  }

  severities() {
    return new Map(this.firingInOrder().reverse().map(({ device, severity }) => [device, severity]));
  }

  #apply(event) {
    this.#since?.push(event);
    this.#move(event);
    this.dispatchEvent(new CustomEvent("event", { detail: event })); // {event, at, alert}
    this.#telling ??= setTimeout(() => {
      this.#telling = null;
      this.dispatchEvent(new Event("change"));
    }, TOGETHER_MS);
  }

  async #read(state, most) {
    const alerts = [];
    let cursor;
    do {
      const { items, next } = await this.#api.get("/v1/alerts", { state, limit: Math.min(PAGE, most), cursor });
      alerts.push(...items);
      cursor = next;
    } while (cursor && alerts.length < most);
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
    const newest = [...this.resolved.values()].sort((a, b) => Date.parse(b.resolved_at ?? 0) - Date.parse(a.resolved_at ?? 0));
    for (const { id } of newest.slice(MOST_RESOLVED)) this.resolved.delete(id);
  }
}

/** Whether a glob (`*` any characters, `?` one) covers a name. */
export function covers(glob, name) {
  const parts = { "*": ".*", "?": "." };
  const pattern = glob.replace(/[\\^$.*+?()[\]{}|/]/g, (char) => parts[char] ?? `\\${char}`);
  return new RegExp(`^${pattern}$`, "su").test(name);
}
