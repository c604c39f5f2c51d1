/** What is known of the fleet: which devices there are, and the newest values of those that somebody looks at. */

import { ApiError } from "../api.js";
import { formatLabels } from "../format.js";

const POLL_MS = 2_000;
const LEAST_PAUSE_MS = 100;
const PAGE_DEVICES = 200;
const AT_ONCE = 4; // requests in flight: a browser has six connections to a host, and other things to ask

/** A value that old is stale. */
export const STALE_MS = 60_000;

export class Fleet {
  #api;
  #clock;
  #signal;
  #cursor = null;
  #walked = new Set(); // seen in the walk through the pages that is going on
  #eager = false; // somebody looks at a device of which no values are known yet
  #wake = () => {};

  /** Device → {device, seen: when it last sent something, values: [{name, labels, ts, value}] or null}. */
  devices = new Map();
  /** The devices that somebody looks at. */
  visible = new Set();
  /** When the last round of polling succeeded, in the server's time; null before. */
  updatedAt = null;

  constructor(api, clock, signal) {
    this.#api = api;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Load the whole list once. Throws what a request throws. */
  async load() {
    do await this.#walk();
    while (this.#cursor);
    this.updatedAt = this.#clock.now();
  }

  /** Somebody looks at this device now: poll it from here on, and at once where nothing is known of it yet. */
  look(name) {
    this.visible.add(name);
    if (this.devices.get(name)?.values) return;
    this.#eager = true;
    this.#wake();
  }

  /** Whether nothing has come from this device for too long. */
  isStale(device) {
    return this.#clock.now() - device.seen > STALE_MS;
  }

  /** Poll while the tab is seen, until the view ends. `onRound(error | null)` follows every round. */
  async poll(onRound) {
    while (!this.#signal.aborted) {
      await untilSeen();
      if (this.#signal.aborted) return;
      const started = Date.now();
      const error = await this.#round();
      if (this.#signal.aborted) return;
      onRound(error);
      const left = this.#eager ? 0 : POLL_MS - (Date.now() - started);
      await this.#rest(error ? Math.max(POLL_MS, error.retryAfterMs) : Math.max(LEAST_PAUSE_MS, left), !error);
    }
  }

  /** Rest until the time is over, the view ends or, where all is well, somebody looks at something new. */
  #rest(ms, wakeable) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#signal.addEventListener("abort", end);
      this.#wake = () => wakeable && setTimeout(end, LEAST_PAUSE_MS);
    });
  }

  async #round() {
    try {
      await this.#walk();
      this.#eager = false;
      await this.#refresh([...this.visible].filter((device) => this.devices.has(device)));
      this.updatedAt = this.#clock.now();
      return null;
    } catch (error) {
      return error instanceof ApiError ? error : new ApiError(0, String(error));
    }
  }

  /** One page of the list a round: a small fleet is read whole each time, a large one piece by piece. */
  async #walk() {
    const page = await this.#api.get("/v1/devices", { limit: PAGE_DEVICES, cursor: this.#cursor });
    for (const { device, last_seen: lastSeen } of page.items) {
      this.#walked.add(device);
      const known = this.devices.get(device);
      const seen = lastSeen ? Date.parse(lastSeen) : 0;
      if (known) known.seen = Math.max(known.seen, seen);
      else this.devices.set(device, { device, seen, values: null });
    }
    this.#cursor = page.next ?? null;
    if (this.#cursor) return;
    for (const device of this.devices.keys()) if (!this.#walked.has(device)) this.devices.delete(device);
    this.#walked.clear();
  }

  async #refresh(names) {
    const worker = async () => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) await this.#refreshOne(name);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async #refreshOne(name) {
    const device = this.devices.get(name);
    try {
      device.values = valuesOf(await this.#api.get(`/v1/devices/${encodeURIComponent(name)}/latest`));
    } catch (error) {
      if (error.status !== 404) throw error; // deleted between the list and this: the next walk takes it away
    }
    for (const { ts } of device.values ?? []) device.seen = Math.max(device.seen, Date.parse(ts));
  }
}

/** The answer's metrics as a flat list, in an order that stays. A metric with several label sets comes as an array. */
function valuesOf({ metrics }) {
  return Object.entries(metrics).flatMap(([metric, newest]) => {
    if (!Array.isArray(newest)) return [{ name: metric, ...newest }];
    const named = newest.map((one) => ({ name: `${metric} · ${formatLabels(one.labels) || "no labels"}`, ...one }));
    return named.sort((a, b) => (a.name < b.name ? -1 : 1));
  });
}

/** At once, unless the tab is hidden: then when it is shown. Nobody reads values in a hidden tab. */
async function untilSeen() {
  if (!document.hidden) return;
  await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
